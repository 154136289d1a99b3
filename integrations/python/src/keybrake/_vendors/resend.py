"""resend-python on the proxy, without its module-wide key and address.

Its functions read `resend.api_key` when they are called, so two runs in one process would share a key.
Here its request is given its own: what is sent, how answers are read and which errors are raised is the
SDK's; where it goes and with which key is ours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import resend
from resend.request import Request
from resend.version import get_version

from .. import _http
from ..vendors import Spending


class _ProxyRequest(Request[Any]):
    """A request of the SDK's with a key of its own."""

    def __init__(
        self, spending: Spending, timeout: float, path: str, verb: Any, params: Any, options: Any
    ) -> None:
        super().__init__(path=path, params=params, verb=verb, options=options)
        self._spending = spending
        self._timeout = timeout

    def make_request(self, url: str) -> dict[str, Any] | list[Any]:
        """Sends it to the proxy: the SDK's `url` is made of the module's address, and not looked at."""
        headers = {
            "Accept": "application/json",
            "Authorization": f"Bearer {self._spending.credential}",
            "User-Agent": f"resend-python:{get_version()}",
            **self._spending.headers,
        }
        for option, header in (
            ("idempotency_key", "Idempotency-Key"),
            ("batch_validation", "x-batch-validation"),
        ):
            if self.options and option in self.options:
                headers[header] = str(self.options[option])
        body = None if self.verb == "get" else self.params
        try:
            with httpx.Client(timeout=self._timeout, verify=_http.trust()) as http:
                answer = http.request(
                    self.verb, f"{self._spending.base_url}{self.path}", headers=headers, json=body
                )
        except httpx.HTTPError as error:
            raise _http.lost(error, changes=self.verb != "get") from None
        refused = _http.refused(answer.status_code, answer.headers, answer.content)
        if refused is not None:
            raise refused
        self._response_headers = dict(answer.headers)
        self._response_status_code = answer.status_code
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> dict[str, Any] | list[Any]:
        try:
            read: dict[str, Any] | list[Any] = json.loads(answer.content)
        except ValueError:
            # As the SDK has it: the status is all that can be trusted.
            read = {
                "statusCode": max(answer.status_code, 500),
                "message": "no JSON",
                "name": "application_error",
            }
        if isinstance(read, dict):
            read["http_headers"] = dict(answer.headers)
        return read


class ResendClient:
    """Resend's mails with one vault key, with the parameters, answers and errors of resend-python."""

    def __init__(self, spending: Spending, timeout: float) -> None:
        """See `keybrake.resend_client`."""
        self._spending = spending
        self._timeout = timeout
        self.emails = _Emails(self)
        self.batch = _Batch(self)

    def request(
        self,
        verb: str,
        path: str,
        params: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Any request of Resend's API, such as `request("get", "/domains")`."""
        given: Any = dict(params or {}) if params is None or isinstance(params, Mapping) else list(params)
        made = _ProxyRequest(self._spending, self._timeout, path, verb, given, dict(options or {}))
        return made.perform_with_content()


class _Emails:
    def __init__(self, client: ResendClient) -> None:
        self._client = client

    def send(
        self, params: resend.Emails.SendParams, options: resend.Emails.SendOptions | None = None
    ) -> resend.Emails.SendResponse:
        """Sends a mail. `options` has its `idempotency_key`."""
        sent: resend.Emails.SendResponse = self._client.request("post", "/emails", params, options)
        return sent

    def get(self, email_id: str) -> resend.Email:
        """Reads a mail."""
        read: resend.Email = self._client.request("get", f"/emails/{quote(email_id, safe='')}")
        return read

    def cancel(self, email_id: str, options: Mapping[str, Any] | None = None) -> Any:
        """Calls a scheduled mail off."""
        return self._client.request("post", f"/emails/{quote(email_id, safe='')}/cancel", {}, options)


class _Batch:
    def __init__(self, client: ResendClient) -> None:
        self._client = client

    def send(
        self, params: Sequence[resend.Emails.SendParams], options: Mapping[str, Any] | None = None
    ) -> resend.Batch.SendResponse:
        """Sends up to a hundred mails at once. `options` has their one `idempotency_key`."""
        sent: resend.Batch.SendResponse = self._client.request("post", "/emails/batch", list(params), options)
        return sent
