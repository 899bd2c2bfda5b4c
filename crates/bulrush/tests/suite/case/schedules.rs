//! Schedules: what puts one there, what moves it on, and that each slot fires once.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bulrush::model::{
    JobId, JobState, JobView, Millis, Missed, NewJob, Overlap, Owner, PageRequest, ScheduleError, ScheduleId,
    ScheduleSpec, ScheduleView, Scope,
};
use bulrush::port::{
    AdminCommand, DueSchedules, Error, Fire, Fired, Put, PutOutcome, PutReply, ScheduleChange, ScheduleResult,
};
use bulrush::{Ticker, TickerOptions, fires_of};

use crate::suite::{Queue, Rig, START, complete, eventually, job, name};

const HOUR: Millis = 3_600_000;

fn sid(text: &str) -> ScheduleId {
    ScheduleId::new(text).expect("the case uses good ids")
}

/// A schedule with nothing special about it.
pub fn every(text: &str, ms: u64) -> ScheduleSpec {
    ScheduleSpec::every(sid(text), ms, &NewJob::new(JobId::new("sch-0").expect("a good id"), "work", "{}"))
        .expect("a good job")
}

fn cron(text: &str, expression: &str) -> ScheduleSpec {
    ScheduleSpec::cron(sid(text), expression, &job("sch-0")).expect("a good job")
}

async fn try_put(queue: &Queue, scope: &Scope, spec: ScheduleSpec, put: Put) -> Result<PutReply, Error> {
    queue.backend.put_schedule(&queue.name, scope, spec, put).await
}

async fn put(queue: &Queue, spec: ScheduleSpec) -> PutOutcome {
    try_put(queue, &Scope::All, spec, Put::Always).await.expect("it can be put").outcome
}

async fn find(queue: &Queue, text: &str) -> Option<ScheduleView> {
    let found = queue.backend.get_schedules(&queue.name, &Scope::All, vec![sid(text)]).await;
    found.expect("schedules can be read").remove(0)
}

async fn view(queue: &Queue, text: &str) -> ScheduleView {
    find(queue, text).await.unwrap_or_else(|| panic!("schedule {text} is gone"))
}

async fn change(queue: &Queue, text: &str, change: ScheduleChange) -> ScheduleResult {
    let results = queue.backend.change_schedules(&queue.name, &Scope::All, vec![sid(text)], change).await;
    results.expect("it can be changed")[0]
}

async fn fire(queue: &Queue, fires: Vec<Fire>) -> Vec<Fired> {
    let reply = queue.backend.fire(&queue.name, fires).await.expect("slots can be fired");
    assert_eq!(reply.now, queue.now());
    reply.fired
}

/// Fires whatever is due, as a ticker does, once. Returns what became of each slot.
async fn tick(queue: &Queue) -> Vec<Fired> {
    let due = queue.backend.due_schedules(&queue.name, 1_000).await.expect("schedules can be read");
    assert_eq!(due.now, queue.now());
    let fires = due.due.iter().flat_map(|view| fires_of(view, due.now).expect("it is understood")).collect();
    fire(queue, fires).await
}

async fn jobs_of(queue: &Queue, text: &str) -> Vec<JobView> {
    let mut jobs = queue.all(PageRequest::default()).await;
    jobs.retain(|job| job.spec.schedule.as_ref().is_some_and(|slot| slot.schedule.as_str() == text));
    jobs.sort_by_key(slot_of);
    jobs
}

fn slot_of(job: &JobView) -> Millis {
    job.spec.schedule.as_ref().map_or(0, |slot| slot.slot)
}

async fn slots(queue: &Queue, text: &str) -> Vec<Millis> {
    jobs_of(queue, text).await.iter().map(|job| slot_of(job) - START).collect()
}

pub async fn a_slot_adds_its_job_when_it_has_come_and_not_before(rig: &Rig) {
    let spec = every("s", 5_000).owner("acme", "ada");
    assert_eq!(put(rig, spec.clone()).await, PutOutcome::New);
    let there = view(rig, "s").await;
    assert_eq!((there.state.next, there.state.revision), (Some(START + 5_000), there.state.created_at));
    let early = Fire {
        spec: there.spec.clone(),
        revision: there.state.revision,
        slot: START + 5_000,
        fires: Some(START + 5_000),
        missed: 0,
        next: Some(START + 10_000),
    };
    rig.advance(4_999);
    let due = rig.backend.due_schedules(&rig.name, 10).await.expect("schedules can be read");
    assert_eq!((due.due.len(), due.next), (0, Some(START + 5_000)));
    assert_eq!(fire(rig, vec![early.clone()]).await, [Fired::Early]);
    assert_eq!(view(rig, "s").await, there);
    rig.advance(1);
    let id = spec.job_id(START + 5_000);
    assert_eq!(fire(rig, vec![early]).await, [Fired::Added(id.clone())]);
    let job = rig.job(id.as_str()).await;
    assert_eq!(
        (job.state(), &*job.spec.name, job.spec.data.as_ref()),
        (JobState::Waiting, "work", &b"{}"[..])
    );
    assert_eq!(job.spec.owner.as_deref(), Some(&Owner { tenant: "acme".into(), user: "ada".into() }));
    assert_eq!(slot_of(&job), START + 5_000);
    assert!(id.as_str().starts_with("sch-"));
    let after = view(rig, "s").await.state;
    assert_eq!((after.next, after.fired, after.last_slot), (Some(START + 10_000), 1, Some(START + 5_000)));
    assert_eq!((after.last_job, after.revision), (Some(id), there.state.revision));
    // The job says so whoever reads it, a worker and what is left of it too.
    let mut hand = rig.hand(1);
    let taken = hand.run(complete()).await;
    assert_eq!(taken.spec.schedule, job.spec.schedule);
    assert_eq!(rig.job(taken.spec.id.as_str()).await.spec.schedule, job.spec.schedule);
}

pub async fn a_slot_fires_once_whoever_asks_and_however_often(rig: &Rig) {
    put(rig, every("s", 1_000)).await;
    rig.advance(1_000);
    let due = rig.backend.due_schedules(&rig.name, 10).await.expect("schedules can be read");
    let fires = fires_of(&due.due[0], due.now).expect("it is understood");
    assert!(matches!(fire(rig, fires.clone()).await[..], [Fired::Added(_)]));
    // A repeat whose first answer was lost, another ticker, the same slot twice in one call, and all of that after the job is gone.
    assert_eq!(fire(rig, fires.clone()).await, [Fired::Stale]);
    let id = jobs_of(rig, "s").await[0].id().clone();
    rig.remove(id.as_str()).await;
    assert_eq!(fire(rig, [fires.clone(), fires].concat()).await, [Fired::Stale, Fired::Stale]);
    assert_eq!(rig.info().await.counts.total(), 0);
    rig.advance(1_000);
    let due = rig.backend.due_schedules(&rig.name, 10).await.expect("schedules can be read");
    let fires = fires_of(&due.due[0], due.now).expect("it is understood");
    let [first, second] = &fire(rig, [fires.clone(), fires].concat()).await[..] else {
        panic!("two answers")
    };
    assert!(matches!((first, second), (Fired::Added(_), Fired::Stale)), "{first:?} {second:?}");
    // A schedule that is made anew finds the job of a slot that had fired.
    change(rig, "s", ScheduleChange::Remove).await;
    let other = every("s", 7_000).anchor(rig.now() + 5);
    put(rig, other.clone()).await;
    rig.advance(5);
    rig.add(NewJob { when: bulrush::model::When::Now, ..other.slot_job(rig.now()) }).await;
    assert_eq!(tick(rig).await, [Fired::There(other.job_id(rig.now()))]);
}

