# The requests of the guide for Ray: a key for each customer in the admin API's other spelling, its
# cap a float at the charge and a tenth, and a charge under a hash of what it bills.
# A task that is tried again charges once; a bill in the wrong unit does not pass.
# Needs no key; makes a customer with a card at the vendor first.
# The test counts: one charge of $29.99 executed, one replayed, two denied.

import hashlib
import os

import stripe
from common import URL, admin, refused

vendor = stripe.StripeClient(os.environ["VENDOR_SECRET"], base_addresses={"api": os.environ["VENDOR_URL"]})
customer_id = vendor.v1.customers.create({"source": "tok_visa"}).id
amount_cents = 2999

issued = admin("POST", "/admin/vault_keys", {
    "label": f"ray-billing-{customer_id}",
    "vendor": "stripe",
    "allowed_endpoints": ["POST /v1/charges"],
    "daily_usd_cap": round(amount_cents / 100 * 1.1, 2),
    "expires_in_seconds": 3600,
})
assert issued["daily_usd_cap"] == "32.99", issued

stripe_client = stripe.StripeClient(issued["vault_key"], base_addresses={"api": f"{URL}/stripe"})


def bill_customer(amount_cents, billing_period):
    raw = f"{customer_id}:{amount_cents}:{billing_period}:ray-billing"
    idempotency_key = hashlib.sha256(raw.encode()).hexdigest()[:32]
    return stripe_client.charges.create(
        params={
            "amount": amount_cents,
            "currency": "usd",
            "customer": customer_id,
            "description": f"Subscription {billing_period}",
            "metadata": {"billing_period": billing_period},
        },
        options={"idempotency_key": idempotency_key},
    )


charge = bill_customer(2999, "2026-06")
assert charge.paid and charge.metadata["billing_period"] == "2026-06", charge
assert bill_customer(2999, "2026-06").id == charge.id

refused(stripe.RateLimitError, 429, "cap_exhausted", lambda: bill_customer(299_900, "2026-06"))
refused(stripe.PermissionError, 403, "endpoint_not_allowed", lambda: stripe_client.v1.customers.list())
