import pickle
from typing import Any

import pytest

from keybrake import RETRYABLE, CallRefused, CapExhausted, KeyExpired, KeyRevoked, OutcomeUnknown, Unavailable
from keybrake.errors import KeybrakeError, refusal


def body(code: str, terminal: bool, **more: Any) -> dict[str, Any]:
    return {"message": f"about {code}", "keybrake": {"code": code, "terminal": terminal, **more}}


@pytest.mark.parametrize(
    ("code", "status", "terminal", "kind"),
    [
        ("cap_exhausted", 429, True, CapExhausted),
        ("key_expired", 401, True, KeyExpired),
        ("key_revoked", 401, True, KeyRevoked),
        ("run_revoked", 401, True, KeyRevoked),
        ("endpoint_not_allowed", 403, True, CallRefused),
        ("too_many_failures", 429, True, CallRefused),
        ("vendor_refused_secret", 502, True, CallRefused),
        ("cap_contended", 429, False, Unavailable),
        ("vendor_unreachable", 502, False, Unavailable),
        ("ledger_unavailable", 503, False, Unavailable),
        ("outcome_unknown", 504, False, OutcomeUnknown),
        ("call_in_progress", 409, False, OutcomeUnknown),
        ("a_code_of_tomorrow", 418, True, CallRefused),
        ("a_code_of_tomorrow", 418, False, Unavailable),
    ],
)
def test_a_refusal_is_sorted_by_what_to_do_about_it(
    code: str, status: int, terminal: bool, kind: type[KeybrakeError]
) -> None:
    error = refusal(status, 1.0, body(code, terminal, call_id="call_1", cap_usd="1.00"))
    assert type(error) is kind
    assert (error.code, error.status, error.terminal, error.call_id) == (code, status, terminal, "call_1")
    assert (error.retry_after, error.details) == (1.0, {"cap_usd": "1.00"})
    assert str(error) == f"about {code} ({code}, call_1)"
    # What is retried and what is not follows from the same word.
    assert isinstance(error, tuple(RETRYABLE)) is not terminal


def test_a_vendors_own_error_is_no_refusal() -> None:
    for own in ({}, {"error": {"code": "card_declined"}}, {"keybrake": "x"}, {"keybrake": {"code": 1}}):
        assert refusal(402, None, own) is None


@pytest.mark.parametrize(
    "kind", [CallRefused, CapExhausted, KeyExpired, KeyRevoked, OutcomeUnknown, Unavailable]
)
def test_an_error_pickles_whole(kind: type[KeybrakeError]) -> None:
    error = kind(
        "why",
        code="c",
        terminal=True,
        status=429,
        call_id="call_1",
        retry_after=2.0,
        details={"prior": {"a": 1}},
    )
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))
        assert type(again) is kind
        assert vars(again) == vars(error)
        assert str(again) == str(error)


def test_what_a_revoked_key_did_before_can_be_read() -> None:
    error = refusal(401, None, body("key_revoked", True, prior={"vendor_object_id": "ch_1"}))
    assert isinstance(error, KeyRevoked)
    assert error.prior == {"vendor_object_id": "ch_1"}
    gone = refusal(401, None, body("run_revoked", True))
    assert isinstance(gone, KeyRevoked)
    assert gone.prior is None
