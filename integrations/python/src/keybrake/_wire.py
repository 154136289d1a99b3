"""The admin API as values: what is asked, and how its answer is read. No I/O.

Both clients send these. `Ask.again` says whether a request may be repeated when its answer is lost:
everything here may, since an issue carries an idempotency key, a refresh finds the successor that
lives, and a second revocation answers as the first did.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, Generic, Literal, TypeAlias, TypedDict, TypeVar
from urllib.parse import quote

from .keys import AuditedCall, KeyStatus, Revocation, VaultKey, instant, some_dollars, some_instant
from .money import Amount, as_text
from .reports import AgentReport, Anomaly, Figures, Reason, RunReport, VendorReport

Answer = TypeVar("Answer")
Row = TypeVar("Row")


class Policy(TypedDict, total=False):
    """The rarer parts of an issue request, as `docs/http-api.md` has them."""

    max_calls: int
    fixed_holds: Mapping[str, Amount]
    idempotency: Literal["caller", "content"]
    require_idempotency_key: bool
    allowed_params: Mapping[str, Sequence[str]]
    allowed_accounts: Sequence[str]
    on_decline: Literal["keep", "cancel"]


@dataclass(frozen=True)
class Ask(Generic[Answer]):
    """A request to the admin API, and how its answer is read."""

    method: str
    path: str
    read: Callable[[Mapping[str, Any]], Answer]
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)


AskForPage: TypeAlias = Callable[[str | None], Ask[tuple[list[Row], str | None]]]
"""A list, asked for page by page: by the last page's cursor, for the rows and the next cursor."""


def issue(
    *,
    label: str,
    vendor: str,
    endpoints: Sequence[str],
    expires_in: str,
    idempotency_key: str,
    total_cap: Amount | None,
    daily_cap: Amount | None,
    per_call_cap: Amount | None,
    parent: VaultKey | str | None,
    return_token: bool,
    policy: Policy | None,
) -> Ask[VaultKey]:
    """A vault key to spend with."""
    if isinstance(endpoints, str):
        raise TypeError("endpoints are a list, such as ['POST /v1/charges']")
    body: dict[str, Any] = {
        "vendor": vendor,
        "agent_run_label": label,
        "allowed_endpoints": list(endpoints),
        "expires_in": expires_in,
        "return_token": return_token,
        "parent_key_id": None if parent is None else key_id(parent),
        "total_usd_cap": None if total_cap is None else as_text(total_cap),
        "daily_usd_cap": None if daily_cap is None else as_text(daily_cap),
        "per_call_usd_cap": None if per_call_cap is None else as_text(per_call_cap),
    }
    for name, value in (policy or {}).items():
        body[name] = value
    if isinstance(body.get("fixed_holds"), Mapping):
        body["fixed_holds"] = {name: as_text(hold) for name, hold in body["fixed_holds"].items()}
    return _issue(body, idempotency_key)


def issue_audit(*, label: str, expires_in: str, idempotency_key: str) -> Ask[VaultKey]:
    """A vault key that reads audit rows and spends nothing."""
    return _issue({"scope": "audit", "agent_run_label": label, "expires_in": expires_in}, idempotency_key)


def _issue(body: Mapping[str, Any], idempotency_key: str) -> Ask[VaultKey]:
    # A repetition is one only with the same bytes, so their order must not depend on anything.
    given = {name: value for name, value in body.items() if value is not None}
    return Ask(
        "POST",
        "/vault/keys",
        _vault_key,
        body=json.dumps(given, sort_keys=True).encode(),
        headers={"Idempotency-Key": idempotency_key},
    )


def refresh(key: VaultKey | str, expires_in: str | None, return_token: bool) -> Ask[VaultKey]:
    """A new key on the same budget."""
    body: dict[str, Any] = {"return_token": return_token}
    if expires_in is not None:
        body["expires_in"] = expires_in
    return Ask("POST", f"{_path(key)}/refresh", _vault_key, body=json.dumps(body).encode())


