//! Random histories of two queues on a Redis server and, at the same time, in the core, which is what they mean: after every command the
//! answers and all that can be read are compared.
//!
//! Everything that several workers and clients do at once is some order of commands, so orders are all that has to be tried. A failing run
//! prints its seed and the shortest history that was found to fail. `BULRUSH_MODEL_SEEDS` sets how many histories are tried, and
//! `BULRUSH_MODEL_SEED` from which one on; alone it tries that one.
#![cfg(feature = "redis")]

#[path = "redis_model/happening.rs"]
mod happening;
#[path = "redis_model/look.rs"]
mod look;
#[path = "redis_model/made.rs"]
mod made;
#[path = "redis_model/pair.rs"]
mod pair;
#[path = "redis_model/reach.rs"]
mod reach;
#[path = "model/schedules.rs"]
mod schedules;
#[path = "redis_model/server.rs"]
mod server;
#[path = "redis_model/world.rs"]
mod world;

use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::clock::ManualClock;
use bulrush::port::Backend;
use happening::Happening;
use pair::{Checked, Pair, START};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};
use server::Server;
use tokio::runtime::Runtime;
use world::World;

/// Histories that are tried where nobody says how many.
const SEEDS: u64 = 100;
/// Things that happen in one history, at most.
const LENGTH: usize = 120;

#[test]
fn random_commands_do_the_same_on_a_server_and_in_the_core() {
    let (tried, reached) = try_histories(LENGTH, |runtime, server, history, trace| {
        runtime.block_on(run(server, history, trace, false))
    });
    if tried >= SEEDS {
        assert_eq!(reach::missed(&reached), [""; 0], "no history came to this");
    }
}

#[test]
fn a_full_server_takes_nothing_in_while_what_is_there_is_worked_off() {
    try_histories(LENGTH / 2, |runtime, server, history, trace| {
        runtime.block_on(run(server, history, trace, true))
    });
}

/// What a history makes of a server; the last argument is where it tells what was sent and answered.
type Run = fn(&Runtime, &mut Server, &[Happening], Option<&mut Vec<String>>) -> Checked;

/// Tries as many as the environment says. Returns how many that were, and what they came to.
fn try_histories(length: usize, run: Run) -> (u64, reach::Reached) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime can be made");
    let mut server = runtime.block_on(Server::start());
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let first = number("BULRUSH_MODEL_SEED");
    let count = number("BULRUSH_MODEL_SEEDS").unwrap_or(if first.is_some() { 1 } else { SEEDS });
    let strategy = proptest::collection::vec(happening::happening(), 1..length);
    for seed in first.unwrap_or(0)..first.unwrap_or(0).saturating_add(count) {
        let server = std::cell::RefCell::new(&mut server);
        let config =
            Config { cases: 1, failure_persistence: None, max_shrink_iters: 800, ..Config::default() };
        let mut bits = [0; 32];
        bits[..8].copy_from_slice(&seed.to_be_bytes());
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bits));
        let tried = runner.run(&strategy, |history| {
            run(&runtime, &mut server.borrow_mut(), &history, None).map_err(TestCaseError::fail)
        });
        match tried {
            Ok(()) => {}
            Err(TestError::Fail(reason, history)) => {
                let fails =
                    |history: &[Happening]| run(&runtime, &mut server.borrow_mut(), history, None).is_err();
                let history = without_what_matters_not(history, fails);
                let mut trace = Vec::new();
                let again = run(&runtime, &mut server.borrow_mut(), &history, Some(&mut trace));
                let mut text = format!("BULRUSH_MODEL_SEED={seed}: {reason}\n");
                for (n, happening) in history.iter().enumerate() {
                    let _ = writeln!(text, "{n:>4} {happening:?}");
                }
                let trace: Vec<_> =
                    trace.iter().filter(|line| !line.contains("QueueConfig {")).cloned().collect();
                let _ = writeln!(text, "what was sent and answered:\n{}\n{again:?}", trace.join("\n"));
                panic!("{text}");
            }
            Err(TestError::Abort(reason)) => panic!("BULRUSH_MODEL_SEED={seed}: {reason}"),
        }
    }
    (count, std::mem::take(&mut server.reached))
}

/// Leaves out one thing after the other that a history fails without: once some have become simpler, others no longer matter.
fn without_what_matters_not(
    mut history: Vec<Happening>,
    fails: impl Fn(&[Happening]) -> bool,
) -> Vec<Happening> {
    let mut place = history.len();
    while place > 0 {
        place -= 1;
        let left_out = history.remove(place);
        if !fails(&history) {
            history.insert(place, left_out);
        }
    }
    history
}

/// Lets a history happen on a server; the middle third of it while the server is full, if asked.
async fn run(
    server: &mut Server,
    history: &[Happening],
    trace: Option<&mut Vec<String>>,
    full: bool,
) -> Checked {
    if full && !fill(server, false).await {
        eprintln!("skipped: the server does not let its memory be limited");
        return Ok(());
    }
    let space = format!("m{:016x}", std::collections::hash_map::RandomState::new().build_hasher().finish());
    let clock = ManualClock::at(START);
    let processes = [open(server, &space, &clock).await, open(server, &space, &clock).await];
    let mut world = World::new(Pair::new(processes.clone(), clock), server);
    world.pair.trace = trace.is_some().then(Vec::new);
    let result = happen_all(&mut world, history, full).await;
    if let Some(trace) = trace {
        *trace = world.pair.trace.take().unwrap_or_default();
    }
    let reached = std::mem::take(&mut world.pair.reached);
    drop(world);
    server.reached.extend(reached);
    if full {
        fill(server, false).await;
    }
    for process in processes {
        process.close().await.map_err(|error| format!("a backend cannot be closed: {error}"))?;
    }
    if server.private {
        server.tell(&["FLUSHALL"]).await;
    }
    result
}

async fn happen_all(world: &mut World<'_>, history: &[Happening], full: bool) -> Checked {
    world.begin().await?;
    let third = history.len() / 3;
    for (n, happening) in history.iter().enumerate() {
        if full && n == third {
            world.fill(true).await?;
        }
        if full && n == 2 * third {
            world.fill(false).await?;
        }
        let begun = world.pair.trace.as_ref().map_or(0, Vec::len);
        world.happen(happening).await.map_err(|error| format!("after {n} {happening:?}: {error}"))?;
        if let Some(trace) = &mut world.pair.trace {
            trace.insert(begun, format!("{n:>4} {happening:?}"));
        }
    }
    if full {
        world.fill(false).await?;
    }
    world.finish().await.map_err(|error| format!("at the end: {error}"))
}

/// Makes the server take no more memory, or as much as it likes. False where it does not let itself be told.
async fn fill(server: &mut Server, full: bool) -> bool {
    let max = if full { "1" } else { "0" };
    server.private && server.try_tell(&["CONFIG", "SET", "maxmemory", max]).await.is_ok()
}

async fn open(server: &Server, space: &str, clock: &ManualClock) -> Arc<dyn Backend> {
    let clock = Some(Arc::new(clock.clone()) as Arc<dyn bulrush::clock::Clock>);
    let options = RedisOptions { namespace: space.to_owned(), clock, ..RedisOptions::default() };
    connect_redis_with(&server.address, options).await.expect("the server can be reached")
}
