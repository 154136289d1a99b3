# An agent that sends mails: to several, in a batch, and one for later that it calls off.
# All with the vault key alone; the answers are those that the SDK expects.
# Needs a key with a cap of at least $0.0054.
# The test counts: four mails to six recipients, and four calls that are free.

import datetime

import resend
from resend_common import MAIL, send

sent = send("invoice-1", to=["ann@example.org", "bob@example.org"], cc="cy@example.org")
assert sent["http_headers"]["x-keybrake-remaining-usd"] == "49.9973", sent
shown = resend.Emails.get(sent["id"])
assert (shown["subject"], shown["cc"]) == ("Your invoice", ["cy@example.org"]), shown

batch = resend.Batch.send([MAIL, {**MAIL, "to": "bob@example.org"}])
assert len(batch["data"]) == 2, batch
listed = resend.Emails.list({"limit": 2})
assert {mail["id"] for mail in listed["data"]} == {mail["id"] for mail in batch["data"]}, listed
assert listed["has_more"] is True, listed

hours = lambda n: (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=n)).isoformat()
later = send("later", scheduled_at=hours(1))
assert resend.Emails.update({"id": later["id"], "scheduled_at": hours(2)})["id"] == later["id"]
assert resend.Emails.cancel(later["id"])["id"] == later["id"]
