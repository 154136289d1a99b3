"""What the tests share. The fixtures are the package's own, from `keybrake.testing`."""

import time
from collections.abc import Callable

import pytest

from keybrake import Keybrake, VaultKey
from keybrake.testing import KeybrakeServer

pytest_plugins = ["keybrake.testing.plugin"]

CARD = {"currency": "usd", "confirm": True, "payment_method": "pm_card_visa"}
PAYMENTS = ["POST /v1/payment_intents", "GET /v1/payment_intents/*"]


def until(holds: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits until it holds, and fails where it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


@pytest.fixture
def anyio_backend() -> str:
    """What runs `async` tests."""
    return "asyncio"


@pytest.fixture
def client(keybrake_server: KeybrakeServer) -> Keybrake:
    return keybrake_server.client()


@pytest.fixture
def key(client: Keybrake) -> VaultKey:
    """A key for PaymentIntents with a cap of $50."""
    return client.issue(label="test/run-1", endpoints=PAYMENTS, total_cap="50")
