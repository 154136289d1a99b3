# What the scripts of resend-python share: the SDK on the proxy, as the guide has it, and a mail.
# VAULT_KEY and KEYBRAKE_URL come from the test that runs a script.

import os

import resend

resend.api_key = os.environ["VAULT_KEY"]
resend.api_url = os.environ["KEYBRAKE_URL"] + "/resend"

MAIL = {
    "from": "Acme <billing@example.com>",
    "to": ["ann@example.org"],
    "subject": "Your invoice",
    "html": "<p>It is due.</p>",
}


def send(idempotency_key=None, **more):
    """Sends the mail, with these members in place of its own."""
    options = {"idempotency_key": idempotency_key} if idempotency_key else None
    return resend.Emails.send({**MAIL, **more}, options)


def refused(kind, status, code, call):
    """The error that `call` raises: exactly of this class, with this status and code."""
    try:
        done = call()
    except resend.exceptions.ResendError as error:
        assert type(error) is kind, (type(error), error)
        assert (error.code, error.error_type) == (status, code), (error.code, error.error_type)
        assert str(error) == error.message != "", "an error says what happened"
        return error
    raise AssertionError(f"not refused as {code}: {done}")
