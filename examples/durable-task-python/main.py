"""Starts one run of `billing`, and prints what it came to.

    python main.py --backend localhost:4001 --budget 40 customers.json
"""

import argparse
import json
import sys

from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.worker import TaskHubGrpcWorker

from billing import billing


def main() -> int:
    options = argparse.ArgumentParser()
    options.add_argument("--backend", default="localhost:4001")
    options.add_argument("--budget", type=int, default=40, help="dollars that the run may spend")
    options.add_argument("--instance", help="the run's id")
    options.add_argument("customers", help='a file: [{"id": "cus_…", "amount_cents": 100}]')
    given = options.parse_args()
    with open(given.customers) as file:
        order = {"budget_usd": given.budget, "customers": json.load(file)}

    with TaskHubGrpcWorker(host_address=given.backend) as worker:
        worker.add_orchestrator(billing)
        worker.use_work_item_filters()  # orchestrations alone: the activities are Keybrake's
        worker.start()
        with TaskHubGrpcClient(host_address=given.backend) as client:
            run = client.schedule_new_orchestration(billing, input=order, instance_id=given.instance)
            ended = client.wait_for_orchestration_completion(run, timeout=600)
    if ended is None or ended.runtime_status != OrchestrationStatus.COMPLETED:
        print(ended.failure_details.message if ended and ended.failure_details else ended, file=sys.stderr)
        return 1
    print(ended.serialized_output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
