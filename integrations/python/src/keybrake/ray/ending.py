"""Revoking a key when its call has ended.

The process that issued it does that, once it has the result. A worker must not: it may die between the
revocation and the return, and the retry would then find its key stopped and a charge that it can't
report.

What may have ended in doubt keeps its key until that expires, or its parent ends: an `OutcomeUnknown`,
a worker that died for good. What is revoked is never sent again, so nobody could find the outcome by
repeating it.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from ray.exceptions import RayError, RayTaskError, TaskCancelledError

from ..client import Keybrake
from ..errors import OutcomeUnknown
from .lease import Lease

_LOG = logging.getLogger("keybrake.ray")


def revoke_when_done(refs: Any, lease: Lease) -> None:
    """Revokes the lease's key when the object is there: all retries are over then."""
    first = refs[0] if isinstance(refs, list) else refs
    if first is None:
        # num_returns=0: nobody will ever know. The key expires by itself.
        return
    future: Future[Any] = first.future()

    def ended(done: Future[Any]) -> None:
        if not _may_be_in_doubt(done.exception()):
            # Not here: this is a thread of Ray's.
            _pool().submit(revoke, lease)

    future.add_done_callback(ended)


def _may_be_in_doubt(error: BaseException | None) -> bool:
    """Whether a task ended so that nobody saw how its last call did."""
    if isinstance(error, TaskCancelledError):
        return False
    lost_by_ray = isinstance(error, RayError) and not isinstance(error, RayTaskError)
    return lost_by_ray or isinstance(error, OutcomeUnknown)


def revoke(lease: Lease) -> None:
    """Revokes the lease's key. Where that fails, the key lives to its expiry, and the log says so."""
    try:
        with Keybrake() as client:
            client.revoke(lease.key)
    except Exception as error:
        _LOG.warning(
            "%s could not be revoked and lives to %s: %s", lease.key.key_id, lease.key.expires_at, error
        )


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """Its threads end what they have begun before the process ends."""
    return ThreadPoolExecutor(max_workers=4, thread_name_prefix="keybrake-revoke")
