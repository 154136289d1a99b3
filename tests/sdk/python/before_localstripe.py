# stripe-python through the proxy before localstripe, which charges again under the same key.
# Customer and card are made at localstripe directly; so is the count of what it charged.
# The control: without the proxy the same call twice is two payments.
# Needs a key with a cap of at least $5, and localstripe at VENDOR_URL.
# The test counts: one request sent to the vendor, one replayed.

import os

import stripe as sdk
from common import client

vendor = sdk.StripeClient("sk_test_direct", base_addresses={"api": os.environ["VENDOR_URL"]})
customer = vendor.v1.customers.create({"email": "a@example.com"}).id
card = vendor.v1.payment_methods.create({
    "type": "card",
    "card": {"number": "4242424242424242", "exp_month": 12, "exp_year": 2040, "cvc": "123"},
}).id
vendor.v1.payment_methods.attach(card, {"customer": customer})


def pay(stripe, cents):
    return stripe.v1.payment_intents.create(
        {"amount": cents, "currency": "usd", "customer": customer, "payment_method": card, "confirm": True},
        {"idempotency_key": f"pay-{cents}"},
    )


def charged(cents):
    intents = vendor.v1.payment_intents.list({"limit": 100}).data
    assert all(intent.status == "succeeded" for intent in intents), intents
    return [intent for intent in intents if intent.amount == cents]


assert pay(vendor, 300).id != pay(vendor, 300).id, "localstripe deduplicates: this proves nothing"
assert len(charged(300)) == 2

first, again = pay(client(), 500), pay(client(), 500)
assert first.status == "succeeded", first
assert again.id == first.id, (again, first)
assert again.last_response.headers["x-keybrake-replayed"] == "true"
assert len(charged(500)) == 1, charged(500)
assert charged(500)[0].metadata["keybrake_run"] == "sdk/run-1", charged(500)
