//! From Lambda's runtime to a task and back.
//!
//! A state machine decides by an error's name alone. So whatever happens in here ends under one of
//! the names of [`Failure::name`], also where the input is no JSON or the code panics: never under
//! the name of a Rust type, which changes with the compiler.

use std::{fmt, io::Write, panic};

use keybrake_client::{Failure, Keybrake, Told};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use crate::worker::Worker;

/// A failure as the state machine sees it: its name, and what happened. No input stands in it.
pub struct Named(Failure);

impl From<Named> for Diagnostic {
    fn from(Named(failure): Named) -> Self {
        let told = failure.told();
        let call = told.call_id.as_ref().map(|call_id| format!(" (audit row {call_id})"));
        let made = told.vendor_object_id.as_ref().map(|id| format!("; it made {id}"));
        let prior = told.prior.as_ref().map(|prior| {
            let made = prior.vendor_object_id.as_deref().unwrap_or("nothing that is known");
            let (state, amount) = (&prior.state, &prior.amount_usd);
            format!("; before, the same call was {state} with ${amount} and made {made}")
        });
        let more: String = [call, made, prior].into_iter().flatten().collect();
        let message = format!("{}: {}{more}", told.code, told.message);
        Self { error_type: failure.name().to_owned(), error_message: message }
    }
}

/// The runtime logs this.
impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Serves invocations with this task until Lambda ends the process.
///
/// # Errors
/// Where Lambda's runtime does not answer.
pub async fn serve<T, F, O>(task: T) -> Result<(), Error>
where
    T: Fn(Keybrake, Value) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<O, Failure>> + Send + 'static,
    O: Serialize + Send + 'static,
{
    // The default hook prints what the code panicked with, which may be part of an input.
    panic::set_hook(Box::new(|panicked| {
        let place = panicked.location().map(ToString::to_string).unwrap_or_default();
        log(&json!({"level": "error", "message": "a panic", "at": place}));
    }));
    let worker = Worker::from_env();
    worker.warm().await;
    let handler = service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let worker = worker.clone();
        async move {
            let request_id = event.context.request_id;
            let done = invoke(worker, task, &event.payload).await;
            done.map_err(|failure| {
                tell(&failure, &[("request_id", request_id.as_str())]);
                Named(failure)
            })
        }
    });
    lambda_runtime::run(handler).await
}

async fn invoke<T, F, O>(worker: Worker, task: T, payload: &RawValue) -> Result<O, Failure>
where
    T: Fn(Keybrake, Value) -> F + Copy + Send + Sync + 'static,
    F: Future<Output = Result<O, Failure>> + Send + 'static,
    O: Serialize + Send + 'static,
{
    // Read here and not by the runtime, whose error would have a Rust type's name.
    let input = serde_json::from_str(payload.get())
        .map_err(|error| Failure::invalid_input("input", without_position(&error)))?;
    let doing = tokio::spawn(async move { task(worker.keybrake().await?, input).await });
    doing.await.unwrap_or_else(|_| Err(panicked()))
}

/// Which kind of fault it is. Serde's own text can hold a piece of the input.
fn without_position(error: &serde_json::Error) -> String {
    format!("can't be read as JSON at column {}", error.column())
}

/// The call may have been made before.
fn panicked() -> Failure {
    let message = "the function failed in itself; a call may have been made; retry with the same input, and report this with the log";
    let told = Told { code: "panic".to_owned(), message: message.to_owned(), ..Told::default() };
    Failure::Unknown { after: None, told: Box::new(told) }
}

/// One line in the function's log for a failure.
pub(crate) fn tell(failure: &Failure, of: &[(&str, &str)]) {
    let told = failure.told();
    let mut line = json!({
        "level": "warn", "error": failure.name(), "code": told.code, "message": told.message,
        "call_id": told.call_id,
    });
    if let Some(line) = line.as_object_mut() {
        line.extend(of.iter().map(|(name, value)| ((*name).to_owned(), json!(value))));
    }
    log(&line);
}

fn log(line: &Value) {
    writeln!(std::io::stderr(), "{line}").ok();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_machine_sees_the_failures_name_and_its_audit_row() {
        let told = Told {
            code: "cap_exhausted".to_owned(),
            message: "nothing was sent".to_owned(),
            call_id: Some("call_1".to_owned()),
            ..Told::default()
        };
        let failure = Failure::Retryable { after: None, told: Box::new(told) };
        let shown = Diagnostic::from(Named(failure));
        assert_eq!(shown.error_type, "Retryable");
        assert_eq!(shown.error_message, "cap_exhausted: nothing was sent (audit row call_1)");
    }

    #[test]
    fn what_is_no_json_is_told_without_a_piece_of_it() {
        let error = serde_json::from_str::<Value>("{\"vault_key\": secret}").unwrap_err();
        assert_eq!(without_position(&error), "can't be read as JSON at column 15");
    }
}
