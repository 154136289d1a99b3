# Fifteen payments, listed in pages of five by the SDK's own paging, forwards and backwards.
# Needs a key with a cap of at least $15.
# The test counts the requests: fifteen payments, and three or four pages each way.
# Each page is a request of its own with `starting_after` or `ending_before`.
# No payment may be missing or come twice.

from common import client, pay

stripe = client()

made = [pay(stripe, 100).id for _ in range(15)]
newest_first = [intent.id for intent in stripe.v1.payment_intents.list({"limit": 5}).auto_paging_iter()]
assert newest_first == made[::-1], (newest_first, made)

page = stripe.v1.payment_intents.list({"limit": 5, "ending_before": made[0]})
oldest_first = [intent.id for intent in page.auto_paging_iter()]
assert oldest_first == made[1:], (oldest_first, made)
