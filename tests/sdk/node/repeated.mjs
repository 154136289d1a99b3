// The same call again under the same idempotency key, as an engine's retry makes it.
// The SDK gets the same object, and headers that say that it is a stored answer.
// A client of its own makes the second call, as another worker would.
// Needs a key with a cap of at least $5.
// The test counts: one payment executed, one request replayed.

import assert from 'node:assert/strict';
import { client, header, pay } from './common.mjs';

const first = await pay(client(), 500, 'run-1-item-1');
assert.equal(header(first, 'x-keybrake-replayed'), null);

const again = await pay(client(), 500, 'run-1-item-1');
assert.equal(again.id, first.id);
assert.equal(header(again, 'x-keybrake-replayed'), 'true');
assert.equal(header(again, 'idempotent-replayed'), 'true');
