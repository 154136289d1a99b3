"""Failure mode 3: a Serve replica that dies after the charge, and a client that tries again.

Serve does not send the request on by itself: the client sees an error and repeats it. Unsafe, the next
replica charges again. Safe, it derives the same idempotency key from the same body and, with a vault key
of its own, finds the first charge.
"""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import keybrake.ray
from keybrake import cents
from ray import serve
from starlette.requests import Request

import loopback  # noqa: F401
from stage import Stage, past_the_proxy, staged

REQUEST = keybrake.ray.Spend(
    amount=lambda body: cents(body["amount_cents"]),
    business=("customer_id", "amount_cents", "period"),
    context="serve-billing",
    label="example/killed-replica",
    endpoints=["POST /v1/charges"],
    expires_in="5m",
)


def charge_of(body: dict[str, Any]) -> Any:
    """What a body asks Stripe for."""
    return {"amount": body["amount_cents"], "currency": "usd", "customer": body["customer_id"]}


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.1})
class UnsafeBilling:
    """No idempotency key."""

    async def __call__(self, request: Request) -> dict[str, str]:
        """Charges what the body says."""
        body = await request.json()
        charge = past_the_proxy().v1.charges.create(charge_of(body))
        die_once(body)
        return {"charge_id": charge.id, "replica": replica()}


@serve.deployment(num_replicas=2, ray_actor_options={"num_cpus": 0.1})
class SafeBilling:
    """Key and idempotency key from the body."""

    async def __call__(self, request: Request) -> dict[str, str]:
        """Charges what the body says."""
        body = await request.json()
        async with keybrake.ray.request_lease(REQUEST, body) as lease:
            charge = await lease.stripe().v1.charges.create_async(
                charge_of(body), {"idempotency_key": lease.idempotency_key}
            )
            die_once(body)
        return {"charge_id": charge.id, "replica": replica()}


def die_once(body: dict[str, Any]) -> None:
    """Kills the replica's process, where no other one did for this request: the kernel, out of memory."""
    mark = Path(body["mark"])
    if not mark.exists():
        mark.write_text(replica())
        os._exit(1)


def replica() -> str:
    """Which replica this is."""
    return str(serve.get_replica_context().replica_id.unique_id)


def repeated(route: str, customer_id: str) -> str:
    """Sends a request until it is answered, as clients do, and says what it took."""
    with tempfile.TemporaryDirectory(prefix="kbray-") as folder, httpx.Client(timeout=60) as http:
        mark = Path(folder) / "died"
        body = {"customer_id": customer_id, "amount_cents": 2999, "period": "2026-06", "mark": str(mark)}
        until = time.monotonic() + 60
        tries = 1
        while (answer := http.post(f"{route}", json=body)).is_error:
            if time.monotonic() > until:
                raise TimeoutError("no replica answered")
            tries += 1
        other = "another" if answer.json()["replica"] != mark.read_text() else "the same"
        return f"{tries} requests, the last one answered by {other} replica"


class Serving:
    """Ray Serve with both apps."""

    def __enter__(self) -> Serving:
        """Starts it on a free port of loopback."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        serve.start(http_options=serve.HTTPOptions(host="127.0.0.1", port=port))
        self.url = f"http://127.0.0.1:{port}"
        serve.run(UnsafeBilling.bind(), name="unsafe", route_prefix="/unsafe")
        serve.run(SafeBilling.bind(), name="safe", route_prefix="/safe")
        return self

    def __exit__(self, *_: object) -> None:
        """Stops it."""
        serve.shutdown()

    def unsafe(self, customer_id: str) -> str:
        """Bills one customer."""
        return repeated(f"{self.url}/unsafe", customer_id)

    def safe(self, customer_id: str) -> str:
        """Bills one customer."""
        return repeated(f"{self.url}/safe", customer_id)


def show(stage: Stage) -> str:
    """Runs both, and says what all three said."""
    label = str(REQUEST.label)
    with Serving() as serving:
        return "\n".join(
            [
                "3. A Serve replica that dies after it has charged $29.99, and a client that tries again",
                f"  unsafe\n{stage.outcome(label, lambda: serving.unsafe(*stage.customers(1)))}",
                f"  safe\n{stage.outcome(label, lambda: serving.safe(*stage.customers(1)))}",
            ]
        )


if __name__ == "__main__":
    with staged() as running:
        said = show(running)
    print(said)
