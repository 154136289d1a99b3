// The vendor charged, answered 500, and keeps that answer under the idempotency key for a day.
// Retries can only get the 500 again; the proxy finds the payment at the vendor instead.
// Until then the SDK throws its StripeAPIError with `outcome_unknown`, then the call has its answer.
// Needs a key with a cap of at least $5.
// The test strikes once with `error_after_charge` and counts: one payment executed.

import assert from 'node:assert/strict';
import { client, errors, header, pay } from './common.mjs';

const stripe = client();

const outcome = () =>
  pay(stripe, 500, 'saved-500').catch((error) => {
    assert.equal(error.constructor, errors.StripeAPIError);
    assert.equal(error.code, 'outcome_unknown');
  });

const deadline = Date.now() + 60_000;
let paid = await outcome();
while (!paid) {
  assert.ok(Date.now() < deadline, 'the outcome stays unknown');
  paid = await outcome();
}
assert.deepEqual([paid.status, paid.amount], ['succeeded', 500]);
assert.equal(header(paid, 'x-keybrake-replayed'), 'true');
