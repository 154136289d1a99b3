"""The real `keybrake` program and its sandbox, as processes on free ports of loopback."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import httpx

from ..aio import AsyncKeybrake
from ..client import Keybrake
from .vendor import Vendor

READY_WITHIN = 30.0
"""Seconds that a program may take until it answers."""
_STOPS_WITHIN = 10.0
_TRIES = 3
# What the sandbox accepts for Twilio and Resend by default.
_TWILIO = {"ACCOUNT": "AC5a4d8b0c000000000000000000000000", "SECRET": "twilio_sandbox_token"}
_RESEND = {"SECRET": "re_sandbox_key"}


class ProgramNotFound(Exception):
    """The `keybrake` program is neither named by `KEYBRAKE_BIN` nor on the path."""


def program() -> Path:
    """The `keybrake` program: what `KEYBRAKE_BIN` names, or else what is on the path.

    Raises:
        ProgramNotFound: where there is none. A test that needs it must fail, not be skipped.
    """
    named = os.environ.get("KEYBRAKE_BIN")
    found = named or shutil.which("keybrake")
    if found is None or not Path(found).is_file():
        raise ProgramNotFound(
            f"there is no keybrake program at {named}"
            if named
            else "build it (cargo build --release) and put it on the path, or name it in KEYBRAKE_BIN"
        )
    return Path(found)


class KeybrakeServer:
    """A proxy with a ledger of its own, before a sandbox of its own. Use it in a `with` block.

    Args:
        environment: more settings for the proxy, such as `KEYBRAKE_VENDOR_STRIPE_BASE_URL`.
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        """See the class."""
        self._more = dict(environment or {})
        self._program = program()
        self.api_key = f"kb_api_{secrets.token_hex(24)}"
        self._secret = f"sk_test_{secrets.token_hex(12)}"
        self._data = tempfile.TemporaryDirectory(prefix="keybrake-test-")
        self._running: list[subprocess.Popen[bytes]] = []
        self.url = ""
        self.vendor: Vendor = Vendor("http://127.0.0.1:0", self._secret)

    def __repr__(self) -> str:
        """Where it is, and not with which key it is asked."""
        return f"KeybrakeServer({self.url!r})"

    def __enter__(self) -> KeybrakeServer:
        """Starts both, and waits until they answer."""
        try:
            sandbox = self._start("sandbox", ["sandbox", "--secret", self._secret], {}, "/sandbox/executed")
            self.vendor = Vendor(sandbox, self._secret)
            self.url = self._start("proxy", ["serve"], self._settings(), "/readyz")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops both."""
        self.stop()

    def client(self) -> Keybrake:
        """A client with the admin's API key."""
        return Keybrake(self.url, self.api_key)

    def async_client(self) -> AsyncKeybrake:
        """The same for `asyncio`."""
        return AsyncKeybrake(self.url, self.api_key)

    def environment(self) -> dict[str, str]:
        """What the code under test reads from its environment to find this proxy."""
        return {"KEYBRAKE_URL": self.url, "KEYBRAKE_API_KEY": self.api_key}

    def stop(self) -> None:
        """Stops the programs that it started, by their process, and removes their data."""
        while self._running:
            _stop(self._running.pop())
        self.vendor.close()
        self._data.cleanup()

    def stop_vendor(self) -> None:
        """Takes the vendor away, as an outage does. What it executed can't be asked for any more."""
        _stop(self._running.pop(0))

    def _settings(self) -> dict[str, str]:
        # The caller's own KEYBRAKE_* must not reach this proxy.
        settings = {
            "KEYBRAKE_DATA_DIR": str(Path(self._data.name) / "data"),
            "KEYBRAKE_API_KEY": self.api_key,
            "KEYBRAKE_LOG": "warn",
            "KEYBRAKE_VENDOR_STRIPE_SECRET": self._secret,
        }
        for vendor in ("STRIPE", "TWILIO", "RESEND"):
            settings[f"KEYBRAKE_VENDOR_{vendor}_BASE_URL"] = self.vendor.url
        for vendor, known in (("TWILIO", _TWILIO), ("RESEND", _RESEND)):
            settings.update({f"KEYBRAKE_VENDOR_{vendor}_{name}": value for name, value in known.items()})
        return {**settings, **self._more}

    def _start(self, name: str, arguments: list[str], settings: Mapping[str, str], ready: str) -> str:
        """Starts a program on a free port; on another one, should somebody take that first."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("KEYBRAKE_")}
        for _ in range(_TRIES):
            listen = f"127.0.0.1:{_free_port()}"
            ours = {"KEYBRAKE_LISTEN": listen, **settings} if name == "proxy" else {}
            where = ["--listen", listen] if name == "sandbox" else []
            log = Path(self._data.name) / f"{name}.log"
            with log.open("wb") as said:
                process = subprocess.Popen(  # noqa: S603 - the program that the tests are for
                    [self._program, *arguments, *where],
                    cwd=self._data.name,
                    env={**inherited, **ours},
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=subprocess.STDOUT,
                )
            self._running.append(process)
            if _answers(process, f"http://{listen}{ready}"):
                return f"http://{listen}"
            self._running.remove(process)
            process.kill()
            process.wait()
        raise RuntimeError(f"the {name} did not start: {log.read_text(errors='replace')}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Asks it to stop, and does not ask for long."""
    process.terminate()
    try:
        process.wait(_STOPS_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Whether the program comes to answer: asked until it does, ends, or its time is over."""
    until = time.monotonic() + READY_WITHIN
    with httpx.Client(timeout=5.0, trust_env=False) as http:
        while time.monotonic() < until and process.poll() is None:
            try:
                if http.get(url).is_success:
                    return True
            except httpx.HTTPError:
                pass
            time.sleep(0.01)
    return False
