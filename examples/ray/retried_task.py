"""Failure mode 1: a task that fails after it has charged, and is run again from its first line.

Unsafe, each try charges. Safe, all tries have one idempotency key and one vault key: the first one
charges, the others get its answer.
"""

from __future__ import annotations

import keybrake.ray
import ray
import stripe
from keybrake import cents

import loopback  # noqa: F401
from stage import Stage, past_the_proxy, staged

SUBSCRIPTION = keybrake.ray.Spend(
    amount=lambda call: cents(call["amount_cents"]),
    business=("customer_id", "amount_cents", "period"),
    context="subscription",
    label="example/retried-task",
    endpoints=["POST /v1/charges"],
)


@ray.remote(max_retries=3, retry_exceptions=True)
def charge_unsafe(customer_id: str, amount_cents: int, period: str) -> str:
    """The secret itself, and no idempotency key."""
    charge = past_the_proxy().v1.charges.create(
        {"amount": amount_cents, "currency": "usd", "customer": customer_id}
    )
    write_charge_to_database(customer_id, charge.id, period)
    return charge.id


@keybrake.ray.task(SUBSCRIPTION, max_retries=3)
def charge_safe(lease: keybrake.ray.Lease, customer_id: str, amount_cents: int, period: str) -> str:
    """A key for this charge, and an idempotency key that each try repeats."""
    charge = lease.stripe().v1.charges.create(
        {"amount": amount_cents, "currency": "usd", "customer": customer_id},
        {"idempotency_key": lease.idempotency_key},
    )
    write_charge_to_database(customer_id, charge.id, period)
    return charge.id


def write_charge_to_database(customer_id: str, charge_id: str, period: str) -> None:
    """The step after the charge, which fails."""
    raise ConnectionError("the database did not answer in time")


def unsafe(customer_id: str) -> str:
    """Submits it, and says how it ended."""
    return ended(charge_unsafe.remote(customer_id, 2999, "2026-06"))


def safe(customer_id: str) -> str:
    """Submits it, and says how it ended."""
    return ended(charge_safe.remote(customer_id, 2999, "2026-06"))


def ended(task: ray.ObjectRef[str]) -> str:
    """How a task ended, as Ray has it."""
    try:
        return f"the task returned {ray.get(task)}"
    except (ConnectionError, stripe.StripeError) as error:
        return f"the task failed: {str(error).splitlines()[-1]}"


def show(stage: Stage) -> str:
    """Runs both, and says what all three said."""
    label = str(SUBSCRIPTION.label)
    return "\n".join(
        [
            "1. A task that fails after it has charged $29.99, and is retried three times",
            f"  unsafe\n{stage.outcome(label, lambda: unsafe(*stage.customers(1)))}",
            f"  safe\n{stage.outcome(label, lambda: safe(*stage.customers(1)))}",
        ]
    )


if __name__ == "__main__":
    with staged() as running:
        said = show(running)
    print(said)
