"""Orchestrations that tests start: `orchestrations.py BACKEND NAME INPUT`. Prints the output as JSON.

- `by_type`: a fan-out whose capped items fail; counts their error types.
- `thin`: the same over HTTP, by activities of this process that post to the worker.
- `one`: calls one activity with one input, and tells how it failed.
"""

import json
import os
import sys
import urllib.error
import urllib.request
from collections import Counter
from datetime import timedelta

from durabletask import task
from durabletask.client import TaskHubGrpcClient
from durabletask.worker import TaskHubGrpcWorker

RETRY = task.RetryPolicy(first_retry_interval=timedelta(milliseconds=100), max_number_of_attempts=5)
tries: Counter = Counter()


def key_request(order):
    return {
        "vendor": "stripe",
        "daily_usd_cap": order["budget_usd"],
        "allowed_endpoints": ["POST /v1/payment_intents"],
        "expires_in": "2h",
    }


def by_type(ctx, order):
    key = yield ctx.call_activity("IssueVaultKey", input=key_request(order))
    charges = [
        ctx.call_activity("ChargeCustomer", input={"customer": each, "key_id": key["key_id"], "item_index": index})
        for index, each in enumerate(order["customers"])
    ]
    try:
        yield task.when_all(charges)
    except task.TaskFailedError:
        pass
    failed = [charge.get_exception().details for charge in charges if charge.is_failed]
    return {
        "charged": len(charges) - len(failed),
        "types": dict(Counter(each.error_type for each in failed)),
        "codes": dict(Counter(json.loads(each.message)["code"] for each in failed)),
    }


def thin(ctx, order):
    run = {"run_id": ctx.instance_id}
    key = yield ctx.call_activity("post", input={"path": "issue-vault-key", "input": key_request(order) | run}, retry_policy=RETRY)
    charges = [
        ctx.call_activity(
            "post",
            input={
                "path": "charge-one",
                "input": {"customer": each, "key_id": key["key_id"], "item_index": index} | run,
            },
            retry_policy=RETRY,
        )
        for index, each in enumerate(order["customers"])
    ]
    ended = yield task.when_all(charges)
    return {"charged": sum(each["ok"] for each in ended), "codes": dict(Counter(e["code"] for e in ended if not e["ok"]))}


def post(_ctx, asked):
    tries[json.dumps(asked)] += 1
    request = urllib.request.Request(
        f"{os.environ['WORKER_URL']}/activities/{asked['path']}",
        data=json.dumps(asked["input"]).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{error.code} {error.read().decode()}") from None


def one(ctx, asked):
    try:
        done = yield ctx.call_activity(asked["activity"], input=asked.get("input"))
    except task.TaskFailedError as error:
        return {"error_type": error.details.error_type, "message": json.loads(error.details.message)}
    return {"done": done}


if __name__ == "__main__":
    address, name, order = sys.argv[1:]
    if order.startswith("@"):  # what is too large for an argument
        with open(order[1:]) as file:
            order = file.read()
    with TaskHubGrpcWorker(host_address=address) as worker:
        for orchestrator in (by_type, thin, one):
            worker.add_orchestrator(orchestrator)
        worker.add_activity(post)
        worker.use_work_item_filters()
        worker.start()
        with TaskHubGrpcClient(host_address=address) as client:
            run = client.schedule_new_orchestration(name, input=json.loads(order))
            ended = client.wait_for_orchestration_completion(run, timeout=120)
    if ended is None or ended.serialized_output is None or ended.failure_details:
        sys.exit(f"{name} failed: {ended and ended.failure_details and ended.failure_details.message}")
    print(json.dumps(json.loads(ended.serialized_output) | {"most_tries": max(tries.values(), default=0)}))
