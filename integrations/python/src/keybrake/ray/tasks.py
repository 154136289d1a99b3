"""Ray tasks with a vault key each."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar

import ray

from ..errors import RETRYABLE
from ..keys import VaultKey
from .ending import revoke, revoke_when_done
from .lease import Lease, issue
from .spend import Arguments, Spend

if TYPE_CHECKING:
    from ray import ObjectRef

P = ParamSpec("P")
R = TypeVar("R")


def task(
    spend: Spend, **ray_options: Any
) -> Callable[[Callable[Concatenate[Lease, P], R]], BilledTask[P, R]]:
    """Makes a function a Ray task that spends from a key of its own.

    The function gets a `Lease` as its first argument; callers leave it out:

        @keybrake.ray.task(SUBSCRIPTION, max_retries=3)
        def charge(lease, customer_id, amount_cents, period): ...

        charge.remote("cus_abc123", 2999, "2026-06")

    A key is issued when the task is submitted, named in its arguments, and revoked when its result is
    there. All retries of the task spend from that one key.

    Args:
        spend: what a call may cost and do.
        ray_options: as for `ray.remote`. By default a task is retried three times, on the errors that
            it helps for (`keybrake.RETRYABLE`) and when its worker dies.

    Raises:
        ValueError: for tasks that stream what they return: nobody would know when they end.
    """
    if ray_options.get("num_returns") in ("streaming", "dynamic"):
        raise ValueError("a task with a key of its own returns objects, not a stream")
    options = {"max_retries": 3, "retry_exceptions": RETRYABLE, **ray_options}

    def decorate(function: Callable[Concatenate[Lease, P], R]) -> BilledTask[P, R]:
        remote = ray.remote(**options)(function)
        return BilledTask(spend, Arguments(function, skip=1), remote)

    return decorate


class BilledTask(Generic[P, R]):
    """A Ray task that spends from a key of its own."""

    def __init__(
        self, spend: Spend, arguments: Arguments, remote: Any, parent: VaultKey | None = None
    ) -> None:
        """See `task`."""
        self._spend = spend
        self._arguments = arguments
        self._remote = remote
        self._parent = parent

    def remote(self, *args: P.args, **kwargs: P.kwargs) -> ObjectRef[R]:
        """Issues a key and submits the task.

        Raises:
            KeybrakeError: where no key was issued. Nothing was submitted.
            TypeError: where the arguments do not fit, or don't say what operation it is.
        """
        call = self._arguments.of(args, kwargs)
        lease = issue(self._spend, call, parent=self._parent)
        try:
            refs = self._remote.remote(lease, *args, **kwargs)
        except BaseException:
            revoke(lease)
            raise
        revoke_when_done(refs, lease)
        submitted: ObjectRef[R] = refs
        return submitted

    def under(self, parent: VaultKey) -> BilledTask[P, R]:
        """The same task, whose keys spend from this key's budget as well."""
        return BilledTask(self._spend, self._arguments, self._remote, parent.handle())

    def options(self, **ray_options: Any) -> BilledTask[P, R]:
        """The same task with other options of Ray's."""
        return BilledTask(self._spend, self._arguments, self._remote.options(**ray_options), self._parent)