def revoke(key: VaultKey | str) -> Ask[Revocation]:
    """The end of a budget, with all keys on it and under it."""
    return Ask("DELETE", _path(key), _revocation)


def revoke_run(label: str | None, label_prefix: str | None) -> Ask[Revocation]:
    """The end of a run, or of all runs whose label begins so."""
    given = {"label": label, "label_prefix": label_prefix}
    query = {name: text for name, text in given.items() if text}
    if len(query) != 1:
        raise ValueError("either label or label_prefix says which runs are stopped, and is not empty")
    return Ask("DELETE", "/runs", _revocation, query=query)


def status(key: VaultKey | str) -> Ask[KeyStatus]:
    """A key and its budget."""
    return Ask("GET", _path(key), _status)


def calls(filters: Mapping[str, str | None]) -> AskForPage[AuditedCall]:
    """Audit rows, the newest first."""
    return _pages("/audit/calls", filters, _call)


class ReportFilters(TypedDict, total=False):
    """Which calls a report adds up: those that fit all of these."""

    label: str
    label_prefix: str
    vendor: str
    since: datetime
    """First begun at or after this instant."""
    until: datetime
    """First begun before this instant."""


def report_runs(filters: ReportFilters) -> AskForPage[RunReport]:
    """What each run cost."""
    return _pages("/reports/runs", _report_query(filters), _run_report)


def report_agents(filters: ReportFilters) -> AskForPage[AgentReport]:
    """What each agent cost."""

    def read(row: Mapping[str, Any]) -> AgentReport:
        return AgentReport(agent=row["agent"], runs=row["runs"], figures=_figures(row))

    return _pages("/reports/agents", _report_query(filters), read)


def report_vendors(filters: ReportFilters) -> AskForPage[VendorReport]:
    """What each vendor cost on each day."""

    def read(row: Mapping[str, Any]) -> VendorReport:
        day = date.fromisoformat(row["day"])
        return VendorReport(day=day, vendor=row["vendor"], figures=_figures(row))

    return _pages("/reports/vendors", _report_query(filters), read)


def report_anomalies(filters: ReportFilters) -> AskForPage[Anomaly]:
    """Which runs stand out."""

    def read(row: Mapping[str, Any]) -> Anomaly:
        reasons = tuple(Reason(code=reason["code"], why=reason["why"]) for reason in row["reasons"])
        return Anomaly(run=_run_report(row), reasons=reasons)

    return _pages("/reports/anomalies", _report_query(filters), read)


def _report_query(filters: ReportFilters) -> Mapping[str, str | None]:
    known = ReportFilters.__annotations__
    for name in filters:
        if name not in known:
            raise TypeError(f"a report has no filter {name!r}, but {', '.join(known)}")
    since, until = filters.get("since"), filters.get("until")
    return {
        "agent_run_label": filters.get("label"),
        "label_prefix": filters.get("label_prefix"),
        "vendor": filters.get("vendor"),
        "since": None if since is None else _utc(since),
        "until": None if until is None else _utc(until),
    }


