"""The admin API for `asyncio`: the methods of `client.py`, to be awaited, with the same arguments."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import httpx

from . import _audit, _http, _settings, _wire
from ._wire import Policy, ReportFilters
from .client import PAUSES
from .errors import KeybrakeError
from .keys import AuditedCall, Charge, KeyStatus, Revocation, VaultKey
from .money import Amount
from .reports import AgentReport, Anomaly, RunReport, VendorReport

if TYPE_CHECKING:
    # In `typing` since Python 3.11.
    from typing_extensions import Unpack

Answer = TypeVar("Answer")
Row = TypeVar("Row")


class AsyncKeybrake:
    """A client of the proxy's admin API for `asyncio`. See `Keybrake`."""

    def __init__(self, url: str | None = None, api_key: str | None = None, *, timeout: float = 10.0) -> None:
        """As `Keybrake`."""
        self.url = _settings.admin_url(url)
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {_settings.api_key(api_key)}"},
            timeout=timeout,
            verify=_http.trust(),
        )

    def __repr__(self) -> str:
        """Where it asks, and not with which key."""
        return f"{type(self).__name__}({self.url!r})"

    async def __aenter__(self) -> AsyncKeybrake:
        """Closes itself at the block's end."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes its connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Closes its connections."""
        await self._http.aclose()

    async def issue(
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
        """As `Keybrake.issue`."""
        ask = _wire.issue(
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
        return await self._do(ask)

    async def issue_audit(
        self, *, label: str, expires_in: str = "1h", idempotency_key: str | None = None
    ) -> VaultKey:
        """As `Keybrake.issue_audit`."""
        once = idempotency_key or uuid.uuid4().hex
        return await self._do(_wire.issue_audit(label=label, expires_in=expires_in, idempotency_key=once))

    async def refresh(
        self, key: VaultKey | str, *, expires_in: str | None = None, return_token: bool = True
    ) -> VaultKey:
        """As `Keybrake.refresh`."""
        return await self._do(_wire.refresh(key, expires_in, return_token))

    async def revoke(self, key: VaultKey | str) -> Revocation:
        """As `Keybrake.revoke`."""
        return await self._do(_wire.revoke(key))

    async def revoke_run(self, *, label: str | None = None, label_prefix: str | None = None) -> Revocation:
        """As `Keybrake.revoke_run`."""
        return await self._do(_wire.revoke_run(label, label_prefix))

    async def status(self, key: VaultKey | str) -> KeyStatus:
        """As `Keybrake.status`."""
        return await self._do(_wire.status(key))

    async def call(self, call_id: str) -> AuditedCall:
        """As `Keybrake.call`."""
        return await self._do(_wire.call(call_id))

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
    ) -> AsyncIterator[AuditedCall]:
        """As `Keybrake.calls`."""
        filters = _audit.filters(
            label, key_id, vendor, idempotency_key, vendor_object_id, state=state, verdict=verdict
        )
        return self._pages(_wire.calls(filters))

    def report_runs(self, **filters: Unpack[ReportFilters]) -> AsyncIterator[RunReport]:
        """As `Keybrake.report_runs`."""
        return self._pages(_wire.report_runs(filters))

    def report_agents(self, **filters: Unpack[ReportFilters]) -> AsyncIterator[AgentReport]:
        """As `Keybrake.report_agents`."""
        return self._pages(_wire.report_agents(filters))

    def report_vendors(self, **filters: Unpack[ReportFilters]) -> AsyncIterator[VendorReport]:
        """As `Keybrake.report_vendors`."""
        return self._pages(_wire.report_vendors(filters))

    def report_anomalies(self, **filters: Unpack[ReportFilters]) -> AsyncIterator[Anomaly]:
        """As `Keybrake.report_anomalies`."""
        return self._pages(_wire.report_anomalies(filters))

    async def already_charged(self, idempotency_key: str, *, vendor: str = "stripe") -> Charge | None:
        """As `Keybrake.already_charged`: a call in doubt raises `OutcomeUnknown`."""
        rows = [row async for row in self.calls(idempotency_key=idempotency_key, vendor=vendor)]
        return _audit.charge_in(rows, idempotency_key)

    async def _pages(self, ask: _wire.AskForPage[Row]) -> AsyncIterator[Row]:
        cursor: str | None = None
        while True:
            page, cursor = await self._do(ask(cursor))
            for row in page:
                yield row
            if cursor is None:
                return

    async def _do(self, ask: _wire.Ask[Answer]) -> Answer:
        for pause in (*PAUSES, None):
            try:
                return await self._once(ask)
            except KeybrakeError as error:
                if error.terminal or pause is None:
                    raise
                await asyncio.sleep(pause if error.retry_after is None else min(error.retry_after, 1.0))
        raise AssertionError("the last try returns or raises")

    async def _once(self, ask: _wire.Ask[Answer]) -> Answer:
        try:
            answer = await self._http.request(
                ask.method, ask.path, content=ask.body, headers=dict(ask.headers), params=dict(ask.query)
            )
        except httpx.HTTPError as error:
            raise _http.lost(error, changes=ask.method != "GET") from None
        if answer.is_success:
            return ask.read(answer.json())
        raise _http.admin_error(answer.status_code, answer.headers, answer.content)
