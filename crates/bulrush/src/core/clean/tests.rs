//! Rounds through collections that are not in the order of age.

use crate::core::Core;
use crate::model::{JobId, JobState, Millis, NewJob, QueueConfig, QueueName, When};
use crate::port::{AdminCommand, AdminReply, AdminResult};

const HOUR: u64 = 3_600_000;

fn id(text: &str) -> JobId {
    JobId::new(text).unwrap()
}

fn job(text: &str) -> NewJob {
    NewJob::new(id(text), "work", "{}")
}

fn queue() -> Core {
    Core::new(QueueName::new("main").unwrap(), QueueConfig::default(), 0)
}

/// Adds so many jobs of a name, made the same way.
fn add(core: &mut Core, text: &str, n: usize, now: Millis, make: impl Fn(NewJob) -> NewJob) {
    for from in (0..n).step_by(1_000) {
        let jobs = (from..n.min(from + 1_000)).map(|n| make(job(&format!("{text}-{n}")))).collect();
        core.add(jobs, now).unwrap();
    }
}

fn clean(core: &mut Core, state: JobState, older_ms: u64, now: Millis) -> AdminReply {
    core.admin(AdminCommand::Clean { state, older_ms, limit: 1_000 }, now).unwrap()
}

/// Cleans until nothing is left. Returns how many jobs went, and in how many calls.
fn clean_all(core: &mut Core, state: JobState, older_ms: u64, now: Millis) -> (usize, usize) {
    let mut removed = 0;
    for calls in 1..100 {
        let reply = clean(core, state, older_ms, now);
        removed += reply.changed;
        if !reply.more {
            return (removed, calls);
        }
    }
    panic!("it says for ever that more is left");
}

#[test]
fn a_call_looks_at_a_slice_and_the_next_goes_on() {
    let mut core = queue();
    add(&mut core, "old", 3, 0, |job| job.priority(9));
    add(&mut core, "young", 25_000, HOUR, |job| job);
    let reply = clean(&mut core, JobState::Waiting, HOUR, HOUR);
    assert_eq!((reply.changed, reply.more), (0, true), "so much is not looked at in one call");
    assert_eq!(clean_all(&mut core, JobState::Waiting, HOUR, HOUR), (3, 2));
    assert_eq!(
        clean_all(&mut core, JobState::Waiting, HOUR, HOUR),
        (0, 1),
        "what is known is not looked at again"
    );
    assert_eq!(clean_all(&mut core, JobState::Waiting, HOUR, 2 * HOUR), (25_000, 25));
}

#[test]
fn a_round_that_somebody_left_half_way_hides_nothing_from_who_comes_later() {
    let mut core = queue();
    add(&mut core, "first", 12_000, 1, |job| job.priority(0));
    add(&mut core, "last", 12_000, 1, |job| job.priority(9));
    // It passes 10,000 that are too young, and nobody goes on.
    assert!(clean(&mut core, JobState::Waiting, HOUR, HOUR).more);
    assert_eq!(clean_all(&mut core, JobState::Waiting, HOUR, HOUR + 1).0, 24_000);
}

#[test]
fn two_who_clean_by_turns_with_ages_of_their_own_both_come_to_an_end() {
    let mut core = queue();
    for now in 0..30 {
        add(&mut core, &format!("at-{now}"), 1_000, now * HOUR, |job| job);
    }
    let (mut left, mut removed) = ([true, true], 0);
    for _ in 0..200 {
        for (place, hours) in [20, 10].into_iter().enumerate() {
            let reply = clean(&mut core, JobState::Waiting, hours * HOUR, 30 * HOUR);
            left[place] = reply.more;
            removed += reply.changed;
        }
        if left == [false, false] {
            break;
        }
    }
    assert_eq!((left, removed), ([false, false], 21_000));
}

#[test]
fn an_old_job_that_comes_behind_the_round_is_found() {
    let mut core = queue();
    add(&mut core, "old", 2, 0, |job| job.priority(0).delay_ms(5 * HOUR));
    add(&mut core, "young", 15_000, HOUR, |job| job);
    assert!(clean(&mut core, JobState::Waiting, HOUR, HOUR).more);
    // Both go to lanes that were passed.
    let promoted = core.admin(AdminCommand::Promote(vec![id("old-0")]), HOUR).unwrap();
    assert_eq!(promoted.results, [AdminResult::Done]);
    let moved = AdminCommand::Reschedule { id: id("old-1"), when: When::Now };
    assert_eq!(core.admin(moved, HOUR).unwrap().results, [AdminResult::Done]);
    assert_eq!(clean_all(&mut core, JobState::Waiting, HOUR, HOUR).0, 2);
}

#[test]
fn a_round_goes_on_when_the_job_and_the_group_where_it_stood_are_gone() {
    for state in [JobState::Waiting, JobState::Delayed] {
        let mut core = queue();
        let delay = if state == JobState::Delayed { HOUR } else { 0 };
        add(&mut core, "old", 1, 0, |job| job.group("z").delay_ms(3 * HOUR));
        for group in ["a", "b", "c"] {
            add(&mut core, group, 5_000, HOUR, |job| job.group(group).delay_ms(delay));
        }
        core.admin(AdminCommand::Promote(vec![id("old-0")]), HOUR).unwrap();
        if state == JobState::Delayed {
            let later = AdminCommand::Reschedule { id: id("old-0"), when: When::At(9 * HOUR) };
            core.admin(later, HOUR).unwrap();
        }
        // It stands at the last of group b.
        assert!(clean(&mut core, state, HOUR, HOUR).more);
        let of_b: Vec<JobId> = (0..5_000).map(|n| id(&format!("b-{n}"))).collect();
        for ids in of_b.chunks(1_000) {
            core.admin(AdminCommand::Remove(ids.to_vec()), HOUR).unwrap();
        }
        assert_eq!(clean_all(&mut core, state, HOUR, HOUR), (1, 1));
        assert_eq!(core.info(HOUR).counts.of(state), 10_000);
    }
}

#[test]
fn as_many_as_a_slice_holds_and_one_more_are_cleaned_to_the_end() {
    for n in [9_999, 10_000, 10_001, 20_000, 20_001] {
        let mut core = queue();
        add(&mut core, "young", n, HOUR, |job| job);
        let (removed, calls) = clean_all(&mut core, JobState::Waiting, HOUR, HOUR);
        assert_eq!((removed, calls), (0, n.div_ceil(10_000)), "{n}");
    }
}

#[test]
fn a_limit_ends_a_call_and_not_the_round() {
    let mut core = queue();
    add(&mut core, "old", 10, 0, |job| job);
    for (limit, left) in [(0, 10), (4, 6), (4, 2), (2, 0)] {
        let command = AdminCommand::Clean { state: JobState::Waiting, older_ms: HOUR, limit };
        let reply = core.admin(command, HOUR).unwrap();
        assert_eq!((reply.changed, reply.more), (limit, left > 0));
        assert_eq!(core.info(HOUR).counts.waiting, left);
    }
}