pub async fn a_slot_of_an_older_revision_does_not_fire(rig: &Rig) {
    put(rig, every("s", 1_000)).await;
    rig.advance(1_000);
    let before = view(rig, "s").await;
    let fires = fires_of(&before, rig.now()).expect("it is understood");
    let mut other = every("s", 1_000);
    other.job.data = "[2]".into();
    assert_eq!(put(rig, other).await, PutOutcome::Changed);
    // The slot is the same, what it fires is not.
    assert_eq!(view(rig, "s").await.state.next, before.state.next);
    assert_eq!(fire(rig, fires.clone()).await, [Fired::Stale]);
    assert!(matches!(tick(rig).await[..], [Fired::Added(_)]));
    assert_eq!(jobs_of(rig, "s").await[0].spec.data, "[2]");
    change(rig, "s", ScheduleChange::Remove).await;
    assert_eq!(fire(rig, fires).await, [Fired::Unknown]);
    // Nor does it fit another one that has the name now, at the same slot.
    let mut fixed = every("t", 10_000);
    fixed.end = None;
    put(rig, fixed.clone()).await;
    rig.advance(1);
    let old = view(rig, "t").await;
    change(rig, "t", ScheduleChange::Remove).await;
    fixed.start = old.state.next;
    fixed.job.data = "[3]".into();
    put(rig, fixed).await;
    assert_eq!(view(rig, "t").await.state.next, old.state.next);
    rig.advance(20_000);
    let fires = fires_of(&old, rig.now()).expect("it is understood");
    assert_eq!(fire(rig, fires).await[0], Fired::Stale);
}

pub async fn a_call_that_contradicts_itself_fires_nothing(rig: &Rig) {
    put(rig, every("s", 1_000)).await;
    put(rig, every("t", 1_000)).await;
    rig.advance(1_000);
    let due = rig.backend.due_schedules(&rig.name, 10).await.expect("schedules can be read").due;
    let good = fires_of(&due[0], rig.now()).expect("it is understood").remove(0);
    let slot = good.slot;
    for (fires, next) in [(Some(slot), Some(slot)), (Some(slot - 1), None), (Some(slot + 5), Some(slot + 5))]
    {
        let bad = Fire { spec: due[1].spec.clone(), fires, next, ..good.clone() };
        let refused = rig.backend.fire(&rig.name, vec![good.clone(), bad]).await;
        assert!(matches!(refused, Err(Error::Schedule(ScheduleError::Order { .. }))), "{refused:?}");
    }
    assert_eq!(rig.info().await.counts.total(), 0);
    assert_eq!(rig.backend.due_schedules(&rig.name, 10).await.expect("schedules can be read").due, due);
}

pub async fn what_is_put_as_it_is_changes_nothing(rig: &Rig) {
    let spec = cron("s", "*/5 * * * *").zone("Europe/Berlin").limit(2).jitter_ms(10).owner("a", "b");
    put(rig, spec.clone()).await;
    let before = view(rig, "s").await;
    assert_eq!(*before.spec, spec);
    for ms in [1, 400_000, 400_000, 10 * HOUR] {
        rig.advance(ms);
        let events = rig.info().await.last_event;
        let reply = try_put(rig, &Scope::All, spec.clone(), Put::Always).await.expect("it can be put");
        assert_eq!((reply.outcome, reply.schedule.as_ref()), (PutOutcome::Same, Some(&view(rig, "s").await)));
        assert_eq!(rig.info().await.last_event, events);
        tick(rig).await;
    }
    let over = view(rig, "s").await;
    assert!(over.is_over() && over.state.fired == 2, "{over:?}");
    // One that is over is no reason to refuse what changes nothing.
    assert_eq!(put(rig, spec.clone()).await, PutOutcome::Same);
    assert_eq!(view(rig, "s").await, over);
    let spent = try_put(rig, &Scope::All, spec.limit(1), Put::Always).await;
    assert!(matches!(spent, Err(Error::Schedule(ScheduleError::Spent { limit: 1, fired: 2 }))), "{spent:?}");
}

pub async fn another_job_keeps_the_slot_and_another_timing_counts_anew(rig: &Rig) {
    put(rig, every("s", 10_000)).await;
    rig.advance(4_000);
    let other = every("s", 10_000).overlap(Overlap::Skip).jitter_ms(3).missed(Missed::All { max: 3 });
    assert_eq!(put(rig, other.clone()).await, PutOutcome::Changed);
    let there = view(rig, "s").await;
    assert_eq!((there.state.next, there.state.revision), (Some(START + 10_000), START + 1));
    assert_eq!((there.state.updated_at, there.state.created_at), (START + 4_000, START));
    assert_eq!(put(rig, other.limit(5)).await, PutOutcome::Changed);
    let there = view(rig, "s").await;
    assert_eq!((there.state.next, there.state.anchor), (Some(START + 14_000), START + 4_000));
    assert_eq!(put(rig, cron("s", "@hourly")).await, PutOutcome::Changed);
    let next = view(rig, "s").await.state.next.expect("it stands somewhere");
    assert_eq!(next, (START / HOUR + 1) * HOUR);
}

pub async fn a_default_is_made_once_ever(rig: &mut Rig) {
    let once = |spec| try_put(rig, &Scope::All, spec, Put::Once);
    assert_eq!(once(every("d", 5_000)).await.expect("it can be put").outcome, PutOutcome::New);
    put(rig, every("d", 9_000)).await;
    let reply = once(every("d", 5_000)).await.expect("it can be put");
    assert_eq!(reply.outcome, PutOutcome::Known);
    assert_eq!(reply.schedule, Some(view(rig, "d").await), "an edit stays");
    assert_eq!(change(rig, "d", ScheduleChange::Remove).await, ScheduleResult::Done);
    let reply = once(every("d", 5_000)).await.expect("it can be put");
    assert_eq!((reply.outcome, reply.schedule), (PutOutcome::Known, None), "a removal stays");
    // One that somebody had made by himself is known from the first time that it was asked for.
    put(rig, every("own", 7_000)).await;
    assert_eq!(once(every("own", 5_000)).await.expect("it can be put").outcome, PutOutcome::Known);
    change(rig, "own", ScheduleChange::Remove).await;
    rig.reopen().await;
    for text in ["d", "own"] {
        let reply = try_put(rig, &Scope::All, every(text, 5_000), Put::Once).await.expect("it can be put");
        assert_eq!((reply.outcome, reply.schedule), (PutOutcome::Known, None), "{text}");
    }
    // Whoever wants it back puts it.
    assert_eq!(put(rig, every("d", 5_000)).await, PutOutcome::New);
}

