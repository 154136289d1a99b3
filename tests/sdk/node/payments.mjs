// The calls of an agent that bills: pay, look, charge, refund. All with the vault key alone.
// A refund by `charge` names no amount: the proxy asks the vendor what is left of it first.
// `expand[]` passes through, and the answers are the objects that the SDK expects.
// Needs a key with a cap of at least $39.
// The test counts: 12.50 and 7.00 paid, 7.00 and 12.50 refunded.

import assert from 'node:assert/strict';
import { client, visa } from './common.mjs';

const stripe = client();

const intent = await stripe.paymentIntents.create({ amount: 1250, ...visa, expand: ['latest_charge'] });
assert.equal(intent.status, 'succeeded');
assert.equal(intent.latest_charge.amount, 1250);

const found = await stripe.paymentIntents.retrieve(intent.id, { expand: ['latest_charge'] });
assert.equal(found.latest_charge.id, intent.latest_charge.id);
assert.equal((await stripe.paymentIntents.retrieve(intent.id)).latest_charge, intent.latest_charge.id);

const charge = await stripe.charges.create({ amount: 700, currency: 'usd', source: 'tok_visa' });
assert.ok(charge.paid);

const byCharge = await stripe.refunds.create({ charge: charge.id });
assert.deepEqual([byCharge.status, byCharge.amount, byCharge.charge], ['succeeded', 700, charge.id]);

const byIntent = await stripe.refunds.create({ payment_intent: intent.id });
assert.deepEqual([byIntent.status, byIntent.amount], ['succeeded', 1250]);