def _utc(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("since and until have a time zone, such as datetime.now(timezone.utc)")
    return at.astimezone(timezone.utc).isoformat()


def _pages(
    path: str, filters: Mapping[str, str | None], read_row: Callable[[Mapping[str, Any]], Row]
) -> AskForPage[Row]:
    def read(page: Mapping[str, Any]) -> tuple[list[Row], str | None]:
        return [read_row(row) for row in page["data"]], page.get("next_cursor")

    def ask(cursor: str | None) -> Ask[tuple[list[Row], str | None]]:
        asked = {**filters, "cursor": cursor, "limit": "1000"}
        return Ask("GET", path, read, query={name: text for name, text in asked.items() if text is not None})

    return ask


def call(call_id: str) -> Ask[AuditedCall]:
    """One audit row."""
    return Ask("GET", f"/audit/calls/{quote(call_id, safe='')}", _call)


def key_id(key: VaultKey | str) -> str:
    """A key's name.

    Raises:
        ValueError: for what is none. It is not repeated: it could be a token.
    """
    name = key.key_id if isinstance(key, VaultKey) else key
    if not name.startswith("vk_"):
        raise ValueError("a vault key is named by its key_id, which begins with vk_")
    return name


def _path(key: VaultKey | str) -> str:
    return f"/vault/keys/{quote(key_id(key), safe='')}"


def _vault_key(answer: Mapping[str, Any]) -> VaultKey:
    return VaultKey(
        key_id=answer["key_id"],
        budget_id=answer["budget_id"],
        label=answer["agent_run_label"],
        vendor=answer.get("vendor"),
        base_url=answer["base_url"],
        issued_at=instant(answer["issued_at"]),
        expires_at=instant(answer["expires_at"]),
        token=answer.get("vault_key"),
    )


def _status(answer: Mapping[str, Any]) -> KeyStatus:
    return KeyStatus(
        key_id=answer["key_id"],
        budget_id=answer["budget_id"],
        parent_budget_id=answer.get("parent_budget_id"),
        state=answer["state"],
        label=answer["agent_run_label"],
        vendor=answer.get("vendor"),
        total_cap=some_dollars(answer.get("total_usd_cap")),
        daily_cap=some_dollars(answer.get("daily_usd_cap")),
        per_call_cap=some_dollars(answer.get("per_call_usd_cap")),
        spent=Decimal(answer["spent_usd"]),
        in_doubt=Decimal(answer["in_doubt_usd"]),
        held=Decimal(answer["held_usd"]),
        remaining=Decimal(answer["remaining_usd"]),
        calls=answer["calls"],
        issued_at=instant(answer["issued_at"]),
        expires_at=instant(answer["expires_at"]),
        revoked_at=some_instant(answer.get("revoked_at")),
        successor_key_id=answer.get("successor_key_id"),
    )


def _revocation(answer: Mapping[str, Any]) -> Revocation:
    return Revocation(
        revoked_at=instant(answer["revoked_at"]),
        spent=Decimal(answer["spent_usd"]),
        held=Decimal(answer["held_usd"]),
        in_doubt=Decimal(answer["in_doubt_usd"]),
        calls_in_flight=tuple(answer["in_flight"]),
        calls_in_doubt=tuple(answer["in_doubt"]),
    )


def _call(row: Mapping[str, Any]) -> AuditedCall:
    amounts = (row.get("settled_usd"), row.get("held_usd"), row.get("amount_usd"))
    return AuditedCall(
        call_id=row.get("call_id", ""),
        verdict=row.get("verdict"),
        state=row.get("state"),
        code=row.get("code"),
        amount=some_dollars(next((amount for amount in amounts if amount is not None), None)),
        idempotency_key=row.get("idempotency_key"),
        key_id=row.get("key_id"),
        label=row.get("agent_run_label"),
        vendor=row.get("vendor"),
        method=row.get("method"),
        path=row.get("path"),
        context=row.get("context"),
        vendor_status=row.get("vendor_status"),
        vendor_object_id=row.get("vendor_object_id"),
        replay_of=row.get("replay_of"),
        at=some_instant(row.get("at")),
        row=row,
    )


def _figures(row: Mapping[str, Any]) -> Figures:
    return Figures(
        allowed=row["allowed"],
        replayed=row["replayed"],
        denied=row["denied"],
        capped=row["capped"],
        forbidden=row["forbidden"],
        in_doubt_calls=row["in_doubt_calls"],
        spent=Decimal(row["spent_usd"]),
        in_doubt=Decimal(row["in_doubt_usd"]),
        held=Decimal(row["held_usd"]),
        first_call_at=instant(row["first_call_at"]),
        last_call_at=instant(row["last_call_at"]),
    )


def _run_report(row: Mapping[str, Any]) -> RunReport:
    return RunReport(label=row["agent_run_label"], agent=row["agent"], figures=_figures(row))