pub async fn a_put_at_a_revision_changes_that_one_and_no_other(rig: &mut Rig) {
    let at = |spec, revision| try_put(rig, &Scope::All, spec, Put::At(revision));
    let reply = at(every("s", 5_000), Some(7)).await.expect("it is answered");
    assert_eq!((reply.outcome, reply.schedule), (PutOutcome::Moved, None), "there is none to change");
    let made = at(every("s", 5_000), None).await.expect("it can be put");
    assert_eq!(made.outcome, PutOutcome::New);
    let first = made.schedule.expect("it is there").state.revision;
    assert_eq!(
        at(every("s", 5_000), None).await.expect("it can be put").outcome,
        PutOutcome::Same,
        "a repeat"
    );
    let reply = at(every("s", 6_000), None).await.expect("it is answered");
    assert_eq!((reply.outcome, reply.schedule), (PutOutcome::Moved, Some(view(rig, "s").await)));
    let reply = at(every("s", 6_000), Some(first)).await.expect("it can be put");
    assert_eq!(reply.outcome, PutOutcome::Changed);
    assert_eq!(
        at(every("s", 6_000), Some(first)).await.expect("it can be put").outcome,
        PutOutcome::Same,
        "a repeat"
    );
    let reply = at(every("s", 7_000), Some(first)).await.expect("it is answered");
    assert_eq!(reply.outcome, PutOutcome::Moved, "somebody has changed it");
    assert_eq!(reply.schedule, Some(view(rig, "s").await));
    rig.reopen().await;
    let there = view(rig, "s").await;
    assert_eq!(
        (there.spec.recurrence.clone(), there.state.revision),
        (every("s", 6_000).recurrence, first + 1)
    );
    change(rig, "s", ScheduleChange::Remove).await;
    let reply = try_put(rig, &Scope::All, every("s", 7_000), Put::At(Some(first + 1))).await;
    assert_eq!(reply.expect("it is answered").outcome, PutOutcome::Moved, "it is gone");
}

pub async fn a_disabled_schedule_stands_still_and_goes_on_from_the_moment_it_is_enabled(rig: &Rig) {
    put(rig, every("s", 1_000)).await;
    assert_eq!(change(rig, "s", ScheduleChange::Enable).await, ScheduleResult::Same);
    assert_eq!(change(rig, "s", ScheduleChange::Disable).await, ScheduleResult::Done);
    assert_eq!(change(rig, "s", ScheduleChange::Disable).await, ScheduleResult::Same);
    let still = view(rig, "s").await;
    assert_eq!((still.spec.enabled, still.state.next, still.is_over()), (false, None, false));
    rig.advance(10_500);
    assert_eq!(tick(rig).await, []);
    assert_eq!(change(rig, "s", ScheduleChange::Enable).await, ScheduleResult::Done);
    let there = view(rig, "s").await;
    assert_eq!(
        (there.state.next, there.state.missed, there.state.revision),
        (Some(START + 11_000), 0, START + 2)
    );
    rig.advance(500);
    assert!(matches!(tick(rig).await[..], [Fired::Added(_)]));
    assert_eq!(change(rig, "gone", ScheduleChange::Enable).await, ScheduleResult::Unknown);
    // One that is put disabled is checked all the same, and one that has run out cannot be enabled.
    put(rig, every("t", 1_000).end(rig.now() + 2_000).disabled()).await;
    assert_eq!(view(rig, "t").await.state.next, None);
    rig.advance(5_000);
    assert_eq!(change(rig, "t", ScheduleChange::Enable).await, ScheduleResult::Over);
}

pub async fn of_missed_slots_as_many_fire_as_the_policy_says(rig: &Rig) {
    put(rig, every("one", 1_000)).await;
    put(rig, every("all", 1_000).missed(Missed::All { max: 3 })).await;
    put(rig, every("skip", 1_000).missed(Missed::Skip { grace_ms: 400 })).await;
    rig.advance(7_400);
    tick(rig).await;
    assert_eq!(slots(rig, "one").await, [7_000]);
    assert_eq!(slots(rig, "all").await, [5_000, 6_000, 7_000]);
    assert_eq!(slots(rig, "skip").await, [7_000], "late, but within its grace");
    for (text, missed) in [("one", 6), ("all", 4), ("skip", 6)] {
        let there = view(rig, text).await.state;
        assert_eq!((there.missed, there.next), (missed, Some(START + 8_000)), "{text}");
    }
    rig.advance(1_001);
    tick(rig).await;
    assert_eq!(slots(rig, "skip").await, [7_000], "beyond its grace");
    assert_eq!((view(rig, "skip").await.state.missed, view(rig, "one").await.state.fired), (7, 2));
    rig.advance(700);
    tick(rig).await;
    assert_eq!(slots(rig, "skip").await, [7_000, 9_000]);
}

pub async fn a_slot_is_skipped_while_the_last_job_has_not_ended(rig: &Rig) {
    put(rig, every("s", 1_000).overlap(Overlap::Skip)).await;
    put(rig, every("allow", 1_000)).await;
    let mut hand = rig.hand(1);
    rig.advance(1_000);
    tick(rig).await;
    rig.advance(1_000);
    assert!(tick(rig).await.contains(&Fired::Skipped), "it waits");
    rig.cancel(jobs_of(rig, "allow").await[0].id().as_str()).await;
    rig.cancel(jobs_of(rig, "allow").await[1].id().as_str()).await;
    let taken = hand.take_one().await;
    rig.advance(1_000);
    assert!(tick(rig).await.contains(&Fired::Skipped), "it runs");
    let there = view(rig, "s").await.state;
    assert_eq!((there.fired, there.skipped, there.missed), (1, 2, 0));
    assert_eq!(there.next, Some(START + 4_000));
    hand.end(&taken, complete()).await;
    rig.advance(1_000);
    tick(rig).await;
    assert_eq!(slots(rig, "s").await, [1_000, 4_000]);
    assert_eq!(slots(rig, "allow").await, [1_000, 2_000, 3_000, 4_000]);
}

pub async fn a_replaced_job_is_cancelled_or_asked_to_stop(rig: &Rig) {
    put(rig, every("s", 1_000).overlap(Overlap::Replace)).await;
    for _ in 0..2 {
        rig.advance(1_000);
        tick(rig).await;
    }
    let jobs = jobs_of(rig, "s").await;
    assert_eq!([jobs[0].state(), jobs[1].state()], [JobState::Cancelled, JobState::Waiting]);
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    rig.advance(1_000);
    tick(rig).await;
    let running = rig.job(taken.spec.id.as_str()).await;
    assert!(running.active.is_some_and(|run| run.cancel_requested), "{running:?}");
    assert_eq!(hand.step(Vec::new(), 0).await.cancel, std::slice::from_ref(&taken.spec.id));
    assert_eq!(jobs_of(rig, "s").await.len(), 3);
    assert_eq!((view(rig, "s").await.state.fired, rig.info().await.counts.waiting), (3, 1));
}

