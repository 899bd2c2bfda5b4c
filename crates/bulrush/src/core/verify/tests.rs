//! Damage that no command can do, seeded by hand: a check finds each, and a repair mends what the records tell.

use std::sync::Arc;

use crate::core::Core;
use crate::model::{
    ChildFailure, ErrorKind, Finished, JobError, JobId, JobState, Millis, NewJob, Outcome, QueueConfig,
    QueueName, ScheduleId, ScheduleSpec, Scope, WorkerId,
};
use crate::port::{AdminCommand, Finding, Put, Resume, Step, WorkerInfo};

const NOW: Millis = 1_000_000;

fn schedule() -> ScheduleId {
    ScheduleId::new("ticks").unwrap()
}

fn id(text: &str) -> JobId {
    JobId::new(text).unwrap()
}

/// A queue with a job in every state, named after it, and a waiting and an active one in a group.
fn sample() -> Core {
    let name = QueueName::new("main").unwrap();
    let mut core = Core::new(name.clone(), QueueConfig::default(), NOW);
    let worker = WorkerId(1);
    let info = WorkerInfo { id: worker, name: String::new(), slots: 9, version: String::new(), started: NOW };
    core.resume(&Resume { info, call: 1, running: Vec::new() }, NOW).unwrap();
    let job = |text: &str| NewJob::new(id(text), "work", "{}").timeout_ms(5_000);
    let error = JobError { kind: ErrorKind::Unrecoverable, message: "broken".into() };
    let outcomes = [
        ("completed", Some(Outcome::Complete { result: None, follow_ups: Vec::new() })),
        ("failed", Some(Outcome::Fail { error })),
        ("active", None),
    ];
    for (call, (text, outcome)) in (2..).step_by(2).zip(outcomes) {
        core.add(vec![job(text)], NOW).unwrap();
        let taken = core.step(Step::take(worker, call, 1), NOW).unwrap().taken.remove(0);
        let finished = outcome.map(|outcome| Finished { job: taken, outcome }).into_iter().collect();
        core.step(Step::settle(worker, call + 1, finished), NOW).unwrap();
    }
    core.add(vec![job("grouped-active").group("g")], NOW).unwrap();
    core.step(Step::take(worker, 10, 1), NOW).unwrap();
    core.add(
        vec![
            job("cancelled"),
            job("waiting").dedup("key"),
            job("grouped").group("g"),
            job("delayed").delay_ms(9_000),
            job("waiting-children").child(name, NewJob::new(id("kid"), "work", "{}"), ChildFailure::Fail),
        ],
        NOW,
    )
    .unwrap();
    core.admin(AdminCommand::Cancel(vec![id("cancelled")]), NOW).unwrap();
    let ticks = ScheduleSpec::every(schedule(), 1_000, &job("sch-0")).unwrap().limit(5);
    core.put_schedule(&Scope::All, ticks, Some(NOW + 1_000), Put::Always, NOW).unwrap();
    assert_eq!(core.verify(0, false).findings, []);
    core
}

/// Damages a queue; a check must find it under the invariant's number, and a repair must leave nothing to be found.
fn is_found_and_mended(invariant: u8, damage: impl FnOnce(&mut Core)) -> Core {
    let mut core = sample();
    damage(&mut core);
    let found = core.verify(0, false).findings;
    assert!(found.iter().any(|finding| finding.invariant == invariant && !finding.repaired), "{found:?}");
    assert_eq!(core.verify(0, false).findings, found, "looking changes nothing");
    let mended = core.verify(0, true).findings;
    assert!(mended.iter().all(|finding| finding.repaired), "{mended:?}");
    assert_eq!(core.verify(0, true).findings, []);
    core
}

/// Damages a queue in a way that only a person can judge: it is found, and says that it was not put right.
fn is_found_and_left(invariant: u8, damage: impl FnOnce(&mut Core)) {
    let mut core = sample();
    damage(&mut core);
    let left = |finding: &Finding| finding.invariant == invariant && !finding.repaired;
    let found = core.verify(0, true).findings;
    assert!(found.iter().any(left), "{found:?}");
    assert!(core.verify(0, false).findings.iter().any(left));
}

fn slot(core: &Core, text: &str) -> u32 {
    core.find(&id(text)).unwrap()
}

#[test]
fn a_wrong_count_is_found_and_mended() {
    for state in JobState::ALL {
        let core = is_found_and_mended(1, |core| *core.counts.of_mut(state) += 1);
        assert_eq!(core.info(NOW).counts.of(state), sample().info(NOW).counts.of(state));
    }
}

#[test]
fn a_job_in_no_collection_is_found_and_put_back() {
    let mut core = is_found_and_mended(1, |core| {
        let slot = slot(core, "waiting");
        core.jobs.move_on(slot);
    });
    core.step(Step::take(WorkerId(1), 11, 9), NOW).unwrap();
    assert_eq!(core.get(&[id("waiting")])[0].as_ref().unwrap().state(), JobState::Active);
    is_found_and_mended(1, |core| core.delayed.clear());
    for text in ["waiting-children", "completed", "failed", "cancelled"] {
        is_found_and_mended(1, |core| {
            let slot = slot(core, text);
            core.jobs.move_on(slot);
        });
    }
}

#[test]
fn a_job_in_two_collections_is_found_and_taken_from_the_wrong_one() {
    let core = is_found_and_mended(1, |core| {
        let slot = slot(core, "completed");
        core.delayed.insert((NOW + 1, id("completed")), slot);
    });
    assert_eq!(core.delayed.len(), 1);
}

