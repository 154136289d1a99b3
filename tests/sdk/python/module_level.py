# stripe-python's older interface: the key and the address are set for the whole module.
# It retries twice by default; a cap that is hit is not asked again.
# A repeated call gets the stored answer here as well.
# Needs a key with a cap of $10.
# The test counts: one payment executed, one request replayed, one denied.

import os

import stripe
from common import URL, VISA, refused

stripe.api_key = os.environ["VAULT_KEY"]
stripe.api_base = f"{URL}/stripe"
assert stripe.max_network_retries == 2, stripe.max_network_retries


def pay(idempotency_key):
    return stripe.PaymentIntent.create(amount=600, **VISA, idempotency_key=idempotency_key)


paid = pay("module-1")
assert paid.status == "succeeded", paid
assert pay("module-1").id == paid.id
assert stripe.PaymentIntent.retrieve(paid.id).amount == 600
assert [intent.id for intent in stripe.PaymentIntent.list(limit=5).auto_paging_iter()] == [paid.id]

error = refused(stripe.RateLimitError, 429, "cap_exhausted", lambda: pay("module-2"))
assert error.headers["x-keybrake-cap-hit"] == "true", error.headers