pub async fn a_limit_and_an_end_are_held_to(rig: &Rig) {
    put(rig, every("limit", 1_000).limit(2)).await;
    put(rig, every("end", 1_000).end(START + 2_000)).await;
    put(rig, every("start", 1_000).start(START + 3_500)).await;
    for _ in 0..5 {
        rig.advance(1_000);
        tick(rig).await;
    }
    assert_eq!(slots(rig, "limit").await, [1_000, 2_000]);
    assert_eq!(slots(rig, "end").await, [1_000, 2_000]);
    assert_eq!(slots(rig, "start").await, [3_500, 4_500]);
    assert!(view(rig, "limit").await.is_over() && view(rig, "end").await.is_over());
    // Nor does whoever says that there is another slot get one.
    put(rig, every("more", 1_000).limit(1)).await;
    put(rig, every("past", 1_000).end(rig.now() + 1_000)).await;
    rig.advance(1_000);
    for text in ["more", "past"] {
        let there = view(rig, text).await;
        let slot = there.state.next.expect("it stands somewhere");
        let next = Some(slot + 1_000);
        let more = Fire {
            spec: there.spec,
            revision: there.state.revision,
            slot,
            fires: Some(slot),
            missed: 0,
            next,
        };
        assert!(matches!(fire(rig, vec![more]).await[..], [Fired::Added(_)]));
        assert_eq!(view(rig, text).await.state.next, None, "{text}");
    }
    // A raised limit lets it go on.
    assert_eq!(put(rig, every("limit", 1_000).limit(3)).await, PutOutcome::Changed);
    rig.advance(1_000);
    tick(rig).await;
    assert_eq!(view(rig, "limit").await.state.fired, 3);
}

pub async fn no_fate_of_its_jobs_stops_a_schedule(rig: &Rig) {
    put(rig, every("s", 1_000).jitter_ms(500).overlap(Overlap::Skip)).await;
    let mut expected = 0;
    for round in 0..6 {
        rig.advance(1_000);
        assert!(matches!(tick(rig).await[..], [Fired::Added(_)]), "round {round}");
        expected += 1;
        let id = view(rig, "s").await.state.last_job.expect("it has fired");
        match round {
            0 => drop(rig.remove(id.as_str()).await),
            1 => drop(rig.cancel(id.as_str()).await),
            2 => {
                rig.advance(1);
                rig.admin(AdminCommand::Clean { state: JobState::Delayed, older_ms: 0, limit: 10 }).await;
                rig.admin(AdminCommand::Clean { state: JobState::Waiting, older_ms: 0, limit: 10 }).await;
            }
            3 => drop(rig.admin(AdminCommand::Drain { delayed: true, limit: 10 }).await),
            4 => {
                rig.advance(500);
                rig.hand(1).run(crate::suite::fail()).await;
            }
            _ => {}
        }
    }
    assert_eq!(view(rig, "s").await.state.fired, expected);
}

pub async fn a_full_and_a_paused_queue_lose_no_slot(rig: &Rig) {
    rig.configure(|config| config.depth_max = Some(1)).await;
    rig.add_ids(&["a"]).await;
    put(rig, every("s", 1_000)).await;
    rig.admin(AdminCommand::Pause).await;
    rig.advance(1_000);
    tick(rig).await;
    rig.advance(1_000);
    tick(rig).await;
    assert_eq!(slots(rig, "s").await, [1_000, 2_000]);
    assert_eq!(rig.hand(1).take(9).await.len(), 0);
    rig.admin(AdminCommand::Unpause).await;
    assert_eq!(rig.hand(1).take(9).await.len(), 3);
}

pub async fn jitter_is_spread_and_the_same_for_whoever_fires(rig: &Rig) {
    let mut late = BTreeSet::new();
    for n in 0..40 {
        let spec = every(&format!("s{n}"), 10_000).jitter_ms(5_000);
        put(rig, spec.clone()).await;
        assert_eq!(spec.slot_job(START + 10_000).when, spec.slot_job(START + 10_000).when);
    }
    rig.advance(10_000);
    assert_eq!(tick(rig).await.len(), 40);
    for job in rig.all(PageRequest::default()).await {
        let ms = job.status.run_at - START - 10_000;
        assert!(ms <= 5_000, "{ms}");
        assert_eq!(job.state(), if ms == 0 { JobState::Waiting } else { JobState::Delayed });
        late.insert(ms / 1_000);
    }
    assert!(late.len() >= 4, "spread over all seconds: {late:?}");
    rig.advance(5_000);
    assert_eq!(rig.hand(1).take(100).await.len(), 40);
}

pub async fn what_cannot_be_is_refused_and_changes_nothing(rig: &Rig) {
    let now = rig.now();
    put(rig, every("s", 5_000)).await;
    let before = view(rig, "s").await;
    let year_10000 = 253_402_300_800_000;
    let bad = [
        cron("s", "* * * *"),
        cron("s", "60 * * * *"),
        cron("s", "* * 31 2 *"),
        cron("s", "*/0 * * * *"),
        cron("s", "@reboot"),
        cron("s", &"*".repeat(10_000)),
        cron("s", "* * * * *").zone("Mars/Base"),
        cron("s", "* * * * *").zone("EST5EDT"),
        cron("s", "* * * * *").zone(""),
        cron("s", "* * * * *").zone("../../etc/passwd"),
        cron("s", "* * * * *").zone("x".repeat(1_000)),
        every("s", 0),
        every("s", 1),
        every("s", 1_000_000_000_000_000_000),
        every("s", 5_000).start(now + 20).end(now + 10),
        every("s", 5_000).end(now - 1),
        every("s", 5_000).end(now + 4_999),
        every("s", 5_000).end(year_10000),
        every("s", 5_000).start(year_10000),
        every("s", 5_000).anchor(u64::MAX),
        every("s", 5_000).limit(0),
        every("s", 5_000).jitter_ms(u64::MAX),
        every("s", 5_000).missed(Missed::All { max: 0 }),
        every("s", 5_000).missed(Missed::All { max: u32::MAX }),
        every("s", 5_000).owner("x".repeat(1_000), "y"),
        {
            let mut spec = every("s", 5_000);
            spec.job.data = vec![b'x'; (1 << 20) + 1].into();
            spec
        },
        {
            let mut spec = every("s", 5_000);
            spec.job.attempts = 0;
            spec
        },
    ];
    for mut spec in bad {
        for how in [Put::Always, Put::Once] {
            if how == Put::Once {
                // Of a default that is there it does not matter any more whether it would fire.
                spec.id = sid("default");
            }
            let shown = format!("{:?}", spec.recurrence);
            let refused = try_put(rig, &Scope::All, spec.clone(), how).await;
            assert!(matches!(refused, Err(Error::Schedule(_))), "{shown:.60}: {refused:?}");
        }
    }
    assert_eq!((view(rig, "s").await, find(rig, "default").await), (before, None));
    for refused in [
        job("a").delay_ms(5),
        job("a").dedup("k"),
        job("a").child(name("other"), job("b"), bulrush::model::ChildFailure::Fail),
    ] {
        assert!(ScheduleSpec::every(sid("s"), 5_000, &refused).is_err());
    }
    for bad in ["", "a b", "a/b", "ä", &"x".repeat(129)] {
        ScheduleId::new(bad).expect_err("not allowed");
    }
}

