import pickle
import time
from decimal import Decimal

import httpx
import pytest
from support import CARD, PAYMENTS, until

from keybrake import CallRefused, Keybrake, KeyRevoked, NotConfigured, Unavailable, VaultKey, stripe_client
from keybrake.testing import KeybrakeServer


def pay(key: VaultKey, cents: int, idempotency_key: str) -> str:
    client = stripe_client(key)
    return client.v1.payment_intents.create(
        {"amount": cents, **CARD},  # type: ignore[typeddict-item]
        {"idempotency_key": idempotency_key},
    ).id


def test_a_key_is_issued_with_its_caps(client: Keybrake) -> None:
    key = client.issue(
        label="test/run-1",
        endpoints=PAYMENTS,
        total_cap=Decimal("50.25"),
        daily_cap=20,
        per_call_cap="10.5",
        expires_in="2h",
        policy={"max_calls": 3, "fixed_holds": {"POST /v1/subscriptions": Decimal("5")}},
    )
    shown = client.status(key)
    assert (shown.total_cap, shown.daily_cap, shown.per_call_cap) == (
        Decimal("50.25"),
        Decimal(20),
        Decimal("10.5"),
    )
    assert (shown.state, shown.label, shown.vendor, shown.spent) == (
        "live",
        "test/run-1",
        "stripe",
        Decimal(0),
    )
    assert shown.remaining == 20
    assert 7190 < key.left().total_seconds() <= 7200
    assert key.expires_at == shown.expires_at
    assert key.token is not None
    assert key.base_url == f"{client.url}/stripe"


def test_no_token_is_shown_or_travels(client: Keybrake) -> None:
    key = client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=1)
    assert key.token is not None
    assert key.token not in f"{key!r} {key} {client!r}"
    travelled = pickle.dumps(key)
    assert key.token.encode() not in travelled
    assert pickle.loads(travelled) == key.handle() == key
    assert key.handle().token is None
    assert client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=1, return_token=False).token is None


def test_an_issue_that_is_repeated_by_name_is_one_budget(client: Keybrake) -> None:
    def issue(cap: int) -> VaultKey:
        return client.issue(
            label="test/run-1", endpoints=PAYMENTS, total_cap=cap, idempotency_key="run-1/issue"
        )

    first = issue(5)
    assert (issue(5).key_id, issue(5).token) == (first.key_id, first.token)
    with pytest.raises(CallRefused, match="idempotency_key_reused"):
        issue(6)


def test_without_a_name_each_issue_is_a_budget_of_its_own(client: Keybrake) -> None:
    keys = {client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=1).budget_id for _ in range(2)}
    assert len(keys) == 2


def test_a_refresh_is_the_same_budget(client: Keybrake, key: VaultKey) -> None:
    pay(key, 500, "a")
    fresh = client.refresh(key, expires_in="3h")
    assert fresh.key_id != key.key_id
    assert fresh.budget_id == key.budget_id
    assert fresh.token not in (None, key.token)
    assert client.refresh(key.key_id, return_token=False).key_id == fresh.key_id
    until(lambda: client.status(fresh).spent == 5)
    assert client.status(key).successor_key_id == fresh.key_id


def test_a_revocation_says_what_was_spent_and_ends_it(client: Keybrake, key: VaultKey) -> None:
    pay(key, 500, "a")
    until(lambda: client.status(key).held == 0)
    ended = client.revoke(key)
    assert (ended.spent, ended.held) == (Decimal(5), Decimal(0))
    assert ended.calls_in_doubt == ()
    assert client.revoke(key.key_id).revoked_at == ended.revoked_at
    with pytest.raises(KeyRevoked) as refused:
        pay(key, 500, "a")
    assert refused.value.prior is not None
    assert refused.value.prior["vendor_object_id"].startswith("pi_")
    with pytest.raises(KeyRevoked):
        client.refresh(key)


def test_a_run_is_stopped_by_its_label(client: Keybrake, key: VaultKey) -> None:
    assert client.revoke_run(label="test/run-1").spent == 0
    with pytest.raises(KeyRevoked, match="run_revoked"):
        client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=1)
    assert client.status(key).state == "revoked"
    with pytest.raises(ValueError, match="either label or label_prefix"):
        client.revoke_run()


