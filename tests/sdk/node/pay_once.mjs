// One payment of $5 through whatever goes wrong: the SDK's own retries must bring its answer.
// IDEMPOTENCY_KEY is the caller's key; without it the SDK makes a random one for all its attempts.
// RETRIES says how often the SDK tries again.
// Needs a key with a cap of at least $5.
// The test makes it go wrong and counts: one payment executed.

import assert from 'node:assert/strict';
import { client, pay } from './common.mjs';

const paid = await pay(client(), 500, process.env.IDEMPOTENCY_KEY);
assert.deepEqual([paid.status, paid.amount], ['succeeded', 500]);
