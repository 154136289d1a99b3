"""What the sandbox says that the vendors executed, and how it is told to misbehave."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass(frozen=True)
class Execution:
    """One call that Stripe's fake executed and that changed something."""

    endpoint: str
    """Method and path, with `{id}` for ids, such as `POST /v1/charges`."""
    object_id: str
    idempotency_key: str | None
    amount: int
    """In the currency's minor unit: cents for dollars."""
    currency: str
    status: str
    metadata: Mapping[str, str]


@dataclass(frozen=True)
class Seen:
    """What was executed in a stretch of a test. It is complete when the stretch has ended."""

    _rows: list[Execution] = field(default_factory=list)

    @property
    def executed(self) -> list[Execution]:
        """All of it, the oldest first."""
        return list(self._rows)

    @property
    def charges(self) -> list[Execution]:
        """What took money: charges, and PaymentIntents that were made or confirmed."""
        return [row for row in self._rows if row.amount and row.endpoint.startswith(_CHARGES)]

    @property
    def charged_cents(self) -> int:
        """The sum of the charges."""
        return sum(row.amount for row in self.charges)


_CHARGES = ("POST /v1/charges", "POST /v1/payment_intents")


class Vendor:
    """The sandbox: a strict fake of the vendors, which counts."""

    def __init__(self, url: str, stripe_secret: str) -> None:
        """A sandbox that runs here and accepts this made-up secret."""
        self.url = url
        self.stripe_secret = stripe_secret
        self._http = httpx.Client(base_url=url, timeout=10.0, trust_env=False)

    def __repr__(self) -> str:
        """Where it is."""
        return f"Vendor({self.url!r})"

    def executed(self) -> list[Execution]:
        """Everything that Stripe's fake executed since its start, the oldest first."""
        return [_execution(row) for row in self._get("executed")["data"]]

    def executed_at(self, vendor: str) -> Mapping[str, Any]:
        """What the fake of `twilio` or `resend` executed, in that vendor's own terms."""
        found: Mapping[str, Any] = self._get("executed")[vendor]
        return found

    @contextmanager
    def watched(self) -> Iterator[Seen]:
        """Counts what is executed within the block, for a sandbox that several tests share."""
        before = len(self.executed())
        seen = Seen()
        try:
            yield seen
        finally:
            seen._rows.extend(self.executed()[before:])

    def requests(self) -> Mapping[str, Any]:
        """How many requests arrived: `received`, by endpoint, and how many each fault struck."""
        return self._get("requests")

    def faults(self, **per_million: int) -> None:
        """Has faults strike so many of a million writes; without arguments, none.

        `answer_lost` and `error_after_charge` charge first; `request_lost`, `server_error_before` and
        `rate_limited` don't charge; `declined` declines the card.
        """
        self._post("faults", per_million)

    def hold_answers(self, hold: bool = True) -> None:
        """Executes calls and keeps their answers back until it is told not to."""
        self._post("hold", {"answers": hold})

    def held(self) -> int:
        """How many answers are kept back."""
        return int(self._get("held")["held"])

    def close(self) -> None:
        """Closes the connections to it."""
        self._http.close()

    def _get(self, what: str) -> Mapping[str, Any]:
        answer = self._http.get(f"/sandbox/{what}").raise_for_status()
        found: Mapping[str, Any] = answer.json()
        return found

    def _post(self, what: str, order: Mapping[str, Any]) -> None:
        answer = self._http.post(f"/sandbox/{what}", json=dict(order))
        if answer.is_error:
            raise ValueError(f"the sandbox refused it: {answer.text}")


def _execution(row: Mapping[str, Any]) -> Execution:
    return Execution(
        endpoint=row["endpoint"],
        object_id=row["object_id"],
        idempotency_key=row["idempotency_key"],
        amount=row["amount"],
        currency=row["currency"],
        status=row["status"],
        metadata=row["metadata"],
    )
