// The same run by the services of `keybrake-restate`: no HTTP and no API key here at all.

import * as restate from "@restatedev/restate-sdk";

interface VaultKey {
  key_id: string;
  expires_at: string;
}

interface Charge {
  customer: string;
  amount: number;
  payment_method?: string;
}

// Restate calls by name: these are all that is to be known of them.
const vaultKeys: restate.ServiceDefinition<"VaultKeys", {
  issue: (ctx: restate.Context, request: object) => Promise<VaultKey>;
  revoke: (ctx: restate.Context, key: { key_id: string }) => Promise<{ spent_usd: string }>;
}> = { name: "VaultKeys" };
const chargeOne: restate.ServiceDefinition<"ChargeOne", {
  charge: (ctx: restate.Context, input: { key: VaultKey; charge: Charge; idempotency_key?: string }) => Promise<{ id: string }>;
}> = { name: "ChargeOne" };

export const billingByName = restate.service({
  name: "tsBillingByName",
  handlers: {
    chargeCustomers: async (ctx: restate.Context, args: { charges: Charge[]; budgetUsd: number }) => {
      const run = ctx.request().id;
      const key = await ctx.serviceClient(vaultKeys).issue({
        vendor: "stripe",
        daily_usd_cap: args.budgetUsd,
        allowed_endpoints: ["POST /v1/payment_intents"],
        expires_in: "2h",
        agent_run_label: `restate/tsBillingByName/${run}`,
      });
      try {
        const one = ctx.serviceClient(chargeOne);
        const calls = args.charges.map((charge) =>
          one.charge({ key, charge, idempotency_key: `${run}-${charge.customer}` }),
        );
        const ends = await Promise.allSettled(calls);
        const charged = ends.filter((end) => end.status === "fulfilled").length;
        const capped = ends.filter((end) => end.status === "rejected" && errorOf(end.reason) === "CapExhausted").length;
        return { charged, capped, failed: ends.length - charged - capped };
      } finally {
        await ctx.serviceClient(vaultKeys).revoke({ key_id: key.key_id });
      }
    },
  },
});

/** A terminal error's message is a report in JSON: `error`, `code`, `message`, `call_id`. */
function errorOf(error: unknown): string {
  try {
    return JSON.parse((error as Error).message).error;
  } catch {
    return "unknown";
  }
}
