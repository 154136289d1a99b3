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


# Written down, so that no change of this code and no version of Python can change a key unseen.
def test_a_key_never_changes() -> None:
    key = idempotency_key(
        customer="cus_é", amount=2999, period=date(2026, 6, 1), fee=Decimal("1.50"), lines=["a", {"b": None}]
    )
    assert key == "ee6b5ce6d3ab82202d955c9770723e12"


def test_another_process_makes_the_same_key() -> None:
    asked = "import keybrake; print(keybrake.idempotency_key(b=1, a='x', c={'z': 1, 'y': True}))"
    for seed in ("1", "2"):
        said = subprocess.run(
            [sys.executable, "-c", asked],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert said.stdout.strip() == idempotency_key(c={"y": True, "z": 1}, a="x", b=1)


def test_what_is_the_same_operation_has_the_same_key() -> None:
    assert idempotency_key(plan=Plan.BASIC) == idempotency_key(plan="basic")
    assert idempotency_key(fee=Decimal("1.50")) == idempotency_key(fee=Decimal("1.5"))
    assert idempotency_key(lines=(1, 2)) == idempotency_key(lines=[1, 2])


def test_another_operation_has_another_key() -> None:
    keys = [
        idempotency_key(a="1"),
        idempotency_key(a=1),
        idempotency_key(a=True),
        idempotency_key(a=Decimal(1)),
        idempotency_key(a=None),
        idempotency_key(a="None"),
        idempotency_key(b="1"),
        idempotency_key(a="1", b="1"),
        idempotency_key(a=["1"]),
        idempotency_key(a={"1": "1"}),
        idempotency_key(a={"decimal": "1"}),
        idempotency_key(a={"map": {"1": "1"}}),
        idempotency_key(a=date(2026, 1, 1)),
        idempotency_key(a="2026-01-01"),
        idempotency_key(a="é"),
        idempotency_key(a="e\u0301"),
    ]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


@pytest.mark.parametrize(
    "value", [1.5, {1}, b"x", object(), datetime(2026, 1, 1), Decimal("nan"), [1.5], {"a": 1.5}, {1: "a"}]
)
def test_what_can_be_written_in_two_ways_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
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
