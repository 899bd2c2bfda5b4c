//! Random histories of a queue, checked after every command, and compared with a queue built anew from what a store was told.
//!
//! Everything that several workers and clients do at once is some order of commands, so orders are all that has to be tried. A
//! failing run prints its seed (`cc …`), which goes into `model-regressions.txt` and is run first from then on. `PROPTEST_CASES` sets
//! how many histories are tried.

#[path = "model/command.rs"]
mod command;
#[path = "model/facts.rs"]
mod facts;
#[path = "model/ledger.rs"]
mod ledger;
#[path = "model/schedules.rs"]
mod schedules;
#[path = "model/timetable.rs"]
mod timetable;
#[path = "model/world.rs"]
mod world;

use bulrush::core::Core;
use bulrush::model::{JobState, Millis, Owner, PageRequest};
use command::Happening;
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use timetable::Timetable;
use world::{World, picture};

fn config() -> ProptestConfig {
    ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct("tests/model-regressions.txt"))),
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn no_history_breaks_an_invariant_or_is_forgotten_by_a_store(
        history in prop::collection::vec(command::happening(), 1..120)
    ) {
        run(&history);
    }

    #[test]
    fn no_history_of_schedules_fires_a_slot_twice_or_is_forgotten_by_a_store(
        history in prop::collection::vec(scheduled(), 1..80)
    ) {
        let mut timetable = Timetable::new();
        for happening in &history {
            timetable.happen(happening);
        }
    }
}

fn scheduled() -> impl Strategy<Value = timetable::Happening> {
    let time = prop_oneof![8 => 0..6_000_i64, 1 => -20_000..0_i64, 1 => 0..400_000_i64];
    prop_oneof![
        3 => schedules::act().prop_map(timetable::Happening::Schedule),
        1 => time.prop_map(timetable::Happening::Pass),
    ]
}

fn run(history: &[Happening]) {
    let mut world = World::new();
    let mut shadow = None;
    for happening in history {
        let rehearsed = shadow.take().and_then(|mut shadow| world.rehearse(&mut shadow, happening));
        world.happen(happening);
        if let (Some(rehearsed), Happening::Step { worker, .. }) = (rehearsed, happening) {
            // A worker that was given up meanwhile has taken nothing; the rehearsal said hello first.
            if let Some(reply) = world.last_reply(*worker) {
                assert_eq!(rehearsed.settled, reply.settled, "settled by the queue built anew");
                assert_eq!(rehearsed.taken, reply.taken, "taken from the queue built anew");
                assert_eq!(rehearsed.limited_until, reply.limited_until);
                assert_eq!(rehearsed.next_due, reply.next_due);
            }
        }
        world.ledger.check(&mut world.core, world.clock);
        world.look();
        world.ledger.check(&mut world.core, world.clock);
        world.core.drain_changes(&mut world.store);
        // That time has passed is no change worth keeping, so a clock that jumped back is the next life's own.
        let mut built = world.store.rebuild(&world.queue, world.ledger.time());
        same(&world.core, &mut built, world.clock);
        shadow = Some(built);
    }
    world.finish();
    world.ledger.check(&mut world.core, world.clock);
}

/// Whether two queues look the same from outside. What a restart forgets by design is left out: workers, events, maintenance.
fn same(live: &Core, built: &mut Core, now: Millis) {
    assert_eq!(built.verify(0, false).findings, [], "the queue built anew");
    assert_eq!(picture(live), picture(built));
    let (mut one, mut two) = (live.info(now), built.info(now));
    for info in [&mut one, &mut two] {
        (info.last_event, info.maintained_at) = (0, None);
    }
    assert_eq!(one, two);
    for state in JobState::ALL {
        let request = PageRequest { state: Some(state), limit: 1_000, ..PageRequest::default() };
        let ids = |core: &Core| {
            let page = core.page(&request).expect("a queue can be read");
            page.jobs.iter().map(|job| job.id().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(ids(live), ids(built), "order of {state}");
    }
    for user in ["user0", "user1"] {
        let owner = Some(Owner { tenant: "tenant".into(), user: user.into() });
        let request = PageRequest { owner, limit: 1_000, ..PageRequest::default() };
        let page = |core: &Core| core.page(&request).expect("a queue can be read").jobs;
        assert_eq!(page(live), page(built), "jobs of {user}");
    }
    for id in picture(live).keys() {
        assert_eq!(live.children(id, 0, 100), built.children(id, 0, 100), "children of {id}");
        assert_eq!(live.logs(id, 0, 1_000), built.logs(id, 0, 1_000), "lines of {id}");
    }
    for hourly in [false, true] {
        assert_eq!(live.history(0, hourly), built.history(0, hourly));
    }
}
