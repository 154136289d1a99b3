//! `charge-from-queue`: a batch of SQS messages, each a charge.
//!
//! The message's id is the idempotency key: a message that SQS delivers twice is charged once. Only
//! what is worth trying again returns to the queue. A cap hit is not: it would come back until the
//! queue gives it up, and be refused each time.

use std::sync::Arc;

use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use keybrake_client::{Failure, IdempotencyKey, Keybrake, Spender, charge::Customer, input};
use serde::Deserialize;
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinSet};

use crate::serve::tell;

/// How many messages of a batch are charged at once.
const AT_ONCE: usize = 10;

#[derive(Deserialize)]
struct Message {
    customer: Customer,
    /// What makes each delivery the same charge, where a message may be sent again by hand: it has
    /// another id then. The message's id otherwise.
    idempotency_key: Option<String>,
    #[serde(flatten)]
    spender: Spender,
}

/// Charges each message of a batch once, and names those that shall be delivered again. The log has
/// what became of the others.
pub async fn charge_from_queue(
    keybrake: Keybrake,
    input: Value,
) -> Result<SqsBatchResponse, Failure> {
    let SqsEvent { records, .. } = input::read(input)?;
    let is_fifo = |message: &SqsMessage| {
        let queue = message.event_source_arn.as_deref().unwrap_or_default();
        queue.rsplit_once('.').is_some_and(|(_, kind)| kind == "fifo")
    };
    let again = if records.iter().any(is_fifo) {
        in_order(&keybrake, records).await
    } else {
        at_once(&keybrake, records).await
    };
    let mut answer = SqsBatchResponse::default();
    answer.set_failures(again);
    Ok(answer)
}

async fn at_once(keybrake: &Keybrake, messages: Vec<SqsMessage>) -> Vec<String> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut charging = JoinSet::new();
    for message in messages {
        let (keybrake, places) = (keybrake.clone(), Arc::clone(&places));
        charging.spawn(async move {
            let _place = places.acquire().await;
            returns(&keybrake, &message).await
        });
    }
    charging.join_all().await.into_iter().flatten().collect()
}

/// A FIFO queue keeps the order: after the first message that returns, the rest does.
async fn in_order(keybrake: &Keybrake, messages: Vec<SqsMessage>) -> Vec<String> {
    let mut again = Vec::new();
    for message in &messages {
        if again.is_empty() {
            again.extend(returns(keybrake, message).await);
        } else {
            again.extend(message.message_id.clone());
        }
    }
    again
}

/// The message's id where it shall be delivered again.
async fn returns(keybrake: &Keybrake, message: &SqsMessage) -> Option<String> {
    let failure = charge(keybrake, message).await.err()?;
    let message_id = message.message_id.clone()?;
    tell(&failure, &[("message_id", &message_id)]);
    (!failure.is_terminal()).then_some(message_id)
}

async fn charge(keybrake: &Keybrake, message: &SqsMessage) -> Result<(), Failure> {
    let text = message.body.as_deref().unwrap_or_default();
    let body: Value =
        serde_json::from_str(text).map_err(|_| Failure::invalid_input("body", "is not JSON"))?;
    let asked: Message = input::read(body)?;
    let given = asked.idempotency_key.as_deref().or(message.message_id.as_deref());
    let once = IdempotencyKey::new(given.unwrap_or_default())?;
    keybrake.charge(&asked.spender, &asked.customer.into(), &once).await?;
    Ok(())
}
