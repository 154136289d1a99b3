"""Dollars: exact, never a float, and rounded up where they must be rounded.

A cap that was computed with floats can be a cent lower than the charge that it is for, or a cent
higher than what somebody agreed to. So a float is refused here with a `TypeError`, never converted.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import TypeAlias

Amount: TypeAlias = Decimal | int | str
"""Dollars as a caller gives them: `Decimal("10.99")`, `"10.99"` or `11`."""

_CENT = Decimal("0.01")
_PLAIN = re.compile(r"[0-9]{1,12}(\.[0-9]+)?")
# The proxy counts in millionths of a dollar.
_MOST_DECIMALS = 6


def dollars(amount: Amount) -> Decimal:
    """Read an amount of dollars exactly.

    Raises:
        TypeError: for a float (or anything else that is not an `Amount`): it is not exact.
        ValueError: for what is no number, is negative, or has more than six decimals.
    """
    if isinstance(amount, bool) or not isinstance(amount, (Decimal, int, str)):
        raise TypeError(
            f"an amount is a Decimal, an int or a str such as '10.99', not a {type(amount).__name__}"
        )
    if isinstance(amount, str) and not _PLAIN.fullmatch(amount):
        raise ValueError("an amount is a plain number of dollars, such as '10.99'")
    read = Decimal(amount)
    if not read.is_finite() or not 0 <= read < 10**12:
        raise ValueError("an amount is a number of dollars, from nothing to less than 10^12")
    if (read * 10**_MOST_DECIMALS) % 1:
        raise ValueError("an amount has at most six decimals")
    return read


def cents(minor: int) -> Decimal:
    """Dollars of a number of cents, as Stripe counts: `cents(2999)` is `Decimal("29.99")`.

    Raises:
        TypeError: for what is no int.
        ValueError: for a negative number.
    """
    if isinstance(minor, bool) or not isinstance(minor, int):
        raise TypeError(f"cents are an int, not a {type(minor).__name__}")
    return dollars(Decimal(minor) * _CENT)


def with_margin(expected: Amount, margin: Amount) -> Decimal:
    """A cap for an expected amount: so much more of it, `"0.10"` for a tenth, up to the next cent."""
    return (dollars(expected) * (1 + dollars(margin))).quantize(_CENT, rounding=ROUND_CEILING)


def as_text(amount: Amount) -> str:
    """An amount as the proxy reads it: plain digits, never an exponent."""
    return format(dollars(amount), "f")
