//! Real scheduler processes on a real Redis, killed and frozen at random moments: each slot fires once, none is lost, and a fan-out that was
//! cut off is continued.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bulrush::model::{JobState, JobView, Millis, Missed, PageRequest, ScheduleId, ScheduleSpec};
use bulrush::{Client, Queue};
use bulrush_catalog::jobs::{FanOutPrices, FanOutResult, ScrapePrices};
use bulrush_store::{Declared, EntityKind, NewCompetitor, NewEntity, Owner, Saved, Store};
use serde_json::json;

const DEADLINE: Duration = Duration::from_mins(1);
/// Between two slots, ms: the engine's shortest.
const PERIOD_MS: u64 = 1_000;

/// The server that the tests are given, with a namespace that nobody has used.
fn address() -> String {
    let address = std::env::var("BULRUSH_TEST_REDIS").expect(
        "BULRUSH_TEST_REDIS names no server: run scripts/test, which starts one of its own, or set it to redis://HOST:PORT or \
         unix:///PATH of a server that may be filled with anything",
    );
    let address = if address.starts_with('/') { format!("unix://{address}") } else { address };
    let mark = if address.contains('?') { '&' } else { '?' };
    format!("{address}{mark}namespace=s{:016x}", RandomState::new().build_hasher().finish())
}

/// A scheduler process, killed at the end whatever happens.
struct Scheduler(Child);

