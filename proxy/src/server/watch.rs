//! Whether a connection is put up with: how long it has been waiting, and for what.
//!
//! The HTTP library has one timer for both, the wait for a request and the wait for the rest of
//! its head, so it is kept here: a slow head is cut off soon, an idle connection is kept for long.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;

use crate::limits::Limits;

/// How long a connection that is to close may take for it, once no request is open on it.
const CLOSES_WITHIN: Duration = Duration::from_secs(1);

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// For the head of a request, since then: of the first one, or of one that has begun.
    Head(Instant),
    /// For another request, since then.
    Idle(Instant),
    /// For itself, with so many requests open.
    Serving(usize),
}

#[derive(Clone, Copy, Debug)]
struct State {
    phase: Phase,
    /// What comes between two requests may then be no head.
    is_http2: bool,
    is_closing: bool,
    /// The last request was answered before its body was there.
    leaves_unread: bool,
}

/// One connection's waiting.
#[derive(Debug)]
pub(super) struct Watch {
    head: Duration,
    idle: Duration,
    state: Mutex<State>,
}

impl Watch {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        let state = State {
            phase: Phase::Head(now),
            is_http2: false,
            is_closing: false,
            leaves_unread: false,
        };
        Self { head: limits.head, idle: limits.idle, state: Mutex::new(state) }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Bytes came.
    pub(super) fn heard(&self, now: Instant) {
        self.change(|state| {
            if matches!(state.phase, Phase::Idle(_)) && !state.is_http2 {
                state.phase = Phase::Head(now);
            }
        });
    }

    /// A request's head is there.
    pub(super) fn begins(self: &Arc<Self>, is_http2: bool) -> Open {
        self.change(|state| {
            state.leaves_unread = false;
            state.is_http2 = is_http2;
            state.phase = match state.phase {
                Phase::Serving(requests) => Phase::Serving(requests.saturating_add(1)),
                Phase::Head(_) | Phase::Idle(_) => Phase::Serving(1),
            };
        });
        Open(Arc::clone(self))
    }

    fn ends(&self, now: Instant) {
        self.change(|state| {
            state.phase = match state.phase {
                Phase::Serving(requests @ 2..) => Phase::Serving(requests.saturating_sub(1)),
                Phase::Serving(_) | Phase::Head(_) | Phase::Idle(_) => Phase::Idle(now),
            };
        });
    }

    /// From now on it may only end what is open.
    pub(super) fn closes(&self, now: Instant) {
        self.change(|state| {
            state.is_closing = true;
            if let Phase::Head(since) | Phase::Idle(since) = &mut state.phase {
                *since = now;
            }
        });
    }

    fn leaves_unread(&self) {
        self.change(|state| state.leaves_unread = true);
    }

    /// Whether its client may still be sending a body that nobody reads.
    pub(super) fn has_unread(&self) -> bool {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.leaves_unread && !state.is_http2
    }

    /// When it will have waited too long, if it is waiting.
    fn deadline(&self) -> Option<Instant> {
        let state = *self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, limit) = match state.phase {
            Phase::Head(since) => (since, self.head),
            Phase::Idle(since) => (since, self.idle),
            Phase::Serving(_) => return None,
        };
        Some(since + if state.is_closing { limit.min(CLOSES_WITHIN) } else { limit })
    }

    /// Completes when it has waited too long. Whatever it waits for now, it is looked at again
    /// within the shortest of its limits: no request has to set a timer.
    pub(super) async fn is_overdue(&self) {
        let look_again = self.head.min(self.idle).min(CLOSES_WITHIN);
        loop {
            let now = Instant::now();
            let next = match self.deadline() {
                Some(deadline) if deadline <= now => return,
                Some(deadline) => deadline.min(now + look_again),
                None => now + look_again,
            };
            tokio::time::sleep_until(next.into()).await;
        }
    }
}

/// A request that is open until its answer's last byte is handed over.
#[derive(Debug)]
pub(super) struct Open(Arc<Watch>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.ends(Instant::now());
    }
}

/// An answer's body, with its request open as long as it lasts.
#[derive(Debug)]
pub(super) struct OpenBody {
    body: Body,
    _open: Open,
}

impl OpenBody {
    pub(super) fn new(body: Body, open: Open) -> Self {
        Self { body, _open: open }
    }
}

impl http_body::Body for OpenBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body, which tells the watch when it is given up before its end.
#[derive(Debug)]
pub(super) struct Arriving {
    body: Incoming,
    has_ended: bool,
    watch: Arc<Watch>,
}

impl Arriving {
    pub(super) fn new(body: Incoming, watch: Arc<Watch>) -> Self {
        Self { has_ended: body.is_end_stream(), body, watch }
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if !self.has_ended {
            self.watch.leaves_unread();
        }
    }
}

impl http_body::Body for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.has_ended = frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Duration = Duration::from_secs(10);
    const IDLE: Duration = Duration::from_secs(75);

    fn watch(now: Instant) -> Arc<Watch> {
        let limits = Limits {
            open_connections: 1,
            head: HEAD,
            body: HEAD,
            idle: IDLE,
            http2_streams: 1,
            failures_per_minute: 1,
        };
        Arc::new(Watch::new(&limits, now))
    }

    #[test]
    fn the_first_head_has_its_time_however_its_bytes_come() {
        let now = Instant::now();
        let watch = watch(now);
        watch.heard(now + HEAD / 2);
        assert_eq!(watch.deadline(), Some(now + HEAD));
    }

    #[test]
    fn an_open_request_has_all_the_time_and_what_follows_is_idle() {
        let now = Instant::now();
        let watch = watch(now);
        let (first, second) = (watch.begins(true), watch.begins(true));
        watch.heard(now);
        assert_eq!(watch.deadline(), None);
        drop(first);
        assert_eq!(watch.deadline(), None);
        drop(second);
        assert!(watch.deadline().unwrap() >= now + IDLE);
    }

    #[test]
    fn another_head_is_timed_from_its_first_byte() {
        let now = Instant::now();
        let watch = watch(now);
        drop(watch.begins(false));
        let later = Instant::now() + IDLE / 2;
        watch.heard(later);
        watch.heard(later + HEAD / 2);
        assert_eq!(watch.deadline(), Some(later + HEAD));
    }

    #[test]
    fn frames_between_http2_requests_are_no_head() {
        let now = Instant::now();
        let watch = watch(now);
        drop(watch.begins(true));
        watch.heard(now + IDLE / 2);
        assert!(watch.deadline().unwrap() >= now + IDLE);
    }

    #[test]
    fn what_is_to_close_waits_for_its_open_requests_only() {
        let now = Instant::now();
        let watch = watch(now);
        watch.closes(now);
        assert_eq!(watch.deadline(), Some(now + CLOSES_WITHIN));
        let open = watch.begins(false);
        assert_eq!(watch.deadline(), None);
        drop(open);
        assert!(watch.deadline().unwrap() < Instant::now() + HEAD);
    }
}
