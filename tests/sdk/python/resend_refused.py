# Some mails are paid for, and the next one is refused: the SDK raises its ResendError.
# It has classes for Resend's own names alone; ours are in `error_type`, the headers say the cap.
# Needs PAID, how many are paid, and the refusal's STATUS and CODE.
# The test counts: the paid ones executed, and one refusal.

import os

import resend
from resend_common import refused, send

status, code = int(os.environ["STATUS"]), os.environ["CODE"]

for n in range(int(os.environ["PAID"])):
    assert send(f"paid-{n}")["id"]

error = refused(resend.exceptions.ResendError, status, code, lambda: send("refused"))
cap_hit = "true" if code == "cap_exhausted" else None
assert error.headers.get("x-keybrake-cap-hit") == cap_hit, error.headers
