"""Idempotency keys that name a business operation.

A key must be the same for every retry, restart, replica and new submission of one operation, and
another one for any other operation. So it is a hash of what makes the operation this one: the
customer, the amount, the period. A random value, the time, a task id or a worker's name don't belong
in it: they differ when the same work is done again, and the customer pays twice.
"""

from __future__ import annotations

import hashlib
from datetime import date, datetime
from decimal import Decimal
from typing import TypeAlias

Parameter: TypeAlias = str | int | Decimal | date
"""What a business parameter can be. Not a float: it has no one way to be written."""

# 128 bits. At Stripe a key may have 255 characters.
_LENGTH = 32


def idempotency_key(**business_parameters: Parameter) -> str:
    """A key for the operation with these parameters: 32 hexadecimal digits.

    The order of the arguments does not matter. Each counts by its name and its text: `2999` is
    `"2999"`, `Decimal("1.50")` is `"1.5"`, `True` is `"true"`, a date is `"2026-06-01"`. So the key is the
    same in every process and version of Python, and in Keybrake's client for Rust. Give each kind of
    operation a parameter that says which it is (`context="subscription"`), so that two kinds with the
    same customer, amount and period don't share a key.

    Raises:
        TypeError: for a value that can be written in more than one way, such as a float, an instant, or
            a list.
        ValueError: without parameters: all operations would have this key.
    """
    if not business_parameters:
        raise ValueError("name what makes this operation another one than the next")
    hashed = hashlib.sha256()
    for name, value in sorted(business_parameters.items()):
        for text in (name, _text(name, value)):
            # With its length, so that no two lists of texts are the same bytes.
            encoded = text.encode()
            hashed.update(b"%d:%b," % (len(encoded), encoded))
    return hashed.hexdigest()[:_LENGTH]


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
    raw = f"{customer_id}:{amount_cents}:{billing_period}:{context}"
    return hashlib.sha256(raw.encode()).hexdigest()[:_LENGTH]


def _text(name: str, value: object) -> str:
    """A value in the one way in which it is written."""
    if isinstance(value, str):
        # Also of a subclass, such as an enum's member.
        return str.__str__(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, Decimal) and value.is_finite():
        # 10.0 and 10.00 are one amount, and so are 0 and -0.
        return format((value + 0).normalize(), "f")
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(
        f"{name} is a {type(value).__name__}, which can be written in more than one way:"
        " pass a str, an int, a Decimal or a date"
    )
