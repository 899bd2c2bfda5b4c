//! What a backend cannot ask of the core.

use super::*;
use crate::model::{JobId, NewJob, QueueConfig, QueueName};

const NOW: Millis = 1_700_000_000_000;

fn core() -> Core {
    Core::new(QueueName::new("main").unwrap(), QueueConfig::default(), NOW)
}

fn every(id: &str) -> ScheduleSpec {
    let job = NewJob::new(JobId::new("sch-0").unwrap(), "work", "{}");
    ScheduleSpec::every(ScheduleId::new(id).unwrap(), 1_000, &job).unwrap()
}

#[test]
fn one_schedule_that_is_not_understood_keeps_all_of_a_call_disabled() {
    let mut core = core();
    for id in ["a", "b", "c"] {
        core.put_schedule(&Scope::All, every(id).disabled(), Some(NOW + 1_000), Put::Always, NOW).unwrap();
    }
    let ids = ["a", "b"].map(|id| ScheduleId::new(id).unwrap());
    let zone = ScheduleError::Zone { zone: "Mars/Base".into() };
    let first = |view: &ScheduleView, now: Millis| match view.id().as_str() {
        "b" => Err(zone.clone()),
        _ => Ok(Some(now + 1_000)),
    };
    let before = core.list_schedules(&Scope::All, None, 10);
    let refused = core.change_schedules(&Scope::All, &ids, ScheduleChange::Enable, first, NOW);
    assert!(matches!(refused, Err(Error::Schedule(error)) if error == zone));
    assert_eq!(core.list_schedules(&Scope::All, None, 10), before);
    // Whoever does not ask for it, or for what needs no slot, is not kept from anything.
    for (change, result) in
        [(ScheduleChange::Disable, ScheduleResult::Same), (ScheduleChange::Remove, ScheduleResult::Done)]
    {
        let done = core.change_schedules(&Scope::All, &ids, change, first, NOW).unwrap();
        assert_eq!(done, [result; 2]);
    }
}

#[test]
fn a_place_of_somewhere_else_shows_nothing_less() {
    let mut core = core();
    for id in ["a", "b"] {
        core.put_schedule(&Scope::All, every(id), Some(NOW + 1_000), Put::Always, NOW).unwrap();
    }
    let seen = |slot: Millis, id: &'static [u8]| {
        let place = DuePlace { slot, id: Bytes::from_static(id) };
        core.due_schedules(Some(&place), 10, NOW + 1_000).due.len()
    };
    assert_eq!(seen(NOW + 1_000, &[0xff]), 2);
    assert_eq!(seen(NOW + 1_000, b"aa"), 1);
    assert_eq!(seen(NOW + 999, b"z"), 2);
    assert_eq!(seen(Millis::MAX, b"a"), 0);
}
