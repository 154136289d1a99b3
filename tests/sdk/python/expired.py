# A vault key that lives for a second: the SDK raises its AuthenticationError from then on.
# The key is issued here, so that its second begins when the SDK is loaded.
# Reads show when it is over; no payment is tried before.
# Needs no key.
# The test counts: nothing executed, one payment denied.

import time

import stripe as sdk
from common import admin, client, pay, refused

key = admin("POST", "/vault/keys", {
    "vendor": "stripe",
    "total_usd_cap": 50,
    "allowed_endpoints": ["POST /v1/payment_intents", "GET /v1/payment_intents"],
    "expires_in_seconds": 1,
    "label": "sdk/expired",
})["vault_key"]
stripe = client(key, retries=2)


def lives():
    try:
        return stripe.v1.payment_intents.list({"limit": 1}).data == []
    except sdk.AuthenticationError:
        return False


deadline = time.monotonic() + 20
while lives():
    assert time.monotonic() < deadline, "the key does not expire"
    time.sleep(0.05)
error = refused(sdk.AuthenticationError, 401, "key_expired", lambda: pay(stripe, 500, "late"))
assert "expired_at" in error.json_body["keybrake"], error.json_body
