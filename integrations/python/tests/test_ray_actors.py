"""Actors with a key per call, on Ray, with the sandbox counting charges."""

import uuid
from collections import Counter
from typing import Any

import pytest
import ray
from stage import Stage

import keybrake.ray
from keybrake import CapExhausted, cents
from keybrake.ray import BilledActor, Lease, Run, Spend

LABEL = f"test/{uuid.uuid4().hex}"
SPEND = Spend(
    amount=lambda call: cents(call["amount_cents"]),
    business=("customer", "amount_cents", "period"),
    context="test-actor",
    label=LABEL,
    endpoints=["POST /v1/charges"],
)


def charge_of(customer: str, amount_cents: int) -> Any:
    return {"amount": amount_cents, "currency": "usd", "customer": customer}


@keybrake.ray.actor(max_concurrency=10, num_cpus=0.1)
class Billing:
    def __init__(self, factor: int) -> None:
        self.factor = factor

    @keybrake.ray.billed(SPEND)
    async def bill(self, lease: Lease, customer: str, amount_cents: int, period: str = "2026-06") -> str:
        made = await lease.stripe().v1.charges.create_async(
            charge_of(customer, amount_cents * self.factor), {"idempotency_key": lease.idempotency_key}
        )
        return made.id

    async def what(self) -> int:
        return self.factor


def test_each_call_has_a_key_and_charges_once(stage: Stage) -> None:
    billing = Billing.remote(1)
    customers = stage.customers(5)
    with stage.server.vendor.watched() as vendor:
        first = ray.get([billing.bill.remote(customer, 500) for customer in customers])
        again = ray.get([billing.bill.remote(customer, amount_cents=500) for customer in customers])
    assert sorted(first) == sorted(made.object_id for made in vendor.charges)
    assert again == first
    with stage.server.client() as client:
        rows = list(client.calls(label=LABEL))
    assert len({row.key_id for row in rows}) == 10
    # The audit log names the call of Ray's that it was.
    assert all((row.context or "").startswith("engine=ray,task=") for row in rows)


def test_a_method_that_is_not_billed_is_rays_own(stage: Stage) -> None:
    billing = Billing.options(num_cpus=0.2).remote(7)
    assert ray.get([billing.what.remote()]) == [7]


def test_an_actor_in_a_tasks_arguments_issues_keys_there(stage: Stage, customer: str) -> None:
    @ray.remote
    def caller(billing: BilledActor, customer: str) -> str:
        made: str = ray.get(billing.bill.remote(customer, 700))
        return made

    with stage.server.vendor.watched() as vendor:
        made = ray.get(caller.remote(Billing.remote(1), customer))
    assert [charge.object_id for charge in vendor.charges] == [made]


def test_calls_under_a_parent_share_its_cap(stage: Stage) -> None:
    billing = Billing.remote(1)
    ends: Counter[str] = Counter()
    label = f"test/{uuid.uuid4().hex}"
    with stage.server.vendor.watched() as vendor, Run(label, cap=10, endpoints=SPEND.endpoints) as run:
        calls = [billing.under(run.key).bill.remote(customer, 300) for customer in stage.customers(5)]
        for call in calls:
            try:
                ray.get(call)
                ends["charged"] += 1
            except CapExhausted:
                ends["refused"] += 1
    assert ends == Counter(charged=3, refused=2)
    assert vendor.charged_cents == 900


def test_a_wrong_amount_meets_its_own_keys_cap(stage: Stage, customer: str) -> None:
    with stage.server.vendor.watched() as vendor, pytest.raises(CapExhausted):
        ray.get(Billing.remote(2).bill.remote(customer, 500))
    assert vendor.charges == []


def test_what_does_not_fit_is_not_called() -> None:
    with pytest.raises(TypeError, match="has no method that is billed"):
        keybrake.ray.actor()(object)
    with pytest.raises(TypeError, match="needs a first parameter for its lease"):

        @keybrake.ray.actor()
        class Wrong:
            @keybrake.ray.billed(SPEND)
            def bill(self) -> None: ...
