//! Takes work from the backend, so much at a time, for as long as it is not told to stop.
//!
//! The backend gives an activity again whose worker is gone. So nothing here needs to be kept: the
//! same run and item are the same charge.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Code, Status, Streaming};

use super::{
    backend::Backend,
    messages::{ActivityFilter, ActivityResponse, Filters, GetWorkItems, WorkItem},
    task,
};
use crate::{
    activities::{Activities, Activity},
    server::DRAINS_WITHIN,
};

/// A backend that is away is asked again after this, and then twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So often an answer is offered to the backend. After that the activity is given to a worker again,
/// and ends the same way.
const OFFERED: u32 = 8;

/// A worker for the activities of one backend.
#[derive(Clone, Debug)]
pub struct Worker {
    backend: Backend,
    activities: Activities,
    free: Arc<Semaphore>,
    at_once: i32,
    running: TaskTracker,
}

impl Worker {
    /// One that does at most `at_once` activities at a time.
    #[must_use]
    pub fn new(backend: Backend, activities: Activities, at_once: u16) -> Self {
        let free = Arc::new(Semaphore::new(at_once.into()));
        Self { backend, activities, free, at_once: at_once.into(), running: TaskTracker::new() }
    }

    /// Works until the word to stop, and then lets what runs end, for half a minute at most.
    pub async fn work(self, stop: CancellationToken) {
        let mut pause = FIRST_PAUSE;
        loop {
            let begun = Instant::now();
            let ended = self.take(&stop).await;
            if stop.is_cancelled() {
                // The stream is in `ended` and open meanwhile: a backend takes its end for the worker's.
                return self.drain().await;
            }
            if begun.elapsed() > LONGEST_PAUSE {
                pause = FIRST_PAUSE;
            }
            let why = ended.err();
            let why = why.as_ref().map_or("the stream ended", Status::message);
            tracing::warn!(backend = ?self.backend, ?pause, "no work: {why}");
            stop.run_until_cancelled(sleep(pause)).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
    }

    /// Takes work until the stream ends, or until the word to stop, which gives the open stream.
    async fn take(&self, stop: &CancellationToken) -> Result<Option<Streaming<WorkItem>>, Status> {
        let Some(opened) = stop.run_until_cancelled(self.open()).await else {
            return Ok(None);
        };
        let mut stream = opened?;
        while let Some(next) = stop.run_until_cancelled(self.next(&mut stream)).await {
            let Some((item, turn)) = next? else {
                return Ok(None);
            };
            self.begin(item, turn);
        }
        Ok(Some(stream))
    }

    async fn open(&self) -> Result<Streaming<WorkItem>, Status> {
        self.backend.hello().await?;
        tracing::info!(backend = ?self.backend, "taking activities");
        // Some backends answer this only when there is work.
        self.backend.work(self.wanted()).await
    }

    /// What comes next, once there is a turn for it: the rest stays with the backend, for others.
    async fn next(
        &self,
        stream: &mut Streaming<WorkItem>,
    ) -> Result<Option<(WorkItem, OwnedSemaphorePermit)>, Status> {
        let turn = Arc::clone(&self.free).acquire_owned().await;
        let turn = turn.map_err(|_| Status::cancelled("no turns are given any more"))?;
        Ok(stream.message().await?.map(|item| (item, turn)))
    }

    async fn drain(&self) {
        self.running.close();
        if timeout(DRAINS_WITHIN, self.running.wait()).await.is_err() {
            tracing::warn!("activities that still ran were cut off; the backend gives them again");
        }
    }

    fn wanted(&self) -> GetWorkItems {
        let name =
            |(_, _, name): &(Activity, &str, &str)| ActivityFilter { name: (*name).to_owned() };
        let filters = Filters { activities: Activity::ALL.iter().map(name).collect() };
        GetWorkItems { most_activities: self.at_once, filters: Some(filters) }
    }

    fn begin(&self, item: WorkItem, turn: OwnedSemaphorePermit) {
        let Some(request) = item.activity else {
            if item.orchestration.is_some() {
                tracing::error!(
                    "an orchestration came, and this worker does activities alone: the backend \
                     does not know work item filters; give this worker a task hub without others"
                );
            }
            return;
        };
        let (backend, activities) = (self.backend.clone(), self.activities.clone());
        self.running.spawn(async move {
            let response = task::run(&activities, request, item.completion_token).await;
            answer(&backend, response).await;
            drop(turn);
        });
    }
}

async fn answer(backend: &Backend, response: ActivityResponse) {
    let mut pause = FIRST_PAUSE;
    for _ in 0..OFFERED {
        let Err(status) = backend.complete(response.clone()).await else {
            return;
        };
        tracing::warn!(?response, "an answer was not taken: {}", status.message());
        if matches!(status.code(), Code::NotFound | Code::InvalidArgument | Code::Unimplemented) {
            return;
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
