"""Tasks with a key each, on Ray, with the sandbox counting charges."""

import os
import pickle
import uuid
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import ray
from stage import Stage
from support import until

import keybrake.ray
from keybrake import CallRefused, CapExhausted, KeybrakeError, KeyRevoked, OutcomeUnknown, VaultKey, cents
from keybrake.ray import Lease, Run, Spend
from keybrake.testing import Vendor

SPEND = Spend(
    amount=lambda call: cents(call["amount_cents"]),
    business=("customer", "amount_cents", "period"),
    context="test",
    endpoints=["POST /v1/charges"],
)


def fresh_label() -> str:
    return f"test/{uuid.uuid4().hex}"


def charge(lease: Lease, customer: str, amount_cents: int) -> str:
    # What is lost is Ray's to retry here, not the SDK's.
    made = lease.stripe(max_network_retries=0).v1.charges.create(
        {"amount": amount_cents, "currency": "usd", "customer": customer},
        {"idempotency_key": lease.idempotency_key},
    )
    return made.id


def billed(label: str, **options: object) -> "keybrake.ray.BilledTask[[str, int, str, str], str]":
    @keybrake.ray.task(replace(SPEND, label=label), **options)
    def bill(lease: Lease, customer: str, amount_cents: int, period: str, mark: str = "") -> str:
        made = charge(lease, customer, amount_cents)
        if mark and not Path(mark).exists():
            Path(mark).write_text("died")
            os._exit(1)
        return made

    return bill


def rows(stage: Stage, label: str) -> Counter[str]:
    with stage.server.client() as client:
        return Counter(row.verdict or "" for row in client.calls(label=label))


def keys(stage: Stage, label: str) -> set[str]:
    with stage.server.client() as client:
        return {row.key_id or "" for row in client.calls(label=label)}