impl Scheduler {
    fn start(engine: &str, database: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_bulrush-scheduler"))
            .env_clear()
            .args(["--engine", engine, "--no-default-schedules", "--database"])
            .arg(format!("sqlite:{}", database.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// Asks it to stop, and sees it end well.
    fn stop(mut self) {
        self.signal("-TERM");
        let status = self.0.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(DEADLINE, async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "{what} did not happen");
}

/// All jobs of a queue.
async fn jobs(queue: &Queue) -> Vec<JobView> {
    let (mut all, mut cursor) = (Vec::new(), None);
    loop {
        let request = PageRequest { cursor, limit: 500, ..PageRequest::default() };
        let page = queue.backend().page(queue.name(), request).await.unwrap();
        all.extend(page.jobs);
        cursor = page.next;
        if cursor.is_none() {
            return all;
        }
    }
}

/// What is wrong with the slots that were fired, between a schedule's first and the one at which it stands.
fn account(first: Millis, next: Millis, fired: &[Millis]) -> Vec<String> {
    let mut times: BTreeMap<Millis, u32> = BTreeMap::new();
    for slot in fired {
        *times.entry(*slot).or_default() += 1;
    }
    let mut wrong = Vec::new();
    let mut slot = first;
    while slot < next {
        match times.remove(&slot) {
            Some(1) => {}
            Some(n) => wrong.push(format!("{slot} fired {n} times")),
            None => wrong.push(format!("{slot} never fired")),
        }
        slot += PERIOD_MS;
    }
    wrong.extend(times.into_keys().map(|slot| format!("{slot} fired, and was none")));
    wrong
}

#[test]
fn the_account_catches_a_slot_that_fired_twice_one_that_was_lost_and_one_that_was_none() {
    assert!(account(5_000, 8_000, &[5_000, 6_000, 7_000]).is_empty());
    assert_eq!(account(5_000, 8_000, &[5_000, 6_000, 6_000, 7_000]), ["6000 fired 2 times"]);
    assert_eq!(account(5_000, 8_000, &[5_000, 7_000]), ["6000 never fired"]);
    assert_eq!(account(5_000, 8_000, &[5_000, 6_000, 7_000, 7_500]), ["7500 fired, and was none"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_killed_and_frozen_at_random_fire_each_slot_once_and_lose_none() {
    let seed = RandomState::new().build_hasher().finish();
    println!("seed {seed}");
    let mut state = seed;
    let mut random = |n: u64| {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (z ^ (z >> 27)) % n
    };
    let (engine, folder) = (address(), tempfile::tempdir().unwrap());
    let database = folder.path().join("store.db");
    let client = Client::connect(&engine).await.unwrap();
    let queue = client.queue("forecast").unwrap();
    let mut firsts = BTreeMap::new();
    for n in 0..10_u64 {
        let id = ScheduleId::new(&format!("s{n}")).unwrap();
        let spec = ScheduleSpec::every(id.clone(), PERIOD_MS, &queue.job("run-forecast", "{}")).unwrap();
        let spec = spec.anchor(n * PERIOD_MS / 10).missed(Missed::All { max: 1_000 });
        let put = queue.schedules().put(spec).await.unwrap().schedule.unwrap();
        firsts.insert(id, put.state.next.unwrap());
    }
    let mut pair: Vec<Scheduler> = (0..2).map(|_| Scheduler::start(&engine, &database)).collect();
    eventually("the first slots", async || queue.info().await.unwrap().counts.waiting >= 10).await;
    for round in 0..16 {
        let n = random(2) as usize;
        if round % 2 == 0 {
            pair[n].kill();
            tokio::time::sleep(Duration::from_millis(random(400))).await;
            pair[n] = Scheduler::start(&engine, &database);
        } else {
            pair[n].signal("-STOP");
            if round % 5 == 0 {
                // Nobody is left for a while.
                pair[1 - n].signal("-STOP");
                tokio::time::sleep(Duration::from_millis(1_000 + random(1_000))).await;
                pair[1 - n].signal("-CONT");
            }
            tokio::time::sleep(Duration::from_millis(random(1_200))).await;
            pair[n].signal("-CONT");
        }
        tokio::time::sleep(Duration::from_millis(random(500))).await;
    }
    eventually("an even moment", async || {
        let due = queue.backend().due_schedules(queue.name(), 100).await.unwrap();
        due.due.iter().all(|view| view.state.next.is_some_and(|next| next + PERIOD_MS > due.now))
    })
    .await;
    pair.into_iter().for_each(Scheduler::stop);
    let mut fired: BTreeMap<ScheduleId, Vec<Millis>> = BTreeMap::new();
    for job in jobs(&queue).await {
        let of = job.spec.schedule.clone().unwrap();
        fired.entry(of.schedule.clone()).or_default().push(of.slot);
    }
    for (id, first) in firsts {
        let view = queue.schedules().get(id.as_str()).await.unwrap().unwrap();
        let slots = &fired[&id];
        assert!(slots.len() > 5, "{id} has hardly fired; seed {seed}");
        assert_eq!(
            account(first, view.state.next.unwrap(), slots),
            Vec::<String>::new(),
            "{id}; seed {seed}"
        );
        assert_eq!((view.state.fired, view.state.missed), (slots.len() as u64, 0), "{id}; seed {seed}");
    }
    client.backend().close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fan_out_whose_scheduler_is_killed_is_continued_and_adds_no_second_job() {
    const MANY: usize = 1_500;
    let (engine, folder) = (address(), tempfile::tempdir().unwrap());
    let database = folder.path().join("store.db");
    let store = Store::open(&format!("sqlite:{}", database.display())).await.unwrap();
    store.migrate().await.unwrap();
    let owner = Owner::new("acme", "ada");
    let property = |id: String| NewEntity {
        name: id.clone(),
        id,
        owner: owner.clone(),
        kind: EntityKind::Property,
        location: None,
        country: None,
        time_zone: None,
        attributes: serde_json::Map::new(),
    };
    store
        .write::<_, bulrush_store::StoreError, _>(async |tx| {
            for n in 0..MANY {
                assert_eq!(store.entities().save(tx, &property(format!("p{n:04}"))).await?, Saved::Yes);
            }
            Ok(())
        })
        .await
        .unwrap();
    let new = NewCompetitor { id: "c".into(), name: "The other one".into(), page: json!({}) };
    for n in 0..MANY {
        let declared = store.competitors().declare(&owner, &format!("p{n:04}"), &new, 50).await.unwrap();
        assert_eq!(declared, Declared::New);
    }
    let client = Client::connect(&engine).await.unwrap();
    let (fan_out, competitor) = (client.queue("fan-out").unwrap(), client.queue("competitor").unwrap());
    let mut scheduler = Scheduler::start(&engine, &database);
    let asked = FanOutPrices { days_ahead: 7, nights: 1, adults: 2, come_to: None };
    let id = fan_out.push(&asked).await.unwrap().id;
    let mut kills = 0;
    // Killed whenever it has come a page further, three times.
    for beyond in [1, 400, 800] {
        eventually("a page", async || competitor.info().await.unwrap().counts.waiting >= beyond).await;
        scheduler.kill();
        kills += u32::from(!fan_out.get(&id).await.unwrap().unwrap().state().is_terminal());
        scheduler = Scheduler::start(&engine, &database);
    }
    assert!(kills > 0, "it had ended before the first kill: the test shows nothing");
    let ended = fan_out.wait_finished(&id, 2 * DEADLINE).await.unwrap().unwrap();
    assert_eq!(ended.state(), JobState::Completed, "{:?}", ended.status.errors);
    let result: FanOutResult = ended.output().unwrap().unwrap();
    assert_eq!((result.jobs, result.absent), (MANY as u64, 0));
    let all = jobs(&competitor).await;
    let properties: BTreeSet<String> = all
        .iter()
        .map(|job| serde_json::from_slice::<ScrapePrices>(&job.spec.data).unwrap().property_id)
        .collect();
    assert_eq!((all.len(), properties.len()), (MANY, MANY));
    scheduler.stop();
    client.backend().close().await.unwrap();
    store.close().await;
}
