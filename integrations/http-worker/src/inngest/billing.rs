//! Ready functions: a run that bills customers under one cap, one that shares its cap among several
//! such runs, and the one that stops a cancelled run's money.
//!
//! A run is named `inngest/{event}/{run id}` in audit rows.

use std::collections::HashSet;

use keybrake_client::{
    Customers, Failure, Summary,
    charge::{Charge, Customer},
    failure::Report,
    key::Dollars,
};
use keybrake_core::ids::KeyId;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    event::Event,
    function::{Function, FunctionError, Run},
    replay::MOST_STEPS,
    step::{Pending, StepError, all},
};
use crate::activities::{Activities, Activity};

/// The function that bills, and the event that begins it.
pub const BILLING: (&str, &str) = ("billing-agent", "billing/subscription.process");
/// The function that shares its budget among several, and its event.
pub const FAN_OUT: (&str, &str) = ("billing-fan-out", "billing/fan-out");
const CANCELLED: &str = "inngest/function.cancelled";
const EVERY: &str = "budget_usd";
/// Beside them a run issues, fetches and revokes.
const MOST_CUSTOMERS: usize = MOST_STEPS - 3;

/// All of them.
#[must_use]
pub fn functions(app_id: &str, activities: &Activities, customers: &Customers) -> Vec<Function> {
    let (of_agent, of_fan_out, of_cancelled) =
        (activities.clone(), activities.clone(), activities.clone());
    let customers = customers.clone();
    let child = format!("{app_id}-{}", BILLING.0);
    let ours = format!(
        "event.data.function_id == '{child}' || event.data.function_id == '{app_id}-{}'",
        FAN_OUT.0
    );
    vec![
        Function::new(BILLING.0, BILLING.1, move |run| {
            bill(run, of_agent.clone(), customers.clone())
        }),
        Function::new(FAN_OUT.0, FAN_OUT.1, move |run| {
            fan_out(run, of_fan_out.clone(), child.clone())
        }),
        Function::new("billing-cancelled", CANCELLED, move |run| {
            cancelled(run, of_cancelled.clone())
        })
        .only_if(ours),
    ]
}

/// What the event says of a run.
#[derive(Deserialize)]
struct Billing {
    plan_id: Option<String>,
    budget_usd: Dollars,
    expires_in: Option<String>,
    /// Instead of asking who is on the plan.
    customers: Option<Vec<Customer>>,
    /// Another run's key, whose budget is spent from as well.
    parent_key_id: Option<KeyId>,
}

fn label(event: &Event, run_id: &str) -> String {
    let name = event.name();
    format!("inngest/{}/{run_id}", name.as_deref().unwrap_or("event"))
}

async fn bill(
    run: Run,
    activities: Activities,
    customers: Customers,
) -> Result<Value, FunctionError> {
    let mut asked: Billing = run.event.data()?;
    let given = asked.customers.take().map(charges).transpose()?;
    let request = json!({
        "vendor": "stripe", "daily_usd_cap": asked.budget_usd, "parent_key_id": asked.parent_key_id,
        "allowed_endpoints": [keybrake_client::charge::ENDPOINT],
        "expires_in": asked.expires_in.as_deref().unwrap_or("2h"),
        "agent_run_label": label(&run.event, &run.id),
    });
    let key =
        act(&run, "issue-vault-key", &activities, Activity::IssueVaultKey, || request).await?;
    let plan = asked.plan_id.unwrap_or_default();
    let billed: Result<Summary, FunctionError> = async {
        let charges = match given {
            Some(given) => given,
            None => of_plan(&run, customers, plan).await?,
        };
        Ok(charge_all(&run, &activities, &charges, &key).await)
    }
    .await;
    let key_id = json!({"key_id": member(&key, "key_id")});
    let revoked =
        act(&run, "revoke-vault-key", &activities, Activity::RevokeVaultKey, || key_id).await;
    Ok(
        json!({"summary": billed?, "spent_usd": revoked.ok().map(|revoked| member(&revoked, "spent_usd")), "agent_run_label": member(&key, "agent_run_label")}),
    )
}

async fn of_plan(
    run: &Run,
    customers: Customers,
    plan: String,
) -> Result<Vec<Charge>, FunctionError> {
    let fetch = move || async move { customers.of_plan(&plan).await };
    let charges: Vec<Charge> = run.step.run("fetch-customers", fetch).await?;
    check(&charges)?;
    Ok(charges)
}

async fn charge_all(
    run: &Run,
    activities: &Activities,
    charges: &[Charge],
    key: &Value,
) -> Summary {
    let steps = charges.iter().map(|charge| {
        let item = &charge.customer;
        act(run, &format!("charge-{item}"), activities, Activity::ChargeOne, || {
            json!({
                "customer": charge, "item_index": item,
                "key_id": member(key, "key_id"), "expires_at": member(key, "expires_at"),
            })
        })
    });
    let ended = all(steps).await;
    let mut summary = Summary::default();
    for (ended, charge) in ended.into_iter().zip(charges) {
        let failed = ended.err().map(report_of);
        summary.add(charge.amount, failed.as_ref());
    }
    summary
}

