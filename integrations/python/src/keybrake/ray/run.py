"""A run's budget, over all keys that are issued for its tasks."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from .._wire import Policy
from ..client import Keybrake
from ..errors import KeyRevoked
from ..keys import KeyStatus, VaultKey
from ..money import Amount


class Run:
    """What a whole run may spend. At the block's end its keys are revoked, those of its tasks too.

        with keybrake.ray.Run("billing/2026-06", cap="5000", endpoints=["POST /v1/charges"]) as run:
            ray.get([charge.under(run.key).remote(*invoice) for invoice in invoices])

    A driver that was killed and starts again under the same label and cap goes on with the same budget:
    what was spent before counts. One that has ended, well or not, is over: the next run has a label of
    its own, and charges that were made are found by their idempotency keys.

    Args:
        label: names the run, and stands in its audit rows.
        cap: dollars that all its tasks may spend together.
        endpoints: what the run's own key may call. Its tasks have their own lists.
        vendor: whose calls they are.
        expires_in: longer than the run takes.
        policy: what else an issue request takes.
    """

    def __init__(
        self,
        label: str,
        *,
        cap: Amount,
        endpoints: Sequence[str],
        vendor: str = "stripe",
        expires_in: str = "1d",
        policy: Policy | None = None,
    ) -> None:
        """See the class."""
        self._label = label
        self._cap = cap
        self._endpoints = endpoints
        self._vendor = vendor
        self._expires_in = expires_in
        self._policy = policy
        self._key: VaultKey | None = None

    @property
    def key(self) -> VaultKey:
        """The key to put tasks `under`: a handle."""
        if self._key is None:
            raise RuntimeError("a run has a key within its `with` block")
        return self._key

    def status(self) -> KeyStatus:
        """What all its tasks have spent, hold, and have left."""
        with Keybrake() as client:
            return client.status(self.key)

    def __enter__(self) -> Run:
        """Issues the run's key, or finds the one of a driver that was killed.

        Raises:
            KeyRevoked: where a run of this label has ended.
            KeybrakeError: where no key was issued.
        """
        with Keybrake() as client:
            key = client.issue(
                label=self._label,
                vendor=self._vendor,
                endpoints=self._endpoints,
                total_cap=self._cap,
                expires_in=self._expires_in,
                return_token=False,
                idempotency_key=f"{self._label}/run",
                policy=self._policy,
            )
            if client.status(key).state == "revoked":
                raise KeyRevoked(
                    f"the run {self._label!r} has ended: take another label. What it charged is found again"
                    " by the idempotency keys",
                    code="key_revoked",
                    terminal=True,
                )
        self._key = key
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Revokes everything that was issued for the run. When it returns, nothing more is sent.

        Raises:
            KeybrakeError: where that could not be done. The keys then live to their expiry.
        """
        with Keybrake() as client:
            client.revoke(self.key)
        self._key = None
