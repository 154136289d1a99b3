import pickle
import uuid
from typing import Any

import pytest
import stripe
from support import CARD, PAYMENTS, until

from keybrake import (
    CallRefused,
    CapExhausted,
    Keybrake,
    KeyExpired,
    NotConfigured,
    OutcomeUnknown,
    Unavailable,
    VaultKey,
    stripe_client,
)
from keybrake.testing import KeybrakeServer


def pay(client: stripe.StripeClient, cents: int, idempotency_key: str, **more: Any) -> stripe.PaymentIntent:
    return client.v1.payment_intents.create(
        {"amount": cents, **CARD, **more},  # type: ignore[typeddict-item]
        {"idempotency_key": idempotency_key},
    )


def test_a_charge_is_made_once_and_read(keybrake_server: KeybrakeServer, key: VaultKey) -> None:
    first = pay(stripe_client(key), 500, "a")
    assert pay(stripe_client(key), 500, "a").id == first.id
    assert stripe_client(key).v1.payment_intents.retrieve(first.id).amount == 500
    assert [row.amount for row in keybrake_server.vendor.executed()] == [500]


def test_a_token_alone_is_enough(keybrake_server: KeybrakeServer, key: VaultKey) -> None:
    assert key.token is not None
    pay(stripe_client(key.token), 500, "a")
    assert len(keybrake_server.vendor.executed()) == 1


