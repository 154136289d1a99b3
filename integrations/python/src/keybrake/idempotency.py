"""Idempotency keys that name a business operation.

A key must be the same for every retry, restart, replica and new submission of one operation, and
another one for any other operation. So it is a hash of what makes the operation this one: the
customer, the amount, the period. A random value, the time, a task id or a worker's name don't belong
in it: they differ when the same work is done again, and the customer pays twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import TypeAlias

Parameter: TypeAlias = (
    "str | int | bool | Decimal | date | Sequence[Parameter] | Mapping[str, Parameter] | None"
)
"""What a business parameter can be. Not a float: it has no one way to be written."""

# 128 bits. At Stripe a key may have 255 characters.
_LENGTH = 32


def idempotency_key(**business_parameters: Parameter) -> str:
    """A key for the operation with these parameters: 32 hexadecimal digits.

    The order of the arguments does not matter; their names and types do: `amount=1` and
    `amount="1"` are two operations. The same in every process and Python version. Give each kind of
    operation a parameter that says which it is (`context="subscription"`), so that two kinds with the
    same customer, amount and period don't share a key.

    Raises:
        TypeError: for a value that can't be written in one way only, such as a float, a set, or an
            instant without a time zone.
        ValueError: without parameters: all operations would have this key.
    """
    if not business_parameters:
        raise ValueError("name what makes this operation another one than the next")
    plain = {name: _plain(name, value) for name, value in business_parameters.items()}
    return _hash(json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True))


def billing_idempotency_key(
    customer_id: str, amount_cents: int, billing_period: str, context: str = "ray-billing"
) -> str:
    """A key as services make it that hash `customer:amount:period:context` themselves.

    For keeping the keys of such a service; a new one is better off with `idempotency_key`, which
    takes any parameters.

    Raises:
        TypeError: where the amount is no int, or another part no str.
        ValueError: where the customer, period or context has a colon, since two operations could
            then have the same text.
    """
    if isinstance(amount_cents, bool) or not isinstance(amount_cents, int):
        raise TypeError(f"amount_cents is an int, not a {type(amount_cents).__name__}")
    parts = {"customer_id": customer_id, "billing_period": billing_period, "context": context}
    for name, part in parts.items():
        if not isinstance(part, str):
            raise TypeError(f"{name} is a str, not a {type(part).__name__}")
        if ":" in part:
            raise ValueError(f"{name} has a colon: use idempotency_key() for it")
    return _hash(f"{customer_id}:{amount_cents}:{billing_period}:{context}")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


def _plain(name: str, value: object) -> object:
    """A value in the one way in which JSON writes it, with its type where JSON has none for it."""
    if value is None or isinstance(value, (str, bool, int)):
        return _exact(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise TypeError(f"{name} is no number")
        # 10.0 and 10.00 are one amount.
        return {"decimal": format(value.normalize(), "f")}
    if isinstance(value, datetime):
        raise TypeError(f"{name} is an instant: pass the text or the date that the operation is known by")
    if isinstance(value, date):
        return {"date": value.isoformat()}
    if isinstance(value, Mapping):
        return {"map": {_name(name, key): _plain(f"{name}.{key}", item) for key, item in value.items()}}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [_plain(f"{name}[{index}]", item) for index, item in enumerate(value)]
    raise TypeError(
        f"{name} is a {type(value).__name__}, which can be written in more than one way:"
        " pass a str, an int, a Decimal, a date, or a list or mapping of those"
    )


def _exact(value: str | bool | int | None) -> object:
    """The builtin value of a subclass, such as an enum's member, so that both give one key."""
    if value is None or isinstance(value, bool):
        return value
    return str.__str__(value) if isinstance(value, str) else int(value)


def _name(within: str, key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{within} has a name that is a {type(key).__name__}, not a str")
    return key
