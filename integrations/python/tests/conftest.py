"""The fixtures: the package's own, from `keybrake.testing`, and one engine for the session."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support import PAYMENTS

from keybrake import Keybrake, VaultKey
from keybrake.testing import KeybrakeServer, Vendor

if TYPE_CHECKING:
    from stage import Stage

# The examples are what the tests on Ray run. What Ray reads when it is imported is set here, before; its
# workers import the examples and the tests.
os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
sys.path.insert(0, str(Path(__file__).parents[3] / "examples" / "ray"))
__import__("loopback")

pytest_plugins = ["keybrake.testing.plugin"]


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


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Ray, and a proxy before its sandbox, as the examples start them."""
    from stage import staged

    with staged() as started:
        yield started


@pytest.fixture
def vendor(stage: Stage) -> Iterator[Vendor]:
    """The sandbox of the session, without faults when the test has ended."""
    yield stage.server.vendor
    stage.server.vendor.faults()


@pytest.fixture
def customer(stage: Stage) -> str:
    return stage.customers(1)[0]