pub async fn the_shortest_interval_is_the_queue_s(rig: &Rig) {
    put(rig, cron("seconds", "* * * * * *")).await;
    rig.configure(|config| config.bounds.schedule_interval_ms = 60_000).await;
    for spec in [cron("s", "* * * * * *"), cron("s", "0,30 * * * * *"), every("s", 59_999)] {
        let refused = try_put(rig, &Scope::All, spec, Put::Always).await;
        assert!(
            matches!(refused, Err(Error::Schedule(ScheduleError::Interval { min: 60_000, .. }))),
            "{refused:?}"
        );
    }
    put(rig, cron("s", "* * * * *")).await;
    put(rig, every("t", 60_000)).await;
    // What was there goes on.
    rig.advance(1_000);
    assert!(matches!(tick(rig).await[..], [Fired::Added(_)]));
}

pub async fn schedules_of_others_are_absent_and_stay_as_they_were(rig: &Rig) {
    put(rig, every("ada", 5_000).owner("a", "ada")).await;
    put(rig, every("bob", 5_000).owner("a", "bob")).await;
    put(rig, every("cy", 5_000).owner("b", "ada")).await;
    put(rig, every("nobody", 5_000)).await;
    let owner = |tenant: &str, user: &str| Scope::Owner(Owner { tenant: tenant.into(), user: user.into() });
    let all: Vec<ScheduleId> = ["ada", "bob", "cy", "nobody"].map(sid).into();
    for (scope, seen) in [
        (Scope::All, "ada bob cy nobody"),
        (Scope::Tenant("a".into()), "ada bob"),
        (owner("a", "ada"), "ada"),
        (owner("a", "nobody"), ""),
    ] {
        let found = rig.backend.get_schedules(&rig.name, &scope, all.clone()).await.expect("can be read");
        let found: Vec<&str> = found.iter().flatten().map(|view| view.id().as_str()).collect();
        assert_eq!(found.join(" "), seen, "{scope:?}");
        let page = rig.backend.list_schedules(&rig.name, &scope, None, 10).await.expect("can be read");
        let listed: Vec<&str> = page.schedules.iter().map(|view| view.id().as_str()).collect();
        assert_eq!((listed.join(" ").as_str(), page.next), (seen, None), "{scope:?}");
    }
    let ada = owner("a", "ada");
    let foreign: Vec<ScheduleId> = ["bob", "cy", "nobody", "gone"].map(sid).into();
    let before =
        rig.backend.get_schedules(&rig.name, &Scope::All, foreign.clone()).await.expect("can be read");
    for change in [ScheduleChange::Disable, ScheduleChange::Enable, ScheduleChange::Remove] {
        let results = rig.backend.change_schedules(&rig.name, &ada, foreign.clone(), change).await;
        assert_eq!(results.expect("it is answered"), [ScheduleResult::Unknown; 4], "{change:?}");
    }
    let own = |text| every(text, 9_000).owner("a", "ada");
    let reply = try_put(rig, &ada, own("bob"), Put::Always).await.expect("it is answered");
    assert_eq!((reply.outcome, reply.schedule), (PutOutcome::Taken, None));
    let after = rig.backend.get_schedules(&rig.name, &Scope::All, foreign).await.expect("can be read");
    assert_eq!(after, before);
    for spec in
        [every("new", 5_000), every("new", 5_000).owner("a", "bob"), every("new", 5_000).owner("b", "ada")]
    {
        let refused = try_put(rig, &ada, spec, Put::Always).await;
        assert!(matches!(refused, Err(Error::Schedule(ScheduleError::Owner))), "{refused:?}");
    }
    assert_eq!(
        try_put(rig, &ada, own("new"), Put::Always).await.expect("it is hers").outcome,
        PutOutcome::New
    );
    assert_eq!(
        try_put(rig, &ada, own("ada"), Put::Always).await.expect("it is hers").outcome,
        PutOutcome::Changed
    );
    let results =
        rig.backend.change_schedules(&rig.name, &ada, vec![sid("ada")], ScheduleChange::Remove).await;
    assert_eq!(results.expect("it is hers"), [ScheduleResult::Done]);
}

pub async fn schedules_are_read_page_by_page(rig: &Rig) {
    for n in (0..25).rev() {
        put(rig, every(&format!("s{n:02}"), 5_000).owner("t", if n % 5 == 0 { "a" } else { "b" })).await;
    }
    let scope = Scope::Owner(Owner { tenant: "t".into(), user: "a".into() });
    for (scope, limit, expected) in
        [(Scope::All, 10, 25), (Scope::All, 1, 25), (Scope::All, 0, 25), (scope, 2, 5)]
    {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page =
                rig.backend.list_schedules(&rig.name, &scope, after, limit).await.expect("can be read");
            assert!(page.schedules.len() <= limit.max(1));
            seen.extend(page.schedules.iter().map(|view| view.id().to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), expected);
        assert!(seen.is_sorted());
    }
    // Due ones come by slot.
    put(rig, every("zz", 1_000)).await;
    rig.advance(5_000);
    let due = rig.backend.due_schedules(&rig.name, 3).await.expect("can be read");
    let ids: Vec<&str> = due.due.iter().map(|view| view.id().as_str()).collect();
    assert_eq!((ids, due.next), (vec!["zz", "s00", "s01"], Some(START + 5_000)));
}

pub async fn a_wait_ends_when_a_slot_comes_or_a_sooner_one_is_put(rig: &Rig) {
    put(rig, every("s", 50_000)).await;
    let wait = |queue: &Queue| {
        let (backend, name, until) = (queue.backend.clone(), queue.name.clone(), queue.now() + 60_000);
        tokio::spawn(async move { backend.wait_due(&name, until).await })
    };
    let two = [wait(rig), wait(rig)];
    let other = rig.queue("nowhere");
    let unmade = wait(&other);
    let rest = async || {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
    };
    rest().await;
    assert!(two.iter().all(|wait| !wait.is_finished()) && !unmade.is_finished());
    put(rig, every("later", 55_000)).await;
    rest().await;
    put(&other, every("first", 1_000)).await;
    put(rig, every("sooner", 10_000)).await;
    rig.advance(10_000);
    for wait in two.into_iter().chain([unmade]) {
        tokio::time::timeout(Duration::from_secs(20), wait)
            .await
            .expect("it ends")
            .expect("it does not panic")
            .expect("it can wait");
    }
    // Something is due: nobody waits.
    rig.backend.wait_due(&rig.name, rig.now() + 60_000).await.expect("it can wait");
    tick(rig).await;
    rig.backend.wait_due(&rig.name, rig.now()).await.expect("it can wait");
}

