"""What the tests share beside the fixtures."""

from __future__ import annotations

import time
from collections.abc import Callable

CARD = {"currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
PAYMENTS = ["POST /v1/payment_intents", "GET /v1/payment_intents/*"]


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits until it holds, and fails where it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)
