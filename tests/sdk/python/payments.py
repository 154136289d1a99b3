# The calls of an agent that bills: pay, look, charge, refund. All with the vault key alone.
# A refund by `charge` names no amount: the proxy asks the vendor what is left of it first.
# `expand[]` passes through, and the answers are the objects that the SDK expects.
# Needs a key with a cap of at least $39.
# The test counts: 12.50 and 7.00 paid, 7.00 and 12.50 refunded.

from common import client, VISA

stripe = client()

intent = stripe.v1.payment_intents.create({"amount": 1250, **VISA, "expand": ["latest_charge"]})
assert intent.status == "succeeded", intent
assert intent.latest_charge.amount == 1250, intent.latest_charge

found = stripe.v1.payment_intents.retrieve(intent.id, {"expand": ["latest_charge"]})
assert found.latest_charge.id == intent.latest_charge.id, found
assert stripe.v1.payment_intents.retrieve(intent.id).latest_charge == intent.latest_charge.id

charge = stripe.v1.charges.create({"amount": 700, "currency": "usd", "source": "tok_visa"})
assert charge.paid and charge.amount == 700, charge

refund = stripe.v1.refunds.create({"charge": charge.id})
assert (refund.status, refund.amount, refund.charge) == ("succeeded", 700, charge.id), refund

refund = stripe.v1.refunds.create({"payment_intent": intent.id})
assert (refund.status, refund.amount) == ("succeeded", 1250), refund