pub async fn a_clock_that_jumps_back_fires_no_slot_again(rig: &Rig) {
    put(rig, every("s", 1_000)).await;
    rig.advance(5_000);
    tick(rig).await;
    let before = view(rig, "s").await;
    rig.clock.set(START - 10 * HOUR);
    let due = rig.backend.due_schedules(&rig.name, 10).await.expect("can be read");
    assert_eq!((due.now, due.due.len(), due.next), (START + 5_000, 0, Some(START + 6_000)));
    assert_eq!(put(rig, every("new", 1_000)).await, PutOutcome::New);
    assert_eq!(view(rig, "new").await.state.next, Some(START + 6_000), "time stands still meanwhile");
    assert_eq!(view(rig, "s").await, before);
    rig.clock.set(START + 6_000);
    assert_eq!(tick(rig).await.len(), 2);
    // A jump ahead misses what lies between, once.
    rig.clock.set(START + 100 * HOUR);
    tick(rig).await;
    let there = view(rig, "s").await.state;
    assert_eq!((there.fired, there.next), (3, Some(START + 100 * HOUR + 1_000)));
    rig.clock.set(START + 6_000);
    assert!(rig.backend.due_schedules(&rig.name, 10).await.expect("can be read").due.is_empty());
}

pub async fn an_obliterated_queue_has_no_schedules_and_knows_no_defaults(rig: &Rig) {
    for n in 0..5 {
        try_put(rig, &Scope::All, every(&format!("s{n}"), 1_000), Put::Once).await.expect("it can be put");
    }
    rig.advance(1_000);
    tick(rig).await;
    let mut calls = 0;
    while rig.admin(AdminCommand::Obliterate { force: true, limit: 2 }).await.more {
        calls += 1;
        assert!(calls < 20);
    }
    assert!(calls >= 4, "in bounded steps");
    assert!(find(rig, "s0").await.is_none() && find(rig, "s4").await.is_none());
    rig.advance(10_000);
    assert_eq!(tick(rig).await, []);
    let reply = try_put(rig, &Scope::All, every("s0", 1_000), Put::Once).await.expect("it can be put");
    assert_eq!(reply.outcome, PutOutcome::New);
}

pub async fn a_restart_keeps_schedules_as_they_stand(rig: &mut Rig) {
    let mut fancy =
        cron("fancy", "5 4 * * MON-FRI").zone("America/New_York").owner("t", "u").limit(9).jitter_ms(77);
    fancy.job.data = vec![0, 159, 146, 150].into();
    fancy.job.tags = ["x", "ü"].map(Arc::from).into();
    fancy.job.backoff = Some(Arc::new(bulrush::model::Backoff {
        curve: bulrush::model::Curve::Exponential { base_ms: 1_000, factor: 1.1 + f64::EPSILON },
        cap_ms: Some(5),
        jitter: bulrush::model::Jitter::Full,
    }));
    put(rig, fancy.start(START).missed(Missed::Skip { grace_ms: 5 }).overlap(Overlap::Replace)).await;
    put(rig, every("ticks", 1_000)).await;
    put(rig, every("off", 1_000)).await;
    put(rig, every("gone", 1_000)).await;
    change(rig, "off", ScheduleChange::Disable).await;
    rig.advance(2_500);
    tick(rig).await;
    change(rig, "gone", ScheduleChange::Remove).await;
    let all = async |rig: &Rig| rig.backend.list_schedules(&rig.name, &Scope::All, None, 10).await;
    let before = all(rig).await.expect("can be read");
    assert_eq!(before.schedules.len(), 3);
    rig.reopen().await;
    assert_eq!(all(rig).await.expect("can be read"), before);
    rig.advance(500);
    tick(rig).await;
    assert_eq!(view(rig, "ticks").await.state.fired, 2);
    // What was put comes back as it was put, down to the last bit.
    let same = (*view(rig, "fancy").await.spec).clone();
    assert_eq!(put(rig, same).await, PutOutcome::Same);
}

pub async fn a_schedule_makes_its_queue_and_a_refused_one_does_not(rig: &Rig) {
    let nowhere = rig.queue("nowhere");
    try_put(&nowhere, &Scope::All, every("s", 0), Put::Once).await.expect_err("no period");
    assert_eq!(change(&nowhere, "s", ScheduleChange::Remove).await, ScheduleResult::Unknown);
    assert_eq!(change(&nowhere, "s", ScheduleChange::Enable).await, ScheduleResult::Unknown);
    assert_eq!(fire(&nowhere, Vec::new()).await, []);
    assert_eq!(tick(&nowhere).await, []);
    assert!(find(&nowhere, "s").await.is_none());
    assert_eq!(rig.backend.queues().await.expect("queues can be listed"), []);
    put(&nowhere, every("s", 5_000)).await;
    assert_eq!(rig.backend.queues().await.expect("queues can be listed"), ["nowhere"].map(name));
}

pub async fn many_tickers_fire_each_slot_once(rig: &Rig) {
    for n in 0..10 {
        put(rig, every(&format!("s{n}"), 1_000 + n).missed(Missed::All { max: 1_000 })).await;
    }
    let start = || Ticker::start(&rig.backend, [rig.name.clone(), name("empty")], TickerOptions { batch: 3 });
    let mut tickers: Vec<Ticker> = (0..4).map(|_| start()).collect();
    let mut expected = 0;
    for round in 0..20_u64 {
        rig.advance(700);
        // Some end in the middle of whatever they do, others come.
        if round % 5 == 0 {
            drop(tickers.pop());
            tickers.push(start());
        }
        expected = (0..10).map(|n| (rig.now() - START) / (1_000 + n)).sum();
        eventually("every slot fires", async || {
            let fired = rig.info().await.totals.added;
            if fired >= expected { Ok(()) } else { Err(format!("{fired} of {expected}")) }
        })
        .await;
    }
    let mut fired = 0;
    for ticker in tickers {
        fired += ticker.shutdown().await.fired;
    }
    assert!(fired > 0 && fired <= expected);
    assert_eq!(rig.info().await.totals.added, expected);
    for n in 0..10 {
        let text = format!("s{n}");
        let slots = slots(rig, &text).await;
        let due: Vec<Millis> = (1..=(rig.now() - START) / (1_000 + n)).map(|k| k * (1_000 + n)).collect();
        assert_eq!(slots, due, "{text}");
    }
}

pub async fn a_thousand_schedules_due_at_once_all_fire(rig: &Rig) {
    for n in 0..1_000 {
        put(rig, every(&format!("s{n}"), 60_000).overlap(Overlap::Skip)).await;
    }
    let ticker = Ticker::start(&rig.backend, [rig.name.clone()], TickerOptions { batch: 300 });
    rig.advance(60_000);
    eventually("every slot fires", async || {
        let stats = ticker.stats();
        if stats.fired == 1_000 { Ok(()) } else { Err(format!("{stats:?}")) }
    })
    .await;
    assert_eq!(rig.info().await.counts.waiting, 1_000);
    let stats = ticker.shutdown().await;
    assert_eq!((stats.errors, stats.stale, stats.missed, stats.lateness.count()), (0, 0, 0, 1_000));
}

