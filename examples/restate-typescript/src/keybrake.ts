// What a handler needs of Keybrake where it speaks to the proxy itself, with `fetch` and stripe-node.
//
// The journal holds the vault key's name and not its token: the calls carry this service's own API
// key (role `caller`) and the name, so that whoever reads the journal can spend nothing.

import * as restate from "@restatedev/restate-sdk";
import Stripe from "stripe";

const proxy = new URL(process.env.KEYBRAKE_URL ?? "http://127.0.0.1:8787");
const apiKey = process.env.KEYBRAKE_API_KEY ?? "";
const callerApiKey = process.env.KEYBRAKE_CALLER_API_KEY ?? apiKey;

export interface VaultKey {
  key_id: string;
  expires_at: string;
}

/** Issues the run's vault key. However often the step runs, there is one key on one budget. */
export async function issueVaultKey(ctx: restate.Context, service: string, budgetUsd: number): Promise<VaultKey> {
  return await ctx.run("issue-vault-key", async () => {
    const issued = await ask("POST", "/vault/keys", `${ctx.request().id}/issue-vault-key`, {
      vendor: "stripe",
      daily_usd_cap: budgetUsd,
      total_usd_cap: budgetUsd, // a run that takes more than a day does not get its cap again
      allowed_endpoints: ["POST /v1/payment_intents"],
      expires_in: "2h",
      agent_run_label: `restate/${service}/${ctx.request().id}`,
      return_token: false,
    });
    return { key_id: issued.key_id, expires_at: issued.expires_at };
  });
}

/** Stops the run: when the step is done, nothing more is sent for it. */
export async function revokeVaultKey(ctx: restate.Context, key: VaultKey): Promise<void> {
  await ctx.run("revoke-vault-key", async () => {
    await ask("DELETE", `/vault/keys/${key.key_id}`);
  });
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
    maxNetworkRetries: 0, // Restate retries, and its retries are journaled
  });
}

/** A step at Stripe: what can't succeed later ends it for good, everything else is retried. */
export async function atStripe<T>(ctx: restate.Context, step: string, call: () => Promise<T>): Promise<T> {
  const retries = { initialRetryInterval: 200, retryIntervalFactor: 2, maxRetryInterval: 10_000, maxRetryDuration: 600_000 };
  return await ctx.run(step, async () => {
    try {
      return await call();
    } catch (error) {
      throw isFinal(error) ? ended(error) : error;
    }
  }, retries);
}

function isFinal(error: unknown): error is Stripe.errors.StripeError {
  if (!(error instanceof Stripe.errors.StripeError)) return false;
  const status = error.statusCode ?? 0;
  if (status === 429) return error.headers?.["x-keybrake-cap-hit"] === "true";
  return status >= 400 && status < 500 && ![408, 409, 424, 425].includes(status);
}

function ended(error: Stripe.errors.StripeError): restate.TerminalError {
  const report = { code: error.code ?? error.type, message: error.message };
  return new restate.TerminalError(JSON.stringify(report), { errorCode: error.statusCode ?? 500 });
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
  const message = JSON.stringify({ code: told.keybrake?.code ?? `http_${answer.status}`, message: told.message });
  if (told.keybrake?.terminal) throw new restate.TerminalError(message, { errorCode: answer.status });
  throw new Error(message);
}
