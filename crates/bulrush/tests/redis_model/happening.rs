//! What the histories are made of. Preconditions are weak on purpose: what makes no sense must be refused alike, not avoided.

use bulrush::model::{ChildFailure, JobState};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use crate::schedules::{Act, act};

/// Queues of a history; workers of each.
pub const QUEUES: usize = 2;
pub const WORKERS: usize = 3;

/// One thing that happens. Small numbers name jobs, workers and groups, so that they meet often.
#[derive(Debug, Clone)]
pub enum Happening {
    Add {
        queue: usize,
        asks: Vec<Ask>,
    },
    Step {
        queue: usize,
        worker: usize,
        ends: Vec<(Whose, usize, End)>,
        want: usize,
    },
    RepeatStep {
        queue: usize,
        worker: usize,
    },
    LateStep {
        queue: usize,
        worker: usize,
    },
    /// A hello that names every `n`th job the worker runs, or none; with a take of long ago beside them.
    Hello {
        queue: usize,
        worker: usize,
        every: Option<usize>,
        old: Option<usize>,
    },
    /// The process dies and another starts in its place.
    Crash {
        queue: usize,
        worker: usize,
    },
    Renew {
        queue: usize,
        worker: usize,
        completed: u64,
        repeat: bool,
    },
    /// A job that a worker runs is asked to stop.
    Stop {
        queue: usize,
        worker: usize,
        pick: usize,
    },
    Write {
        queue: usize,
        writes: Vec<(bool, usize, Write)>,
    },
    Maintain {
        queue: usize,
    },
    /// Time passes, or the clock jumps back.
    Pass(i64),
    /// Time passes with maintenance each second.
    Serve {
        queue: usize,
        seconds: u64,
    },
    Admin {
        queue: usize,
        order: Order,
    },
    Set {
        queue: usize,
        setting: Setting,
    },
    Schedule {
        queue: usize,
        act: Act,
    },
    /// Mail is carried, in whatever order, some of it more than once.
    Carry {
        picks: Vec<usize>,
        times: usize,
        acknowledge: bool,
    },
    CarryAll,
    /// The server forgets its scripts.
    FlushScripts,
    /// The server closes every connection.
    DropConnections,
    /// From here on another process makes the calls.
    OtherProcess,
    /// Pages, explanations, events, sums of roll-ups and all invariants are compared.
    Look,
}

/// Which take an end is told of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Whose {
    /// One that the worker runs.
    Own,
    /// One that it runs, twice in one call.
    OwnTwice,
    /// One that another worker runs.
    Others,
    /// Any take that ever was.
    Old,
}

/// A job to add.
#[derive(Debug, Clone)]
pub struct Ask {
    pub id: u8,
    pub when: Option<(bool, u64)>,
    pub priority: Option<u32>,
    pub group: Option<u8>,
    pub key: Option<(u8, Option<u64>, Option<u64>)>,
    pub lifo: bool,
    pub attempts: u32,
    pub timeout: Option<u64>,
    pub owner: Option<u8>,
    pub size: usize,
    pub labels: bool,
    /// Number, queue, policy, with a child of its own.
    pub children: Vec<(u8, usize, ChildFailure, bool)>,
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum End {
    Complete,
    /// With a result of so many bytes.
    CompleteWith(usize),
    /// With a follow-up in a queue.
    CompleteAndFollow(u8, usize),
    Retry(u64),
    Fail,
    Snooze(u64),
    RateLimited(u64),
    Release,
    Cancelled,
}

/// What a running job writes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Write {
    Progress(u8),
    Log { from: u32, lines: usize },
    Data(usize),
}

/// What an administrator does.
#[derive(Debug, Clone)]
pub enum Order {
    Pause,
    Unpause,
    Cancel(u8, u8),
    Remove(u8, u8),
    Retry(u8, Option<usize>),
    RetryFailed(usize),
    Promote(u8, u8),
    Reschedule(u8, Option<(bool, u64)>),
    SetPriority(u8, u32),
    SetData(u8, usize),
    Clean(JobState, u64, usize),
    Drain(bool, usize),
    Obliterate(bool),
}

/// What the queue is set to.
#[derive(Debug, Clone, Copy)]
pub enum Setting {
    Rate(Option<(u32, u64)>),
    Concurrency(Option<u32>),
    GroupDefault(u32, Option<u32>),
    Group(u8, u32, Option<u32>),
    DefaultPriority(u32),
    Depth(Option<u64>),
    /// Which end, age, count.
    Keep(u8, Option<u64>, Option<u64>),
    Stalls(u32),
    Lease(u64),
    /// Errors, bytes of data.
    Bounds(usize, usize),
    Events(bool),
}

