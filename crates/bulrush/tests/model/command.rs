//! What the random runs are made of. Preconditions are weak on purpose: what makes no sense must be refused, not avoided.

use bulrush::model::{ChildFailure, JobState};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

/// Window of the rate limit, ms.
pub const RATE_PER_MS: u64 = 3_000;

/// One thing that happens. Small numbers name jobs, workers and groups, so that they meet often.
#[derive(Debug, Clone)]
pub enum Happening {
    Add(Vec<Ask>),
    Step {
        worker: usize,
        ends: Vec<(usize, End)>,
        want: usize,
    },
    RepeatStep {
        worker: usize,
    },
    LateStep {
        worker: usize,
    },
    /// A hello that names every `n`th job the worker runs, or none.
    Hello {
        worker: usize,
        every: Option<usize>,
    },
    /// The process dies and another starts in its place.
    Crash {
        worker: usize,
    },
    Renew {
        worker: usize,
        completed: u64,
    },
    /// Somebody settles with a token of long ago.
    Zombie {
        pick: usize,
        end: End,
    },
    Write {
        pick: usize,
        old: bool,
        what: Write,
    },
    Maintain,
    /// Time passes, or the clock jumps back.
    Pass(i64),
    /// Time passes with maintenance each second.
    Serve {
        seconds: u64,
    },
    Admin(Order),
    Set(Setting),
    /// Mail is carried, in whatever order, once or twice.
    Carry {
        pick: usize,
        twice: bool,
    },
    CarryAll,
}

/// A job to add.
#[derive(Debug, Clone)]
pub struct Ask {
    pub id: u8,
    pub delay: Option<u64>,
    pub priority: Option<u32>,
    pub group: Option<u8>,
    pub key: Option<(u8, Option<u64>, Option<u64>)>,
    pub lifo: bool,
    pub attempts: u32,
    pub timeout: Option<u64>,
    pub owner: Option<u8>,
    pub size: usize,
    pub children: Vec<(u8, ChildFailure, bool)>,
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    Complete,
    CompleteAndFollow(u8),
    Retry(u64),
    Fail,
    Snooze(u64),
    RateLimited(u64),
    Release,
    Cancelled,
}

/// What a running job writes.
#[derive(Debug, Clone, Copy)]
pub enum Write {
    Progress(u8),
    Log(u8),
    Data(u8),
}

/// What an administrator does.
#[derive(Debug, Clone)]
pub enum Order {
    Pause,
    Unpause,
    Cancel(u8),
    Remove(u8),
    Retry(u8, bool),
    RetryFailed(usize),
    Promote(u8),
    Reschedule(u8, Option<u64>),
    SetPriority(u8, u32),
    SetData(u8),
    Clean(JobState, u64, usize),
    Drain(bool, usize),
    Obliterate(bool, usize),
}

/// What the queue is set to.
#[derive(Debug, Clone, Copy)]
pub enum Setting {
    /// Starts in any window of [`RATE_PER_MS`]. The window stays: when it grows, a queue built anew remembers more than one that went on.
    Rate(Option<u32>),
    Concurrency(Option<u32>),
    GroupConcurrency(Option<u32>),
    Weight(u8, u32),
    Depth(Option<u64>),
    Keep(Option<u64>, Option<u64>),
    Events(usize),
}

