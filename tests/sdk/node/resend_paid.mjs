// An agent that sends mails: to several, in a batch, and one for later that it calls off.
// All with the vault key alone; the answers are those that the SDK expects.
// Needs a key with a cap of at least $0.0054.
// The test counts: four mails to six recipients, and four calls that are free.

import assert from 'node:assert/strict';
import { done, mail, resend, send } from './resend_common.mjs';

const sent = await send('invoice-1', { to: ['ann@example.org', 'bob@example.org'], cc: 'cy@example.org' });
assert.equal(sent.error, null);
assert.equal(sent.headers['x-keybrake-remaining-usd'], '49.9973');
const shown = await done(resend.emails.get(sent.data.id));
assert.deepEqual([shown.subject, shown.cc], ['Your invoice', ['cy@example.org']]);

const batch = await done(resend.batch.send([mail, { ...mail, to: 'bob@example.org' }]));
const listed = await done(resend.emails.list({ limit: 2 }));
const ids = (list) => list.map(({ id }) => id).sort();
assert.deepEqual(ids(listed.data), ids(batch.data));
assert.equal(listed.has_more, true);

const hours = (n) => new Date(Date.now() + n * 3_600_000).toISOString();
const { id } = await done(send('later', { scheduledAt: hours(1) }));
assert.equal((await done(resend.emails.update({ id, scheduledAt: hours(2) }))).id, id);
assert.equal((await done(resend.emails.cancel(id))).id, id);
