# Every refusal that no retry helps against, as the class that the SDK makes of it.
# The client would retry twice; none of these is asked again.
# Needs a key for PaymentIntents with a cap of $50 and a limit of $20 a call.
# The keys of the calls begin with the code that they are refused with.
# The test counts: one payment executed, and each refusal once.

import stripe as sdk
from common import VISA, client, pay, refused

stripe = client(retries=2)
intents, charges = stripe.v1.payment_intents, stripe.v1.charges
options = lambda key: {"idempotency_key": key}

pay(stripe, 500, "paid")
refused(sdk.IdempotencyError, 400, "idempotency_key_reused", lambda: pay(stripe, 501, "paid"))
refused(
    sdk.PermissionError,
    403,
    "endpoint_not_allowed",
    lambda: charges.create({"amount": 500, "currency": "usd", "source": "tok_visa"}, options("charge")),
)
refused(sdk.PermissionError, 403, "per_call_cap_exceeded", lambda: pay(stripe, 2_001, "large"))
refused(
    sdk.PermissionError,
    403,
    "currency_not_priced",
    lambda: intents.create({**VISA, "amount": 500, "currency": "xxx"}, options("currency")),
)
for amount in ("5.00", "-500", "1e3", ""):
    refused(sdk.InvalidRequestError, 400, "invalid_amount", lambda: pay(stripe, amount, f"amount {amount}"))
refused(sdk.AuthenticationError, 401, "invalid_key", lambda: pay(client("vault_key_stranger"), 500, "stranger"))
