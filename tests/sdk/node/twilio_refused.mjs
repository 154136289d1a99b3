// Some messages are paid for, and the next one is refused: the SDK throws its RestException.
// It shows status, code and message of the refusal, although it expects Twilio's numbers.
// Needs PAID, how many are paid, and the refusal's STATUS and CODE.
// The test counts: the paid ones executed, and one refusal.

import assert from 'node:assert/strict';
import { ann, client, Twilio, us } from './twilio_common.mjs';

const twilio = client();
const send = () => twilio.messages.create({ to: ann, from: us, body: 'Reminder' });

for (let n = 0; n < Number(process.env.PAID); n += 1) {
  assert.match((await send()).sid, /^SM/);
}

const error = await send().then(() => undefined, (thrown) => thrown);
assert.ok(error, `not refused as ${process.env.CODE}`);
assert.equal(error.constructor, Twilio.RestException, `${error.constructor.name}: ${error.message}`);
assert.deepEqual([error.status, error.code], [Number(process.env.STATUS), process.env.CODE]);
assert.ok(error.message, 'an error says what happened');
assert.match(error.moreInfo, /^https:/);
