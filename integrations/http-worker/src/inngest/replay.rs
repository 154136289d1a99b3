//! Running a body as far as the server's knowledge goes, and deciding what comes next. No I/O but
//! that of the one step that is run.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use keybrake_client::{Failure, Reason, Told};
use serde_json::{Value, value::RawValue};

use super::{
    event::Event,
    function::{Function, FunctionError, Run},
    step::{Found, Kind, Steps},
};

/// The most steps of one run, and the largest result of one, by Inngest's own limits.
pub(super) const MOST_STEPS: usize = 1_000;
const LARGEST_RESULT: usize = 4 * 1024 * 1024;

/// What the server asks for.
pub(super) struct Asked {
    pub(super) run_id: String,
    pub(super) attempt: u32,
    pub(super) event: Event,
    pub(super) memo: HashMap<String, Box<RawValue>>,
    /// The hash of the one step that is wanted, if any.
    pub(super) step: Option<String>,
    /// Whether a single step that is found may be run at once.
    pub(super) may_run: bool,
}

/// What came of it.
pub(super) enum Came {
    /// The body has ended.
    Done(Value),
    /// The body has failed.
    Failed(FunctionError),
    /// One step was run.
    Ran { found: Found, result: Result<Value, Failure> },
    /// Steps that the server shall ask for, or do.
    Planned(Vec<Found>),
    /// The step that is wanted is not in the body.
    NoSuchStep(String),
}

/// Replays the body and does what is due.
pub(super) async fn replay(function: &Function, asked: Asked) -> Came {
    let known = asked.memo.len();
    let steps = Steps::new(asked.memo, asked.step.as_deref());
    let run =
        Run { id: asked.run_id, attempt: asked.attempt, event: asked.event, step: steps.clone() };
    let ended = as_far_as_it_goes((function.body)(run));
    let found = steps.take_found();
    if let Some(wanted) = asked.step {
        return match found.into_iter().find(|found| found.hash == wanted) {
            Some(found) => run_one(found).await,
            None => Came::NoSuchStep(wanted),
        };
    }
    match ended {
        Some(Ok(value)) => return Came::Done(value),
        Some(Err(error)) => return Came::Failed(error),
        None => {}
    }
    if known.saturating_add(found.len()) > MOST_STEPS {
        let message = format!(
            "a run has at most {MOST_STEPS} steps, and this one has more; nothing of it was done now; split the event"
        );
        return Came::Failed(FunctionError::fatal("TooManySteps", message));
    }
    let mut found = found;
    match found.len() {
        0 => Came::Failed(FunctionError::fatal(
            "NotAStep",
            "the function waits for something that is not a step; put it into one",
        )),
        1 if asked.may_run && matches!(found.first(), Some(Found { kind: Kind::Run(_), .. })) => {
            match found.pop() {
                Some(found) => run_one(found).await,
                None => Came::Planned(found),
            }
        }
        _ => Came::Planned(found),
    }
}

async fn run_one(mut found: Found) -> Came {
    let asks = Kind::Ask { op: "", name: None, opts: Value::Null };
    let Kind::Run(work) = std::mem::replace(&mut found.kind, asks) else {
        return Came::NoSuchStep(found.hash);
    };
    let result = work.await.and_then(|value| match value.to_string().len() {
        0..=LARGEST_RESULT => Ok(value),
        length => {
            let message = format!("the step was done, and its result has {length} bytes, which is over Inngest's {LARGEST_RESULT}; return less");
            let told = Told { code: "result_too_large".to_owned(), message, ..Told::default() };
            Err(Failure::Terminal { reason: Reason::InvalidInput, told: Box::new(told) })
        }
    });
    Came::Ran { found, result }
}

type Body = Pin<Box<dyn Future<Output = Result<Value, FunctionError>> + Send>>;

/// Polls a body until nothing in it can go on without news.
fn as_far_as_it_goes(mut body: Body) -> Option<Result<Value, FunctionError>> {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    loop {
        match body.as_mut().poll(&mut context) {
            Poll::Ready(ended) => return Some(ended),
            Poll::Pending if woken.0.swap(false, Ordering::Relaxed) => {}
            Poll::Pending => return None,
        }
    }
}

/// Whether a body asked to be polled again while it was.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{super::step::all, *};

    async fn replayed(steps: usize) -> Came {
        let function = Function::new("f", "e", move |run: Run| async move {
            let steps = (0..steps)
                .map(|step| run.step.run(&step.to_string(), move || async move { Ok(step) }));
            all(steps).await;
            Ok(Value::Null)
        });
        let event = Event::default();
        let (run_id, memo) = ("r".to_owned(), HashMap::new());
        replay(&function, Asked { run_id, attempt: 0, event, memo, step: None, may_run: true })
            .await
    }

    #[tokio::test]
    async fn a_run_has_as_many_steps_as_inngest_takes() {
        let Came::Planned(planned) = replayed(MOST_STEPS).await else { panic!("a plan") };
        assert_eq!(planned.len(), MOST_STEPS);
        let Came::Failed(error) = replayed(MOST_STEPS + 1).await else { panic!("a failure") };
        assert_eq!(error.name, "TooManySteps");
    }

    #[tokio::test]
    async fn a_body_that_waits_for_something_else_is_told_so() {
        let function = Function::new("f", "e", |_| async { std::future::pending().await });
        let event = Event::default();
        let (run_id, memo) = ("r".to_owned(), HashMap::new());
        let asked = Asked { run_id, attempt: 0, event, memo, step: None, may_run: true };
        let Came::Failed(error) = replay(&function, asked).await else { panic!("a failure") };
        assert_eq!(error.name, "NotAStep");
    }
}
