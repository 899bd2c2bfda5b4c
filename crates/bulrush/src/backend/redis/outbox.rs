//! Entries of the outbox and rows of a family: what scripts keep for other queues, and what parents know of their children.
//!
//! ```text
//! entry   at u48 | target | kind u8
//!           1 add            the job, with its whole tree (model/codec.rs)
//!           2 child settled  parent, child, state u8, result or reason to the end
//!           3 cancel child   child, parent
//! row     queue, id, policy u8, state u8, result or reason to the end
//! state   p pending | c completed with a result | C completed without one | f failed
//! ```

use std::sync::Arc;

use bytes::Bytes;

use super::packed::{Damaged, Unpack, put_text};
use super::reply::{Items, unreadable};
use crate::model::codec::{Reader, child_failure_code, decode_new_job, encode_new_job};
use crate::model::{Child, ChildFailure, ChildState, JobId, NewChild, NewJob, Parent, QueueName};
use crate::port::{Delivery, OutboxEntry, Result};

const ADD: u8 = 1;
const CHILD_SETTLED: u8 = 2;
const CANCEL_CHILD: u8 = 3;

/// Appends an entry that adds a job, but for the moment, which the script stamps.
pub(super) fn put_add(out: &mut Vec<u8>, target: &QueueName, job: &NewJob) {
    put_text(out, target.as_str().as_bytes());
    out.push(ADD);
    encode_new_job(out, job);
}

/// A parent's child as the job that goes to its queue.
pub(super) fn child_job(child: &NewChild, queue: &QueueName, parent: &JobId) -> NewJob {
    let mut job = child.job.clone();
    let parent = Parent { queue: queue.clone(), id: parent.clone(), on_failure: child.on_failure };
    job.spec.parent = Some(Arc::new(parent));
    job
}

/// Appends the row of a child that has not settled.
pub(super) fn put_pending(out: &mut Vec<u8>, queue: &QueueName, id: &JobId, on_failure: ChildFailure) {
    put_text(out, queue.as_str().as_bytes());
    put_text(out, id.as_bytes());
    out.push(child_failure_code(on_failure));
    out.push(b'p');
}

/// How a child stands, as a letter and what goes with it.
pub(super) fn child_state(state: &ChildState) -> (u8, &[u8]) {
    match state {
        ChildState::Pending => (b'p', &[]),
        ChildState::Completed { result: Some(result) } => (b'c', result),
        ChildState::Completed { result: None } => (b'C', &[]),
        ChildState::Failed { reason } => (b'f', reason.as_bytes()),
    }
}

fn read_child_state(letter: u8, rest: &[u8]) -> Result<ChildState, Damaged> {
    Ok(match letter {
        b'p' => ChildState::Pending,
        b'c' => ChildState::Completed { result: Some(Bytes::copy_from_slice(rest)) },
        b'C' => ChildState::Completed { result: None },
        b'f' => ChildState::Failed { reason: String::from_utf8_lossy(rest).into_owned() },
        _ => return Err(Damaged::Bad("state of a child")),
    })
}

fn read_queue(u: &mut Unpack<'_>) -> Result<QueueName, Damaged> {
    QueueName::new(u.text()?).map_err(|_| Damaged::Bad("queue name"))
}

fn read_id(u: &mut Unpack<'_>) -> Result<JobId, Damaged> {
    JobId::new(u.text()?).map_err(|_| Damaged::Bad("job id"))
}

/// Reads the row of a child.
pub(super) fn read_row(bytes: &[u8]) -> Result<Child, Damaged> {
    let mut u = Unpack::new(bytes);
    let (queue, id) = (read_queue(&mut u)?, read_id(&mut u)?);
    let _policy = u.u8()?;
    let letter = u.u8()?;
    Ok(Child { queue, id, state: read_child_state(letter, u.rest())? })
}

/// Reads an entry.
pub(super) fn read_entry(seq: u64, bytes: &[u8]) -> Result<OutboxEntry, Damaged> {
    let mut u = Unpack::new(bytes);
    let (at, target) = (u.u48()?, read_queue(&mut u)?);
    let delivery = match u.u8()? {
        ADD => {
            let mut r = Reader::new(u.rest());
            let job = decode_new_job(&mut r)?;
            if !r.is_at_end() {
                return Err(Damaged::Bad("end of an outbox entry"));
            }
            Delivery::Add(Box::new(job))
        }
        CHILD_SETTLED => {
            let (parent, child) = (read_id(&mut u)?, read_id(&mut u)?);
            let letter = u.u8()?;
            Delivery::ChildSettled { parent, child, state: read_child_state(letter, u.rest())? }
        }
        CANCEL_CHILD => Delivery::CancelChild { child: read_id(&mut u)?, parent: read_id(&mut u)? },
        _ => return Err(Damaged::Bad("kind of an outbox entry")),
    };
    Ok(OutboxEntry { seq, at, target, delivery })
}

