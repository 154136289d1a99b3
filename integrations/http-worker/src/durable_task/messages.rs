//! The part of Durable Task's protocol that an activity worker speaks, as protobuf messages with the
//! field numbers of Microsoft's `orchestrator_service.proto`. Fields that are not here are skipped.
//!
//! A `String` as a message is a `google.protobuf.StringValue`, and `()` is any message unread.

use std::fmt;

use prost::Message;

/// Asks for a stream of work.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetWorkItems {
    #[prost(int32, tag = "2")]
    pub(super) most_activities: i32,
    #[prost(message, optional, tag = "11")]
    pub(super) filters: Option<Filters>,
}

/// What this worker takes. A list that is empty takes nothing of its kind.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Filters {
    #[prost(message, repeated, tag = "2")]
    pub(super) activities: Vec<ActivityFilter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ActivityFilter {
    #[prost(string, tag = "1")]
    pub(super) name: String,
}

/// One piece of work; one member is there.
#[derive(Clone, PartialEq, Message)]
pub(super) struct WorkItem {
    #[prost(message, optional, tag = "1")]
    pub(super) orchestration: Option<()>,
    #[prost(message, optional, tag = "2")]
    pub(super) activity: Option<ActivityRequest>,
    #[prost(string, tag = "10")]
    pub(super) completion_token: String,
}

#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct ActivityRequest {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "3")]
    pub(super) input: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub(super) instance: Option<Instance>,
    #[prost(int32, tag = "5")]
    pub(super) task_id: i32,
}

/// The orchestration that asks.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Instance {
    #[prost(string, tag = "1")]
    pub(super) id: String,
}

/// What an activity came to.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub(super) struct ActivityResponse {
    #[prost(string, tag = "1")]
    pub(super) instance_id: String,
    #[prost(int32, tag = "2")]
    pub(super) task_id: i32,
    #[prost(message, optional, tag = "3")]
    pub(super) result: Option<String>,
    #[prost(message, optional, tag = "4")]
    pub(super) failure: Option<FailureDetails>,
    #[prost(string, tag = "5")]
    pub(super) completion_token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FailureDetails {
    #[prost(string, tag = "1")]
    pub(super) error_type: String,
    #[prost(string, tag = "2")]
    pub(super) error_message: String,
    #[prost(bool, tag = "5")]
    pub(super) is_non_retriable: bool,
}

/// Without the input, which may hold a token.
impl fmt::Debug for ActivityRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, instance, task_id, input: _ } = self;
        f.debug_struct("ActivityRequest")
            .field("name", name)
            .field("instance", instance)
            .field("task_id", task_id)
            .finish_non_exhaustive()
    }
}

/// Without the result, which may hold a token.
impl fmt::Debug for ActivityResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { instance_id, task_id, failure, result: _, completion_token: _ } = self;
        f.debug_struct("ActivityResponse")
            .field("instance_id", instance_id)
            .field("task_id", task_id)
            .field("failure", failure)
            .finish_non_exhaustive()
    }
}
