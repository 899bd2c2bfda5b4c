//! What histories have come to: a comparison of things that never happen would show nothing.

use std::collections::BTreeSet;

use bulrush::core::{Command, Reply};
use bulrush::port::{AddOutcome, AdminResult, Delivery, Error, Settled};

/// Answers that were seen, by name.
pub type Reached = BTreeSet<&'static str>;

/// What enough histories come to.
const ALL: [&str; 37] = [
    "add: new",
    "add: same id",
    "add: same key",
    "add: key conflict",
    "add: full",
    "add: refused",
    "step: ok",
    "step: stale",
    "step: unknown",
    "step: many taken",
    "step: not known",
    "step: limited",
    "step: paused",
    "step: cancel",
    "step: due",
    "step: late",
    "resume: returned",
    "resume: lost",
    "renew: not known",
    "renew: cancel",
    "update: ok",
    "update: stale",
    "update: unknown",
    "maintain: promoted",
    "maintain: rescued",
    "maintain: trimmed",
    "maintain: posted",
    "admin: done",
    "admin: requested",
    "admin: wrong state",
    "admin: unknown",
    "admin: more",
    "admin: refused",
    "deliver: a job",
    "deliver: an end",
    "deliver: a cancel",
    "deliver: posted",
];

/// Notes what an answer is.
pub fn note(reached: &mut Reached, command: &Command, answer: &Result<Reply, Error>) {
    let mut seen = |name, is: bool| {
        if is {
            reached.insert(name);
        }
    };
    if let Command::Deliver(_, entries) = command {
        for entry in entries {
            seen("deliver: a job", matches!(entry.delivery, Delivery::Add(_)));
            seen("deliver: an end", matches!(entry.delivery, Delivery::ChildSettled { .. }));
            seen("deliver: a cancel", matches!(entry.delivery, Delivery::CancelChild { .. }));
        }
    }
    match (command, answer) {
        (_, Ok(Reply::Add(reply))) => {
            for added in &reply.added {
                seen("add: new", added.outcome == AddOutcome::New);
                seen("add: same id", matches!(added.outcome, AddOutcome::SameId { .. }));
                seen("add: same key", added.outcome == AddOutcome::SameKey);
                seen("add: key conflict", added.outcome == AddOutcome::KeyConflict);
                seen("add: full", matches!(added.outcome, AddOutcome::Full { .. }));
            }
        }
        (Command::Add(_), Err(_)) => seen("add: refused", true),
        (_, Ok(Reply::Step(reply))) => {
            seen("step: ok", reply.settled.contains(&Settled::Ok));
            seen("step: stale", reply.settled.contains(&Settled::Stale));
            seen("step: unknown", reply.settled.contains(&Settled::Unknown));
            seen("step: many taken", reply.taken.len() > 4);
            seen("step: not known", !reply.known);
            seen("step: limited", reply.limited_until.is_some());
            seen("step: paused", reply.paused);
            seen("step: cancel", !reply.cancel.is_empty());
            seen("step: due", reply.next_due.is_some());
        }
        (Command::Step(_), Err(Error::StaleCall { .. })) => seen("step: late", true),
        (_, Ok(Reply::Resume(reply))) => {
            seen("resume: returned", !reply.returned.is_empty());
            seen("resume: lost", !reply.lost.is_empty());
        }
        (_, Ok(Reply::Renew(reply))) => {
            seen("renew: not known", !reply.known);
            seen("renew: cancel", !reply.cancel.is_empty());
        }
        (_, Ok(Reply::Update(settled))) => {
            seen("update: ok", settled.contains(&Settled::Ok));
            seen("update: stale", settled.contains(&Settled::Stale));
            seen("update: unknown", settled.contains(&Settled::Unknown));
        }
        (_, Ok(Reply::Maintain(reply))) => {
            seen("maintain: promoted", reply.promoted > 0);
            seen("maintain: rescued", reply.rescued > 0);
            seen("maintain: trimmed", reply.trimmed > 0);
            seen("maintain: posted", !reply.outbox.is_empty());
        }
        (_, Ok(Reply::Admin(reply))) => {
            seen("admin: done", reply.results.contains(&AdminResult::Done));
            seen("admin: requested", reply.results.contains(&AdminResult::Requested));
            seen("admin: unknown", reply.results.contains(&AdminResult::Unknown));
            let wrong = |result: &AdminResult| matches!(result, AdminResult::WrongState(_));
            seen("admin: wrong state", reply.results.iter().any(wrong));
            seen("admin: more", reply.more);
        }
        (Command::Admin(_), Err(_)) => seen("admin: refused", true),
        (_, Ok(Reply::Deliver(outbox))) => seen("deliver: posted", !outbox.is_empty()),
        _ => {}
    }
}

/// What none of the histories came to.
pub fn missed(reached: &Reached) -> Vec<&'static str> {
    ALL.into_iter().filter(|name| !reached.contains(name)).collect()
}