/// What is due, page by page of `limit`; `between` happens after each page.
async fn due_pages(
    queue: &Queue,
    limit: usize,
    mut between: impl AsyncFnMut(&DueSchedules),
) -> Vec<(Millis, String)> {
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = queue.backend.due_schedules_after(&queue.name, after, limit).await;
        let page = page.expect("schedules can be read");
        assert!(page.due.len() <= limit && page.unreadable.is_empty());
        let place = |view: &ScheduleView| (view.state.next.expect("it is due"), view.id().to_string());
        seen.extend(page.due.iter().map(place));
        between(&page).await;
        after = page.more;
        if after.is_none() {
            return seen;
        }
    }
}

pub async fn what_is_due_is_read_on_behind_a_place_that_stays_good(rig: &Rig) {
    for n in (0..40).rev() {
        put(rig, every(&format!("same{n:02}"), 5_000).anchor(START)).await;
    }
    for n in 0..9 {
        put(rig, every(&format!("n{n}"), 1_000 + n)).await;
    }
    put(rig, every("later", 6_000)).await;
    rig.advance(5_000);
    let whole = due_pages(rig, 1_000, async |page| {
        assert_eq!((page.next, page.more.is_none()), (Some(START + 6_000), true));
    })
    .await;
    assert_eq!((whole.len(), whole.is_sorted()), (49, true));
    for limit in [1, 7, 48, 49] {
        assert_eq!(due_pages(rig, limit, async |_| {}).await, whole, "{limit}");
    }
    // Whatever becomes of those that were read, the rest is read once.
    let mut round = 0;
    let moved = due_pages(rig, 7, async |page| {
        round += 1;
        let text = |at: usize| page.due[at % page.due.len()].id().to_string();
        match round % 3 {
            0 => drop(change(rig, &text(6), ScheduleChange::Remove).await),
            1 => drop(change(rig, &text(6), ScheduleChange::Disable).await),
            _ => {
                let fires = page.due.iter().flat_map(|view| fires_of(view, page.now).expect("understood"));
                fire(rig, fires.collect()).await;
            }
        }
        put(rig, every(&format!("a{round}"), 1_000)).await;
    })
    .await;
    assert_eq!(moved, whole);
}

pub async fn many_schedules_are_put_all_or_none(rig: &Rig) {
    let many = |n: u64| (0..n).map(|n| every(&format!("s{n}"), 5_000 + n)).collect::<Vec<_>>();
    let put_all = async |specs, put| rig.backend.put_schedules(&rig.name, &Scope::All, specs, put).await;
    assert_eq!(put_all(Vec::new(), Put::Always).await.expect("nothing can be put"), []);
    assert_eq!(rig.backend.queues().await.expect("queues can be listed"), []);
    let bad = |at: usize, bad: ScheduleSpec| {
        let mut specs = many(9);
        specs[at] = bad;
        specs
    };
    put(rig, every("s7", 9_000)).await;
    let before = view(rig, "s7").await;
    for (at, spec) in [
        (8, every("bad", 1)),
        (3, cron("bad", "no")),
        (4, cron("bad", "0 0 31 2 *")),
        (5, every("bad", 5_000).end(rig.now() + 4)),
        (8, every("s1", 5_000)),
    ] {
        let id = spec.id.clone();
        let refused = put_all(bad(at, spec), Put::Always).await;
        assert!(
            matches!(&refused, Err(Error::SchedulePut { schedule, .. }) if *schedule == id),
            "{refused:?}"
        );
    }
    let bound = rig.info().await.config.bounds.call_items as u64;
    let refused = put_all(many(bound + 1), Put::Always).await;
    assert!(matches!(refused, Err(Error::Bound(_))), "{refused:?}");
    assert_eq!(view(rig, "s7").await, before);
    assert_eq!(
        rig.backend.list_schedules(&rig.name, &Scope::All, None, 99).await.expect("read").schedules.len(),
        1
    );

    let outcomes = |replies: &[PutReply]| replies.iter().map(|reply| reply.outcome).collect::<Vec<_>>();
    let replies = put_all(many(9), Put::Always).await.expect("they can be put");
    let mut expected = vec![PutOutcome::New; 9];
    expected[7] = PutOutcome::Changed;
    assert_eq!(outcomes(&replies), expected);
    for (n, reply) in replies.iter().enumerate() {
        assert_eq!(reply.schedule, Some(view(rig, &format!("s{n}")).await));
    }
    let again = put_all(many(9), Put::Always).await.expect("they can be put");
    assert_eq!(outcomes(&again), [PutOutcome::Same; 9]);
    assert!(again.iter().zip(&replies).all(|(again, first)| again.schedule == first.schedule));
    // As defaults, the new one alone is made, and of somebody else's none.
    let defaults = put_all(many(10), Put::Once).await.expect("they can be put");
    expected = vec![PutOutcome::Known; 9];
    expected.push(PutOutcome::New);
    assert_eq!(outcomes(&defaults), expected);
    let ada = Scope::Owner(Owner { tenant: "a".into(), user: "ada".into() });
    let hers = ["s1", "hers"].map(|text| every(text, 5_000).owner("a", "ada")).into();
    let replies =
        rig.backend.put_schedules(&rig.name, &ada, hers, Put::Always).await.expect("it is answered");
    assert_eq!(outcomes(&replies), [PutOutcome::Taken, PutOutcome::New]);
    // All of them are there, and fire.
    rig.advance(5_010);
    let fired = tick(rig).await;
    assert_eq!(fired.iter().filter(|fired| matches!(fired, Fired::Added(_))).count(), 11);
}

pub async fn a_wait_behind_slots_that_have_come_ends_with_the_next_one(rig: &Rig) {
    put(rig, every("old", 1_000)).await;
    put(rig, every("next", 90_000)).await;
    rig.advance(2_000);
    let wait = |from: Millis| {
        let (backend, name, until) = (rig.backend.clone(), rig.name.clone(), rig.now() + 600_000);
        tokio::spawn(async move { backend.wait_due_after(&name, from, until).await })
    };
    let ends = async |wait: tokio::task::JoinHandle<Result<(), Error>>| {
        let ended = tokio::time::timeout(Duration::from_secs(20), wait).await.expect("it ends");
        ended.expect("it does not panic").expect("it can wait");
    };
    // Long enough for a wait that has a reason to end to do so, on a server too.
    let rest = async || {
        for _ in 0..20 {
            rig.backend.due_schedules(&rig.name, 1).await.expect("schedules can be read");
            tokio::task::yield_now().await;
        }
    };
    // From before its slot on it is a reason to end; from then on it is none.
    ends(wait(START)).await;
    let waiting = wait(rig.now());
    rest().await;
    assert!(!waiting.is_finished());
    rig.advance(88_000);
    ends(waiting).await;
    // Nor does it keep the news of a sooner one away.
    let waiting = wait(rig.now());
    rest().await;
    assert!(!waiting.is_finished());
    put(rig, every("sooner", 5_000)).await;
    rig.advance(5_000);
    ends(waiting).await;
    // Another job at a slot that has come is worth a look.
    let waiting = wait(rig.now());
    rest().await;
    put(rig, every("old", 1_000).jitter_ms(1)).await;
    ends(waiting).await;
}

