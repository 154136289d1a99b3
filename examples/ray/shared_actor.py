"""Failure mode 2: an actor with one key for everybody, and a bug that takes cents for dollars.

Unsafe, all customers are charged a hundredfold before anybody looks. Safe, each call has a key for what
its caller expects it to cost, and the wrong amount does not fit any of them.
"""

from __future__ import annotations

from collections import Counter

import keybrake.ray
import ray
from keybrake import CapExhausted, cents

import loopback  # noqa: F401
from stage import Stage, past_the_proxy, staged

INVOICE = keybrake.ray.Spend(
    amount=lambda call: cents(call["amount_cents"]),
    business=("customer_id", "amount_cents", "period"),
    context="invoice",
    label="example/shared-actor",
    endpoints=["POST /v1/charges"],
)
CUSTOMERS = 100


def minor_units(amount_cents: int) -> int:
    """The bug: its author thought that the amount is in dollars."""
    return amount_cents * 100


@ray.remote(max_concurrency=10)
class UnsafeBilling:
    """One secret for all callers."""

    def __init__(self) -> None:
        """Makes the one client."""
        self.stripe = past_the_proxy()

    def bill(self, customer_id: str, amount_cents: int, period: str) -> str:
        """Charges a customer the wrong amount."""
        charge = self.stripe.v1.charges.create(
            {"amount": minor_units(amount_cents), "currency": "usd", "customer": customer_id}
        )
        return charge.id


@keybrake.ray.actor(max_concurrency=10)
class SafeBilling:
    """No key at all: each call brings one."""

    @keybrake.ray.billed(INVOICE)
    def bill(self, lease: keybrake.ray.Lease, customer_id: str, amount_cents: int, period: str) -> str:
        """Charges a customer the wrong amount."""
        charge = lease.stripe().v1.charges.create(
            {"amount": minor_units(amount_cents), "currency": "usd", "customer": customer_id},
            {"idempotency_key": lease.idempotency_key},
        )
        return charge.id


def unsafe(customers: list[str]) -> str:
    """Bills all of them at once."""
    billing = UnsafeBilling.remote()
    return ended([billing.bill.remote(customer, 200, "2026-06") for customer in customers])


def safe(customers: list[str]) -> str:
    """Bills all of them at once."""
    billing = SafeBilling.remote()
    return ended([billing.bill.remote(customer, 200, "2026-06") for customer in customers])


def ended(calls: list[ray.ObjectRef[str]]) -> str:
    """How the calls ended, as Ray has it."""
    ends: Counter[str] = Counter()
    for call in calls:
        try:
            ray.get(call)
            ends["returned"] += 1
        except CapExhausted as refused:
            ends[f"failed: {refused.code}"] += 1
    return ", ".join(f"{count} calls {end}" for end, count in sorted(ends.items()))


def show(stage: Stage) -> str:
    """Runs both, and says what all three said."""
    label = str(INVOICE.label)
    return "\n".join(
        [
            f"2. An actor that bills {CUSTOMERS} customers $2.00 at once, and takes cents for dollars",
            f"  unsafe\n{stage.outcome(label, lambda: unsafe(stage.customers(CUSTOMERS)))}",
            f"  safe\n{stage.outcome(label, lambda: safe(stage.customers(CUSTOMERS)))}",
        ]
    )


if __name__ == "__main__":
    with staged() as running:
        said = show(running)
    print(said)