def test_a_handle_is_spent_with_a_callers_api_key(
    keybrake_server: KeybrakeServer, client: Keybrake, key: VaultKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without KEYBRAKE_CALLER_API_KEY the admin's own serves.
    pay(stripe_client(key.handle()), 500, "a")
    pay(stripe_client(key.key_id), 500, "b")
    answer = client._http.post("/admin/api_keys", json={"name": "w", "role": "caller"}).raise_for_status()
    caller = answer.json()["api_key"]
    pay(stripe_client(key.handle(), api_key=caller), 500, "c")
    monkeypatch.setenv("KEYBRAKE_CALLER_API_KEY", caller)
    monkeypatch.delenv("KEYBRAKE_API_KEY")
    pay(stripe_client(key.key_id), 500, "d")
    assert len(keybrake_server.vendor.executed()) == 4
    until(lambda: client.status(key).spent == 20)
    monkeypatch.delenv("KEYBRAKE_CALLER_API_KEY")
    with pytest.raises(NotConfigured, match="KEYBRAKE_CALLER_API_KEY"):
        stripe_client(key.handle())


def test_the_context_is_in_the_audit_row(client: Keybrake, key: VaultKey) -> None:
    pay(stripe_client(key, context="agent=biller,attempt=2"), 500, "a")
    assert [row.context for row in client.calls()] == ["agent=biller,attempt=2"]


def test_at_the_cap_it_ends(keybrake_server: KeybrakeServer, client: Keybrake, key: VaultKey) -> None:
    pay(stripe_client(key), 4500, "a")
    until(lambda: client.status(key).held == 0)
    with pytest.raises(CapExhausted, match=r"cap_exhausted, call_") as refused:
        pay(stripe_client(key), 600, "b")
    assert (refused.value.details["cap_usd"], refused.value.details["spent_usd"]) == ("50.00", "45.00")
    assert vars(pickle.loads(pickle.dumps(refused.value))) == vars(refused.value)
    assert len(keybrake_server.vendor.executed()) == 1
    assert [row.code for row in client.calls(verdict="denied")] == ["cap_exhausted"]


def test_each_refusal_is_its_error_and_one_request(
    keybrake_server: KeybrakeServer, client: Keybrake, key: VaultKey
) -> None:
    paying = stripe_client(key)
    pay(paying, 500, "a")
    with pytest.raises(CallRefused, match="idempotency_key_reused"):
        pay(paying, 501, "a")
    with pytest.raises(CallRefused) as refused:
        paying.v1.customers.list()
    assert refused.value.details["attempted"] == "GET /v1/customers"
    brief = client.issue(label="test/run-2", endpoints=PAYMENTS, total_cap=1, expires_in="1s")
    until(lambda: client.status(brief).state == "expired")
    with pytest.raises(KeyExpired):
        pay(stripe_client(brief), 50, "b")
    assert keybrake_server.vendor.requests()["received"] == 1
    assert len([*client.calls(verdict="denied")]) == 3


def test_stripes_own_errors_are_stripes(keybrake_server: KeybrakeServer, key: VaultKey) -> None:
    with pytest.raises(stripe.CardError) as declined:
        pay(stripe_client(key), 500, "a", payment_method="pm_card_chargeDeclined")
    assert declined.value.http_status == 402
    with pytest.raises(stripe.InvalidRequestError):
        stripe_client(key).v1.payment_intents.retrieve("pi_none")


def test_a_write_with_a_random_key_is_not_sent_where_one_is_required(
    keybrake_server: KeybrakeServer, client: Keybrake, key: VaultKey
) -> None:
    strict = stripe_client(key, require_idempotency_key=True)
    for options in ({}, {"idempotency_key": str(uuid.uuid4())}):
        with pytest.raises(CallRefused, match="nothing was sent") as refused:
            strict.v1.payment_intents.create({"amount": 500, "currency": "usd"}, options)  # type: ignore[arg-type]
        assert refused.value.code == "idempotency_key_required"
    assert list(client.calls()) == []
    made = pay(strict, 500, "a")
    assert strict.v1.payment_intents.retrieve(made.id).id == made.id
    stripe_client(key).v1.payment_intents.create({"amount": 500, "currency": "usd"})
    assert len(keybrake_server.vendor.executed()) == 2


def test_a_busy_proxy_is_asked_again_by_the_sdk(keybrake_server: KeybrakeServer, key: VaultKey) -> None:
    vendor = keybrake_server.vendor
    vendor.faults(request_lost=1_000_000)
    with pytest.raises((OutcomeUnknown, Unavailable)):
        pay(stripe_client(key, max_network_retries=1), 500, "a")
    vendor.faults()
    pay(stripe_client(key), 500, "a")
    assert len(vendor.executed()) == 1


def test_a_lost_answer_of_the_vendor_is_in_doubt_and_then_found(
    keybrake_server: KeybrakeServer, client: Keybrake, key: VaultKey
) -> None:
    vendor = keybrake_server.vendor
    vendor.faults(answer_lost=1_000_000)
    with pytest.raises(OutcomeUnknown) as unknown:
        pay(stripe_client(key, max_network_retries=0), 500, "a")
    assert (unknown.value.code, unknown.value.status, unknown.value.terminal) == (
        "outcome_unknown",
        504,
        False,
    )
    vendor.faults()
    pay(stripe_client(key), 500, "a")
    assert len(vendor.executed()) == 1
    until(lambda: client.status(key).spent == 5)


def test_a_proxy_that_is_away_sent_nothing() -> None:
    client = stripe_client("vault_key_any", base_url="http://127.0.0.1:9/stripe", max_network_retries=0)
    with pytest.raises(Unavailable, match="nothing was sent"):
        pay(client, 500, "a")


def test_what_is_no_vault_key_for_stripe_is_refused_and_not_repeated(client: Keybrake) -> None:
    with pytest.raises(ValueError, match="a vault key is a VaultKey") as wrong:
        stripe_client("sk_live_something")
    assert "sk_live" not in str(wrong.value)
    mails = client.issue(label="test/run-1", endpoints=["POST /emails"], total_cap=1, vendor="resend")
    with pytest.raises(ValueError, match="is a key for resend, not for stripe"):
        stripe_client(mails)


def test_a_refused_document_is_an_error_too(key: VaultKey) -> None:
    with pytest.raises(CallRefused, match="endpoint_not_allowed"):
        stripe_client(key).v1.quotes.pdf("qt_1")
