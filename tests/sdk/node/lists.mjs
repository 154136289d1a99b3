// Fifteen payments, listed in pages of five by the SDK's own paging, forwards and backwards.
// Needs a key with a cap of at least $15.
// The test counts the requests: fifteen payments, and three or four pages each way.
// Each page is a request of its own with `starting_after` or `ending_before`.
// No payment may be missing or come twice.

import assert from 'node:assert/strict';
import { client, pay } from './common.mjs';

const stripe = client();

const made = [];
for (let n = 0; n < 15; n += 1) made.push((await pay(stripe, 100)).id);

const newestFirst = await stripe.paymentIntents.list({ limit: 5 }).autoPagingToArray({ limit: 100 });
assert.deepEqual(newestFirst.map(({ id }) => id), made.toReversed());

const page = stripe.paymentIntents.list({ limit: 5, ending_before: made[0] });
const oldestFirst = await page.autoPagingToArray({ limit: 100 });
assert.deepEqual(oldestFirst.map(({ id }) => id), made.slice(1));
