# The same mail under the same key: the second answer is the first one, and no second mail.
# Another mail under it is the SDK's error.
# Needs any key.
# The test counts: one mail executed, one request at the vendor, one replay, one denial.

import resend
from resend_common import refused, send

first, again = send("order-1"), send("order-1")
assert first["id"] == again["id"], (first, again)
assert again["http_headers"]["x-keybrake-replayed"] == "true", again
refused(
    resend.exceptions.ResendError,
    400,
    "idempotency_key_reused",
    lambda: send("order-1", to="bob@example.org"),
)
