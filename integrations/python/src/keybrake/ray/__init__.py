"""Ray, with a vault key per task, per actor call, per request, or per batch, and each charge once.

`spend.py` says what one call may cost and by what it is known; `lease.py` is the key that such a call
spends. `tasks.py`, `actors.py`, `requests.py` (Ray Serve) and `rows.py` (Ray Data) issue one for each
call of their kind, and `run.py` a parent over all of them.

Who holds what: the process that submits work has an `issuer`'s API key (`KEYBRAKE_API_KEY`) and issues
and revokes. A worker has a `caller`'s (`KEYBRAKE_CALLER_API_KEY`) and spends as the key that its task's
arguments name. Arguments hold names, never tokens. A worker that shall also refresh keys that run out,
a Serve replica and a Ray Data worker, which issue by themselves, need both.
"""

from .actors import BilledActor, BilledActorClass, actor, billed
from .lease import Lease
from .requests import request_lease
from .rows import rows
from .run import Run
from .spend import Spend
from .tasks import BilledTask, task

__all__ = [
    "BilledActor",
    "BilledActorClass",
    "BilledTask",
    "Lease",
    "Run",
    "Spend",
    "actor",
    "billed",
    "request_lease",
    "rows",
    "task",
]
