// The requests of the guide for Inngest: a key issued with a default budget and the run's label,
// and parallel charges by stripe-node with `idempotency_key` among the parameters.
// A function that is tried again makes the same charges again.
// Needs no key; makes customers at the vendor first.
// The test counts: three payments of $90 executed, three replayed, under a cap of $300.

import assert from 'node:assert/strict';
import { client, customers, url } from './common.mjs';

const event = { name: 'billing/subscription.process', data: {} };
const billed = await customers(3);
const runId = '01HX9Z7Y3K5M8N2P4Q6R8S0T2V';

const res = await fetch(`${url}/vault/keys`, {
  method: 'POST',
  headers: {
    Authorization: `Bearer ${process.env.KEYBRAKE_API_KEY}`,
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
    vendor: 'stripe',
    daily_usd_cap: event.data.budget_usd ?? 300,
    allowed_endpoints: ['POST /v1/payment_intents'],
    expires_in: '2h',
    agent_run_label: `inngest/${event.name}/${runId}`,
  }),
});
const { vault_key: vaultKey } = await res.json();

const attempt = () =>
  Promise.all(
    billed.map((customer) =>
      client(vaultKey).paymentIntents.create({
        amount: 9000,
        currency: 'usd',
        customer,
        idempotency_key: `${runId}-${customer}`,
      }),
    ),
  );

const ids = (charges) => charges.map(({ id }) => id);
assert.deepEqual(ids(await attempt()), ids(await attempt()));
