// What the scripts of resend-node share: the SDK on the proxy, as the guide has it, and a mail.
// It never throws: what it returns has `data` or `error`, and the headers.
// VAULT_KEY and KEYBRAKE_URL come from the test that runs a script.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

const { Resend } = createRequire(`${process.env.TEST_TOOLS}/node/`)('resend');

export const resend = new Resend(process.env.VAULT_KEY, {
  baseUrl: `${process.env.KEYBRAKE_URL}/resend`,
});
export const mail = {
  from: 'Acme <billing@example.com>',
  to: ['ann@example.org'],
  subject: 'Your invoice',
  html: '<p>It is due.</p>',
};

/** Sends the mail, with these members in place of its own. */
export function send(idempotencyKey, more = {}) {
  return resend.emails.send({ ...mail, ...more }, idempotencyKey && { idempotencyKey });
}

/** The data of a call that has no error. */
export async function done(call) {
  const { data, error } = await call;
  assert.equal(error, null);
  return data;
}

/** The headers of a call that was refused with this status and code. */
export async function refused(status, code, call) {
  const { data, error, headers } = await call;
  assert.equal(data, null);
  assert.deepEqual([error.statusCode, error.name], [status, code]);
  assert.ok(error.message, 'an error says what happened');
  return headers;
}
