// The requests of the guide for Restate: a key issued with `agent_run_label`, and charges by
// stripe-node with `idempotency_key` among the parameters. The client is given host and port,
// since stripe-node has no option for a path.
// Needs no key; makes customers at the vendor first.
// The test counts: two payments of $20 executed under a cap of $50, one replayed, one denied.

import assert from 'node:assert/strict';
import { admin, client, customers, errors, refused, url } from './common.mjs';

const [alice, bob, carol] = await customers(3);
const args = { planId: 'plan_1', budgetUsd: 50 };
const invocation = 'inv_1aiqX0vFEFNH1Umgre58JiCLgHfTtztYK5';

const resp = await fetch(`${url}/vault/keys`, {
  method: 'POST',
  headers: {
    Authorization: `Bearer ${process.env.KEYBRAKE_API_KEY}`,
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
    vendor: 'stripe',
    daily_usd_cap: args.budgetUsd,
    allowed_endpoints: ['POST /v1/payment_intents'],
    expires_in: '2h',
    agent_run_label: `restate/billing/${invocation}`,
  }),
});
assert.equal(resp.status, 201);
const { vault_key: vaultKey, key_id: keyId } = await resp.json();

const charge = (customerId) =>
  client(vaultKey).paymentIntents.create({
    amount: 2000,
    currency: 'usd',
    customer: customerId,
    idempotency_key: `${invocation}-${customerId}`,
  });

const first = await charge(alice);
await charge(bob);
assert.equal((await charge(alice)).id, first.id);
await refused(errors.StripeRateLimitError, 429, 'cap_exhausted', () => charge(carol));

const { spent_usd: spent } = await admin('DELETE', `/vault/keys/${keyId}`);
assert.equal(spent, '40.00');
