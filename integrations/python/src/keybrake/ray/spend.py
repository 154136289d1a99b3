"""What one call of a task, an actor, a request or a row may cost, and by what it is known."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from .._wire import Policy
from ..idempotency import idempotency_key
from ..money import Amount, with_margin

Call = Mapping[str, Any]
"""A call's arguments by name; a request's body; a row."""


@dataclass(frozen=True)
class Spend:
    """What one call may cost and do, written once beside the code that charges.

    It reads a call's arguments by their names, whichever way they were passed.
    """

    amount: Callable[[Call], Amount]
    """The dollars that the call is expected to move: `lambda call: cents(call["amount_cents"])`.

    From what the *caller* knows, before the code that charges has a say: a bug there then meets a cap
    that does not share it."""
    business: Sequence[str] | Callable[[Call], str]
    """The names of what makes two calls the same operation, such as `("customer_id", "period")`; or a
    function that makes the idempotency key. Everything that makes another operation must be in it."""
    context: str
    """What kind of operation it is, such as `subscription`: part of the idempotency key. Never change
    it while work may be retried."""
    endpoints: Sequence[str]
    """What the key may call, such as `POST /v1/charges`."""
    label: str | None = None
    """The run that the keys are for. Under a parent, the parent's label by default."""
    vendor: str = "stripe"
    margin: Amount = "0.10"
    """How much more than the amount the cap is, as a fraction of it. Rounded up to the cent."""
    expires_in: str = "1h"
    """How long a key lives. It should outlast the retries: a worker refreshes it where it can."""
    policy: Policy | None = None
    """What else an issue request takes, such as `{"max_calls": 3}`."""

    def cap(self, call: Call) -> Decimal:
        """What the call's key may spend: the expected amount and the margin, in dollars."""
        return with_margin(_asked(self.amount, call), self.margin)

    def idempotency_key(self, call: Call) -> str:
        """The same for every retry, replica and new submission of the same operation.

        Raises:
            TypeError: where the call lacks one of the `business` names, or its value can be written in
                more than one way, such as a float.
        """
        if callable(self.business):
            named: str = _asked(self.business, call)
            return named
        missing = [name for name in self.business if name not in call]
        if missing:
            raise TypeError(f"the call has no {', '.join(missing)}, which makes it this operation")
        operation = {name: call[name] for name in self.business}
        if not operation or "context" in operation:
            raise ValueError(
                "business names what makes calls differ, and not context, which stands beside it"
            )
        return idempotency_key(context=self.context, **operation)


def _asked(function: Callable[[Call], Any], call: Call) -> Any:
    try:
        return function(call)
    except KeyError as error:
        raise TypeError(f"the call has no {error.args[0]}") from None


class Arguments:
    """A function's arguments by name, without the first ones, which are not the caller's."""

    def __init__(self, function: Callable[..., Any], skip: int) -> None:
        """`skip` is 1 for a function that is given a lease, 2 for a method."""
        signature = inspect.signature(function)
        ours = list(signature.parameters.values())
        if len(ours) < skip or any(one.kind is not one.POSITIONAL_OR_KEYWORD for one in ours[:skip]):
            raise TypeError(f"{function.__qualname__} needs a first parameter for its lease")
        self._signature = signature.replace(parameters=ours[skip:])

    def of(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        """The arguments by name, with those that have a default.

        Raises:
            TypeError: where they do not fit the function. Nothing was issued or submitted.
        """
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = dict(bound.arguments)
        for name, one in self._signature.parameters.items():
            if one.kind is one.VAR_KEYWORD:
                named.update(named.pop(name))
        return named
