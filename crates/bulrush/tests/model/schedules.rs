//! What may happen to schedules, for random histories: small numbers name few schedules, so that they meet often.

use bulrush::core::Command;
use bulrush::model::{JobId, Millis, Missed, NewJob, Overlap, Recurrence, ScheduleId, ScheduleSpec};
use bulrush::port::{Fire, Put, ScheduleChange};
use proptest::option::of;
use proptest::prelude::*;

/// One thing that happens to a schedule.
#[derive(Debug, Clone)]
pub enum Act {
    Put {
        ask: Ask,
        once: bool,
    },
    PutAll {
        asks: Vec<Ask>,
        once: bool,
    },
    Change {
        n: u8,
        what: u8,
    },
    /// What is due fires, as a ticker does it.
    Tick {
        limit: usize,
    },
    /// A call of long ago arrives once more.
    Again {
        pick: usize,
    },
    /// Somebody fires a slot that may not be the next, at a revision that may not be the last.
    Forge {
        n: u8,
        shift: i64,
        revision: u64,
        fires: bool,
        next: Option<u64>,
    },
}

/// A schedule as it is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    pub n: u8,
    pub when: u8,
    pub start: Option<u64>,
    pub end: Option<u64>,
    pub limit: Option<u64>,
    pub jitter: u64,
    pub missed: u8,
    pub overlap: u8,
    pub enabled: bool,
    pub owner: Option<u8>,
    pub data: u8,
}

pub fn act() -> impl Strategy<Value = Act> {
    let ask = (
        (0..4_u8, 0..6_u8, of(0..40_000_u64), of(0..90_000_u64), of(0..6_u64)),
        (
            prop_oneof![3 => Just(0), 1 => Just(3_000), 1 => Just(u64::MAX)],
            0..4_u8,
            0..3_u8,
            prop::bool::weighted(0.85),
            of(0..2_u8),
            0..2_u8,
        ),
    );
    let ask =
        ask.prop_map(|((n, when, start, end, limit), (jitter, missed, overlap, enabled, owner, data))| Ask {
            n,
            when,
            start: start.filter(|at| at % 3 == 0),
            end: end.filter(|at| at % 3 == 0),
            limit: limit.filter(|limit| *limit < 5),
            jitter: if data == 0 { jitter } else { jitter % 5_000 },
            missed,
            overlap,
            enabled,
            owner,
            data,
        });
    prop_oneof![
        2 => (prop::collection::vec(ask.clone(), 0..5), prop::bool::weighted(0.2))
            .prop_map(|(asks, once)| Act::PutAll { asks, once }),
        5 => (ask, prop::bool::weighted(0.2)).prop_map(|(ask, once)| Act::Put { ask, once }),
        2 => (0..4_u8, 0..3_u8).prop_map(|(n, what)| Act::Change { n, what }),
        8 => (0..5_usize).prop_map(|limit| Act::Tick { limit }),
        3 => any::<usize>().prop_map(|pick| Act::Again { pick }),
        2 => (0..4_u8, prop_oneof![2 => Just(0), 1 => -3_000..3_000_i64], 0..4_u64, any::<bool>(), of(0..9_000_u64))
            .prop_map(|(n, shift, revision, fires, next)| Act::Forge { n, shift, revision, fires, next }),
    ]
}

pub fn id(n: u8) -> ScheduleId {
    ScheduleId::new(&format!("s{n}")).expect("the model uses good ids")
}

/// The schedule that is asked for, at a moment of the queue.
pub fn spec(ask: &Ask, now: Millis, origin: Millis) -> ScheduleSpec {
    let recurrence = match ask.when {
        0 => Recurrence::Every { ms: 1_000, anchor: None },
        1 => Recurrence::Every { ms: 7_001, anchor: Some(origin + 13) },
        2 => Recurrence::Cron { expression: "*/20 * * * * *".into(), zone: "Europe/Berlin".into() },
        3 => Recurrence::Cron { expression: "* * 31 2 *".into(), zone: "UTC".into() },
        4 => Recurrence::Cron { expression: "* * * * *".into(), zone: "Asia/Kolkata".into() },
        _ => Recurrence::Every { ms: 90_000, anchor: None },
    };
    let mut job = NewJob::new(
        JobId::new("sch-0").expect("a good id"),
        "tick",
        vec![ask.data; 1 + 1_500 * usize::from(ask.data)],
    );
    if ask.when == 4 {
        job = job.group("g");
    }
    let mut spec = ScheduleSpec::new(id(ask.n), recurrence, &job).expect("a good job");
    spec.start = ask.start.map(|ms| now + ms);
    spec.end = ask.end.map(|ms| now + ms);
    spec.limit = ask.limit;
    spec.jitter_ms = ask.jitter;
    spec.missed = match ask.missed {
        0 => Missed::One,
        1 => Missed::Skip { grace_ms: 500 },
        2 => Missed::All { max: 3 },
        _ => Missed::All { max: 1 },
    };
    spec.overlap = [Overlap::Allow, Overlap::Skip, Overlap::Replace][usize::from(ask.overlap)];
    spec.enabled = ask.enabled;
    match ask.owner {
        Some(n) => spec.owner("tenant", format!("user{n}")),
        None => spec,
    }
}

/// The command that puts it.
pub fn put(spec: ScheduleSpec, once: bool, now: Millis) -> Command {
    let first = spec.first_slot(now).expect("the model uses good expressions");
    Command::PutSchedule(Box::new(spec), first, if once { Put::Once } else { Put::Always })
}

/// The command that puts them all.
pub fn put_all(specs: Vec<ScheduleSpec>, once: bool, now: Millis) -> Command {
    let first = |spec: &ScheduleSpec| spec.first_slot(now).expect("the model uses good expressions");
    let asked =
        specs.into_iter().map(|spec| (first(&spec), spec)).map(|(first, spec)| (spec, first)).collect();
    Command::PutSchedules(asked, if once { Put::Once } else { Put::Always })
}

pub fn change(what: u8) -> ScheduleChange {
    [ScheduleChange::Remove, ScheduleChange::Enable, ScheduleChange::Disable][usize::from(what)]
}

/// A slot that somebody made up.
pub fn forged(view: &bulrush::model::ScheduleView, act: &Act) -> Option<Fire> {
    let Act::Forge { shift, revision, fires, next, .. } = act else { return None };
    let slot = view.state.next.unwrap_or(view.state.created_at).saturating_add_signed(*shift);
    Some(Fire {
        spec: view.spec.clone(),
        revision: if *revision == 0 { view.state.revision } else { *revision },
        slot,
        fires: fires.then_some(slot),
        missed: 1,
        next: next.map(|ms| slot + ms),
    })
}
