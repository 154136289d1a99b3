# The vendor charged, answered 500, and keeps that answer under the idempotency key for a day.
# Retries can only get the 500 again; the proxy finds the payment at the vendor instead.
# Until then the SDK raises its APIError with `outcome_unknown`, then the same call has its answer.
# Needs a key with a cap of at least $5.
# The test strikes once with `error_after_charge` and counts: one payment executed.

import time

import stripe as sdk
from common import client, pay, refused

stripe = client(retries=2)


def outcome():
    try:
        return pay(stripe, 500, "saved-500")
    except sdk.APIError as error:
        assert error.error.code == "outcome_unknown", error.json_body
        return None


deadline = time.monotonic() + 60
while not (paid := outcome()):
    assert time.monotonic() < deadline, "the outcome stays unknown"
assert (paid.status, paid.amount) == ("succeeded", 500), paid
assert paid.last_response.headers["x-keybrake-replayed"] == "true"