/// Payloads around the size from which they are kept apart, and small ones.
fn size() -> impl Strategy<Value = usize> {
    prop_oneof![6 => 0..60_usize, 1 => 1_015..1_035_usize, 1 => Just(5_000)]
}

/// Ids of jobs.
fn id() -> impl Strategy<Value = u8> {
    0..20_u8
}

fn ask() -> impl Strategy<Value = Ask> {
    let ttl = prop_oneof![3 => 1..20_000_u64, 1 => 86_399_000..86_401_000_u64];
    let key = (0..3_u8, of(ttl), of(0..2_u64));
    let policy =
        prop_oneof![Just(ChildFailure::Fail), Just(ChildFailure::Ignore), Just(ChildFailure::Continue)];
    let child = (0..10_u8, 0..QUEUES, policy, prop::bool::weighted(0.3));
    let children = prop_oneof![5 => Just(Vec::new()), 1 => vec(child, 1..4)];
    let when = prop_oneof![
        3 => Just(None),
        1 => (any::<bool>(), 0..20_000_u64).prop_map(Some)
    ];
    (
        (
            id(),
            when,
            prop_oneof![2 => Just(None), 1 => (0..8_u32).prop_map(Some), 1 => Just(Some(5))],
            prop_oneof![2 => Just(None), 1 => (0..4_u8).prop_map(Some)],
            prop_oneof![4 => Just(None), 1 => key.prop_map(Some)],
        ),
        (
            prop::bool::weighted(0.1),
            1..4_u32,
            prop_oneof![3 => Just(None), 1 => (1..40_000_u64).prop_map(Some)],
            of(0..2_u8),
            size(),
            prop::bool::weighted(0.2),
            children,
        ),
    )
        .prop_map(
            |((id, when, priority, group, key), (lifo, attempts, timeout, owner, size, labels, children))| {
                Ask {
                    id,
                    when,
                    priority,
                    // Now and then both, which is refused.
                    group: group.filter(|_| priority.is_none() || id == 0),
                    key,
                    lifo,
                    attempts,
                    timeout,
                    owner,
                    size,
                    labels,
                    children,
                }
            },
        )
}

/// Many plain jobs at once, as what is kept in packs needs them.
fn plain() -> impl Strategy<Value = Vec<Ask>> {
    (id(), 1..16_u8).prop_map(|(from, n)| {
        let one = |id| Ask {
            id,
            when: None,
            priority: None,
            group: None,
            key: None,
            lifo: false,
            attempts: 2,
            timeout: None,
            owner: None,
            size: 9,
            labels: false,
            children: Vec::new(),
        };
        (from..from + n).map(one).collect()
    })
}

fn end() -> impl Strategy<Value = End> {
    let pause = || prop_oneof![Just(0), 1..9_000_u64];
    prop_oneof![
        6 => Just(End::Complete),
        2 => size().prop_map(End::CompleteWith),
        1 => (0..4_u8, 0..QUEUES).prop_map(|(n, queue)| End::CompleteAndFollow(n, queue)),
        3 => pause().prop_map(End::Retry),
        2 => Just(End::Fail),
        1 => pause().prop_map(End::Snooze),
        1 => pause().prop_map(End::RateLimited),
        2 => Just(End::Release),
        1 => Just(End::Cancelled),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let state = (0..7_usize).prop_map(|n| JobState::ALL[n]);
    let when = of((any::<bool>(), 0..20_000_u64));
    prop_oneof![
        2 => Just(Order::Pause),
        5 => Just(Order::Unpause),
        8 => (id(), id()).prop_map(|(a, b)| Order::Cancel(a, b)),
        6 => (id(), id()).prop_map(|(a, b)| Order::Remove(a, b)),
        6 => (id(), of(size())).prop_map(|(id, data)| Order::Retry(id, data)),
        2 => (0..4_usize).prop_map(Order::RetryFailed),
        4 => (id(), id()).prop_map(|(a, b)| Order::Promote(a, b)),
        4 => (id(), when).prop_map(|(id, when)| Order::Reschedule(id, when)),
        4 => (id(), 0..8_u32).prop_map(|(id, priority)| Order::SetPriority(id, priority)),
        3 => (id(), size()).prop_map(|(id, size)| Order::SetData(id, size)),
        4 => (state, prop_oneof![Just(0), 0..20_000_u64], 0..6_usize)
            .prop_map(|(state, age, limit)| Order::Clean(state, age, limit)),
        2 => (any::<bool>(), 0..6_usize).prop_map(|(delayed, limit)| Order::Drain(delayed, limit)),
        1 => any::<bool>().prop_map(Order::Obliterate),
    ]
}

fn setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        2 => of((1..6_u32, prop_oneof![Just(1), Just(3_000), 1..9_000_u64])).prop_map(Setting::Rate),
        2 => of(1..6_u32).prop_map(Setting::Concurrency),
        2 => (1..4_u32, of(1..4_u32)).prop_map(|(weight, cap)| Setting::GroupDefault(weight, cap)),
        2 => (0..4_u8, 1..4_u32, of(1..3_u32)).prop_map(|(n, weight, cap)| Setting::Group(n, weight, cap)),
        1 => (0..8_u32).prop_map(Setting::DefaultPriority),
        3 => of(0..12_u64).prop_map(Setting::Depth),
        5 => (0..3_u8, of(0..30_000_u64), of(0..6_u64)).prop_map(|(which, age, count)| Setting::Keep(which, age, count)),
        1 => (0..3_u32).prop_map(Setting::Stalls),
        1 => prop_oneof![Just(1_000), Just(10_000), Just(60_000)].prop_map(Setting::Lease),
        1 => (1..4_usize, prop_oneof![Just(2_000), Just(1_usize << 20)])
            .prop_map(|(errors, data)| Setting::Bounds(errors, data)),
        1 => any::<bool>().prop_map(Setting::Events),
    ]
}

