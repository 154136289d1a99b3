// A run that is stopped: the SDK throws its StripeAuthenticationError from the next call on.
// The same call as before is refused as well: a stopped run gets no answers any more.
// The client would retry twice; it does not.
// Needs a key with a cap of at least $10.
// The test counts: one payment executed, two requests denied.

import assert from 'node:assert/strict';
import { admin, client, errors, pay, refused } from './common.mjs';

const stripe = client();

await pay(stripe, 500, 'before');
const { spent_usd: spent } = await admin('DELETE', `/vault/keys/${process.env.KEY_ID}`);
assert.equal(spent, '5.00');

await refused(errors.StripeAuthenticationError, 401, 'key_revoked', () => pay(stripe, 500, 'after'));
await refused(errors.StripeAuthenticationError, 401, 'key_revoked', () => pay(stripe, 500, 'before'));
