// Some mails are paid for, and the next one is refused: the SDK returns the error and throws nothing.
// `error` is the refusal as it was answered: our code is its `name`; the headers say the cap.
// Needs PAID, how many are paid, and the refusal's STATUS and CODE.
// The test counts: the paid ones executed, and one refusal.

import assert from 'node:assert/strict';
import { done, refused, send } from './resend_common.mjs';

const { PAID, STATUS, CODE } = process.env;

for (let n = 0; n < Number(PAID); n += 1) {
  assert.ok((await done(send(`paid-${n}`))).id);
}

const headers = await refused(Number(STATUS), CODE, send('refused'));
assert.equal(headers['x-keybrake-cap-hit'], CODE === 'cap_exhausted' ? 'true' : undefined);