/// The next item of a reply, a list of numbers and entries. One that cannot be read is left where it is and said so: it must not keep the
/// others, nor the reply that brought it.
pub(super) fn entries(items: &mut Items) -> Result<Vec<OutboxEntry>> {
    let read = items.rows(|row| Ok((row.number()?, row.bytes()?)))?;
    let mut entries = Vec::with_capacity(read.len());
    for (seq, bytes) in read {
        match read_entry(seq, &bytes) {
            Ok(entry) => entries.push(entry),
            Err(damaged) => {
                let error = unreadable(format!("entry {seq} of an outbox"))(damaged);
                tracing::error!(seq, %error, "an entry of an outbox cannot be read; it stays there");
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::codec::Writer;

    fn id(text: &str) -> JobId {
        JobId::new(text).expect("a good id")
    }

    fn mail() -> QueueName {
        QueueName::new("mail").expect("a good name")
    }

    fn stamped(rest: &[u8]) -> Vec<u8> {
        let mut entry = Vec::new();
        super::super::packed::put_u48(&mut entry, 99);
        entry.extend_from_slice(rest);
        entry
    }

    #[test]
    fn a_job_comes_out_of_an_entry_as_it_went_in() {
        let leaf = NewJob::new(id("leaf"), "work", vec![7; 2_000]).priority(3).delay_ms(5);
        let root = NewJob::new(id("root"), "work", "{}").child(mail(), leaf, ChildFailure::Ignore);
        let job = child_job(
            &NewChild { queue: mail(), on_failure: ChildFailure::Continue, job: root },
            &mail(),
            &id("top"),
        );
        let mut rest = Vec::new();
        put_add(&mut rest, &mail(), &job);
        let entry = read_entry(7, &stamped(&rest)).expect("it can be read");
        let expected = OutboxEntry { seq: 7, at: 99, target: mail(), delivery: Delivery::Add(Box::new(job)) };
        assert_eq!(entry, expected);
        rest.push(0);
        assert_eq!(read_entry(7, &stamped(&rest)), Err(Damaged::Bad("end of an outbox entry")));
    }

    #[test]
    fn news_of_children_are_read_as_scripts_write_them() {
        let states = [
            ChildState::Completed { result: Some(Bytes::new()) },
            ChildState::Completed { result: None },
            ChildState::Failed { reason: "no luck".into() },
        ];
        for state in states {
            let mut rest = Vec::new();
            put_text(&mut rest, b"mail");
            rest.push(CHILD_SETTLED);
            put_text(&mut rest, b"par");
            put_text(&mut rest, b"kid");
            let (letter, text) = child_state(&state);
            rest.push(letter);
            rest.extend_from_slice(text);
            let delivery = Delivery::ChildSettled { parent: id("par"), child: id("kid"), state };
            assert_eq!(read_entry(1, &stamped(&rest)).map(|entry| entry.delivery), Ok(delivery));
        }
        let mut rest = Vec::new();
        put_text(&mut rest, b"mail");
        rest.push(CANCEL_CHILD);
        put_text(&mut rest, b"kid");
        put_text(&mut rest, b"par");
        let delivery = Delivery::CancelChild { child: id("kid"), parent: id("par") };
        assert_eq!(read_entry(1, &stamped(&rest)).map(|entry| entry.delivery), Ok(delivery));
    }

    #[test]
    fn rows_of_a_family_tell_how_a_child_stands() {
        let mut row = Vec::new();
        put_pending(&mut row, &mail(), &id("kid"), ChildFailure::Fail);
        let child = read_row(&row).expect("it can be read");
        assert_eq!((child.queue, child.id, child.state), (mail(), id("kid"), ChildState::Pending));
        row.pop();
        row.extend_from_slice(b"c[1]");
        let state = ChildState::Completed { result: Some("[1]".into()) };
        assert_eq!(read_row(&row).map(|child| child.state), Ok(state));
    }

    #[test]
    fn hostile_entries_are_refused() {
        let mut deep = Vec::new();
        put_text(&mut deep, b"mail");
        deep.push(9);
        assert_eq!(read_entry(1, &stamped(&deep)), Err(Damaged::Bad("kind of an outbox entry")));
        assert_eq!(read_entry(1, b"abc"), Err(Damaged::Short));
        let mut cut = Vec::new();
        put_text(&mut cut, b"mail");
        cut.push(ADD);
        Writer(&mut cut).u64(u64::MAX);
        assert!(read_entry(1, &stamped(&cut)).is_err());
    }
}
