import enum
import hashlib
import subprocess
import sys
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from keybrake import billing_idempotency_key, idempotency_key


class Plan(str, enum.Enum):
    BASIC = "basic"


def test_the_pages_own_form_gives_the_pages_own_keys() -> None:
    raw = "cus_abc123:2999:2026-06:ray-billing"
    written = hashlib.sha256(raw.encode()).hexdigest()[:32]
    assert billing_idempotency_key("cus_abc123", 2999, "2026-06") == written
    assert billing_idempotency_key("cus_abc123", 2999, "2026-06", "ray-serve-billing") != written


# Written down, so that no change of this code and no version of Python can change a key unseen. The client
# for Rust makes the same of the same texts.
def test_a_key_never_changes() -> None:
    written = hashlib.sha256(
        b"6:amount,4:2999,8:customer,7:cus_\xc3\xa91,3:fee,3:1.5,6:period,10:2026-06-01,"
    )
    key = idempotency_key(customer="cus_é1", amount=2999, period=date(2026, 6, 1), fee=Decimal("1.50"))
    assert key == written.hexdigest()[:32]
    assert idempotency_key(a="1", b="2") == "e21b93e6836ea9c08b193ded1be75b80"


def test_another_process_makes_the_same_key() -> None:
    asked = "import keybrake; print(keybrake.idempotency_key(b=1, a='x', c=True))"
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", asked],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == idempotency_key(c=True, a="x", b=1)


def test_what_is_the_same_operation_has_the_same_key() -> None:
    assert idempotency_key(plan=Plan.BASIC) == idempotency_key(plan="basic")
    assert idempotency_key(fee=Decimal("1.50")) == idempotency_key(fee=Decimal("1.5"))
    assert idempotency_key(fee=Decimal("-0")) == idempotency_key(fee=Decimal("0.00"))
    assert idempotency_key(fee=Decimal("1E+2")) == idempotency_key(fee=100) == idempotency_key(fee="100")


def test_another_operation_has_another_key() -> None:
    keys = [
        idempotency_key(a="1"),
        idempotency_key(a="2"),
        idempotency_key(a=-1),
        idempotency_key(a=True),
        idempotency_key(a=""),
        idempotency_key(b="1"),
        idempotency_key(a="1", b="1"),
        idempotency_key(a="1,1:b,1:1"),
        idempotency_key(ab="c"),
        idempotency_key(a="bc"),
        idempotency_key(a=date(2026, 1, 1)),
        idempotency_key(a="é"),
        idempotency_key(a="e\u0301"),
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


@pytest.mark.parametrize(
    "value", [1.5, {1}, b"x", object(), datetime(2026, 1, 1), Decimal("nan"), ["a"], None]
)
def test_what_can_be_written_in_two_ways_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="more than one way"):
        idempotency_key(a=value)


def test_a_key_for_everything_is_refused() -> None:
    with pytest.raises(ValueError, match="name what makes"):
        idempotency_key()


def test_the_pages_form_refuses_what_could_be_two_operations() -> None:
    with pytest.raises(ValueError, match="customer_id has a colon"):
        billing_idempotency_key("cus:1", 1, "2026")
    with pytest.raises(TypeError):
        billing_idempotency_key("cus", 29.99, "2026")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        billing_idempotency_key("cus", 1, date(2026, 1, 1))  # type: ignore[arg-type]
