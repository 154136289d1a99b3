"""The key that one call spends, as it travels to the worker: a name, and never a token.

A retry gets the same lease as the first try did, so all tries share one budget and one idempotency key.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .. import _settings
from ..aio import AsyncKeybrake
from ..client import Keybrake
from ..errors import KeyExpired
from ..idempotency import idempotency_key
from ..keys import VaultKey
from ..vendors import resend_client, stripe_client, twilio_client
from .spend import Call, Spend

if TYPE_CHECKING:
    import stripe

    from .._vendors.resend import ResendClient

REFRESH_BELOW = timedelta(minutes=10)
"""A key that has less left than this is refreshed before it is spent; one that was issued for less than
twice this, at half of its time."""


@dataclass
class Lease:
    """A vault key for one call, and the idempotency key of what it does."""

    key: VaultKey
    """A handle: it has no token."""
    idempotency_key: str
    """Pass it to every write that charges: `create({…}, {"idempotency_key": lease.idempotency_key})`."""

    def stripe(self, **options: Any) -> stripe.StripeClient:
        """stripe-python's client for this call, as `keybrake.stripe_client`.

        A write without an idempotency key is refused and not sent: a retry of the task would repeat it
        with another random one.
        """
        options.setdefault("require_idempotency_key", True)
        return stripe_client(self.fresh(), **_with_context(options))

    def twilio(self, **options: Any) -> Any:
        """twilio-python's client for this call, under this idempotency key."""
        options.setdefault("idempotency_key", self.idempotency_key)
        return twilio_client(self.fresh(), **_with_context(options))

    def resend(self, **options: Any) -> ResendClient:
        """A client of resend-python's requests for this call."""
        return resend_client(self.fresh(), **_with_context(options))

    def fresh(self) -> VaultKey:
        """The key, refreshed on the same budget where it would soon run out.

        That takes an API key that issues (`KEYBRAKE_API_KEY`). A worker without one spends the key
        while it lives.

        Raises:
            KeyExpired: where it is over, and this process can't refresh it. Nothing was sent.
        """
        left = self.key.left()
        if left >= min(REFRESH_BELOW, (self.key.expires_at - self.key.issued_at) / 2):
            return self.key
        if _settings.can_issue():
            with Keybrake() as client:
                self.key = client.refresh(self.key, return_token=False)
        elif left <= timedelta(0):
            raise KeyExpired(
                f"{self.key.key_id} is expired, and this worker has no KEYBRAKE_API_KEY to refresh it with:"
                " nothing was sent. Give the worker one, or the key a longer expires_in",
                code="key_expired",
                terminal=True,
            )
        return self.key

    def named(self, idempotency_key: str) -> Lease:
        """The same key for another operation."""
        return replace(self, idempotency_key=idempotency_key)


def issue(
    spend: Spend,
    call: Call,
    *,
    parent: VaultKey | None = None,
) -> Lease:
    """Issues the key for a call."""
    name = spend.idempotency_key(call)
    asked = _asked(spend, parent, spend.cap(call))
    with Keybrake() as client:
        return Lease(client.issue(**asked, idempotency_key=f"ray/{uuid.uuid4().hex}"), name)


def issue_for_rows(spend: Spend, calls: Sequence[Call], *, parent: VaultKey | None) -> Lease:
    """Issues one key for all these calls; for the same ones in another process, the same key again.

    The same with another policy, cap or parent is another key.
    """
    names = [spend.idempotency_key(call) for call in calls]
    caps = [spend.cap(call) for call in calls]
    asked = {**_asked(spend, parent, sum(caps, Decimal(0))), "per_call_cap": max(caps)}
    same = repr(sorted(asked.items(), key=lambda item: item[0]))
    once = idempotency_key(context=spend.context, rows=",".join(names), asked=same)
    with Keybrake() as client:
        return Lease(client.issue(**asked, idempotency_key=f"ray-rows/{once}"), names[0])


async def issue_async(spend: Spend, call: Call, *, parent: VaultKey | None = None) -> Lease:
    """The same for `asyncio`."""
    name = spend.idempotency_key(call)
    asked = _asked(spend, parent, spend.cap(call))
    async with AsyncKeybrake() as client:
        return Lease(await client.issue(**asked, idempotency_key=f"ray/{uuid.uuid4().hex}"), name)


def _asked(spend: Spend, parent: VaultKey | None, cap: Decimal) -> dict[str, Any]:
    label = spend.label or (parent.label if parent is not None else None)
    if label is None:
        raise ValueError("a Spend without a label takes a parent's: nothing was issued")
    return {
        "label": label,
        "vendor": spend.vendor,
        "endpoints": list(spend.endpoints),
        "total_cap": cap,
        "expires_in": spend.expires_in,
        "parent": None if parent is None else parent.key_id,
        "return_token": False,
        "policy": spend.policy,
    }


def _with_context(options: dict[str, Any]) -> dict[str, Any]:
    """Has the audit row name the Ray task that makes the call."""
    with suppress(Exception):
        import ray

        task = ray.get_runtime_context().get_task_id()
        if task:
            options.setdefault("context", f"engine=ray,task={task}")
    return options
