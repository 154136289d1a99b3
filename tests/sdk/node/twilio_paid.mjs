// An agent that writes to somebody, calls, verifies and looks a number up.
// All with the vault key alone; the answers are the resources that the SDK expects.
// Needs a key with a cap of at least $0.13.
// The test counts: two messages, a call, a verification, a look-up, and four reads that are free.

import assert from 'node:assert/strict';
import { ann, client, service, us } from './twilio_common.mjs';

const twilio = client();

const first = await twilio.messages.create({ to: ann, from: us, body: 'Reminder 1' });
const second = await twilio.messages.create({ to: ann, from: us, body: 'Reminder 2' });
assert.deepEqual([first.status, first.numSegments, first.price], ['queued', '1', null]);
assert.equal((await twilio.messages(second.sid).fetch()).body, 'Reminder 2');
// Two pages of one message each.
const listed = await twilio.messages.list({ to: ann, pageSize: 1 });
assert.deepEqual(listed.map(({ body }) => body), ['Reminder 2', 'Reminder 1']);

const call = await twilio.calls.create({ to: ann, from: us, twiml: '<Response/>', timeLimit: 60 });
assert.equal(call.status, 'queued');
assert.equal((await twilio.calls(call.sid).fetch()).sid, call.sid);

const { verifications } = twilio.verify.v2.services(service);
const verification = await verifications.create({ to: ann, channel: 'sms' });
assert.deepEqual([verification.status, verification.to], ['pending', ann]);

const number = await twilio.lookups.v2.phoneNumbers(ann).fetch({ fields: 'line_type_intelligence' });
assert.deepEqual([number.valid, number.lineTypeIntelligence.type], [true, 'mobile']);
