# One payment of $5 through whatever goes wrong: the SDK's own retries must bring its answer.
# IDEMPOTENCY_KEY is the caller's key; without it the SDK makes a random one for all its attempts.
# RETRIES says how often the SDK tries again.
# Needs a key with a cap of at least $5.
# The test makes it go wrong and counts: one payment executed.

import os

from common import client, pay

paid = pay(client(), 500, os.environ.get("IDEMPOTENCY_KEY"))
assert (paid.status, paid.amount) == ("succeeded", 500), paid
