# Some messages are paid for, and the next one is refused: the SDK raises its TwilioRestException.
# It shows status, code and message of the refusal, although it expects Twilio's numbers.
# Needs PAID, how many are paid, and the refusal's STATUS and CODE.
# The test counts: the paid ones executed, and one refusal.

import os

from twilio.base.exceptions import TwilioRestException
from twilio_common import ANN, US, client

twilio = client()
status, code = int(os.environ["STATUS"]), os.environ["CODE"]

for _ in range(int(os.environ["PAID"])):
    assert twilio.messages.create(to=ANN, from_=US, body="Reminder").sid.startswith("SM")

try:
    sent = twilio.messages.create(to=ANN, from_=US, body="Reminder")
except TwilioRestException as error:
    assert type(error) is TwilioRestException, type(error)
    assert (error.status, error.code) == (status, code), (error.status, error.code)
    assert error.msg.startswith("Unable to create record: "), error.msg
    assert len(error.msg) > len("Unable to create record: "), "an error says what happened"
else:
    raise AssertionError(f"not refused as {code}: {sent}")
