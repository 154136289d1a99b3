// `idempotency_key` among the parameters, as many examples have it. It belongs into the options:
// stripe-node sends it as a form field, beside a random key in the header that is new each time.
// The proxy lifts it, so that the second call gets the answer of the first one.
// Needs a key with a cap of at least $5.
// The test counts: one payment executed under that key, one request replayed.

import assert from 'node:assert/strict';
import { client, header, visa } from './common.mjs';

const pay = () =>
  client().paymentIntents.create({ amount: 500, ...visa, idempotency_key: 'inv_1-cus_1' });

const first = await pay();
assert.equal(header(first, 'x-keybrake-replayed'), null);

const again = await pay();
assert.equal(again.id, first.id);
assert.equal(header(again, 'x-keybrake-replayed'), 'true');
