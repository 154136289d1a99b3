// The activities, by name. A function app has one runtime, so an orchestrator in Node can't call an
// activity of the worker by name: each of these hands its input on, and holds no key of its own.

import type { InvocationContext } from "@azure/functions";
import * as df from "durable-functions";

const worker = new URL(process.env.KEYBRAKE_WORKER_URL ?? "http://127.0.0.1:9090");
const token = process.env.KEYBRAKE_WORKER_TOKEN;

const ofWorker = {
  IssueVaultKey: "issue-vault-key",
  RefreshVaultKey: "refresh-vault-key",
  RevokeVaultKey: "revoke-vault-key",
  ChargeCustomer: "charge-one",
} as const;

for (const [name, path] of Object.entries(ofWorker)) {
  df.app.activity(name, { handler: (input: object, context: InvocationContext) => ask(path, input, context) });
}

/**
 * What the worker answers: what was done, or `{"ok": false, "code"}` where no retry mends it. It throws
 * what a retry may mend, and that alone, as `RetryOptions` can leave no error out.
 */
async function ask(path: string, input: object, context: InvocationContext): Promise<unknown> {
  const answer = await fetch(new URL(`/activities/${path}`, worker), {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) },
    body: JSON.stringify(input),
  });
  if (answer.ok) return answer.json();
  const told = (await answer.json().catch(() => ({}))) as { code?: string; message?: string };
  context.warn(`${path}: ${answer.status} ${told.code ?? ""}`);
  throw new Error(told.message ?? `the worker answered ${answer.status}`);
}
