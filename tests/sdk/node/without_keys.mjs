// Two payments for which the caller gives no idempotency key: the SDK makes a random one for each.
// They are two payments, not one and its replay.
// RETRIES does not matter here: the SDK sends a key in any case.
// Needs a key with a cap of at least $10.
// The test counts: two payments executed, under two keys that are the SDK's and not the proxy's.

import assert from 'node:assert/strict';
import { client, pay } from './common.mjs';

const stripe = client();
const first = await pay(stripe, 500);
const second = await pay(stripe, 500);
assert.notEqual(first.id, second.id);