fn charges(customers: Vec<Customer>) -> Result<Vec<Charge>, Failure> {
    let charges: Vec<_> = customers.into_iter().map(Charge::from).collect();
    check(&charges)?;
    Ok(charges)
}

/// What would go wrong half-way is refused before anything is sent: each customer is named, and once,
/// and with the steps around them they are no more than Inngest takes.
fn check(charges: &[Charge]) -> Result<(), Failure> {
    if charges.len() > MOST_CUSTOMERS {
        let problem = format!("are {}; a run takes {MOST_CUSTOMERS}; split them", charges.len());
        return Err(Failure::invalid_input("customers", problem));
    }
    let mut known = HashSet::with_capacity(charges.len());
    for (index, Charge { customer, .. }) in charges.iter().enumerate() {
        if customer.is_empty() || !known.insert(customer) {
            let problem = "has no id, or one that is there twice; add its amounts up";
            return Err(Failure::invalid_input(&format!("customers[{index}]"), problem));
        }
    }
    Ok(())
}

fn member(value: &Value, name: &str) -> Value {
    value.get(name).cloned().unwrap_or_default()
}

/// One activity as one step.
fn act(
    run: &Run,
    id: &str,
    activities: &Activities,
    activity: Activity,
    request: impl FnOnce() -> Value,
) -> Pending<Value> {
    run.step.run(id, || {
        let (activities, run_id, request) = (activities.clone(), run.id.clone(), request());
        async move { activities.run(activity, Some(&run_id), request).await }
    })
}

fn report_of(error: StepError) -> Report {
    error.report.map_or_else(
        || Report {
            error: error.name.clone(),
            terminal: true,
            told: keybrake_client::Told {
                code: error.name,
                message: error.message,
                ..Default::default()
            },
        },
        |report| *report,
    )
}

/// What a fan-out shares.
#[derive(Deserialize)]
struct FanOut {
    budget_usd: Dollars,
    expires_in: Option<String>,
    /// The data of the events of the runs to be made, each with a budget of its own.
    runs: Vec<Value>,
}

/// Each run spends from its own budget and from this one's.
async fn fan_out(run: Run, activities: Activities, child: String) -> Result<Value, FunctionError> {
    let asked: FanOut = run.event.data()?;
    if let Some(index) = asked.runs.iter().position(|run| run.get(EVERY).is_none()) {
        return Err(Failure::invalid_input(&format!("runs[{index}].{EVERY}"), "is missing").into());
    }
    let request = json!({
        "vendor": "stripe", "daily_usd_cap": asked.budget_usd,
        "allowed_endpoints": [keybrake_client::charge::ENDPOINT],
        "expires_in": asked.expires_in.as_deref().unwrap_or("2h"),
        "agent_run_label": label(&run.event, &run.id),
    });
    let parent =
        act(&run, "issue-parent-key", &activities, Activity::IssueVaultKey, || request).await?;
    let runs = asked.runs.into_iter().enumerate().map(|(index, mut data)| {
        if let Some(data) = data.as_object_mut() {
            data.insert("parent_key_id".to_owned(), member(&parent, "key_id"));
        }
        run.step.invoke(&format!("run-{index}"), &child, &data)
    });
    let ended: Vec<Value> = all(runs)
        .await
        .into_iter()
        .map(|ended| {
            ended.unwrap_or_else(|error| json!({"error": error.name, "message": error.message}))
        })
        .collect();
    let key_id = json!({"key_id": member(&parent, "key_id")});
    let revoked =
        act(&run, "revoke-parent-key", &activities, Activity::RevokeVaultKey, || key_id).await?;
    Ok(json!({"runs": ended, "spent_usd": member(&revoked, "spent_usd")}))
}

/// What Inngest tells of a run that was cancelled.
#[derive(Deserialize)]
struct Cancelled {
    run_id: String,
    event: Event,
}

/// A cancelled run runs no code any more, so another one stops its money.
async fn cancelled(run: Run, activities: Activities) -> Result<Value, FunctionError> {
    let ended: Cancelled = run.event.data()?;
    let label = label(&ended.event, &ended.run_id);
    let keybrake = activities.keybrake.clone();
    let revoked: Value = run
        .step
        .run("revoke-run", move || async move {
            let revoked = keybrake.revoke_run(&label).await?;
            Ok(json!({"agent_run_label": label, "spent_usd": revoked.spent_usd}))
        })
        .await?;
    Ok(revoked)
}
