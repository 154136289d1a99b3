"""A run that bills customers under one cap: issue, charge in parallel, count, revoke.

The activities are those of keybrake-http-worker, which takes them from the same task hub. There is no
API key and no Stripe key in this process.
"""

from collections import Counter
from datetime import timedelta

from durabletask import task

RETRY = task.RetryPolicy(
    first_retry_interval=timedelta(seconds=1),
    max_number_of_attempts=5,
    backoff_coefficient=2,
    max_retry_interval=timedelta(seconds=30),
)


def billing(ctx: task.OrchestrationContext, order: dict):
    budget = order["budget_usd"]
    key = yield ctx.call_activity(
        "IssueVaultKey",
        input={
            "vendor": "stripe",
            "daily_usd_cap": budget,
            "total_usd_cap": budget,  # a run of several days does not get its cap again
            "allowed_endpoints": ["POST /v1/payment_intents"],
            "expires_in": "2h",
            "agent_run_label": f"durable-task/billing/{ctx.instance_id}",
        },
        retry_policy=RETRY,
    )

    charges = [
        ctx.call_activity(
            "ChargeCustomer",
            input={
                "customer": customer,
                "key_id": key["key_id"],
                "item_index": index,
                # This SDK's retry policy can leave no failure out, so what no retry mends is a value.
                "failures": "value",
            },
            retry_policy=RETRY,
        )
        for index, customer in enumerate(order["customers"])
    ]
    try:
        yield task.when_all(charges)
    except task.TaskFailedError:
        pass  # counted below; when_all has waited for the others
    summary = Counter(outcome(charge) for charge in charges)

    revoked = yield ctx.call_activity("RevokeVaultKey", input={"key_id": key["key_id"]}, retry_policy=RETRY)
    return {
        "agent_run_label": key["agent_run_label"],
        "summary": dict(summary),
        "spent_usd": revoked["spent_usd"],
    }


def outcome(charge: task.Task) -> str:
    """`charged`, or the code of why not. Money that may have moved is `outcome_unknown`."""
    if charge.is_failed:
        unknown = charge.get_exception().details.error_type == "OutcomeUnknown"
        return "outcome_unknown" if unknown else "gave_up"
    ended = charge.get_result()
    return "charged" if ended["ok"] else ended["code"]
