# A run that is stopped: the SDK raises its AuthenticationError from the next call on.
# The same call as before is refused as well, and says what it had done.
# The client would retry twice; it does not.
# Needs a key with a cap of at least $10.
# The test counts: one payment executed, two requests denied.

import os

import stripe as sdk
from common import admin, client, pay, refused

stripe = client(retries=2)

paid = pay(stripe, 500, "before")
assert admin("DELETE", f"/vault/keys/{os.environ['KEY_ID']}")["spent_usd"] == "5.00"

refused(sdk.AuthenticationError, 401, "key_revoked", lambda: pay(stripe, 500, "after"))
again = refused(sdk.AuthenticationError, 401, "key_revoked", lambda: pay(stripe, 500, "before"))
prior = again.json_body["keybrake"]["prior"]
assert (prior["vendor_object_id"], prior["amount_usd"]) == (paid.id, "5.00"), prior
