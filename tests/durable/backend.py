"""Microsoft's in-memory backend of Durable Task as a process: `backend.py PORT`.

It listens on all addresses ([::]), so it lives no longer than its test. The one thing added is what
the real backends do and this one leaves out: an activity whose worker is gone is given again.
"""

import sys
import threading

from durabletask.internal import orchestrator_service_pb2 as pb
from durabletask.testing.in_memory_backend import ActivityWorkItem, InMemoryOrchestrationBackend


class Backend(InMemoryOrchestrationBackend):
    def __init__(self, port: int):
        super().__init__(port=port)
        self._given: dict[tuple[str, int], ActivityWorkItem] = {}

    def GetWorkItems(self, request, context):
        mine: list[tuple[str, int]] = []

        def give_again():
            with self._lock:
                for key in mine:
                    if (item := self._given.pop(key, None)) is not None:
                        self._activity_queue.append(item)
            self._work_available.set()

        context.add_callback(give_again)
        for item in super().GetWorkItems(request, context):
            if item.HasField("activityRequest"):
                asked = item.activityRequest
                key = (asked.orchestrationInstance.instanceId, asked.taskId)
                with self._lock:
                    self._given[key] = ActivityWorkItem(
                        key[0], asked.name, key[1], asked.input.value, int(item.completionToken)
                    )
                mine.append(key)
                if not context.is_active():
                    give_again()
                    return
            yield item

    def CompleteActivityTask(self, request, context):
        with self._lock:
            known = self._given.pop((request.instanceId, request.taskId), None)
        if known is None:
            return pb.CompleteTaskResponse()  # the answer of a worker whose activity was given away
        return super().CompleteActivityTask(request, context)


if __name__ == "__main__":
    Backend(int(sys.argv[1])).start()
    threading.Event().wait()
