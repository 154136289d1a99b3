"""What audit rows prove about a charge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from .errors import OutcomeUnknown
from .keys import AuditedCall, Charge


def filters(
    label: str | None,
    key_id: str | None,
    vendor: str | None,
    idempotency_key: str | None,
    vendor_object_id: str | None,
    *,
    state: str | None,
    verdict: str | None,
) -> Mapping[str, str | None]:
    """The query of a look-up, by the proxy's own names."""
    return {
        "agent_run_label": label,
        "key_id": key_id,
        "vendor": vendor,
        "idempotency_key": idempotency_key,
        "vendor_object_id": vendor_object_id,
        "state": state,
        "verdict": verdict,
    }


def charge_in(rows: Iterable[AuditedCall], idempotency_key: str) -> Charge | None:
    """The charge that these rows of one idempotency key tell of.

    Refusals and replays move no money, a released call moved none, and one that settled at nothing or
    as a decline charged nobody. A held call and one in doubt prove neither.

    Raises:
        OutcomeUnknown: where a row is held or in doubt.
    """
    found: Charge | None = None
    for row in rows:
        if row.state in ("held", "in_doubt"):
            raise OutcomeUnknown(
                "a call under this idempotency key is on its way or in doubt: it may have been charged."
                " Repeat the call itself with the same key, never with a new one",
                code="outcome_unknown",
                terminal=False,
                call_id=row.call_id or None,
                details={"state": row.state, "idempotency_key": idempotency_key},
            )
        declined = row.vendor_status is not None and row.vendor_status >= 400
        if row.state == "settled" and row.amount and not declined:
            found = Charge(row.amount, row.vendor_object_id, row.call_id or None)
    return found
