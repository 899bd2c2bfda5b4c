//! Queue, worker and store under a virtual clock, with everything going wrong that can, and a ledger that accounts for every job.
//!
//! A seed decides the load and the faults. A seed that fails is printed; `BULRUSH_SIM_SEED=<seed>` plays it alone, and
//! `BULRUSH_SIM_SEEDS=<count>` plays so many.

mod simulation {
    pub mod ledger;
    pub mod line;
    pub mod process;
    pub mod random;
    pub mod world;
}

use std::collections::BTreeMap;
use std::sync::Once;

use simulation::ledger::Class;
use simulation::line::Bug;
use simulation::world::{Report, play};

/// Seeds played by default.
const SEEDS: u64 = 200;
/// Within so many seeds a guard that is switched off must be noticed.
const SEEDS_TO_NOTICE: u64 = 60;

/// Handlers panic on purpose, a thousand times; what else panics is still told.
fn hush() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let tell = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"simulated") {
                tell(info);
            }
        }));
    });
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn no_acknowledged_job_is_lost_stuck_forged_or_run_twice_without_a_fault_that_explains_it() {
    hush();
    let seeds = match number("BULRUSH_SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BULRUSH_SIM_SEEDS").unwrap_or(SEEDS),
    };
    let (mut jobs, mut runs, mut explained, mut faults) = (0, 0, 0, BTreeMap::new());
    let mut failed = Vec::new();
    for seed in seeds {
        let report = play(seed, None);
        jobs += report.verdict.jobs;
        runs += report.verdict.runs;
        explained += report.verdict.explained_duplicates;
        for (fault, n) in &report.faults {
            *faults.entry(*fault).or_insert(0) += n;
        }
        if !report.is_clean() {
            eprintln!("{report}");
            failed.push(seed);
        }
    }
    println!("{jobs} jobs, {runs} runs, {explained} duplicates explained by faults; faults: {faults:?}");
    assert!(failed.is_empty(), "seeds {failed:?} failed; play one with BULRUSH_SIM_SEED=<seed>");
}

#[test]
fn a_seed_always_plays_the_same() {
    hush();
    for seed in 0..5 {
        assert_eq!(play(seed, None), play(seed, None));
    }
}

/// Plays seeds with a guard switched off until the ledger reports what that guard prevents.
fn must_notice(bug: Bug, class: Class) {
    hush();
    let noticed = (0..SEEDS_TO_NOTICE).map(|seed| play(seed, Some(bug))).find(|report| report.has(class));
    let report: Report =
        noticed.unwrap_or_else(|| panic!("{bug:?} went unnoticed for {SEEDS_TO_NOTICE} seeds"));
    println!("{bug:?} was noticed: {report}");
}

#[test]
fn the_ledger_notices_when_old_tokens_are_let_through() {
    must_notice(Bug::NoTokenCheck, Class::WrongResult);
}

#[test]
fn the_ledger_notices_when_a_hello_gives_nothing_back() {
    must_notice(Bug::NoResume, Class::Stuck);
}

#[test]
fn the_ledger_notices_when_there_is_no_grace() {
    must_notice(Bug::NoGrace, Class::OverlappingDuplicate);
}

#[test]
fn the_ledger_notices_when_an_outbox_is_acknowledged_before_it_is_delivered() {
    must_notice(Bug::OutboxAcknowledgedFirst, Class::Lost);
}

#[test]
fn the_ledger_notices_when_an_add_that_arrives_twice_is_taken_for_two() {
    must_notice(Bug::NoDuplicateCheck, Class::Phantom);
}
