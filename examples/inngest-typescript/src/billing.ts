// A run that bills customers under one cap: issue, charge in parallel, revoke.

import { Inngest } from "inngest";
import { atStripe, issueVaultKey, revokeVaultKey, stripeFor } from "./keybrake.js";

export const inngest = new Inngest({ id: "keybrake-example" });

interface Customer {
  id: string;
  amount_cents: number;
}

export const billingAgent = inngest.createFunction(
  { id: "billing-agent", retries: 3, triggers: [{ event: "billing/subscription.process" }] },
  async ({ event, step, runId }) => {
    const label = `inngest/${event.name}/${runId}`;
    const vaultKey = await step.run("issue-vault-key", () => issueVaultKey(label, runId, event.data.budget_usd ?? 300));

    const customers: Customer[] = event.data.customers;
    const charges = await Promise.allSettled(
      customers.map((customer) =>
        step.run(`charge-${customer.id}`, () =>
          atStripe(async () => {
            const intent = await stripeFor(vaultKey).paymentIntents.create(
              { amount: customer.amount_cents, currency: "usd", customer: customer.id, confirm: true, off_session: true },
              // An option beside the parameters; the same on every retry of this run.
              { idempotencyKey: `${runId}-${customer.id}` },
            );
            return intent.id;
          }),
        ),
      ),
    );

    await step.run("revoke-vault-key", () => revokeVaultKey(vaultKey));
    const charged = charges.filter((charge) => charge.status === "fulfilled").length;
    return { charged, failed: charges.length - charged };
  },
);
