"""The pre-flight look, with a key that can do nothing else."""

from __future__ import annotations

from . import _settings
from .client import Keybrake
from .keys import Charge, VaultKey


def already_charged(
    idempotency_key: str,
    *,
    vendor: str = "stripe",
    audit_key: VaultKey | str | None = None,
    url: str | None = None,
) -> Charge | None:
    """What a call under this idempotency key has charged, or `None` where it charged nothing.

    For work that is resumed from a checkpoint before the charge: look first, and record the charge that
    is there already. It needs no right to spend: `audit_key` is a vault key of the scope `audit` (or its
    token, or an `auditor`'s API key); by default `KEYBRAKE_AUDIT_KEY`.

    The look alone makes no charge single: two workers that look at the same time both see nothing. The
    idempotency key does that, so pass the same one to the call that follows.

    Raises:
        OutcomeUnknown: where such a call is on its way or in doubt. It is never `None` then, since it
            may have been charged. Repeat the call itself, with the same idempotency key.
        ValueError: for a handle: a name can't read.
    """
    given = audit_key.token if isinstance(audit_key, VaultKey) else audit_key
    if isinstance(audit_key, VaultKey) and given is None:
        raise ValueError(f"{audit_key.key_id} came without its token, and a name alone can't read audit rows")
    with Keybrake(url, _settings.audit_key(given)) as client:
        return client.already_charged(idempotency_key, vendor=vendor)
