//! Commands in one line each, for the steps of a history that failed.

use keybrake_core::ledger::Command;

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
                "issue {} on {} under {:?} {:?} once {once:?}",
                issue.key, issue.budget, issue.parent, issue.caps
            )
        }
        Command::Refresh(refresh) => format!("refresh {} as {}", refresh.key, refresh.successor),
        Command::Revoke(key) => format!("revoke {key}"),
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
            format!("finish {} attempt {} {:?}", finish.call, finish.attempt, finish.event)
        }
        Command::Conclude(found) => format!(
            "conclude {} attempt {:?} {:?} looked at {}",
            found.call, found.attempt, found.event, found.looked_at
        ),
        Command::Recover => "recover".to_owned(),
    }
}
