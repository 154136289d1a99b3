"""The three failure modes of the examples, on Ray. What counts is what the vendor executed."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import killed_replica
import pytest
import retried_task
import shared_actor
from stage import Stage


def test_a_task_that_fails_after_charging_charges_four_times(stage: Stage, customer: str) -> None:
    outcome = stage.outcome("example/retried-task", lambda: retried_task.unsafe(customer))
    assert [charge.amount for charge in outcome.charges] == [2999] * 4


def test_with_a_key_per_task_it_charges_once(stage: Stage, customer: str) -> None:
    outcome = stage.outcome("example/retried-task", lambda: retried_task.safe(customer))
    assert "failed: ConnectionError" in outcome.engine
    assert [charge.amount for charge in outcome.charges] == [2999]
    assert (outcome.verdicts, outcome.keys) == (Counter(allowed=1, replayed=3), 1)
    assert outcome.spent == Decimal("29.99")


def test_an_actor_with_one_key_charges_a_hundred_wrong_amounts(stage: Stage) -> None:
    customers = stage.customers(shared_actor.CUSTOMERS)
    outcome = stage.outcome("example/shared-actor", lambda: shared_actor.unsafe(customers))
    assert [charge.amount for charge in outcome.charges] == [20_000] * 100


def test_with_a_key_per_call_no_wrong_amount_passes(stage: Stage) -> None:
    customers = stage.customers(shared_actor.CUSTOMERS)
    outcome = stage.outcome("example/shared-actor", lambda: shared_actor.safe(customers))
    assert outcome.charges == []
    assert outcome.engine == "100 calls failed: cap_exhausted"
    # None was tried twice: it would not help.
    assert (outcome.verdicts, outcome.keys) == (Counter(denied=100), 100)


@pytest.fixture(scope="module")
def serving(stage: Stage) -> Iterator[killed_replica.Serving]:
    with killed_replica.Serving() as started:
        yield started


def test_a_replica_that_dies_after_charging_has_its_request_charged_twice(
    stage: Stage, serving: killed_replica.Serving, customer: str
) -> None:
    outcome = stage.outcome("example/killed-replica", lambda: serving.unsafe(customer))
    assert [charge.amount for charge in outcome.charges] == [2999] * 2


def test_with_keys_from_the_body_two_replicas_with_two_vault_keys_charge_once(
    stage: Stage, serving: killed_replica.Serving, customer: str
) -> None:
    outcome = stage.outcome("example/killed-replica", lambda: serving.safe(customer))
    assert outcome.engine == "2 requests, the last one answered by another replica"
    assert [charge.amount for charge in outcome.charges] == [2999]
    assert (outcome.verdicts, outcome.keys) == (Counter(allowed=1, replayed=1), 2)
