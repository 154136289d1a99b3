"""All three failure modes, one after the other, on one engine: `make example-ray`."""

import loopback  # noqa: F401
import killed_replica
import retried_task
import shared_actor
from stage import staged

print("Starting the proxy, a sandbox in the vendors' place, and Ray.")  # noqa: T201
with staged() as stage:
    for example in (retried_task, shared_actor, killed_replica):
        example.show(stage)
print("Stopped.")  # noqa: T201
