"""Ray Serve: a vault key and an idempotency key from a request's body.

Serve does not send a request on to another replica when its own dies: the client sees a 500 and tries
again, perhaps at another replica. Both derive the same idempotency key from the same body, each with a
vault key of its own, and the proxy finds the first charge.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from ..errors import OutcomeUnknown
from ..keys import VaultKey
from .ending import revoke
from .lease import Lease, issue_async
from .spend import Spend


@asynccontextmanager
async def request_lease(
    spend: Spend, body: Mapping[str, Any], *, parent: VaultKey | None = None
) -> AsyncIterator[Lease]:
    """A key for one request, issued from its body and revoked at the block's end.

        async def __call__(self, request):
            async with keybrake.ray.request_lease(SUBSCRIPTION, await request.json()) as lease:
                charge = await lease.stripe().v1.charges.create_async({…}, {"idempotency_key": …})

    The amount and the operation are what the body says, so check it as any input: the key caps what the
    code does with it, not what a client asks for. Give the key a short `expires_in`, such as `"5m"`: a
    replica that dies can't revoke, nor can one whose request is cancelled or ends in doubt.

    Args:
        spend: what a request may cost and do.
        body: the request's fields by name.
        parent: a key from whose budget all requests spend.

    Raises:
        KeybrakeError: where no key was issued. Nothing was sent.
        TypeError: where the body does not say what operation it is, or what it costs.
    """
    lease = await issue_async(spend, body, parent=parent)
    try:
        yield lease
    except OutcomeUnknown:
        raise
    except Exception:
        await asyncio.to_thread(revoke, lease)
        raise
    await asyncio.to_thread(revoke, lease)
