"""All three failure modes, one after the other, on one engine: `make example-ray`."""

import loopback  # noqa: F401
import killed_replica
import retried_task
import shared_actor
from stage import staged

print("Starting the proxy, a sandbox in the vendors' place, and Ray. What Ray logs comes first.", flush=True)
with staged() as running:
    said = [example.show(running) for example in (retried_task, shared_actor, killed_replica)]
print("\nEverything is stopped. What the engine, the ledger and the vendor said:\n", *said, sep="\n")
