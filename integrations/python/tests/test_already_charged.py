"""The pre-flight look: a charge is found, a doubt is told as one, nothing else is taken for a charge."""

import threading
from decimal import Decimal

import pytest
import stripe
from support import CARD, PAYMENTS, until

from keybrake import (
    CallRefused,
    CapExhausted,
    Keybrake,
    NotConfigured,
    OutcomeUnknown,
    VaultKey,
    already_charged,
    stripe_client,
)
from keybrake.testing import KeybrakeServer


def pay(key: VaultKey, cents: int, idempotency_key: str, method: str = "pm_card_visa") -> str:
    return (
        stripe_client(key, max_network_retries=0)
        .v1.payment_intents.create(
            {"amount": cents, **CARD, "payment_method": method},  # type: ignore[typeddict-item]
            {"idempotency_key": idempotency_key},
        )
        .id
    )


@pytest.fixture
def audit(client: Keybrake, monkeypatch: pytest.MonkeyPatch) -> VaultKey:
    """The process has an audit key and nothing else."""
    audit = client.issue_audit(label="test/")
    assert audit.token is not None
    monkeypatch.setenv("KEYBRAKE_AUDIT_KEY", audit.token)
    monkeypatch.delenv("KEYBRAKE_API_KEY")
    return audit


def test_a_charge_is_found(key: VaultKey, client: Keybrake, audit: VaultKey) -> None:
    assert already_charged("a") is None
    made = pay(key, 500, "a")
    until(lambda: client.status(key).held == 0)
    for found in (already_charged("a"), already_charged("a", audit_key=audit)):
        assert found is not None
        assert (found.amount, found.vendor_object_id) == (Decimal(5), made)
        assert found.call_id is not None
    assert already_charged("b") is None
    assert already_charged("a", vendor="resend") is None


def test_a_charge_of_another_run_is_found_without_its_row(
    key: VaultKey, client: Keybrake, audit: VaultKey
) -> None:
    made = pay(key, 500, "a")
    until(lambda: client.status(key).held == 0)
    elsewhere = client.issue_audit(label="other/")
    found = already_charged("a", audit_key=elsewhere)
    assert found is not None
    assert (found.amount, found.vendor_object_id, found.call_id) == (Decimal(5), made, None)


def test_a_replay_is_no_second_charge_and_a_refusal_is_none(
    key: VaultKey, client: Keybrake, audit: VaultKey
) -> None:
    made = pay(key, 500, "a")
    until(lambda: client.status(key).held == 0)
    assert pay(key, 500, "a") == made
    with pytest.raises(CapExhausted):
        pay(key, 6000, "b")
    found = already_charged("a")
    assert found is not None
    assert found.vendor_object_id == made
    assert already_charged("b") is None


def test_a_decline_is_no_charge(key: VaultKey, client: Keybrake, audit: VaultKey) -> None:
    with pytest.raises(stripe.CardError):
        pay(key, 500, "a", "pm_card_chargeDeclined")
    until(lambda: client.status(key).held == 0)
    assert already_charged("a") is None


def test_a_call_that_was_not_sent_is_none(
    keybrake_server: KeybrakeServer, key: VaultKey, client: Keybrake, audit: VaultKey
) -> None:
    keybrake_server.vendor.faults(rate_limited=1_000_000)
    with pytest.raises(stripe.RateLimitError):
        pay(key, 500, "a")
    until(lambda: client.status(key).held == 0)
    assert already_charged("a") is None


def test_a_call_in_doubt_is_never_none(
    keybrake_server: KeybrakeServer, client: Keybrake, key: VaultKey, audit: VaultKey
) -> None:
    keybrake_server.vendor.faults(answer_lost=1_000_000)
    with pytest.raises(OutcomeUnknown):
        pay(key, 500, "a")
    # Without its vendor the proxy can't find out by itself.
    keybrake_server.stop_vendor()
    until(lambda: [row.state for row in client.calls(idempotency_key="a")] == ["in_doubt"])
    with pytest.raises(OutcomeUnknown, match="may have been charged") as doubt:
        already_charged("a")
    assert doubt.value.details == {"state": "in_doubt", "idempotency_key": "a"}


def test_a_call_on_its_way_is_never_none(
    keybrake_server: KeybrakeServer, key: VaultKey, audit: VaultKey
) -> None:
    keybrake_server.vendor.hold_answers()
    paying = threading.Thread(target=pay, args=(key, 500, "a"))
    paying.start()
    until(lambda: keybrake_server.vendor.held() == 1)
    with pytest.raises(OutcomeUnknown) as doubt:
        already_charged("a")
    assert doubt.value.details == {"state": "held", "idempotency_key": "a"}
    keybrake_server.vendor.hold_answers(False)
    paying.join(30)
    until(lambda: already_charged_or_doubt("a") == 5)


def already_charged_or_doubt(idempotency_key: str) -> object:
    try:
        found = already_charged(idempotency_key)
    except OutcomeUnknown:
        return "doubt"
    return found and found.amount


def test_a_key_that_can_not_read_is_told_so(
    key: VaultKey, audit: VaultKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CallRefused, match="audit"):
        already_charged("a", audit_key=key)
    with pytest.raises(ValueError, match="without its token"):
        already_charged("a", audit_key=audit.handle())
    monkeypatch.delenv("KEYBRAKE_AUDIT_KEY")
    with pytest.raises(NotConfigured, match="KEYBRAKE_AUDIT_KEY"):
        already_charged("a")


def test_an_issuer_that_only_audits_says_what_it_needs(client: Keybrake) -> None:
    with pytest.raises(CallRefused, match="total_usd_cap is needed"):
        client.issue(label="test/run-1", endpoints=PAYMENTS)
