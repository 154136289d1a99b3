// A run in two phases under one cap: bill at once who is sure, and the others after a person said so.
// The wait may take days. The second phase goes on with the first one's budget: its key is refreshed,
// where a new one would be a second cap.

import type { OrchestrationContext } from "durable-functions";
import * as df from "durable-functions";

interface Customer {
  id: string;
  amount_cents: number;
}

interface Order {
  budget_usd?: number;
  customers: Customer[];
  /** Billed after the event `approved`. */
  after_approval?: Customer[];
}

interface Failed {
  ok: false;
  code: string;
  message: string;
}

type Ended<T> = (T & { ok: true }) | Failed;

interface Key {
  key_id: string;
  expires_at: string;
  agent_run_label: string;
}

// Two arguments, and five attempts in all; what follows is set by name.
const retry = new df.RetryOptions(1_000, 5);
retry.backoffCoefficient = 2;
retry.maxRetryIntervalInMilliseconds = 30_000;

df.app.orchestration("Billing", function* (context: OrchestrationContext): Generator<df.Task, unknown, any> {
  const { instanceId } = context.df;
  const order = context.df.getInput<Order>() ?? { customers: [] };
  const budget = order.budget_usd ?? 500;
  const key: Ended<Key> = yield context.df.callActivityWithRetry("IssueVaultKey", retry, {
    run_id: instanceId,
    vendor: "stripe",
    daily_usd_cap: budget,
    total_usd_cap: budget, // a run of several days does not get its cap again
    allowed_endpoints: ["POST /v1/payment_intents"],
    expires_in: "30m",
    agent_run_label: `azure-durable/${instanceId}`,
  });
  if (!key.ok) return { failed: key.code, message: key.message };

  const ended: Ended<object>[] = yield context.df.Task.all(charges(context, key, order.customers, 0));

  const later = order.after_approval ?? [];
  if (later.length > 0) {
    yield context.df.waitForExternalEvent("approved");
    const refreshed: Ended<Key> = yield context.df.callActivityWithRetry("RefreshVaultKey", retry, {
      key_id: key.key_id,
      expires_in: "30m",
    });
    if (!refreshed.ok) return { ...summary(key, ended), failed: refreshed.code };
    const more: Ended<object>[] = yield context.df.Task.all(
      charges(context, refreshed, later, order.customers.length),
    );
    ended.push(...more);
  }

  const revoked: Ended<{ spent_usd: string }> = yield context.df.callActivityWithRetry("RevokeVaultKey", retry, {
    key_id: key.key_id,
  });
  return { ...summary(key, ended), spent_usd: revoked.ok ? revoked.spent_usd : undefined };
});

/** One charge for each, under `{instance id}-{index}`, which its retries and replays repeat. */
function charges(context: OrchestrationContext, key: Key, customers: Customer[], from: number): df.Task[] {
  return customers.map((customer, index) =>
    context.df.callActivityWithRetry("ChargeCustomer", retry, {
      customer,
      key_id: key.key_id,
      expires_at: key.expires_at,
      orchestration_id: context.df.instanceId,
      item_index: from + index,
    }),
  );
}

function summary(key: Key, ended: Ended<object>[]) {
  const codes: Record<string, number> = {};
  for (const item of ended) if (!item.ok) codes[item.code] = (codes[item.code] ?? 0) + 1;
  const charged = ended.filter((item) => item.ok).length;
  return { agent_run_label: key.agent_run_label, charged, codes };
}