def test_a_worker_that_dies_between_charge_and_return_charges_once(
    stage: Stage, customer: str, tmp_path: Path
) -> None:
    label = fresh_label()
    with stage.server.vendor.watched() as vendor:
        returned = ray.get(billed(label).remote(customer, 500, "2026-06", str(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()
    assert [made.object_id for made in vendor.charges] == [returned]
    # The retry got the same name of a key in its arguments.
    assert rows(stage, label) == Counter(allowed=1, replayed=1)
    assert len(keys(stage, label)) == 1


def test_resumed_work_with_a_new_task_id_charges_once(stage: Stage, customer: str, tmp_path: Path) -> None:
    label = fresh_label()
    bill = billed(label)
    with stage.server.vendor.watched() as vendor:
        # It died for good, and its driver starts all over.
        with pytest.raises(ray.exceptions.WorkerCrashedError):
            ray.get(bill.options(max_retries=0).remote(customer, 500, "2026-06", str(tmp_path / "mark")))
        # Nobody saw how its call ended: its key lives on.
        [lost] = keys(stage, label)
        resumed = ray.get(bill.remote(customer, 500, "2026-06", ""))
        again = ray.get(bill.remote(customer, 500, "2026-06", ""))
    assert [made.object_id for made in vendor.charges] == [resumed] == [again]
    assert rows(stage, label) == Counter(allowed=1, replayed=2)
    assert len(keys(stage, label)) == 3
    until(lambda: [state(stage, key) for key in keys(stage, label) - {lost}] == ["revoked"] * 2)
    assert state(stage, lost) == "live"


def state(stage: Stage, key_id: str) -> str:
    with stage.server.client() as client:
        return client.status(key_id).state


def test_twins_that_run_at_the_same_time_charge_once(stage: Stage, vendor: Vendor, customer: str) -> None:
    label = fresh_label()
    bill = billed(label, num_cpus=0.5)
    with vendor.watched() as seen:
        returned = ray.get([bill.remote(customer, 500, "2026-06", "") for _ in range(12)])
    assert {made.object_id for made in seen.charges} == set(returned)
    assert len(seen.charges) == 1
    assert len(keys(stage, label)) == 12


def test_a_forgotten_idempotency_key_is_no_charge(stage: Stage, vendor: Vendor, customer: str) -> None:
    @keybrake.ray.task(replace(SPEND, label=fresh_label()))
    def forgetful(lease: Lease, customer: str, amount_cents: int, period: str) -> None:
        lease.stripe().v1.charges.create({"amount": amount_cents, "currency": "usd", "customer": customer})

    with vendor.watched() as seen, pytest.raises(CallRefused, match="idempotency_key_required"):
        ray.get(forgetful.remote(customer, 500, "2026-06"))
    assert seen.executed == []


def test_another_amount_for_the_same_operation_is_refused(
    stage: Stage, vendor: Vendor, customer: str
) -> None:
    spend = replace(SPEND, label=fresh_label(), business=("customer", "period"))

    @keybrake.ray.task(spend)
    def bill(lease: Lease, customer: str, amount_cents: int, period: str) -> str:
        return charge(lease, customer, amount_cents)

    with vendor.watched() as seen:
        ray.get(bill.remote(customer, 500, "2026-06"))
        with pytest.raises(CallRefused, match="idempotency_key_reused"):
            ray.get(bill.remote(customer, 501, "2026-06"))
    assert [made.amount for made in seen.charges] == [500]


def test_another_period_is_another_charge(stage: Stage, customer: str) -> None:
    bill = billed(fresh_label())
    with stage.server.vendor.watched() as vendor:
        ray.get([bill.remote(customer, 500, period, "") for period in ("2026-06", "2026-07")])
    assert len(vendor.charges) == 2


def test_a_key_ends_when_its_task_has_returned(stage: Stage, customer: str) -> None:
    label = fresh_label()
    ray.get(billed(label).remote(customer, 500, "2026-06", ""))
    [key] = keys(stage, label)
    until(lambda: state(stage, key) == "revoked")


def test_a_task_that_is_cancelled_ends_its_key(stage: Stage, tmp_path: Path) -> None:
    label = fresh_label()
    started = tmp_path / "started"

    @keybrake.ray.task(replace(SPEND, label=label))
    def waits(lease: Lease, customer: str, amount_cents: int, period: str) -> None:
        started.write_text(lease.key.key_id)
        until(lambda: False, seconds=60)

    waiting = waits.remote("cus_1", 500, "2026-06")
    until(lambda: started.exists() and started.read_text())
    ray.cancel(waiting, force=True)
    with pytest.raises((ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError)):
        ray.get(waiting)
    until(lambda: state(stage, started.read_text()) == "revoked")


def test_a_key_lives_on_when_its_call_is_in_doubt(stage: Stage, vendor: Vendor, customer: str) -> None:
    label = fresh_label()
    vendor.faults(answer_lost=1_000_000)
    with pytest.raises(OutcomeUnknown) as unknown:
        ray.get(billed(label, max_retries=0).remote(customer, 500, "2026-06", ""))
    vendor.faults()
    # An error of Ray's and of ours: what it says came whole from the worker.
    assert (unknown.value.code, unknown.value.status, unknown.value.terminal) == (
        "outcome_unknown",
        504,
        False,
    )
    [key] = keys(stage, label)
    assert state(stage, key) == "live"
    with vendor.watched() as seen:
        ray.get(billed(label).remote(customer, 500, "2026-06", ""))
    assert seen.charges == []


def test_what_is_unknown_is_retried_by_ray_and_found(stage: Stage, vendor: Vendor, customer: str) -> None:
    label = fresh_label()
    vendor.faults(answer_lost=1_000_000)
    with vendor.watched() as seen:
        waiting = billed(label, max_retries=10).remote(customer, 500, "2026-06", "")
        until(lambda: sum(rows(stage, label).values()) > 0)
        vendor.faults()
        returned = ray.get(waiting)
    assert [made.object_id for made in seen.charges] == [returned]


def test_a_refusal_crosses_ray_whole_and_is_not_retried(stage: Stage, customer: str) -> None:
    label = fresh_label()

    @keybrake.ray.task(replace(SPEND, label=label))
    def overcharge(lease: Lease, customer: str, amount_cents: int, period: str) -> str:
        return charge(lease, customer, amount_cents * 2)

    with pytest.raises(CapExhausted) as refused:
        ray.get(overcharge.remote(customer, 500, "2026-06"))
    error = refused.value
    assert (error.code, error.status, error.terminal) == ("cap_exhausted", 429, True)
    assert error.details["cap_usd"] == "5.50"
    assert error.call_id is not None
    assert error.call_id in str(error)
    assert isinstance(error, KeybrakeError)
    assert rows(stage, label) == Counter(denied=1)


def test_no_token_is_in_a_tasks_arguments(stage: Stage) -> None:
    call = {"customer": "cus_1", "amount_cents": 500, "period": "2026-06"}
    lease = keybrake.ray.lease.issue(replace(SPEND, label=fresh_label()), call)
    assert lease.key.token is None
    assert b"vault_key_" not in pickle.dumps(lease)


def test_a_worker_needs_no_right_to_issue(stage: Stage, customer: str) -> None:
    label = fresh_label()
    with stage.server.client() as client:
        made = client._http.post("/admin/api_keys", json={"name": "workers", "role": "caller"})
    variables = {"KEYBRAKE_CALLER_API_KEY": made.raise_for_status().json()["api_key"], "KEYBRAKE_API_KEY": ""}
    bill = billed(label, runtime_env={"env_vars": variables})
    with stage.server.vendor.watched() as vendor:
        ray.get(bill.remote(customer, 500, "2026-06", ""))
    assert len(vendor.charges) == 1


def test_what_does_not_fit_is_not_submitted_and_nothing_is_issued(stage: Stage, customer: str) -> None:
    label = fresh_label()
    bill = billed(label)
    with pytest.raises(TypeError, match="missing a required argument"):
        bill.remote(customer)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="is a float"):
        bill.remote(customer, 5.0, "2026-06", "")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no who"):
        keybrake.ray.lease.issue(replace(SPEND, label=label, business=("who",)), {"amount_cents": 5})
    with pytest.raises(ValueError, match="without a label"):
        keybrake.ray.lease.issue(SPEND, {"customer": "c", "amount_cents": 5, "period": "p"})
    with stage.server.client() as client:
        listed = client._http.get("/vault/keys", params={"agent_run_label": label}).json()
    assert listed["data"] == []
    with pytest.raises(ValueError, match="not a stream"):
        keybrake.ray.task(SPEND, num_returns="streaming")


def test_two_hundred_tasks_never_spend_more_than_their_parents_cap(stage: Stage) -> None:
    label = fresh_label()

    @keybrake.ray.task(SPEND, num_cpus=0.5)
    def bill(lease: Lease, customer: str, amount_cents: int, period: str) -> str:
        return charge(lease, customer, amount_cents)

    customers = stage.customers(200)
    ends: Counter[str] = Counter()
    with stage.server.vendor.watched() as vendor, Run(label, cap=50, endpoints=SPEND.endpoints) as run:
        calls = [bill.under(run.key).remote(customer, 100, "2026-06") for customer in customers]
        for call in calls:
            now = run.status()
            assert now.spent + now.held <= 50
            try:
                ray.get(call)
                ends["charged"] += 1
            except CapExhausted:
                ends["refused"] += 1
        assert run.status().spent == 50
        parent = run.key
    assert ends == Counter(charged=50, refused=150)
    assert (len(vendor.charges), vendor.charged_cents) == (50, 5000)
    # Nothing is left that could spend: what was issued under the run ended with it.
    assert state(stage, parent.key_id) == "revoked"
    assert len(keys(stage, label)) == 200
    assert {state(stage, key) for key in list(keys(stage, label))[:20]} == {"revoked"}


def test_a_driver_that_was_killed_goes_on_with_its_runs_budget(stage: Stage, customer: str) -> None:
    label = fresh_label()
    killed = Run(label, cap=5, endpoints=SPEND.endpoints)
    killed.__enter__()
    ray.get(billed("").under(killed.key).remote(customer, 300, "2026-06", ""))
    with Run(label, cap=5, endpoints=SPEND.endpoints) as resumed:
        assert resumed.key.budget_id == killed.key.budget_id
        assert resumed.status().spent == 3
        with pytest.raises(CapExhausted):
            ray.get(billed("").under(resumed.key).remote(customer, 301, "2026-06", ""))
    with pytest.raises(KeyRevoked, match="has ended"):
        Run(label, cap=5, endpoints=SPEND.endpoints).__enter__()
    with pytest.raises(RuntimeError, match="within its `with` block"):
        _ = resumed.key


def test_a_stopped_run_charges_nothing_more(stage: Stage, customer: str) -> None:
    label = fresh_label()
    with stage.server.vendor.watched() as vendor, Run(label, cap=50, endpoints=SPEND.endpoints) as run:
        with stage.server.client() as operator:
            operator.revoke_run(label=label)
        with pytest.raises(KeyRevoked):
            billed("").under(run.key).remote(customer, 500, "2026-06", "")
    assert vendor.charges == []


@pytest.fixture
def short(stage: Stage) -> VaultKey:
    """A key that lives for one second."""
    with stage.server.client() as client:
        return client.issue(
            label=fresh_label(), endpoints=SPEND.endpoints, total_cap=10, expires_in="1s", return_token=False
        )


def test_a_key_that_runs_out_is_refreshed_on_its_budget(stage: Stage, short: VaultKey, customer: str) -> None:
    until(lambda: state(stage, short.key_id) == "expired")
    lease = Lease(short, uuid.uuid4().hex)
    with stage.server.vendor.watched() as vendor:
        charge(lease, customer, 500)
    assert lease.key.key_id != short.key_id
    assert lease.key.budget_id == short.budget_id
    assert lease.key.token is None
    assert len(vendor.charges) == 1


def test_a_key_with_enough_time_is_not_refreshed(stage: Stage) -> None:
    with stage.server.client() as client:
        key = client.issue(label=fresh_label(), endpoints=SPEND.endpoints, total_cap=1, expires_in="11m")
        almost = client.issue(label=fresh_label(), endpoints=SPEND.endpoints, total_cap=1, expires_in="1h")
    assert Lease(key, "a").fresh() is key
    assert Lease(almost, "a").fresh() is almost
    # The same hour, of which nine minutes are left.
    passed = almost.left() - timedelta(minutes=9)
    late = replace(almost, issued_at=almost.issued_at - passed, expires_at=almost.expires_at - passed)
    refreshed = Lease(late, "a").fresh()
    assert (refreshed.budget_id, refreshed.key_id != almost.key_id) == (almost.budget_id, True)


def test_a_worker_that_can_not_refresh_says_so(
    stage: Stage, short: VaultKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    until(lambda: state(stage, short.key_id) == "expired")
    monkeypatch.delenv("KEYBRAKE_API_KEY")
    with pytest.raises(keybrake.KeyExpired, match="nothing was sent"):
        Lease(short, "a").fresh()


def test_amounts_and_margins_make_caps() -> None:
    call = {"amount_cents": 2999}
    assert SPEND.cap(call) == Decimal("32.99")
    assert replace(SPEND, margin=0).cap(call) == Decimal("29.99")
    named = replace(
        SPEND, business=lambda call: keybrake.billing_idempotency_key("c", call["amount_cents"], "p")
    )
    assert named.idempotency_key(call) == keybrake.billing_idempotency_key("c", 2999, "p")
    for wrong in ((), ("amount_cents", "context")):
        with pytest.raises(ValueError, match="makes calls differ"):
            replace(SPEND, business=wrong).idempotency_key({**call, "context": "x"})
