// The same mail under the same key: the second answer is the first one, and no second mail.
// Another mail under it is an error that the SDK returns.
// Needs any key.
// The test counts: one mail executed, one request at the vendor, one replay, one denial.

import assert from 'node:assert/strict';
import { refused, send } from './resend_common.mjs';

const first = await send('order-1');
const again = await send('order-1');
assert.deepEqual([again.data, again.error], [first.data, null]);
assert.equal(again.headers['x-keybrake-replayed'], 'true');
await refused(400, 'idempotency_key_reused', send('order-1', { to: 'bob@example.org' }));
