# An agent that writes to somebody, calls, verifies and looks a number up.
# All with the vault key alone; the answers are the resources that the SDK expects.
# Needs a key with a cap of at least $0.13.
# The test counts: two messages, a call, a verification, a look-up, and four reads that are free.

from twilio_common import ANN, SERVICE, US, client

twilio = client()

messages = [twilio.messages.create(to=ANN, from_=US, body=f"Reminder {n}") for n in (1, 2)]
assert [message.status for message in messages] == ["queued", "queued"], messages
assert (messages[0].num_segments, messages[0].price) == ("1", None), messages[0]
assert twilio.messages(messages[0].sid).fetch().body == "Reminder 1"
# Two pages of one message each.
bodies = [message.body for message in twilio.messages.list(to=ANN, page_size=1)]
assert bodies == ["Reminder 2", "Reminder 1"], bodies

call = twilio.calls.create(to=ANN, from_=US, twiml="<Response/>", time_limit=60)
assert call.status == "queued", call
assert twilio.calls(call.sid).fetch().sid == call.sid

verification = twilio.verify.v2.services(SERVICE).verifications.create(to=ANN, channel="sms")
assert (verification.status, verification.to) == ("pending", ANN), verification

number = twilio.lookups.v2.phone_numbers(ANN).fetch(fields="line_type_intelligence")
assert number.valid and number.line_type_intelligence["type"] == "mobile", number
