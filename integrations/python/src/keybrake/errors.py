"""What can go wrong, sorted by what a caller has to do about it.

| error | was anything charged? | what to do |
| --- | --- | --- |
| `CapExhausted`, `KeyExpired`, `KeyRevoked`, `CallRefused` | no, not by this attempt | don't repeat it |
| `Unavailable` | no, not by this attempt | repeat it with the same idempotency key |
| `OutcomeUnknown` | perhaps | repeat it with the same idempotency key, never with a new one |

The proxy answers a repetition with the first call's outcome, so repeating under the same key is never
a second charge. A vendor's own errors (a declined card, a wrong parameter) are none of these: they
pass through as the vendor's SDK raises them.

All attributes are set per instance, and none is a credential, so that an error crosses processes
whole: Ray raises a class made of its own error and ours, whose attributes are looked up in ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class KeybrakeError(Exception):
    """A refusal by the proxy, or no answer from it.

    Attributes:
        message: what happened, for a person.
        code: the proxy's word for it, such as `cap_exhausted`.
        terminal: whether the same request can't succeed later.
        status: the HTTP status; `None` where there was no answer.
        call_id: the call's audit row, where it has one.
        retry_after: seconds to wait before a repetition, where the proxy said so.
        details: what else it said: the cap, what is spent, the endpoint.
    """

    message: str
    code: str
    terminal: bool
    status: int | None
    call_id: str | None
    retry_after: float | None
    details: Mapping[str, Any]

    def __init__(
        self,
        message: str,
        *,
        code: str,
        terminal: bool,
        status: int | None = None,
        call_id: str | None = None,
        retry_after: float | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """See the class."""
        super().__init__(message)
        self.message = message
        self.code = code
        self.terminal = terminal
        self.status = status
        self.call_id = call_id
        self.retry_after = retry_after
        self.details = dict(details or {})

    def __str__(self) -> str:
        """The message, the code and the call: enough to look it up."""
        call = f", {self.call_id}" if self.call_id else ""
        return f"{self.message} ({self.code}{call})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles whole. By default an exception would come back with its first argument alone."""
        return _rebuilt, (type(self), self.message, self._rest())

    def _rest(self) -> dict[str, Any]:
        return {
            "code": self.code,
            "terminal": self.terminal,
            "status": self.status,
            "call_id": self.call_id,
            "retry_after": self.retry_after,
            "details": dict(self.details),
        }


def _rebuilt(kind: type[KeybrakeError], message: str, rest: dict[str, Any]) -> KeybrakeError:
    return kind(message, **rest)


class CallRefused(KeybrakeError):
    """The policy or the request forbids it: nothing was sent, and repeating it does not help."""


class CapExhausted(CallRefused):
    """What is spent leaves no room for this call: nothing was sent.

    `details` has `cap_usd`, `spent_usd` and `asked_usd` as text, and `resets_at` for a daily cap.
    """


class KeyExpired(CallRefused):
    """The vault key's time is over: nothing was sent. Refresh it: the budget stays the same."""


class KeyRevoked(CallRefused):
    """The run was stopped: nothing was sent, and nothing will be. End the run."""

    @property
    def prior(self) -> Mapping[str, Any] | None:
        """What the same call did before the stop, if it was made.

        Its `call_id`, `state`, `amount_usd` and `vendor_object_id`. For a charge that happened to be
        recorded although the run is over.
        """
        prior = self.details.get("prior")
        return prior if isinstance(prior, Mapping) else None


class Unavailable(KeybrakeError):
    """Nothing of this attempt was sent: repeat it with the same idempotency key.

    The proxy was not there, its ledger was busy, calls in flight hold the rest of the cap, or the
    vendor could not be reached.
    """


class OutcomeUnknown(KeybrakeError):
    """The call may have been executed: repeat it with the same idempotency key, never with a new one.

    It counts as spent until the repetition, the proxy's own look-up or an operator finds out.
    """


RETRYABLE: list[type[BaseException]] = [Unavailable, OutcomeUnknown, ConnectionError, TimeoutError]
"""What helps to repeat: pass it to Ray as `retry_exceptions`.

With an idempotency key that a retry repeats. Terminal refusals and mistakes in the code are not in it.
"""

_KINDS: Mapping[str, type[KeybrakeError]] = {
    "cap_exhausted": CapExhausted,
    "key_expired": KeyExpired,
    "key_revoked": KeyRevoked,
    "run_revoked": KeyRevoked,
    "outcome_unknown": OutcomeUnknown,
    # A twin is on its way: nobody knows yet how it ends.
    "call_in_progress": OutcomeUnknown,
}


def refusal(status: int, retry_after: float | None, body: Mapping[str, Any]) -> KeybrakeError | None:
    """The error for a refusal's body; `None` for an answer that is a vendor's own."""
    said = body.get("keybrake")
    if not isinstance(said, Mapping) or not isinstance(said.get("code"), str):
        return None
    code: str = said["code"]
    terminal = said.get("terminal") is not False
    kind = _KINDS.get(code, CallRefused if terminal else Unavailable)
    call_id = said.get("call_id")
    known = ("code", "terminal", "call_id")
    return kind(
        str(body.get("message") or code),
        code=code,
        terminal=terminal,
        status=status,
        call_id=call_id if isinstance(call_id, str) else None,
        retry_after=retry_after,
        details={name: value for name, value in said.items() if name not in known},
    )
