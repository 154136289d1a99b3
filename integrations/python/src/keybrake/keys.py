"""What the proxy says about vault keys and calls, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class VaultKey:
    """A vault key in a run's hands: its name and, where it was asked for, its token.

    The name is a *handle*: it is no credential, and may stand in a task's arguments, a log or a
    journal. The token is one. It is in no repr, and it does not travel: a `VaultKey` that is pickled
    or copied to another process arrives as its handle, to be spent there with a `caller`'s API key.
    """

    key_id: str
    budget_id: str
    label: str
    vendor: str | None
    """`None` for a key that only audits."""
    base_url: str
    """Where its calls go, such as `http://127.0.0.1:8787/stripe`."""
    issued_at: datetime
    expires_at: datetime
    token: str | None = field(default=None, repr=False, compare=False)

    def handle(self) -> VaultKey:
        """The same key without its token."""
        return replace(self, token=None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as the handle, so that no token gets into a task's arguments by mistake."""
        parts = (self.key_id, self.budget_id, self.label, self.vendor, self.base_url)
        return VaultKey, (*parts, self.issued_at, self.expires_at)

    def left(self, now: datetime | None = None) -> timedelta:
        """How long it lives from now on; negative when it is expired."""
        return self.expires_at - (now or datetime.now(timezone.utc))


@dataclass(frozen=True)
class KeyStatus:
    """A vault key and its budget, in dollars. `remaining` is by the budget's own caps alone."""

    key_id: str
    budget_id: str
    parent_budget_id: str | None
    state: str
    """`live`, `expired` or `revoked`."""
    label: str
    vendor: str | None
    total_cap: Decimal | None
    daily_cap: Decimal | None
    per_call_cap: Decimal | None
    spent: Decimal
    """Settled or in doubt."""
    in_doubt: Decimal
    held: Decimal
    """Set aside for calls that are on their way."""
    remaining: Decimal
    calls: int
    issued_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    successor_key_id: str | None


@dataclass(frozen=True)
class Revocation:
    """What a revocation stopped. When it is here, nothing more is sent."""

    revoked_at: datetime
    spent: Decimal
    held: Decimal
    in_doubt: Decimal
    calls_in_flight: tuple[str, ...]
    calls_in_doubt: tuple[str, ...]


@dataclass(frozen=True)
class AuditedCall:
    """An audit row: one request with a vault key, refused ones and replays included.

    A vault key of the scope `audit` that asks by an idempotency key sees of a call outside of its
    runs only `state`, `amount` and `vendor_object_id`; all else is `None`, and `call_id` empty.
    """

    call_id: str
    verdict: str | None
    """`allowed`, `denied` or `replayed`."""
    state: str | None
    """`held`, `in_doubt`, `settled` or `released`; `None` where it moved no money."""
    code: str | None
    """Why it was refused."""
    amount: Decimal | None
    """Dollars that are settled, or else held or in doubt."""
    idempotency_key: str | None
    key_id: str | None
    label: str | None
    vendor: str | None
    method: str | None
    path: str | None
    context: str | None
    vendor_status: int | None
    vendor_object_id: str | None
    replay_of: str | None
    at: datetime | None
    row: Mapping[str, Any] = field(repr=False)
    """All of it, as the proxy sent it."""


@dataclass(frozen=True)
class Charge:
    """A call that was executed and counts, as the audit log has it."""

    amount: Decimal
    """Dollars that it counts for."""
    vendor_object_id: str | None
    """What it made at the vendor, such as `ch_…`."""
    call_id: str | None
    """Its audit row, where the asking key may see it."""


def instant(text: str) -> datetime:
    """An instant that the proxy wrote, in UTC. Python 3.10 does not read a final `Z`."""
    return datetime.fromisoformat(_micros(text.replace("Z", "+00:00")))


def _micros(text: str) -> str:
    """With six decimals of a second or none, which Python 3.10 wants."""
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    digits, sign, zone = tail.partition("+")
    return f"{head}.{digits[:6].ljust(6, '0')}{sign}{zone}"


def some_instant(text: str | None) -> datetime | None:
    """The same for what may be absent."""
    return None if text is None else instant(text)


def some_dollars(text: str | None) -> Decimal | None:
    """Dollars that the proxy wrote, where it did."""
    return None if text is None else Decimal(text)
