"""stripe-python on the proxy, by an HTTP client of ours below its own retries.

The SDK decides what it repeats, and repeats it with the same idempotency key. Only what is left after
that is sorted here, so that a lost answer which a repetition brings back is no error at all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any, NoReturn

import httpx
import stripe

from .. import _http
from ..errors import CallRefused
from ..vendors import Spending

_Answer = tuple[bytes, int, Mapping[str, str]]


# What the SDK puts where a caller gave no idempotency key: 16 random bytes, written as a UUID.
_RANDOM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def client(
    spending: Spending, max_network_retries: int, timeout: float, require_idempotency_key: bool
) -> stripe.StripeClient:
    """A client for one call, or for those of one key."""
    # All of them: to an address of Stripe's own the SDK would send our credential.
    proxy = spending.base_url
    return stripe.StripeClient(
        spending.credential,
        base_addresses={"api": proxy, "connect": proxy, "files": proxy, "meter_events": proxy},
        max_network_retries=max_network_retries,
        http_client=_ProxyHttp(spending.headers, timeout, require_idempotency_key),
    )


class _Lost(stripe.APIConnectionError):
    """A request without an answer, in the class that the SDK's retries look for."""

    def __init__(self, why: httpx.HTTPError, changes: bool) -> None:
        super().__init__("no answer from the proxy", should_retry=True)  # type: ignore[no-untyped-call]
        self.why = why
        self.changes = changes

    def sort(self) -> NoReturn:
        raise _http.lost(self.why, changes=self.changes) from None


class _ProxyHttp(stripe.HTTPClient):
    name = "keybrake"

    def __init__(self, headers: Mapping[str, str], timeout: float, require_idempotency_key: bool) -> None:
        super().__init__()
        self._more = dict(headers)
        self._timeout = timeout
        self._refuses_random = require_idempotency_key

    def request_with_retries(self, *args: Any, **kwargs: Any) -> Any:
        """The SDK's retries, and then what is left of them as an error of ours."""
        try:
            answer: Any = super().request_with_retries(*args, **kwargs)
        except _Lost as lost:
            lost.sort()
        return _passed(answer)

    async def request_with_retries_async(self, *args: Any, **kwargs: Any) -> Any:
        """The same for the SDK's `async` methods."""
        try:
            answer: Any = await super().request_with_retries_async(*args, **kwargs)
        except _Lost as lost:
            lost.sort()
        return _passed(answer)

    def request_stream_with_retries(self, *args: Any, **kwargs: Any) -> Any:
        """What Stripe streams are documents of a few pages, so they are read whole."""
        content, status, headers = self.request_with_retries(*args, **kwargs)
        return iter([content]), status, headers

    async def request_stream_with_retries_async(self, *args: Any, **kwargs: Any) -> Any:
        """The same for the SDK's `async` methods."""
        content, status, headers = await self.request_with_retries_async(*args, **kwargs)

        async def whole() -> AsyncIterator[bytes]:
            yield content

        return whole(), status, headers

    def request(  # type: ignore[override]
        self, method: str, url: str, headers: Mapping[str, str] | None, post_data: Any = None
    ) -> _Answer:
        """One try."""
        try:
            with httpx.Client(timeout=self._timeout, verify=_http.trust()) as http:
                answer = http.request(method, url, headers=self._all(headers), content=post_data)
        except httpx.HTTPError as error:
            raise _Lost(error, _changes(method)) from None
        return answer.content, answer.status_code, answer.headers

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> _Answer:
        """One try."""
        try:
            async with httpx.AsyncClient(timeout=self._timeout, verify=_http.trust()) as http:
                answer = await http.request(method, url, headers=self._all(headers), content=post_data)
        except httpx.HTTPError as error:
            raise _Lost(error, _changes(method)) from None
        return answer.content, answer.status_code, answer.headers

    def sleep_async(self, secs: float) -> Awaitable[None]:
        """Between two tries of an `async` method."""
        return asyncio.sleep(secs)

    def close(self) -> None:
        """Nothing is open between two requests."""

    async def close_async(self) -> None:
        """Nothing is open between two requests."""

    def _all(self, headers: Mapping[str, str] | None) -> dict[str, str]:
        given = dict(headers or {})
        if self._refuses_random and _RANDOM.fullmatch(given.get("Idempotency-Key", "")):
            raise CallRefused(
                "the write has no idempotency key but a random one, and a retry would be another charge:"
                ' nothing was sent. Pass {"idempotency_key": …} as its options',
                code="idempotency_key_required",
                terminal=True,
            )
        return {**given, **self._more}


def _changes(method: str) -> bool:
    return method.upper() not in ("GET", "HEAD")


def _passed(answer: _Answer) -> _Answer:
    """A vendor's answer, as it is; a refusal is raised."""
    content, status, headers = answer
    refused = _http.refused(status, headers, content)
    if refused is not None:
        raise refused
    return answer
