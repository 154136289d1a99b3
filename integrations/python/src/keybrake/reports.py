"""What the proxy says about costs, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True)
class Figures:
    """What some calls came to, in dollars where it is money."""

    allowed: int
    """Calls that were allowed, reads included."""
    replayed: int
    """Times that a stored answer was given."""
    denied: int
    """Refusals of all kinds."""
    capped: int
    """Refusals by a cap."""
    forbidden: int
    """Refusals of what the policy does not allow, or what has no price to hold."""
    in_doubt_calls: int
    spent: Decimal
    """Settled or in doubt."""
    in_doubt: Decimal
    held: Decimal
    """Set aside for calls that are on their way."""
    first_call_at: datetime
    """When the first call was begun, refused ones included."""
    last_call_at: datetime


@dataclass(frozen=True)
class RunReport:
    """What a run came to: the calls of its own keys. What others spent from its budget is theirs."""

    label: str
    agent: str | None
    """The agent that its calls name; `None` where they name none, or several."""
    figures: Figures


@dataclass(frozen=True)
class AgentReport:
    """What an agent's calls came to."""

    agent: str | None
    """What the calls' `X-Keybrake-Context` names as `agent`; `None` for those that name none."""
    runs: int
    """In how many runs' calls it is named."""
    figures: Figures


@dataclass(frozen=True)
class VendorReport:
    """What the calls to a vendor came to on one day."""

    day: date
    """The day in UTC on which they were first begun."""
    vendor: str
    figures: Figures


@dataclass(frozen=True)
class Reason:
    """Why a run stands out."""

    code: str
    """`cost_above_usual`, `cap_hit`, `forbidden`, `many_replays` or `in_doubt`."""
    why: str
    """The same for a person, with the figures."""


@dataclass(frozen=True)
class Anomaly:
    """A run that stands out."""

    run: RunReport
    reasons: tuple[Reason, ...]
