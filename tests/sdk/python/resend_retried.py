# The vendor's answer is lost once, and the agent tries again under its key until it has one.
# Needs any key.
# The test counts: one mail executed, and the call settled.

import time

import resend
from resend_common import send

lost = 0
for _ in range(100):
    try:
        sent = send("order-1")
        break
    except resend.exceptions.ResendError as error:
        assert (error.code, error.error_type) == (504, "outcome_unknown"), (error.code, error.error_type)
        lost += 1
        time.sleep(0.05)
assert lost > 0 and sent["id"], lost
