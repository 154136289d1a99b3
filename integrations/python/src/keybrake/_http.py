"""How the proxy is reached, and what its silence means. Shared by all clients here.

A lost connection is sorted by whether anything can have been sent: nothing was when the connection
was never there, and something may have been in every other case. That difference is the difference
between `Unavailable` and `OutcomeUnknown`, so it is decided in this one place.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import httpx

from .errors import CallRefused, KeybrakeError, OutcomeUnknown, Unavailable, refusal

# The connection was never there.
_NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@lru_cache(maxsize=1)
def trust() -> ssl.SSLContext:
    """The system's certificates, read once: a client is made for each call, and they take long."""
    return httpx.create_ssl_context()


def lost(error: httpx.HTTPError, *, changes: bool) -> KeybrakeError:
    """The error for a request without an answer. `changes`: whether it could have done something."""
    what = type(error).__name__
    if isinstance(error, _NOTHING_SENT):
        return Unavailable(
            f"the proxy could not be reached ({what}): nothing was sent. Repeat it with the same idempotency"
            " key once the proxy is there",
            code="proxy_unreachable",
            terminal=False,
        )
    if not changes:
        return Unavailable(
            f"the proxy did not answer a read ({what}): repeat it", code="no_answer", terminal=False
        )
    return OutcomeUnknown(
        f"the proxy's answer was lost ({what}): the request may have been carried out. Repeat it with the"
        " same idempotency key, never with a new one",
        code="no_answer",
        terminal=False,
    )


def refused(status: int, headers: Mapping[str, str], content: bytes) -> KeybrakeError | None:
    """The proxy's refusal, where an answer is one. A vendor's own answer is none."""
    if status < 400:
        return None
    return refusal(status, _seconds(headers.get("retry-after")), _object(content))


def admin_error(status: int, headers: Mapping[str, str], content: bytes) -> KeybrakeError:
    """The error for an answer of the admin API that is none of 2xx, also from a gateway before it."""
    found = refused(status, headers, content)
    if found is not None:
        return found
    if status >= 500:
        return OutcomeUnknown(
            f"{status} from something before the proxy: the request may have been carried out; repeat it",
            code="no_answer",
            terminal=False,
            status=status,
        )
    return CallRefused(
        f"{status} from something that is not the proxy: is KEYBRAKE_URL right?",
        code="unexpected_answer",
        terminal=True,
        status=status,
    )


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        read = json.loads(content)
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else max(0.0, float(text))
    except ValueError:
        return None
