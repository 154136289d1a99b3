"""Ray actors with a vault key per call.

An actor that holds one key spends everybody's money from it. Here the *caller* of a method issues a key
for what that one call is expected to cost, so that a bug in the actor meets a cap that it did not make.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import ray

from ..keys import VaultKey
from .ending import revoke, revoke_when_done
from .lease import issue
from .spend import Arguments, Spend

Method = TypeVar("Method", bound=Callable[..., Any])

_MARK = "__keybrake_spend__"


def billed(spend: Spend) -> Callable[[Method], Method]:
    """Marks a method whose calls get a key each. It gets a `Lease` as its first argument after `self`."""

    def mark(method: Method) -> Method:
        setattr(method, _MARK, spend)
        return method

    return mark


def actor(**ray_options: Any) -> Callable[[type], BilledActorClass]:
    """Makes a class a Ray actor. Its `billed` methods get a key per call.

        @keybrake.ray.actor(max_concurrency=100)
        class Billing:
            @keybrake.ray.billed(SUBSCRIPTION)
            def bill(self, lease, customer_id, amount_cents, period): ...

        billing = Billing.remote()
        billing.bill.remote("cus_abc123", 2999, "2026-06")

    Args:
        ray_options: as for `ray.remote`.
    """

    def decorate(kind: type) -> BilledActorClass:
        marked = {name: method for name, method in vars(kind).items() if hasattr(method, _MARK)}
        bills = {
            name: _Bill(getattr(method, _MARK), Arguments(method, skip=2)) for name, method in marked.items()
        }
        if not bills:
            raise TypeError(f"{kind.__qualname__} has no method that is billed")
        remote: Any = ray.remote(**ray_options)(kind) if ray_options else ray.remote(kind)
        return BilledActorClass(remote, bills)

    return decorate


@dataclass(frozen=True)
class _Bill:
    spend: Spend
    arguments: Arguments


class BilledActorClass:
    """A class of actors whose billed methods get a key per call."""

    def __init__(self, remote: Any, bills: dict[str, _Bill]) -> None:
        """See `actor`."""
        self._remote = remote
        self._bills = bills

    def remote(self, *args: Any, **kwargs: Any) -> BilledActor:
        """Starts an actor."""
        return BilledActor(self._remote.remote(*args, **kwargs), self._bills)

    def options(self, **ray_options: Any) -> BilledActorClass:
        """The same with other options of Ray's."""
        return BilledActorClass(self._remote.options(**ray_options), self._bills)


class BilledActor:
    """A handle of an actor. It can be passed to tasks, which then issue keys for their own calls."""

    def __init__(self, handle: Any, bills: dict[str, _Bill], parent: VaultKey | None = None) -> None:
        """See `actor`. `handle` is Ray's own."""
        self.handle = handle
        self._bills = bills
        self._parent = parent

    def __getattr__(self, name: str) -> Any:
        """A method: with a key per call where it is billed, or else Ray's own."""
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self.handle, name)
        bill = self._bills.get(name)
        return method if bill is None else BilledMethod(method, bill, self._parent)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travels as its parts."""
        return BilledActor, (self.handle, self._bills, self._parent)

    def under(self, parent: VaultKey) -> BilledActor:
        """The same actor, for calls whose keys spend from this key's budget as well."""
        return BilledActor(self.handle, self._bills, parent.handle())


class BilledMethod:
    """A method of an actor that gets a key per call."""

    def __init__(self, method: Any, bill: _Bill, parent: VaultKey | None) -> None:
        """See `actor`."""
        self._method = method
        self._bill = bill
        self._parent = parent

    def remote(self, *args: Any, **kwargs: Any) -> Any:
        """Issues a key and calls the method.

        Raises:
            KeybrakeError: where no key was issued. The method was not called.
            TypeError: where the arguments do not fit, or don't say what operation it is.
        """
        call = self._bill.arguments.of(args, kwargs)
        lease = issue(self._bill.spend, call, parent=self._parent)
        try:
            refs = self._method.remote(lease, *args, **kwargs)
        except BaseException:
            revoke(lease)
            raise
        revoke_when_done(refs, lease)
        return refs
