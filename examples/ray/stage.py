"""What the examples share: the engine, the proxy before its sandbox, and what each of them says."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

import ray
import stripe
from keybrake.testing import Execution, KeybrakeServer

import loopback  # noqa: F401


@dataclass(frozen=True)
class Outcome:
    """What the three say about one example."""

    engine: str
    """How the work ended, as Ray has it."""
    verdicts: Counter[str]
    """The ledger's audit rows by verdict. None where the calls went past the proxy."""
    keys: int
    """How many vault keys made those calls."""
    spent: Decimal
    """Dollars that the ledger counts."""
    charges: list[Execution]
    """What the vendor executed."""

    def __str__(self) -> str:
        """Three lines."""
        dollars = Decimal(sum(charge.amount for charge in self.charges)) / 100
        rows = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.verdicts.items()))
        ledger = f"{rows} by {counted(self.keys, 'vault key')}; ${self.spent:.2f} spent"
        return (
            f"    engine: {self.engine}\n    ledger: {ledger if rows else 'it saw nothing'}\n"
            f"    vendor: {counted(len(self.charges), 'charge')} executed, ${dollars:.2f}"
        )


def counted(count: int, what: str) -> str:
    """A number of things."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


class Stage:
    """A proxy before a sandbox, with customers."""

    def __init__(self, server: KeybrakeServer) -> None:
        """See `staged`."""
        self.server = server

    def customers(self, count: int) -> list[str]:
        """So many customers with a card, at the vendor."""
        vendor = past_the_proxy()
        return [vendor.v1.customers.create({"source": "tok_visa"}).id for _ in range(count)]

    def outcome(self, label: str, example: Callable[[], str]) -> Outcome:
        """Runs an example, whose keys are of this label, and asks all three."""
        with self.server.vendor.watched() as vendor:
            engine = example()
        with self.server.client() as ledger:
            rows = list(ledger.calls(label=label))
        counting = [row for row in rows if row.state in ("settled", "in_doubt", "held")]
        return Outcome(
            engine=engine,
            verdicts=Counter(row.verdict or "" for row in rows),
            keys=len({row.key_id for row in rows}),
            spent=sum((row.amount or Decimal(0) for row in counting), Decimal(0)),
            charges=vendor.charges,
        )


@contextmanager
def staged() -> Iterator[Stage]:
    """Starts the proxy, its sandbox and Ray, and stops them again."""
    # Ray's sockets are below it, and their paths may have 107 characters.
    folder = tempfile.mkdtemp(prefix="kbray-")
    with KeybrakeServer() as server:
        # What workers need is in their environment, as a secret store would put it there.
        os.environ.update(server.environment())
        os.environ["STRIPE_URL"] = server.vendor.url
        os.environ["STRIPE_SECRET_KEY"] = server.vendor.stripe_secret
        try:
            ray.init(
                num_cpus=2,
                include_dashboard=False,
                object_store_memory=100 * 1024 * 1024,
                log_to_driver=False,
                _temp_dir=folder,
            )
            yield Stage(server)
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def past_the_proxy() -> stripe.StripeClient:
    """What unsafe code has: the real secret, and nothing between it and the vendor."""
    return stripe.StripeClient(
        os.environ["STRIPE_SECRET_KEY"], base_addresses={"api": os.environ["STRIPE_URL"]}
    )
