// A vault key that lives for a second: the SDK throws its StripeAuthenticationError from then on.
// The key is issued here, so that its second begins when the SDK is loaded.
// Reads show when it is over; no payment is tried before.
// Needs no key.
// The test counts: nothing executed, one payment denied.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { admin, client, errors, pay, refused } from './common.mjs';

const { vault_key: key } = await admin('POST', '/vault/keys', {
  vendor: 'stripe',
  total_usd_cap: 50,
  allowed_endpoints: ['POST /v1/payment_intents', 'GET /v1/payment_intents'],
  expires_in_seconds: 1,
  label: 'sdk/expired',
});
const stripe = client(key);

const lives = () =>
  stripe.paymentIntents.list({ limit: 1 }).then(
    () => true,
    (error) => {
      assert.equal(error.constructor, errors.StripeAuthenticationError);
      return false;
    },
  );

const deadline = Date.now() + 20_000;
while (await lives()) {
  assert.ok(Date.now() < deadline, 'the key does not expire');
  await pause(50);
}
await refused(errors.StripeAuthenticationError, 401, 'key_expired', () => pay(stripe, 500, 'late'));
