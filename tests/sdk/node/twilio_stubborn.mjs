// A client that tries again after each 429, whatever it says: the SDK reads no header that forbids it.
// Needs a key with a cap for one message and not for two.
// The test counts: one message executed, and three refusals that the vendor never saw.

import assert from 'node:assert/strict';
import { ann, client, Twilio, us } from './twilio_common.mjs';

const twilio = client({ autoRetry: true, maxRetries: 2 });
const send = () => twilio.messages.create({ to: ann, from: us, body: 'Reminder' });

assert.match((await send()).sid, /^SM/);
await assert.rejects(send(), (error) => {
  assert.equal(error.constructor, Twilio.RestException);
  assert.deepEqual([error.status, error.code], [429, 'cap_exhausted']);
  return true;
});
