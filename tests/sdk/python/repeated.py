# The same call again under the same idempotency key, as an engine's retry makes it.
# The SDK gets the same object, and headers that say that it is a stored answer.
# A client of its own makes the second call, as another worker would.
# Needs a key with a cap of at least $5.
# The test counts: one payment executed, one request replayed.

from common import client, pay

first = pay(client(), 500, "run-1-item-1")
assert "x-keybrake-replayed" not in first.last_response.headers

again = pay(client(), 500, "run-1-item-1")
assert again.id == first.id, (again, first)
assert again.last_response.headers["x-keybrake-replayed"] == "true"
assert again.last_response.headers["idempotent-replayed"] == "true"