/// Schedules with a payload larger than the queue takes by now.
async fn put_unable(queue: &Queue, specs: impl IntoIterator<Item = ScheduleSpec>) {
    let mut specs: Vec<ScheduleSpec> = specs.into_iter().collect();
    for spec in &mut specs {
        spec.job.data = vec![b'x'; 200].into();
    }
    for specs in specs.chunks(1_000) {
        let put = queue.backend.put_schedules(&queue.name, &Scope::All, specs.to_vec(), Put::Always).await;
        put.expect("they can be put");
    }
    queue.configure(|config| config.bounds.data_bytes = 100).await;
}

pub async fn schedules_that_cannot_be_fired_hold_up_no_other(rig: &Rig) {
    // More than one call reads, all before the others.
    let unable = |n: u64| every(&format!("a{n:04}"), 1_000);
    put_unable(rig, (0..1_100).map(unable)).await;
    for n in 0..20 {
        put(rig, every(&format!("good{n:02}"), 1_000 + n)).await;
    }
    let ticker = Ticker::start(&rig.backend, [rig.name.clone()], TickerOptions { batch: 400 });
    for round in 1..=3 {
        rig.advance(1_100);
        eventually("every other slot fires", async || {
            let stats = ticker.stats();
            if stats.fired == 20 * round && stats.unable == 1_100 && stats.even_at == Some(rig.now()) {
                Ok(())
            } else {
                Err(format!("{stats:?}"))
            }
        })
        .await;
    }
    assert_eq!(view(rig, "a0000").await.state.next, Some(START + 1_000), "its slot is kept");
    // One that is changed, and one that is removed.
    put(rig, unable(3)).await;
    change(rig, "a0004", ScheduleChange::Remove).await;
    eventually("it fires at once", async || {
        let (stats, fired) = (ticker.stats(), view(rig, "a0003").await.state.fired);
        if fired == 1 && stats.unable == 1_098 { Ok(()) } else { Err(format!("{fired} {stats:?}")) }
    })
    .await;
    let stats = ticker.shutdown().await;
    assert_eq!((stats.errors, stats.fired), (0, 61));
}

pub async fn a_schedule_that_is_refused_spares_its_neighbours_in_the_same_call(rig: &Rig) {
    let catching_up = |text: &str| every(text, 1_000).missed(Missed::All { max: 1_000 });
    put_unable(rig, ["b", "d"].map(catching_up)).await;
    for text in ["a", "c", "e"] {
        put(rig, catching_up(text)).await;
    }
    // A call takes less than a ticker gives.
    rig.configure(|config| config.bounds.call_items = 7).await;
    rig.advance(30_000);
    let ticker = Ticker::start(&rig.backend, [rig.name.clone()], TickerOptions::default());
    eventually("all that can fire does", async || {
        let stats = ticker.stats();
        if (stats.fired, stats.unable) == (90, 2) { Ok(()) } else { Err(format!("{stats:?}")) }
    })
    .await;
    for (text, fired) in [("a", 30), ("b", 0), ("c", 30), ("d", 0), ("e", 30)] {
        assert_eq!(view(rig, text).await.state.fired, fired, "{text}");
    }
    assert_eq!(slots(rig, "c").await, (1..=30).map(|n| n * 1_000).collect::<Vec<_>>());
    assert_eq!(ticker.shutdown().await.missed, 0);
}

pub async fn a_ticker_tells_of_each_of_its_queues_and_of_all(rig: &Rig) {
    let (other, empty) = (rig.queue("other"), rig.queue("zempty"));
    put_unable(rig, ["a", "b"].map(|text| every(text, 1_000))).await;
    put_unable(&other, ["a"].map(|text| every(text, 1_000))).await;
    put(rig, every("good", 1_000)).await;
    put(&other, every("good", 1_000)).await;
    put(&other, every("more", 1_000)).await;
    let names = [rig.name.clone(), other.name.clone(), empty.name.clone(), rig.name.clone()];
    let ticker = Ticker::start(&rig.backend, names.clone(), TickerOptions::default());
    rig.advance(1_000);
    eventually("all that can fire does", async || {
        let queues = ticker.queues();
        let seen: Vec<_> = queues.iter().map(|(name, stats)| (name, stats.fired, stats.unable)).collect();
        let expected = vec![(&names[0], 1, 2), (&names[1], 2, 1), (&names[2], 0, 0)];
        if seen == expected { Ok(()) } else { Err(format!("{seen:?}")) }
    })
    .await;
    eventually("the queues that fire are even", async || {
        let evens: Vec<_> = ticker.queues().into_iter().map(|(_, stats)| stats.even_at).collect();
        if evens[..2] == [Some(rig.now()); 2] && evens[2].is_some() {
            Ok(())
        } else {
            Err(format!("{evens:?}"))
        }
    })
    .await;
    let (all, queues) = (ticker.stats(), ticker.queues());
    assert_eq!((all.fired, all.unable, all.lateness.count()), (3, 3, 3));
    assert_eq!(all.even_at, queues.iter().filter_map(|(_, stats)| stats.even_at).min());
    assert_eq!(ticker.shutdown().await.fired, 3);
}

pub async fn a_schedule_that_catches_up_skips_and_replaces_within_one_call(rig: &Rig) {
    let catching_up = |text: &str| every(text, 1_000).missed(Missed::All { max: 9 });
    put(rig, catching_up("skip").overlap(Overlap::Skip)).await;
    put(rig, catching_up("replace").overlap(Overlap::Replace)).await;
    put(rig, catching_up("allow")).await;
    rig.advance(3_000);
    let mut fired = tick(rig).await;
    fired.retain(|fired| *fired != Fired::Skipped);
    assert_eq!(fired.len(), 7, "of three slots one, three and three: {fired:?}");
    let states = async |text: &str| jobs_of(rig, text).await.iter().map(JobView::state).collect::<Vec<_>>();
    assert_eq!(states("skip").await, [JobState::Waiting]);
    assert_eq!(states("replace").await, [JobState::Cancelled, JobState::Cancelled, JobState::Waiting]);
    assert_eq!(states("allow").await, [JobState::Waiting; 3]);
    assert_eq!((view(rig, "skip").await.state.skipped, rig.info().await.counts.waiting), (2, 5));
    // They run in the order in which they were added.
    let taken: Vec<Millis> = rig
        .hand(1)
        .take(9)
        .await
        .iter()
        .map(|job| job.spec.schedule.as_ref().map_or(0, |slot| slot.slot))
        .collect();
    assert_eq!(taken.len(), 5);
    assert_eq!(taken.iter().filter(|slot| **slot == START + 3_000).count(), 2);
}
