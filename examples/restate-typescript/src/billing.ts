// A run that bills customers under one cap, speaking to the proxy itself.

import * as restate from "@restatedev/restate-sdk";
import { atStripe, issueVaultKey, revokeVaultKey, stripeFor, type VaultKey } from "./keybrake.js";

interface Customer {
  id: string;
  amountCents: number;
  paymentMethod?: string;
}

export const chargeOne = restate.service({
  name: "tsChargeOne",
  handlers: {
    chargeCustomer: async (ctx: restate.Context, args: Customer & { vaultKey: VaultKey; run: string }) =>
      await atStripe(ctx, "stripe-charge", async () => {
        const intent = await stripeFor(args.vaultKey).paymentIntents.create(
          {
            amount: args.amountCents,
            currency: "usd",
            customer: args.id,
            payment_method: args.paymentMethod,
            confirm: true,
            off_session: true,
          },
          // The run's id and the customer: the same on every retry, another in another run.
          { idempotencyKey: `${args.run}-${args.id}` },
        );
        return intent.id;
      }),
  },
});

export const billing = restate.service({
  name: "tsBilling",
  handlers: {
    chargeCustomers: async (ctx: restate.Context, args: { customers: Customer[]; budgetUsd: number }) => {
      const vaultKey = await issueVaultKey(ctx, "tsBilling", args.budgetUsd);
      try {
        const child = ctx.serviceClient(chargeOne);
        const calls = args.customers.map((customer) =>
          child.chargeCustomer({ ...customer, vaultKey, run: ctx.request().id }),
        );
        const ends = await Promise.allSettled(calls);
        const charged = ends.filter((end) => end.status === "fulfilled").length;
        const capped = ends.filter((end) => end.status === "rejected" && codeOf(end.reason) === "cap_exhausted").length;
        return { charged, capped, failed: ends.length - charged - capped };
      } finally {
        await revokeVaultKey(ctx, vaultKey);
      }
    },
  },
});

function codeOf(error: unknown): string {
  try {
    return JSON.parse((error as Error).message).code;
  } catch {
    return "unknown";
  }
}
