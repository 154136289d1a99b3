//! A Lambda function whose code panics with what it was given.

use keybrake_client::{Failure, Keybrake};
use keybrake_lambda::serve::serve;
use serde_json::Value;

async fn panics(_: Keybrake, input: Value) -> Result<Value, Failure> {
    tokio::task::yield_now().await;
    let given = input.get("vault_key").and_then(Value::as_u64);
    #[expect(clippy::panic, reason = "it shall panic")]
    let number = given.unwrap_or_else(|| panic!("{input}"));
    Ok(number.into())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    serve(panics).await
}
