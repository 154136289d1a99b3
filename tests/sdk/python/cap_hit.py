# A cap of $10, a payment of $6, and another one: the SDK raises its RateLimitError.
# The code and the header say that it is the cap, and that asking again is no use.
# The client would retry twice; the answer tells it not to.
# Needs a key with a cap of $10.
# The test counts: one payment executed, one request denied.

import stripe as sdk
from common import client, pay, refused

stripe = client(retries=2)

assert pay(stripe, 600, "cap-1").last_response.headers["x-keybrake-remaining-usd"] == "4.00"

error = refused(sdk.RateLimitError, 429, "cap_exhausted", lambda: pay(stripe, 600, "cap-2"))
assert error.headers["x-keybrake-cap-hit"] == "true", error.headers
assert error.json_body["keybrake"]["terminal"] is True, error.json_body
assert error.json_body["keybrake"]["spent_usd"] == "6.00", error.json_body