#[test]
fn an_active_job_that_its_worker_does_not_list_is_found_and_rescued_with_it() {
    let mut core = is_found_and_mended(2, |core| {
        core.active.workers.values_mut().for_each(|worker| worker.running.clear());
    });
    // Its worker stays silent from here.
    for second in 1..=25 {
        core.maintain(NOW + second * 1_000);
    }
    assert_eq!(core.info(NOW).counts.active, 0);
}

#[test]
fn an_active_job_of_an_unknown_worker_is_found_and_rescued() {
    let mut core = is_found_and_mended(2, |core| core.active.workers.clear());
    for second in 1..=25 {
        core.maintain(NOW + second * 1_000);
    }
    assert_eq!(core.info(NOW).counts.active, 0);
}

#[test]
fn an_active_job_without_a_token_is_found_and_put_back() {
    let core = is_found_and_mended(2, |core| {
        let slot = slot(core, "active");
        core.jobs.get_mut(slot).active = None;
    });
    assert_eq!(core.get(&[id("active")])[0].as_ref().unwrap().state(), JobState::Waiting);
}

#[test]
fn a_token_of_a_job_that_does_not_run_is_found_and_taken_away() {
    let core = is_found_and_mended(2, |core| {
        let (from, to) = (slot(core, "active"), slot(core, "waiting"));
        let active = core.jobs.get(from).active;
        core.jobs.get_mut(to).active = active;
    });
    assert_eq!(core.get(&[id("waiting")])[0].as_ref().unwrap().active, None);
}

#[test]
fn a_lost_deadline_is_found_and_mended() {
    let mut core = is_found_and_mended(2, |core| core.active.deadlines.clear());
    assert_eq!(core.active.deadlines.len(), 2);
    core.maintain(NOW);
}

#[test]
fn a_wrong_count_of_a_group_is_found_and_mended() {
    is_found_and_mended(5, |core| {
        let group = core.jobs.get(slot(core, "grouped-active")).spec.group.clone();
        core.ready.count_active(&group);
    });
}

#[test]
fn a_group_that_fell_out_of_the_ring_is_found_and_seated_again() {
    let mut core = is_found_and_mended(5, |core| {
        let name: Arc<str> = "g".into();
        core.ready.restore_member(&Some(name), 0, None);
    });
    let taken = core.step(Step::take(WorkerId(1), 11, 9), NOW).unwrap().taken;
    assert!(taken.iter().any(|job| job.spec.id == id("grouped")));
}

#[test]
fn a_wrong_count_of_children_is_found_and_mended() {
    is_found_and_mended(6, |core| {
        let slot = slot(core, "waiting-children");
        core.jobs.get_mut(slot).family.as_mut().unwrap().pending = 7;
    });
}

#[test]
fn a_parent_that_waits_for_nobody_is_found_and_started() {
    let core = is_found_and_mended(6, |core| {
        let slot = slot(core, "waiting-children");
        let family = core.jobs.get_mut(slot).family.as_mut().unwrap();
        family.pending = 0;
        family.children[0].child.state = crate::model::ChildState::Completed { result: None };
    });
    assert_eq!(core.get(&[id("waiting-children")])[0].as_ref().unwrap().state(), JobState::Waiting);
    is_found_and_mended(6, |core| {
        let slot = slot(core, "waiting-children");
        core.jobs.get_mut(slot).family = None;
    });
}

#[test]
fn a_key_whose_holder_is_gone_is_found_and_freed() {
    let mut core = is_found_and_mended(7, |core| {
        let held = crate::core::Held::new(id("nobody"), None, None);
        core.dedup.set(&"orphan".into(), Some(held));
    });
    let again = NewJob::new(id("again"), "work", "{}").dedup("orphan");
    assert!(core.add(vec![again], NOW).unwrap().added[0].is_new());
}

#[test]
fn what_the_records_themselves_get_wrong_is_found_and_left_to_people() {
    is_found_and_left(4, |core| {
        let slot = slot(core, "failed");
        core.jobs.get_mut(slot).status.errors.clear();
    });
    is_found_and_left(4, |core| {
        let slot = slot(core, "completed");
        core.jobs.get_mut(slot).status.finished_on = None;
    });
    is_found_and_left(4, |core| {
        let slot = slot(core, "waiting");
        core.jobs.get_mut(slot).status.attempts_made = 99;
    });
    for (text, stalls) in [("waiting", 1), ("active", 1), ("completed", 2), ("failed", 2), ("cancelled", 2)] {
        is_found_and_left(4, |core| {
            let slot = slot(core, text);
            core.jobs.get_mut(slot).status.stalls = stalls;
        });
    }
    is_found_and_left(4, |core| {
        let slot = slot(core, "completed");
        core.jobs.get_mut(slot).status.run = 0;
        core.jobs.get_mut(slot).status.attempts_made = 2;
    });
}

#[test]
fn a_schedule_that_is_listed_elsewhere_than_it_stands_is_found_and_listed_anew() {
    let core = is_found_and_mended(8, |core| core.timetable.due.clear());
    assert_eq!(core.next_slot(0), Some(NOW + 1_000));
    is_found_and_mended(8, |core| {
        core.timetable.due.insert((NOW, schedule()));
    });
    is_found_and_mended(8, |core| {
        core.timetable.due.insert((NOW, ScheduleId::new("nobody").unwrap()));
    });
}

#[test]
fn a_schedule_that_must_not_fire_and_stands_at_a_slot_is_found_and_stopped() {
    for damage in
        [(|core| core.timetable.all.get_mut(&schedule()).unwrap().state.fired = 5) as fn(&mut Core), |core| {
            let ticks = core.timetable.all.get_mut(&schedule()).unwrap();
            Arc::make_mut(&mut ticks.spec).enabled = false;
        }]
    {
        let core = is_found_and_mended(8, damage);
        assert_eq!(core.next_slot(0), None);
    }
}
