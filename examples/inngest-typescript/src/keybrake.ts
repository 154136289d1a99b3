// What a function needs of Keybrake: a run's vault key, and Stripe's own client that spends as it.
//
// Inngest keeps what a step returns, so a step returns the key's name and not its token: the calls
// carry this worker's own API key (role `caller`) and the name.

import { NonRetriableError, RetryAfterError } from "inngest";
import Stripe from "stripe";

const proxy = new URL(process.env.KEYBRAKE_URL ?? "http://127.0.0.1:8787");
const apiKey = process.env.KEYBRAKE_API_KEY ?? "";
const callerApiKey = process.env.KEYBRAKE_CALLER_API_KEY ?? apiKey;

export interface VaultKey {
  key_id: string;
}

/** Issues the run's vault key. However often the step runs, there is one key on one budget. */
export async function issueVaultKey(label: string, runId: string, budgetUsd: number): Promise<VaultKey> {
  const issued = await ask("POST", "/vault/keys", `${runId}/issue-vault-key`, {
    vendor: "stripe",
    daily_usd_cap: budgetUsd,
    total_usd_cap: budgetUsd, // a run that takes more than a day does not get its cap again
    allowed_endpoints: ["POST /v1/payment_intents"],
    expires_in: "2h",
    agent_run_label: label,
    return_token: false,
  });
  return { key_id: issued.key_id };
}

/** Stops the run: when this returns, nothing more is sent for it. */
export async function revokeVaultKey(key: VaultKey): Promise<void> {
  await ask("DELETE", `/vault/keys/${key.key_id}`);
}

/** Stripe's own client, which spends as this vault key. One for each call, never a global. */
export function stripeFor(key: VaultKey): Stripe {
  const named: typeof fetch = (url, init) => {
    const headers = new Headers(init?.headers);
    headers.set("X-Keybrake-Key-Id", key.key_id);
    return fetch(url, { ...init, headers });
  };
  return new Stripe(callerApiKey, {
    host: proxy.hostname,
    port: proxy.port || (proxy.protocol === "https:" ? "443" : "80"),
    protocol: proxy.protocol === "https:" ? "https" : "http",
    httpClient: Stripe.createFetchHttpClient(named),
    maxNetworkRetries: 0, // Inngest retries
  });
}

/** What can't succeed later ends the step at once; the rest is tried again by Inngest. */
export async function atStripe<T>(call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (!(error instanceof Stripe.errors.StripeError)) throw error;
    const status = error.statusCode ?? 0;
    const capped = error.headers?.["x-keybrake-cap-hit"] === "true";
    const final = status === 429 ? capped : status >= 400 && status < 500 && ![408, 409, 424, 425].includes(status);
    if (final) throw new NonRetriableError(error.message, { cause: { code: error.code ?? error.type } });
    const after = Number(error.headers?.["retry-after"]);
    throw after > 0 ? new RetryAfterError(error.message, after * 1000) : error;
  }
}

async function ask(method: string, path: string, idempotencyKey?: string, body?: object): Promise<any> {
  const answer = await fetch(new URL(path, proxy), {
    method,
    headers: {
      Authorization: `Bearer ${apiKey}`,
      "Content-Type": "application/json",
      ...(idempotencyKey ? { "Idempotency-Key": idempotencyKey } : {}),
    },
    body: body ? JSON.stringify(body) : undefined,
  });
  const told: any = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  const message = told.message ?? `Keybrake answered ${answer.status}`;
  throw told.keybrake?.terminal ? new NonRetriableError(message) : new Error(message);
}
