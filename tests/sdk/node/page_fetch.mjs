// The requests of the guides that charge by plain `fetch`, for Step Functions and for Durable
// Functions: a key issued with the engine's own label, and JSON bodies that become Stripe's forms.
// A cap that is hit is a 429 whose body has `code` and `message` at its top.
// LABEL is the run's label, RUN what its idempotency keys begin with.
// The test counts: two payments of $20 executed under a cap of $50, one replayed, one denied.

import assert from 'node:assert/strict';
import { customers, url } from './common.mjs';

const { LABEL, RUN } = process.env;
const [id] = await customers(1);
const customer = { id, amount_cents: 2000 };

const issued = await fetch(`${url}/vault/keys`, {
  method: 'POST',
  headers: {
    Authorization: `Bearer ${process.env.KEYBRAKE_API_KEY}`,
    'Content-Type': 'application/json',
  },
  body: JSON.stringify({
    vendor: 'stripe',
    daily_usd_cap: 50,
    allowed_endpoints: ['POST /v1/payment_intents'],
    expires_in: '2h',
    agent_run_label: LABEL,
  }),
});
assert.ok(issued.ok);
const { vault_key, key_id, expires_at } = await issued.json();
assert.match(vault_key, /^vault_key_/);
assert.match(key_id, /^vk_/);
const lives = Date.parse(expires_at) - Date.now();
assert.ok(lives > 7_100_000 && lives <= 7_200_000, expires_at);

async function charge(customer, item_index) {
  const res = await fetch(`${url}/stripe/v1/payment_intents`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${vault_key}`,
      'Idempotency-Key': `${RUN}-${item_index}`,
      'Content-Type': 'application/json',
    },
    body: JSON.stringify({
      amount: customer.amount_cents,
      currency: 'usd',
      customer: customer.id,
    }),
  });
  if (res.status === 429) {
    const body = await res.json();
    if (body.code === 'cap_exhausted') {
      const err = new Error(body.message);
      err.name = 'CapExhausted';
      throw err;
    }
  }
  if (!res.ok) throw new Error(`Stripe error: ${res.status}`);
  return res.json();
}

const first = await charge(customer, 0);
assert.equal(first.amount, 2000);
await charge(customer, 1);
assert.equal((await charge(customer, 0)).id, first.id);
await assert.rejects(charge(customer, 2), {
  name: 'CapExhausted',
  message: /cap of 50.00 USD is exhausted/,
});
