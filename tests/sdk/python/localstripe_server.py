# Starts localstripe, a fake of Stripe that this project did not write, on loopback alone.
# It ignores idempotency keys: what is charged once behind it was deduplicated before it.
# Its own start listens on all interfaces, and it keeps its objects in a file that all its
# processes share; neither is wanted here.
# The argument is the port.

import sys

from aiohttp import web
from localstripe.server import app, store

store.dump_to_disk = lambda: None
web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
