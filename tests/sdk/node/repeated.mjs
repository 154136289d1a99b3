// The same call again under the same idempotency key, as an engine's retry makes it.
// The SDK gets the same object, and headers that say that it is a stored answer.
// A client of its own makes the second call, as another worker would.
// Needs a key with a cap of at least $5.
// The test counts: one payment executed, one request replayed.

import assert from 'node:assert/strict';
import { client, pay } from './common.mjs';

const first = await pay(client(), 500, 'run-1-item-1');
assert.equal(first.lastResponse.headers['x-keybrake-replayed'], undefined);

const again = await pay(client(), 500, 'run-1-item-1');
assert.equal(again.id, first.id);
assert.equal(again.lastResponse.headers['x-keybrake-replayed'], 'true');
assert.equal(again.lastResponse.headers['idempotent-replayed'], 'true');
