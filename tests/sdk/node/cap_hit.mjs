// A cap of $10, a payment of $6, and another one: the SDK throws its StripeRateLimitError.
// The code and the header say that it is the cap, and that asking again is no use.
// The client would retry twice; the answer tells it not to.
// Needs a key with a cap of $10.
// The test counts: one payment executed, one request denied.

import assert from 'node:assert/strict';
import { client, errors, header, pay, refused } from './common.mjs';

const stripe = client();

const paid = await pay(stripe, 600, 'cap-1');
assert.equal(header(paid, 'x-keybrake-remaining-usd'), '4.00');

const error = await refused(errors.StripeRateLimitError, 429, 'cap_exhausted', () => pay(stripe, 600, 'cap-2'));
assert.equal(error.headers['x-keybrake-cap-hit'], 'true');
assert.equal(error.rawType, 'invalid_request_error');
