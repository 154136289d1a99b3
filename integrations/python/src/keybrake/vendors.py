"""The vendors' own clients, pointed at the proxy. One is made for each call, and none is global.

A client that is shared spends every caller's money from one key, and a module's `api_key` that one
coroutine sets is the one that another coroutine then charges with. A client of these functions holds
its key by itself, costs next to nothing to make, and keeps no connection open.

What they change of the vendor's SDK:

- a refusal by the proxy is raised as a `KeybrakeError` (see `errors.py`); the vendor's own errors stay
  the SDK's;
- a lost answer of a write is an `OutcomeUnknown`, and `Unavailable` where nothing was sent;
- a key without a token (a *handle*) is spent with a `caller`'s API key, from `KEYBRAKE_CALLER_API_KEY`, so
  that no credential stands in a task's arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import _settings
from .keys import VaultKey

if TYPE_CHECKING:
    import stripe

    from ._vendors.resend import ResendClient

TIMEOUT = 80.0
"""Seconds for one try. The proxy waits 60 for the vendor, and up to 5 for money that others hold."""


@dataclass(frozen=True)
class Spending:
    """How a call is made as a vault key: where to, with which credential, naming which key."""

    base_url: str
    credential: str = field(repr=False)
    headers: Mapping[str, str]


def stripe_client(
    vault_key: VaultKey | str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    context: str | None = None,
    max_network_retries: int = 2,
    require_idempotency_key: bool = False,
    timeout: float = TIMEOUT,
) -> stripe.StripeClient:
    """stripe-python's client for calls with this vault key. It serves `async` methods as well.

    Give every write an idempotency key: `create({…}, {"idempotency_key": key})`. Without one
    stripe-python makes a random one, and a task that is run again charges again.

    Args:
        vault_key: a `VaultKey`, a token, or a `key_id` (a handle).
        base_url: by default the key's own, or else what `KEYBRAKE_URL` says.
        api_key: for a handle, the `caller`'s API key; by default `KEYBRAKE_CALLER_API_KEY`.
        context: goes into the audit row and not to Stripe, such as `step=charge,attempt=2`.
        max_network_retries: how often the SDK itself repeats a lost or busy request, with the same
            idempotency key.
        require_idempotency_key: whether a write without one is refused and not sent. A key that is
            written as a UUID, as the SDK's own random ones are, counts as none.
        timeout: seconds that one try may take.
    """
    from ._vendors.stripe import client

    spending = spending_of(vault_key, "stripe", base_url, api_key, context)
    return client(spending, max_network_retries, timeout, require_idempotency_key)


def twilio_client(
    vault_key: VaultKey | str,
    *,
    idempotency_key: str | None,
    account_sid: str = "AC" + "0" * 32,
    base_url: str | None = None,
    api_key: str | None = None,
    context: str | None = None,
    timeout: float = TIMEOUT,
) -> Any:
    """twilio-python's `Client` for one call with this vault key: messages, calls, Verify, Lookups.

    Twilio knows no idempotency keys, the proxy does: `idempotency_key` goes to the proxy with each
    request of this client. So it is for one write; another one is refused. Pass `None` to read.

    Args:
        vault_key: a `VaultKey`, a token, or a `key_id` (a handle).
        idempotency_key: names the operation, the same for each retry.
        account_sid: zeros stand for the account that the proxy's secret is for.
        base_url: by default the key's own, or else what `KEYBRAKE_URL` says.
        api_key: for a handle, the `caller`'s API key; by default `KEYBRAKE_CALLER_API_KEY`.
        context: goes into the audit row and not to Twilio.
        timeout: seconds that the request may take.
    """
    from ._vendors.twilio import client

    spending = spending_of(vault_key, "twilio", base_url, api_key, context)
    return client(spending, account_sid, idempotency_key, timeout)


def resend_client(
    vault_key: VaultKey | str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    context: str | None = None,
    timeout: float = TIMEOUT,
) -> ResendClient:
    """A client of resend-python's requests with this vault key: `emails` and `batch`.

    resend-python itself keeps its key in the module; this one reads nothing from there. Give every
    mail an idempotency key: `emails.send({…}, {"idempotency_key": key})`.

    Args:
        vault_key: a `VaultKey`, a token, or a `key_id` (a handle).
        base_url: by default the key's own, or else what `KEYBRAKE_URL` says.
        api_key: for a handle, the `caller`'s API key; by default `KEYBRAKE_CALLER_API_KEY`.
        context: goes into the audit row and not to Resend.
        timeout: seconds that a request may take.
    """
    from ._vendors.resend import ResendClient

    return ResendClient(spending_of(vault_key, "resend", base_url, api_key, context), timeout)


def spending_of(
    vault_key: VaultKey | str,
    vendor: str,
    base_url: str | None,
    api_key: str | None,
    context: str | None,
) -> Spending:
    """How calls to this vendor are made as this key.

    Raises:
        ValueError: for another vendor's key, or a text that is neither a token nor a `key_id`. It is
            not repeated: it could be a credential.
        NotConfigured: where nothing says with which API key a handle is spent.
    """
    token, name = _parts(vault_key)
    if isinstance(vault_key, VaultKey):
        if vault_key.vendor != vendor:
            found = vault_key.vendor or "auditing"
            raise ValueError(f"{vault_key.key_id} is a key for {found}, not for {vendor}")
        base_url = base_url or vault_key.base_url
    address = (base_url or f"{_settings.url()}/{vendor}").rstrip("/")
    headers = {} if context is None else {"X-Keybrake-Context": context}
    if token is not None:
        return Spending(address, token, headers)
    return Spending(address, _settings.caller_key(api_key), {**headers, "X-Keybrake-Key-Id": name})


def _parts(vault_key: VaultKey | str) -> tuple[str | None, str]:
    """The token, where there is one, and the name."""
    if isinstance(vault_key, VaultKey):
        return vault_key.token, vault_key.key_id
    if vault_key.startswith("vault_key_"):
        return vault_key, ""
    if vault_key.startswith("vk_"):
        return None, vault_key
    raise ValueError("a vault key is a VaultKey, a token (vault_key_…) or a name (vk_…)")