def test_a_child_spends_from_its_parent(client: Keybrake) -> None:
    parent = client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap=5)
    child = client.issue(label="test/run-1/a", endpoints=PAYMENTS, total_cap=50, parent=parent)
    assert client.status(child).parent_budget_id == parent.budget_id
    pay(child, 400, "a")
    assert client.status(parent).remaining == 1


def test_audit_rows_are_found(client: Keybrake, key: VaultKey) -> None:
    made = pay(key, 500, "a")
    pay(key, 500, "a")
    rows = list(client.calls(label="test/run-1"))
    assert [row.verdict for row in rows] == ["replayed", "allowed"]
    first = rows[-1]
    assert (first.method, first.path, first.idempotency_key) == ("POST", "/v1/payment_intents", "a")
    assert client.call(first.call_id).vendor_object_id == made
    assert [row.call_id for row in client.calls(vendor_object_id=made, verdict="allowed")] == [first.call_id]
    assert list(client.calls(idempotency_key="b")) == []
    with pytest.raises(CallRefused, match="not_found"):
        client.call("call_0000000000000")


def test_many_pages_are_one_list(keybrake_server: KeybrakeServer, client: Keybrake, key: VaultKey) -> None:
    with httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {key.token}"}) as http:
        for _ in range(1001):
            http.get(f"{keybrake_server.url}/stripe/v1/nothing")
    rows = [row.call_id for row in client.calls(label="test/run-1")]
    assert len(rows) == len(set(rows)) == 1001


def test_an_audit_key_reads_its_runs_and_spends_nothing(client: Keybrake, key: VaultKey) -> None:
    pay(key, 500, "a")
    audit = client.issue_audit(label="test/")
    assert audit.vendor is None
    with Keybrake(client.url, audit.token) as auditor:
        assert [row.idempotency_key for row in auditor.calls()] == ["a"]
        with pytest.raises(CallRefused):
            auditor.revoke(key)


def test_a_refusal_names_what_is_wrong(client: Keybrake) -> None:
    with pytest.raises(CallRefused, match="vendor is not one of") as refused:
        client.issue(label="test/run-1", endpoints=["GET /x"], total_cap=1, vendor="strype")
    assert (refused.value.code, refused.value.status, refused.value.terminal) == (
        "invalid_request",
        400,
        True,
    )


def test_a_wrong_api_key_is_refused_and_not_repeated_in_the_error(keybrake_server: KeybrakeServer) -> None:
    wrong = "kb_api_wrong_wrong_wrong"
    with Keybrake(keybrake_server.url, wrong) as client, pytest.raises(CallRefused) as refused:
        client.status("vk_0000000000000")
    assert refused.value.code == "invalid_key"
    assert wrong not in f"{refused.value!r}{vars(refused.value)}{client!r}"


def test_a_proxy_that_is_away_is_asked_three_times(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    client = Keybrake("http://127.0.0.1:9", "kb_api_any_any_any_any")
    with client, pytest.raises(Unavailable, match="nothing was sent") as away:
        client.issue(label="a", endpoints=["GET /x"], total_cap=1)
    assert pauses == [0.1, 0.4]
    assert away.value.code == "proxy_unreachable"


def test_floats_and_tokens_in_the_wrong_place_are_refused(client: Keybrake, key: VaultKey) -> None:
    with pytest.raises(TypeError, match="not a float"):
        client.issue(label="a", endpoints=PAYMENTS, total_cap=32.99)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="endpoints are a list"):
        client.issue(label="a", endpoints="POST /v1/charges", total_cap=1)
    assert key.token is not None
    with pytest.raises(ValueError, match="begins with vk_") as wrong:
        client.revoke(key.token)
    assert key.token not in str(wrong.value)


def test_what_is_not_said_is_in_the_environment(
    keybrake_server: KeybrakeServer, key: VaultKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Keybrake() as client:
        assert client.status(key).state == "live"
    # The admin API may be elsewhere.
    monkeypatch.setenv("KEYBRAKE_ADMIN_URL", f"{keybrake_server.url}/")
    monkeypatch.setenv("KEYBRAKE_URL", "http://127.0.0.1:9")
    with Keybrake() as client:
        assert client.status(key).state == "live"
    monkeypatch.delenv("KEYBRAKE_ADMIN_URL")
    monkeypatch.delenv("KEYBRAKE_URL")
    assert Keybrake().url == "http://127.0.0.1:8787"
    monkeypatch.delenv("KEYBRAKE_API_KEY")
    with pytest.raises(NotConfigured, match="KEYBRAKE_API_KEY"):
        Keybrake()
