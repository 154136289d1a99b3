"""Keybrake for Python: vault keys with a dollar cap, and the vendors' own clients that spend them.

`client.py` and `aio.py` are the admin API, `keys.py` and `reports.py` what it answers, `vendors.py` the
clients that charge, `idempotency.py` the keys that make a charge single, `errors.py` what can go wrong.
`keybrake.ray` is for Ray, `keybrake.testing` for tests of your own.
"""

from ._audit_key import already_charged
from ._settings import NotConfigured
from ._wire import Policy, ReportFilters
from .aio import AsyncKeybrake
from .client import Keybrake
from .errors import (
    RETRYABLE,
    CallRefused,
    CapExhausted,
    KeybrakeError,
    KeyExpired,
    KeyRevoked,
    OutcomeUnknown,
    Unavailable,
)
from .idempotency import billing_idempotency_key, idempotency_key
from .keys import AuditedCall, Charge, KeyStatus, Revocation, VaultKey
from .money import Amount, cents, dollars, with_margin
from .reports import AgentReport, Anomaly, Figures, Reason, RunReport, VendorReport
from .vendors import resend_client, stripe_client, twilio_client

__all__ = [
    "RETRYABLE",
    "AgentReport",
    "Amount",
    "Anomaly",
    "AsyncKeybrake",
    "AuditedCall",
    "CallRefused",
    "CapExhausted",
    "Charge",
    "Figures",
    "KeyExpired",
    "KeyRevoked",
    "KeyStatus",
    "Keybrake",
    "KeybrakeError",
    "NotConfigured",
    "OutcomeUnknown",
    "Policy",
    "Reason",
    "ReportFilters",
    "Revocation",
    "RunReport",
    "Unavailable",
    "VaultKey",
    "VendorReport",
    "already_charged",
    "billing_idempotency_key",
    "cents",
    "dollars",
    "idempotency_key",
    "resend_client",
    "stripe_client",
    "twilio_client",
    "with_margin",
]