/// One thing, of any sort.
pub fn happening() -> impl Strategy<Value = Happening> {
    let write = prop_oneof![
        any::<u8>().prop_map(Write::Progress),
        (0..6_u32, 0..4_usize).prop_map(|(from, lines)| Write::Log { from, lines }),
        size().prop_map(Write::Data)
    ];
    let whose = prop_oneof![
        12 => Just(Whose::Own),
        1 => Just(Whose::OwnTwice),
        1 => Just(Whose::Others),
        2 => Just(Whose::Old)
    ];
    let ends = vec((whose, any::<usize>(), end()), 0..5);
    let plain_ends = vec((Just(Whose::Own), any::<usize>(), Just(End::Complete)), 0..9);
    let time = prop_oneof![
        8 => 0..6_000_i64,
        1 => -20_000..0_i64,
        1 => 0..200_000_i64,
        1 => 0..40_000_000_i64
    ];
    let (queue, worker) = (|| 0..QUEUES, || 0..WORKERS);
    prop_oneof![
        18 => (queue(), vec(ask(), 1..6)).prop_map(|(queue, asks)| Happening::Add { queue, asks }),
        4 => (queue(), plain()).prop_map(|(queue, asks)| Happening::Add { queue, asks }),
        26 => (queue(), worker(), ends, 0..6_usize)
            .prop_map(|(queue, worker, ends, want)| Happening::Step { queue, worker, ends, want }),
        8 => (queue(), worker(), plain_ends, 0..20_usize)
            .prop_map(|(queue, worker, ends, want)| Happening::Step { queue, worker, ends, want }),
        3 => (queue(), worker()).prop_map(|(queue, worker)| Happening::RepeatStep { queue, worker }),
        1 => (queue(), worker()).prop_map(|(queue, worker)| Happening::LateStep { queue, worker }),
        3 => (queue(), worker(), of(1..4_usize), of(any::<usize>()))
            .prop_map(|(queue, worker, every, old)| Happening::Hello { queue, worker, every, old }),
        2 => (queue(), worker()).prop_map(|(queue, worker)| Happening::Crash { queue, worker }),
        7 => (queue(), worker(), 0..5_u64, prop::bool::weighted(0.2))
            .prop_map(|(queue, worker, completed, repeat)| Happening::Renew { queue, worker, completed, repeat }),
        4 => (queue(), worker(), any::<usize>())
            .prop_map(|(queue, worker, pick)| Happening::Stop { queue, worker, pick }),
        8 => (queue(), vec((prop::bool::weighted(0.5), any::<usize>(), write), 1..4))
            .prop_map(|(queue, writes)| Happening::Write { queue, writes }),
        4 => queue().prop_map(|queue| Happening::Maintain { queue }),
        13 => time.prop_map(Happening::Pass),
        3 => (queue(), 1..30_u64).prop_map(|(queue, seconds)| Happening::Serve { queue, seconds }),
        16 => (queue(), order()).prop_map(|(queue, order)| Happening::Admin { queue, order }),
        6 => (queue(), setting()).prop_map(|(queue, setting)| Happening::Set { queue, setting }),
        6 => (queue(), act()).prop_map(|(queue, act)| Happening::Schedule { queue, act }),
        8 => (vec(any::<usize>(), 1..4), 1..3_usize, any::<bool>())
            .prop_map(|(picks, times, acknowledge)| Happening::Carry { picks, times, acknowledge }),
        3 => Just(Happening::CarryAll),
        1 => Just(Happening::FlushScripts),
        1 => Just(Happening::DropConnections),
        1 => Just(Happening::OtherProcess),
        4 => Just(Happening::Look),
    ]
}
