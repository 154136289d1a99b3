"""A wire between a client and the proxy that loses answers, after the proxy has carried out the request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx


class Wire:
    """Passes each connection's one request on. So many answers are lost first."""

    def __init__(self, target: str, lose: int) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname or "", parts.port or 80)
        self._lose = lose
        self.requests = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            with caller:
                self._one(caller)

    def _one(self, caller: socket.socket) -> None:
        request = _message(caller)
        if not request:
            return
        self.requests += 1
        with socket.create_connection(self._target) as proxy:
            proxy.sendall(request)
            answer = _message(proxy)
        if self._lose > 0:
            self._lose -= 1
            return
        caller.sendall(answer)

    def close(self) -> None:
        # Wakes the thread that accepts, which a close alone does not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@contextmanager
def losing(target: str, answers: int) -> Iterator[Wire]:
    wire = Wire(target, answers)
    try:
        yield wire
    finally:
        wire.close()


def _message(wire: socket.socket) -> bytes:
    """One HTTP message of a declared length."""
    read = b""
    while b"\r\n\r\n" not in read:
        more = wire.recv(65536)
        if not more:
            return read
        read += more
    head, body = read.split(b"\r\n\r\n", 1)
    lines = [line.partition(b": ") for line in head.split(b"\r\n")[1:]]
    headers = httpx.Headers([(name, value) for name, _, value in lines])
    while len(body) < int(headers.get("content-length", "0")):
        body += wire.recv(65536)
    return head + b"\r\n\r\n" + body
