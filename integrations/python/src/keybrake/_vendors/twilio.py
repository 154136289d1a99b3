"""twilio-python on the proxy, by an HTTP client of ours.

Twilio never repeats a request, and neither does this: a call in doubt is looked up by the proxy.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import httpx
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from .. import _http
from ..vendors import Spending

_LOG = logging.getLogger("keybrake.twilio")


def client(spending: Spending, account_sid: str, idempotency_key: str | None, timeout: float) -> Client:
    """A client for one call. Each of Twilio's products has an address of its own."""
    more = dict(spending.headers)
    if idempotency_key is not None:
        more["Idempotency-Key"] = idempotency_key
    made = Client(account_sid, spending.credential, http_client=_ProxyHttp(more, timeout))
    for product in (made.api, made.verify, made.lookups):
        product.base_url = spending.base_url
    return made


class _ProxyHttp(HttpClient):  # type: ignore[misc]
    def __init__(self, headers: Mapping[str, str], timeout: float) -> None:
        super().__init__(_LOG, False, timeout)
        self._more = dict(headers)

    def request(
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """One request. A refusal is raised; Twilio's own errors are the SDK's to raise."""
        sent: dict[str, Any] = {"params": params, "headers": {**(headers or {}), **self._more}, "auth": auth}
        is_json = "json" in (headers or {}).get("Content-Type", "")
        sent["json" if is_json else "data"] = data or None
        try:
            with httpx.Client(timeout=timeout or self.timeout, verify=_http.trust()) as http:
                answer = http.request(method, uri, **sent)
        except httpx.HTTPError as error:
            raise _http.lost(error, changes=method.upper() != "GET") from None
        refused = _http.refused(answer.status_code, answer.headers, answer.content)
        if refused is not None:
            raise refused
        return Response(answer.status_code, answer.text, answer.headers)
