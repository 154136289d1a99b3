from decimal import Decimal
from typing import Any

import pytest

from keybrake import cents, dollars, with_margin
from keybrake.money import as_text


@pytest.mark.parametrize(
    ("given", "read"),
    [("10.99", "10.99"), (11, "11"), (Decimal("0.000001"), "0.000001"), ("1.1000000", "1.1"), (0, "0")],
)
def test_an_amount_is_read_exactly(given: Any, read: str) -> None:
    assert dollars(given) == Decimal(read)


@pytest.mark.parametrize("given", [10.99, True, None, b"1", float("nan")])
def test_what_is_not_exact_is_no_amount(given: Any) -> None:
    with pytest.raises(TypeError, match="Decimal"):
        dollars(given)


@pytest.mark.parametrize(
    "given", ["-1", "1e3", " 1", "1_0", "NaN", "", "1,5", "0.0000001", Decimal("-1"), Decimal("inf"), 10**12]
)
def test_what_is_no_plain_amount_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match="amount"):
        dollars(given)


def test_an_amount_is_written_without_an_exponent() -> None:
    assert as_text(Decimal("1E+2")) == "100"
    assert as_text(Decimal("0.000001")) == "0.000001"


def test_a_margin_is_rounded_up_to_the_cent() -> None:
    assert with_margin("29.99", "0.10") == Decimal("32.99")
    assert with_margin("0.0079", "0.10") == Decimal("0.01")
    assert with_margin(10, 0) == Decimal("10.00")


def test_cents_are_whole() -> None:
    assert cents(2999) == Decimal("29.99")
    for wrong in (29.99, True, "2999"):
        with pytest.raises(TypeError):
            cents(wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="amount"):
        cents(-1)
