"""`map_batches` on Ray Data, with the sandbox counting charges."""

import os
import signal
import uuid
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pytest
import ray
from stage import Stage

import keybrake.ray
from keybrake import CallRefused, CapExhausted, cents
from keybrake.ray import Lease, Spend
from keybrake.ray.lease import issue_for_rows
from keybrake.ray.rows import Row

SPEND = Spend(
    amount=lambda row: cents(row["amount_cents"]),
    business=("customer", "invoice"),
    context="test-rows",
    endpoints=["POST /v1/charges"],
)


def charged(lease: Lease, row: Row) -> dict[str, str]:
    made = lease.stripe().v1.charges.create(
        {"amount": row["amount_cents"], "currency": "usd", "customer": row["customer"]},
        {"idempotency_key": lease.idempotency_key},
    )
    return {"charge_id": made.id}


def invoices(stage: Stage, count: int) -> list[dict[str, Any]]:
    customers = stage.customers(count)
    return [{"customer": who, "invoice": n, "amount_cents": 500 + n} for n, who in enumerate(customers)]


def verdicts(stage: Stage, label: str) -> tuple[Counter[str], int]:
    with stage.server.client() as client:
        rows = list(client.calls(label=label))
    return Counter(row.verdict or "" for row in rows), len({row.key_id for row in rows})


def dataset(rows: list[dict[str, Any]]) -> ray.data.Dataset:
    return ray.data.from_items(rows, override_num_blocks=1)


def test_a_batch_that_is_retried_half_way_charges_each_row_once(stage: Stage, tmp_path: Path) -> None:
    label = f"test/{uuid.uuid4().hex}"
    mark = str(tmp_path / "mark")

    @keybrake.ray.rows(replace(SPEND, label=label))
    def charge(lease: Lease, row: Row) -> Row:
        made = charged(lease, row)
        if row["invoice"] == 5 and not Path(mark).exists():
            Path(mark).write_text("died")
            os.kill(os.getpid(), signal.SIGKILL)
        return made

    rows = invoices(stage, 10)
    with stage.server.vendor.watched() as vendor:
        done = dataset(rows).map_batches(charge, batch_size=10).take_all()
    assert Path(mark).exists()
    assert sorted(made.amount for made in vendor.charges) == [500 + n for n in range(10)]
    assert {row["charge_id"] for row in done} == {made.object_id for made in vendor.charges}
    assert sorted(row["invoice"] for row in done) == list(range(10))
    # Both tries spent from the one budget of the batch.
    assert verdicts(stage, label) == (Counter(allowed=10, replayed=6), 1)


def test_a_dataset_that_is_cut_otherwise_charges_nothing_again(stage: Stage) -> None:
    label = f"test/{uuid.uuid4().hex}"
    charge = keybrake.ray.rows(replace(SPEND, label=label))(charged)
    rows = invoices(stage, 6)
    with stage.server.vendor.watched() as vendor:
        first = dataset(rows).map_batches(charge, batch_size=6).take_all()
        again = dataset(rows[::-1]).map_batches(charge, batch_size=4).take_all()
    assert len(vendor.charges) == 6
    assert {(row["invoice"], row["charge_id"]) for row in first} == {
        (row["invoice"], row["charge_id"]) for row in again
    }


def test_the_same_batch_is_one_budget_until_its_policy_changes(stage: Stage) -> None:
    spend = replace(SPEND, label=f"test/{uuid.uuid4().hex}")
    rows = invoices(stage, 2)
    first = issue_for_rows(spend, rows, parent=None)
    assert issue_for_rows(spend, rows, parent=None).key.key_id == first.key.key_id
    others = [
        issue_for_rows(replace(spend, margin=1), rows, parent=None),
        issue_for_rows(replace(spend, expires_in="2h"), rows, parent=None),
        issue_for_rows(spend, rows[:1], parent=None),
        issue_for_rows(spend, rows, parent=first.key),
    ]
    assert len({lease.key.budget_id for lease in (first, *others)}) == 5


def test_a_row_can_not_spend_what_the_others_need(stage: Stage) -> None:
    label = f"test/{uuid.uuid4().hex}"

    @keybrake.ray.rows(replace(SPEND, label=label), errors="refused")
    def charge(lease: Lease, row: Row) -> Row:
        factor = 3 if row["invoice"] == 1 else 1
        return charged(lease, {**row, "amount_cents": row["amount_cents"] * factor})

    with stage.server.vendor.watched() as vendor:
        done = dataset(invoices(stage, 4)).map_batches(charge, batch_size=4).take_all()
    assert [row["refused"] for row in sorted(done, key=lambda row: row["invoice"])] == [
        None,
        "per_call_cap_exceeded",
        None,
        None,
    ]
    assert sorted(made.amount for made in vendor.charges) == [500, 502, 503]


def batch(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {name: numpy.array([row[name] for row in rows]) for name in rows[0]}


def test_without_a_column_for_it_a_refusal_ends_the_batch(stage: Stage) -> None:
    label = f"test/{uuid.uuid4().hex}"
    double = keybrake.ray.rows(replace(SPEND, label=label, margin=0))(
        lambda lease, row: charged(lease, {**row, "amount_cents": row["amount_cents"] * 2})
    )
    with stage.server.vendor.watched() as vendor, pytest.raises(CallRefused, match="per_call_cap_exceeded"):
        double(batch(invoices(stage, 2)))
    assert vendor.charges == []


def test_all_batches_share_a_parents_cap(stage: Stage) -> None:
    label = f"test/{uuid.uuid4().hex}"
    with keybrake.ray.Run(label, cap="5.10", endpoints=SPEND.endpoints) as run:
        charge = keybrake.ray.rows(SPEND, parent=run.key)(charged)
        with stage.server.vendor.watched() as vendor, pytest.raises(CapExhausted):
            charge(batch(invoices(stage, 2)))
        assert run.status().spent == Decimal("5.00")
    assert [made.amount for made in vendor.charges] == [500]


def test_a_row_has_one_key_as_numpys_and_as_pythons_numbers(stage: Stage) -> None:
    seen: list[str] = []

    @keybrake.ray.rows(replace(SPEND, label="test/rows"))
    def look(lease: Lease, row: Row) -> Row:
        seen.append(lease.idempotency_key)
        assert type(row["invoice"]) is int
        return {}

    look(batch([{"customer": "c", "invoice": 1, "amount_cents": 500}]))
    look({"customer": ["c"], "invoice": [1], "amount_cents": [500]})
    assert seen == [SPEND.idempotency_key({"customer": "c", "invoice": 1})] * 2


def test_an_empty_batch_issues_nothing_and_others_are_refused() -> None:
    charge = keybrake.ray.rows(SPEND)(charged)
    assert charge({"customer": []}) == {"customer": []}
    with pytest.raises(TypeError, match="batch_format='numpy'"):
        charge([1])  # type: ignore[arg-type]
