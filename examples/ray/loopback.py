"""Settings that Ray reads when it is imported, so this comes first.

It then stays on this machine's loopback address, tells nobody that it runs, finds these examples in its
workers, and keeps the token of its cluster out of the home directory.
"""

import os
import secrets
from pathlib import Path

os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
_FOLDERS = (str(Path(__file__).parent), os.environ.get("PYTHONPATH", ""))
os.environ["PYTHONPATH"] = os.pathsep.join(folder for folder in _FOLDERS if folder)
