"""The pytest fixtures. Installed with the package, they are there in every test.

They need the `keybrake` program: on the path, or named by `KEYBRAKE_BIN`. Without it a test fails.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .server import KeybrakeServer
from .vendor import Vendor


@pytest.fixture(scope="session")
def keybrake_session_server() -> Iterator[KeybrakeServer]:
    """A proxy and a sandbox for the whole session, for tests that share an engine such as Ray.

    Count with `vendor.watched()`: what other tests charged is not in it.
    """
    with KeybrakeServer() as server:
        yield server


@pytest.fixture
def keybrake_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[KeybrakeServer]:
    """A proxy and a sandbox for one test. The environment says where, so that clients find it."""
    with KeybrakeServer() as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        yield server


@pytest.fixture
def keybrake_vendor(keybrake_server: KeybrakeServer) -> Vendor:
    """The sandbox of this test's proxy: `keybrake_vendor.executed()` is what was charged."""
    return keybrake_server.vendor
