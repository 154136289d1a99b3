//! Commands in one line each, for the steps of a history that failed.

use keybrake_core::ledger::{Command, Revoke};

/// A batch in one line.
pub(crate) fn batch(batch: &[Command]) -> String {
    let commands: Vec<_> = batch.iter().map(one).collect();
    commands.join("; ")
}

fn one(command: &Command) -> String {
    match command {
        Command::Issue(issue) => {
            let once = issue.once.as_ref().map(|once| once.key.as_str());
            format!(
                "issue {} on {} to {:?} under {:?} {:?} once {once:?}",
                issue.key, issue.budget, issue.label, issue.parent, issue.caps
            )
        }
        Command::Refresh(refresh) => format!("refresh {} as {}", refresh.key, refresh.successor),
        Command::Revoke(Revoke { key, .. }) => format!("revoke {key}"),
        Command::RevokeRuns(revoke) => format!("revoke runs {:?}", revoke.runs),
        Command::Lift(lift) => format!("lift runs {:?}", lift.runs),
        Command::CreateApiKey(create) => format!("create API key {}", create.id),
        Command::RevokeApiKey(revoke) => format!("revoke API key {}", revoke.key),
        Command::Peek(peek) => format!("peek {} {:?}", peek.key.id, peek.binding),
        Command::Begin(begin) => format!(
            "begin {} by {} {:?} {:?} permit {:?} quote {:?} {:?}",
            begin.call,
            begin.key.id,
            begin.request.vendor,
            begin.request.idempotency_key,
            begin.permit.is_ok(),
            begin.quote.as_ref().map(|quote| quote.hold.as_micros()).ok(),
            begin.contention
        ),
        Command::Finish(finish) => {
            format!("finish {} attempt {} {:?}", finish.call, finish.attempt, finish.evidence)
        }
        Command::Conclude(found) => format!("conclude {} {:?}", found.call, found.finding),
        Command::Recover => "recover".to_owned(),
    }
}
