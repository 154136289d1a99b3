# What the scripts share: a client of stripe-python on the proxy, the admin API, and refusals.
# VAULT_KEY, KEYBRAKE_URL, KEYBRAKE_API_KEY and RETRIES come from the test that runs a script.
# A script ends well or with a failed assertion; the test then looks at what the vendor executed.

import json
import os
import urllib.request

import stripe

URL = os.environ["KEYBRAKE_URL"]
RETRIES = int(os.environ.get("RETRIES", "2"))
VISA = {"currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}


def client(vault_key=None, retries=RETRIES):
    """stripe-python on the proxy, as the guide has it. Without `max_network_retries` it never retries."""
    return stripe.StripeClient(
        vault_key or os.environ["VAULT_KEY"],
        base_addresses={"api": f"{URL}/stripe"},
        max_network_retries=retries,
    )


def pay(stripe_client, cents, idempotency_key=None):
    """Pays by a confirmed PaymentIntent."""
    options = {"idempotency_key": idempotency_key} if idempotency_key else {}
    return stripe_client.v1.payment_intents.create({"amount": cents, **VISA}, options)


def admin(method, path, body=None):
    """A call of the admin API, with its JSON answer."""
    request = urllib.request.Request(
        URL + path,
        method=method,
        headers={
            "Authorization": f"Bearer {os.environ['KEYBRAKE_API_KEY']}",
            "Content-Type": "application/json",
        },
        data=None if body is None else json.dumps(body).encode(),
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def refused(kind, status, code, call):
    """The error that `call` raises: exactly of this class, with this status and code."""
    try:
        done = call()
    except stripe.StripeError as error:
        assert type(error) is kind, (type(error), error)
        assert error.http_status == status, error.http_status
        assert error.error.code == code, error.error
        assert error.json_body["keybrake"]["code"] == code, error.json_body
        assert error.user_message or str(error), "an error says what happened"
        return error
    raise AssertionError(f"not refused as {code}: {done}")
