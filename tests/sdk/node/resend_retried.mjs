// The vendor's answer is lost once, and the agent tries again under its key until it has one.
// Needs any key.
// The test counts: one mail executed, and the call settled.

import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';
import { refused, send } from './resend_common.mjs';

let lost = 0;
let sent = await send('order-1');
while (sent.error && lost < 100) {
  await refused(504, 'outcome_unknown', sent);
  lost += 1;
  await pause(50);
  sent = await send('order-1');
}
assert.ok(lost > 0 && sent.data?.id, `${lost}`);
