"""The admin API, one call at a time."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import httpx

from . import _audit, _http, _settings, _wire
from ._wire import Policy, ReportFilters
from .errors import KeybrakeError
from .keys import AuditedCall, Charge, KeyStatus, Revocation, VaultKey
from .money import Amount
from .reports import AgentReport, Anomaly, RunReport, VendorReport

if TYPE_CHECKING:
    # In `typing` since Python 3.11.
    from typing_extensions import Unpack

Answer = TypeVar("Answer")
Row = TypeVar("Row")

PAUSES = (0.1, 0.4)
"""Seconds before the second and the third try. Only what may be repeated is sent here at all."""


class Keybrake:
    """A client of the proxy's admin API: issue, refresh, revoke, look.

    Every request here is safe to repeat, so each is tried three times, over lost connections and while
    the proxy is busy. Close it, or use it in a `with` block.

    Args:
        url: where the admin API is; by default `KEYBRAKE_ADMIN_URL`, or else `KEYBRAKE_URL`.
        api_key: an API key of the role that the calls need; by default `KEYBRAKE_API_KEY`. For reading
            audit rows also the token of a vault key of the scope `audit`.
        timeout: seconds that one try may take. A revocation takes up to one second by itself.

    Raises:
        NotConfigured: where neither an argument nor the environment says with which key.

    Each method raises a `KeybrakeError`: `Unavailable` and `OutcomeUnknown` where it was tried in vain,
    `CallRefused` where the proxy refuses it.
    """

    def __init__(self, url: str | None = None, api_key: str | None = None, *, timeout: float = 10.0) -> None:
        """See the class."""
        self.url = _settings.admin_url(url)
        self._http = httpx.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {_settings.api_key(api_key)}"},
            timeout=timeout,
            verify=_http.trust(),
        )

    def __repr__(self) -> str:
        """Where it asks, and not with which key."""
        return f"{type(self).__name__}({self.url!r})"

    def __enter__(self) -> Keybrake:
        """Closes itself at the block's end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes its connections."""
        self.close()

    def close(self) -> None:
        """Closes its connections."""
        self._http.close()

    def issue(
        self,
        *,
        label: str,
        endpoints: Sequence[str],
        total_cap: Amount | None = None,
        daily_cap: Amount | None = None,
        per_call_cap: Amount | None = None,
        vendor: str = "stripe",
        expires_in: str = "1h",
        parent: VaultKey | str | None = None,
        return_token: bool = True,
        idempotency_key: str | None = None,
        policy: Policy | None = None,
    ) -> VaultKey:
        """Issues a vault key: a budget, and what may be done with it.

        Args:
            label: the run that it is for, such as `billing/run-42`.
            endpoints: what it may call, such as `POST /v1/charges`.
            total_cap: dollars over the budget's whole life. This or `daily_cap` is needed.
            daily_cap: dollars per 24 hours from the issue.
            per_call_cap: dollars that one call may cost at most.
            vendor: `stripe`, `twilio`, `resend`, or one of the operator's own.
            expires_in: from `"1s"` to `"31d"`.
            parent: a vault key from whose budget it spends as well.
            return_token: without it the key is a handle, to be spent with a `caller`'s API key.
            idempotency_key: names this issue: with it and the same arguments, a later call gives the
                same key and budget. A random one by default, which only this call's own tries share.
            policy: what else an issue request takes.
        """
        return self._do(
            _wire.issue(
                label=label,
                vendor=vendor,
                endpoints=endpoints,
                expires_in=expires_in,
                idempotency_key=idempotency_key or uuid.uuid4().hex,
                total_cap=total_cap,
                daily_cap=daily_cap,
                per_call_cap=per_call_cap,
                parent=parent,
                return_token=return_token,
                policy=policy,
            )
        )

    def issue_audit(
        self, *, label: str, expires_in: str = "1h", idempotency_key: str | None = None
    ) -> VaultKey:
        """Issues a vault key that spends nothing and reads the audit rows of labels that begin so."""
        once = idempotency_key or uuid.uuid4().hex
        return self._do(_wire.issue_audit(label=label, expires_in=expires_in, idempotency_key=once))

    def refresh(
        self, key: VaultKey | str, *, expires_in: str | None = None, return_token: bool = True
    ) -> VaultKey:
        """A new key on the same budget and policy, by a key or its `key_id`.

        The old one lives to its own expiry. Where a successor lives already, that is the answer.
        """
        return self._do(_wire.refresh(key, expires_in, return_token))

    def revoke(self, key: VaultKey | str) -> Revocation:
        """Stops a key's budget, with all keys on it and under it. Nothing more is sent after it."""
        return self._do(_wire.revoke(key))

    def revoke_run(self, *, label: str | None = None, label_prefix: str | None = None) -> Revocation:
        """Stops all keys of a run, or of all runs whose label begins so; they issue nothing more."""
        return self._do(_wire.revoke_run(label, label_prefix))

    def status(self, key: VaultKey | str) -> KeyStatus:
        """What a key's budget has spent, holds, and has left."""
        return self._do(_wire.status(key))

    def call(self, call_id: str) -> AuditedCall:
        """One audit row."""
        return self._do(_wire.call(call_id))

    def calls(
        self,
        *,
        label: str | None = None,
        key_id: str | None = None,
        vendor: str | None = None,
        idempotency_key: str | None = None,
        vendor_object_id: str | None = None,
        state: str | None = None,
        verdict: str | None = None,
    ) -> Iterator[AuditedCall]:
        """The audit rows that fit all of these, the newest first. Asks for a page when it is needed."""
        filters = _audit.filters(
            label, key_id, vendor, idempotency_key, vendor_object_id, state=state, verdict=verdict
        )
        return self._pages(_wire.calls(filters))

    def report_runs(self, **filters: Unpack[ReportFilters]) -> Iterator[RunReport]:
        """What each run cost, by those of its calls that fit all filters: the costliest first.

        It is asked for by pages of 1,000 rows. A row that moves while calls are made can come twice, or
        not at all: where that matters, ask for a time that is over with `until`.

        Args:
            filters: `label`, `label_prefix`, `vendor`, and `since` and `until`: calls first begun from
                one instant on and before another.
        """
        return self._pages(_wire.report_runs(filters))

    def report_agents(self, **filters: Unpack[ReportFilters]) -> Iterator[AgentReport]:
        """What each agent cost, with the filters of `report_runs`: the costliest first."""
        return self._pages(_wire.report_agents(filters))

    def report_vendors(self, **filters: Unpack[ReportFilters]) -> Iterator[VendorReport]:
        """What each vendor cost on each day, with the filters of `report_runs`: the last day first."""
        return self._pages(_wire.report_vendors(filters))

    def report_anomalies(self, **filters: Unpack[ReportFilters]) -> Iterator[Anomaly]:
        """Which runs stand out and why, with the filters of `report_runs`: the costliest first.

        Without `since`: of the seven days before `until`, or before now. All runs are compared, also
        where a label asks for few.
        """
        return self._pages(_wire.report_anomalies(filters))

    def already_charged(self, idempotency_key: str, *, vendor: str = "stripe") -> Charge | None:
        """What a call under this idempotency key has charged, or `None` where it charged nothing.

        A look before work is done again. It is not what makes a charge single, the idempotency key
        is: two workers that look at the same time both see nothing.

        Raises:
            OutcomeUnknown: where such a call is on its way or in doubt: not `None`, since it may have
                been charged. Repeat the call itself, with the same idempotency key.
        """
        rows = self.calls(idempotency_key=idempotency_key, vendor=vendor)
        return _audit.charge_in(rows, idempotency_key)

    def _pages(self, ask: _wire.AskForPage[Row]) -> Iterator[Row]:
        cursor: str | None = None
        while True:
            page, cursor = self._do(ask(cursor))
            yield from page
            if cursor is None:
                return

    def _do(self, ask: _wire.Ask[Answer]) -> Answer:
        for pause in (*PAUSES, None):
            try:
                return self._once(ask)
            except KeybrakeError as error:
                if error.terminal or pause is None:
                    raise
                time.sleep(pause if error.retry_after is None else min(error.retry_after, 1.0))
        raise AssertionError("the last try returns or raises")

    def _once(self, ask: _wire.Ask[Answer]) -> Answer:
        try:
            answer = self._http.request(
                ask.method, ask.path, content=ask.body, headers=dict(ask.headers), params=dict(ask.query)
            )
        except httpx.HTTPError as error:
            raise _http.lost(error, changes=ask.method != "GET") from None
        if answer.is_success:
            return ask.read(answer.json())
        raise _http.admin_error(answer.status_code, answer.headers, answer.content)