fn ask() -> impl Strategy<Value = Ask> {
    let key = (0..3_u8, of(1..20_000_u64), of(0..2_u64));
    let policy =
        prop_oneof![Just(ChildFailure::Fail), Just(ChildFailure::Ignore), Just(ChildFailure::Continue)];
    let children = prop_oneof![4 => Just(Vec::new()), 1 => vec((0..8_u8, policy, any::<bool>()), 1..4)];
    (
        (
            0..24_u8,
            of(0..20_000_u64),
            of(0..8_u32),
            of(0..3_u8),
            prop_oneof![3 => Just(None), 1 => key.prop_map(Some)],
        ),
        (prop::bool::weighted(0.1), 1..4_u32, of(1..40_000_u64), of(0..2_u8), 0..40_usize, children),
    )
        .prop_map(
            |((id, delay, priority, group, key), (lifo, attempts, timeout, owner, size, children))| Ask {
                id,
                delay: delay.filter(|ms| ms % 3 == 0),
                priority: priority.filter(|_| group.is_none()),
                group,
                key,
                lifo,
                attempts,
                timeout,
                owner,
                size,
                children,
            },
        )
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        5 => Just(End::Complete),
        1 => (0..4_u8).prop_map(End::CompleteAndFollow),
        3 => prop_oneof![Just(0), 1..9_000_u64].prop_map(End::Retry),
        2 => Just(End::Fail),
        1 => prop_oneof![Just(0), 1..9_000_u64].prop_map(End::Snooze),
        1 => (0..9_000_u64).prop_map(End::RateLimited),
        2 => Just(End::Release),
        1 => Just(End::Cancelled),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let state = (0..7_usize).prop_map(|n| JobState::ALL[n]);
    prop_oneof![
        1 => Just(Order::Pause),
        2 => Just(Order::Unpause),
        4 => (0..24_u8).prop_map(Order::Cancel),
        3 => (0..24_u8).prop_map(Order::Remove),
        3 => (0..24_u8, any::<bool>()).prop_map(|(id, data)| Order::Retry(id, data)),
        1 => (0..4_usize).prop_map(Order::RetryFailed),
        2 => (0..24_u8).prop_map(Order::Promote),
        2 => (0..24_u8, of(0..20_000_u64)).prop_map(|(id, ms)| Order::Reschedule(id, ms)),
        2 => (0..24_u8, 0..8_u32).prop_map(|(id, priority)| Order::SetPriority(id, priority)),
        1 => (0..24_u8).prop_map(Order::SetData),
        1 => (state, 0..20_000_u64, 0..5_usize).prop_map(|(state, age, limit)| Order::Clean(state, age, limit)),
        1 => (any::<bool>(), 0..6_usize).prop_map(|(delayed, limit)| Order::Drain(delayed, limit)),
        1 => (any::<bool>(), 0..30_usize).prop_map(|(force, limit)| Order::Obliterate(force, limit)),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        of(1..5_u32).prop_map(Setting::Rate),
        of(1..5_u32).prop_map(Setting::Concurrency),
        of(1..3_u32).prop_map(Setting::GroupConcurrency),
        (0..3_u8, 1..4_u32).prop_map(|(group, weight)| Setting::Weight(group, weight)),
        of(0..12_u64).prop_map(Setting::Depth),
        (of(0..30_000_u64), of(0..6_u64)).prop_map(|(age, count)| Setting::Keep(age, count)),
        prop_oneof![Just(0), 1..20_usize, Just(10_000)].prop_map(Setting::Events),
    ]
}

pub fn happening() -> impl Strategy<Value = Happening> {
    let write = prop_oneof![
        any::<u8>().prop_map(Write::Progress),
        any::<u8>().prop_map(Write::Log),
        any::<u8>().prop_map(Write::Data)
    ];
    prop_oneof![
        20 => vec(ask(), 1..6).prop_map(Happening::Add),
        30 => (0..3_usize, vec((any::<usize>(), end()), 0..4), 0..5_usize)
            .prop_map(|(worker, ends, want)| Happening::Step { worker, ends, want }),
        3 => (0..3_usize).prop_map(|worker| Happening::RepeatStep { worker }),
        2 => (0..3_usize).prop_map(|worker| Happening::LateStep { worker }),
        3 => (0..3_usize, of(1..4_usize)).prop_map(|(worker, every)| Happening::Hello { worker, every }),
        2 => (0..3_usize).prop_map(|worker| Happening::Crash { worker }),
        2 => (0..3_usize, 0..5_u64).prop_map(|(worker, completed)| Happening::Renew { worker, completed }),
        10 => (any::<usize>(), end()).prop_map(|(pick, end)| Happening::Zombie { pick, end }),
        4 => (any::<usize>(), any::<bool>(), write).prop_map(|(pick, old, what)| Happening::Write { pick, old, what }),
        4 => Just(Happening::Maintain),
        13 => prop_oneof![8 => 0..6_000_i64, 1 => -20_000..0_i64, 1 => 0..200_000_i64].prop_map(Happening::Pass),
        3 => (1..30_u64).prop_map(|seconds| Happening::Serve { seconds }),
        15 => order().prop_map(Happening::Admin),
        4 => setting().prop_map(Happening::Set),
        6 => (any::<usize>(), any::<bool>()).prop_map(|(pick, twice)| Happening::Carry { pick, twice }),
        3 => Just(Happening::CarryAll),
    ]
}
