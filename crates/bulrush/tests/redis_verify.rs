//! Damage that no command can do, seeded by hand on a Redis server: a check finds each, and a repair mends what the records tell.
#![cfg(feature = "redis")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::model::{
    ChildFailure, Dedup, ErrorKind, Finished, JobError, JobId, JobState, NewJob, Outcome, PageRequest,
    Progress, QueueName, ScheduleId, ScheduleSpec, Scope, Taken, WorkerId,
};
use bulrush::port::{
    AdminCommand, Backend, Finding, Put, Resume, Step, Update, UpdateChange, VerifyPage, WorkerInfo,
};
use deadpool_redis::redis::{Client, FromRedisValue, cmd};

const WORKER: WorkerId = WorkerId(7);
/// Where counters stand in the packed field (`part_state.lua`).
const WAITING: usize = 6;
const STARTED: usize = 82;
const TOMBS: usize = 70;
const CANCELS: usize = 149;
const GROUPS: usize = 155;

fn address() -> String {
    let address = std::env::var("BULRUSH_TEST_REDIS").expect(
        "BULRUSH_TEST_REDIS names no server: run scripts/test, which starts one of its own, or set it to redis://HOST:PORT or \
         unix:///PATH of a server that may be filled with anything",
    );
    if address.starts_with('/') { format!("unix://{address}") } else { address }
}

fn id(text: &str) -> JobId {
    JobId::new(text).expect("a good id")
}

fn job(text: &str) -> NewJob {
    NewJob::new(id(text), "work", "{}")
}

/// A queue of its own, and a way to it beside the backend.
struct Bench {
    backend: Arc<dyn Backend>,
    queue: QueueName,
    namespace: String,
    connection: deadpool_redis::redis::aio::MultiplexedConnection,
    call: u64,
}

impl Bench {
    async fn empty() -> Self {
        let namespace = format!("v{:016x}", RandomState::new().build_hasher().finish());
        let options = RedisOptions { namespace: namespace.clone(), ..RedisOptions::default() };
        let backend = connect_redis_with(&address(), options).await.expect("the server can be reached");
        let client = Client::open(address()).expect("a good address");
        let connection = client.get_multiplexed_async_connection().await.expect("the server can be reached");
        Self { backend, queue: QueueName::new("main").expect("a good name"), namespace, connection, call: 0 }
    }

    /// A job in every state, named after it, and one with each thing that is kept beside a record.
    async fn full() -> Self {
        let mut bench = Self::empty().await;
        bench.hello().await;
        let error = JobError { kind: ErrorKind::Unrecoverable, message: "broken".into() };
        let complete = Outcome::Complete { result: None, follow_ups: Vec::new() };
        for (text, outcome) in [("completed", complete), ("failed", Outcome::Fail { error })] {
            bench.add(vec![job(text).timeout_ms(60_000)]).await;
            let taken = bench.take(1).await.remove(0);
            bench.step(vec![Finished { job: taken, outcome }], 0).await;
        }
        bench.add(vec![job("active").timeout_ms(60_000)]).await;
        let active = bench.take(1).await.remove(0);
        let changes = [
            UpdateChange::Progress(Progress { percent: 5, message: None, data: None }),
            UpdateChange::Log { from: 0, lines: vec!["one".into()] },
        ];
        for change in changes {
            let update = Update { id: active.spec.id.clone(), token: active.token, change };
            bench.backend.update(&bench.queue, vec![update]).await.expect("it can be written");
        }
        bench.add(vec![job("grouped-active").group("g")]).await;
        bench.take(1).await;
        let large = format!("\"{}\"", "x".repeat(5_000));
        let kid = NewJob::new(id("kid"), "work", "{}");
        bench
            .add(vec![
                job("cancelled"),
                job("waiting").dedup("key"),
                job("urgent").priority(1),
                job("grouped").group("g"),
                job("delayed").delay_ms(3_600_000),
                NewJob::new(id("large"), "work", large).owner("acme", "ada").delay_ms(3_600_000),
                job("waiting-children").child(Self::other(), kid, ChildFailure::Fail),
                job("kept-out").dedup_with(Dedup {
                    key: "timed".into(),
                    ttl_ms: Some(3_600_000),
                    fingerprint: None,
                }),
            ])
            .await;
        let cancel = AdminCommand::Cancel(vec![id("cancelled")]);
        bench.backend.admin(&bench.queue, cancel).await.expect("it can be cancelled");
        assert_eq!(bench.verify(false).await, [], "a sound queue");
        bench
    }

    fn other() -> QueueName {
        QueueName::new("other").expect("a good name")
    }

    async fn hello(&self) {
        let info = WorkerInfo { id: WORKER, name: "w".into(), slots: 9, version: "1".into(), started: 0 };
        let hello = Resume { info, call: 0, running: Vec::new() };
        self.backend.resume(&self.queue, hello).await.expect("a worker can say hello");
    }

    async fn add(&self, jobs: Vec<NewJob>) {
        let added = self.backend.add(&self.queue, jobs).await.expect("jobs can be added").added;
        assert!(added.iter().all(bulrush::port::Added::is_new), "{added:?}");
    }

    async fn step(&mut self, finished: Vec<Finished>, want: usize) -> Vec<Arc<Taken>> {
        self.call += 1;
        let step = Step { worker: WORKER, call: self.call, finished, want };
        self.backend.step(&self.queue, step).await.expect("it can step").taken
    }

    async fn take(&mut self, want: usize) -> Vec<Arc<Taken>> {
        self.step(Vec::new(), want).await
    }

    async fn slices(&self, repair: bool) -> Vec<VerifyPage> {
        let (mut pages, mut cursor) = (Vec::new(), Some(0));
        while let Some(from) = cursor {
            let page = self.backend.verify(&self.queue, from, repair).await.expect("a queue can be checked");
            cursor = page.next;
            pages.push(page);
        }
        pages
    }

    async fn verify(&self, repair: bool) -> Vec<Finding> {
        self.slices(repair).await.into_iter().flat_map(|page| page.findings).collect()
    }

    async fn state(&self, text: &str) -> Option<JobState> {
        let found = self.backend.get(&self.queue, &[id(text)]).await.expect("jobs can be read");
        found[0].as_ref().map(bulrush::model::JobView::state)
    }

    fn key(&self, name: &str) -> String {
        format!("{}:{{main}}:{name}", self.namespace)
    }

    /// Says something to the server about a key of the queue.
    async fn raw<T: FromRedisValue>(&self, word: &str, key: &str, rest: &[&[u8]]) -> T {
        let mut call = cmd(word);
        call.arg(self.key(key));
        for part in rest {
            call.arg(*part);
        }
        call.query_async(&mut self.connection.clone()).await.expect("the server does it")
    }

    async fn count(&self, at: usize, change: impl Fn(u8) -> u8) {
        let mut packed: Vec<u8> = self.raw("HGET", "meta", &[b"n"]).await;
        packed[at + 5] = change(packed[at + 5]);
        self.raw::<()>("HSET", "meta", &[b"n", &packed]).await;
    }

    /// Adds one to a byte of the counters, whatever else happens to them.
    async fn miscount(&self, at: usize) {
        const MISCOUNT: &str = "local n, at = redis.call('HGET', KEYS[1], 'n'), tonumber(ARGV[1]) \
             return redis.call('HSET', KEYS[1], 'n', n:sub(1, at - 1) .. string.char(n:byte(at) + 1) .. n:sub(at + 1))";
        let mut call = cmd("EVAL");
        call.arg(MISCOUNT).arg(1).arg(self.key("meta")).arg(at);
        call.query_async::<u64>(&mut self.connection.clone()).await.expect("the server does it");
    }

    /// The damage must be found under the invariant's number, and a repair must leave nothing to be found.
    async fn is_found_and_mended(&self, invariant: u8, what: &str) {
        let found = self.verify(false).await;
        assert!(found.iter().any(|f| f.invariant == invariant && !f.repaired), "{what}: {found:?}");
        assert_eq!(self.verify(false).await, found, "{what}: looking changes nothing");
        let mended = self.verify(true).await;
        assert!(mended.iter().all(|finding| finding.repaired), "{what}: {mended:?}");
        assert_eq!(self.verify(true).await, [], "{what}: after {mended:?}");
    }

    /// The damage must be found, and a repair must say that it did not put it right.
    async fn is_found_and_left(&self, invariant: u8, what: &str) {
        for repair in [false, true, true] {
            let found = self.verify(repair).await;
            assert!(found.iter().any(|f| f.invariant == invariant && !f.repaired), "{what}: {found:?}");
        }
    }
}

#[tokio::test]
async fn wrong_counts_are_found_and_mended() {
    let bench = Bench::full().await;
    let before = bench.backend.info(&bench.queue).await.expect("it can be read").counts;
    for place in 0..9 {
        bench.count(WAITING + 6 * place, |n| n + 3).await;
        bench.is_found_and_mended(1, &format!("counter {place}")).await;
    }
    for (at, invariant) in [(STARTED, 5), (CANCELS, 2), (GROUPS, 5)] {
        bench.count(at, |n| n + 1).await;
        bench.is_found_and_mended(invariant, &format!("counter at {at}")).await;
    }
    bench.raw::<()>("HDEL", "meta", &[b"n"]).await;
    bench.is_found_and_mended(1, "no counters").await;
    assert_eq!(bench.backend.info(&bench.queue).await.expect("it can be read").counts, before);
    bench.raw::<()>("XADD", "ev", &[b"9000000000000000-0", b"t", b"123456"]).await;
    bench.raw::<()>("XADD", "out", &[b"50-0", b"e", b"no entry"]).await;
    assert!(bench.verify(true).await.iter().any(|finding| finding.invariant == 8 && finding.repaired));
    bench.add(vec![job("next")]).await;
}

#[tokio::test]
async fn entries_that_were_left_behind_are_never_fewer_than_counted() {
    let bench = Bench::full().await;
    bench
        .backend
        .admin(&bench.queue, AdminCommand::Remove(vec![id("waiting")]))
        .await
        .expect("it can be removed");
    bench.count(TOMBS, |_| 0).await;
    bench.is_found_and_mended(7, "no entry counted").await;
}

#[tokio::test]
async fn jobs_in_no_collection_are_found_and_put_back() {
    let mut bench = Bench::full().await;
    for key in ["wait", "prio", "due", "par", "fail", "canc", "done", "g:g"] {
        bench.raw::<()>("DEL", key, &[]).await;
        bench.is_found_and_mended(1, key).await;
    }
    for state in JobState::ALL {
        let request = PageRequest { state: Some(state), limit: 10, ..PageRequest::default() };
        let page = bench.backend.page(&bench.queue, request).await.expect("it can be read");
        let expected = match state {
            JobState::Waiting => 4,
            JobState::Delayed | JobState::Active => 2,
            _ => 1,
        };
        assert_eq!(page.jobs.len(), expected, "{state}");
    }
    let mut taken: Vec<String> = bench.take(9).await.iter().map(|job| job.spec.id.to_string()).collect();
    taken.sort();
    assert_eq!(taken, ["grouped", "kept-out", "urgent", "waiting"]);
}

#[tokio::test]
async fn jobs_in_two_collections_are_found_and_taken_from_the_wrong_one() {
    let mut bench = Bench::full().await;
    for (key, job) in [("due", "completed"), ("prio", "delayed"), ("fail", "cancelled"), ("par", "active")] {
        bench.raw::<()>("ZADD", key, &[b"1", job.as_bytes()]).await;
        bench.is_found_and_mended(1, key).await;
    }
    bench.raw::<()>("ZADD", "due", &[b"1", b"delayed"]).await;
    bench.is_found_and_mended(1, "another time").await;
    for key in ["wait", "g:g"] {
        let pack: Vec<u8> = bench.raw("LINDEX", key, &[b"0"]).await;
        bench.raw::<()>("RPUSH", key, &[&pack]).await;
        bench.is_found_and_mended(1, key).await;
    }
    let done: Vec<Vec<u8>> = bench.raw("LRANGE", "done", &[b"0", b"-1"]).await;
    bench.raw::<()>("RPUSH", "done", &[&done[0], &done[1]]).await;
    bench.is_found_and_mended(1, "done").await;
    assert_eq!(bench.take(9).await.len(), 4, "each once");
}

#[tokio::test]
async fn members_without_records_are_found_and_dropped() {
    let bench = Bench::full().await;
    for key in ["prio", "due", "par", "fail", "canc", "dl"] {
        bench.raw::<()>("ZADD", key, &[b"5", b"ghost"]).await;
        bench.is_found_and_mended(7, key).await;
    }
    let entry: Vec<u8> = bench.raw("HGET", "act", &[b"active"]).await;
    bench.raw::<()>("HSET", "act", &[b"ghost", &entry]).await;
    bench.is_found_and_mended(2, "act").await;
    for key in ["data", "prog", "logn"] {
        bench.raw::<()>("HSET", key, &[b"ghost", b"12345678901234"]).await;
        bench.is_found_and_mended(7, key).await;
    }
    bench.raw::<()>("HSET", "data", &[b"waiting", b"{}"]).await;
    bench.is_found_and_mended(7, "a payload that is in its record too").await;
    bench.raw::<()>("HSET", "fam:ghost", &[b"n", b"1"]).await;
    for key in ["log:ghost", "own:a\0b", "g:ghost"] {
        bench.raw::<()>("RPUSH", key, &[b"ghost"]).await;
    }
    let found = bench.verify(false).await;
    assert_eq!(found.iter().filter(|finding| finding.invariant == 7).count(), 4, "{found:?}");
    bench.is_found_and_mended(7, "keys").await;
    assert_eq!(bench.raw::<u64>("EXISTS", "own:a\0b", &[]).await, 0);
}

#[tokio::test]
async fn records_that_were_deleted_by_hand_leave_nothing_behind() {
    let bench = Bench::full().await;
    let ids: Vec<Vec<u8>> = bench.raw("HKEYS", "jobs", &[]).await;
    for id in &ids {
        bench.raw::<()>("HDEL", "jobs", &[id]).await;
    }
    let found = bench.verify(true).await;
    assert!(!found.is_empty() && found.iter().all(|finding| finding.repaired), "{found:?}");
    assert_eq!(bench.verify(true).await, []);
    assert_eq!(bench.backend.info(&bench.queue).await.expect("it can be read").counts.total(), 0);
    assert_eq!(bench.raw::<u64>("HLEN", "dedup", &[]).await, 1, "the key with a time of its own");
}

#[tokio::test]
async fn broken_tokens_are_found_and_mended() {
    let bench = Bench::full().await;
    let entry: Vec<u8> = bench.raw("HGET", "act", &[b"active"]).await;
    bench.raw::<()>("HSET", "act", &[b"delayed", &entry]).await;
    bench.is_found_and_mended(2, "a token of a job that does not run").await;
    bench.raw::<()>("DEL", "dl", &[]).await;
    bench.is_found_and_mended(2, "a lost deadline").await;
    for job in ["active", "waiting"] {
        bench.raw::<()>("ZADD", "dl", &[b"5", job.as_bytes()]).await;
        bench.is_found_and_mended(2, "another deadline").await;
    }
    bench.raw::<()>("HDEL", "act", &[b"active"]).await;
    bench.is_found_and_mended(1, "an active job without a token").await;
    assert_eq!(bench.state("active").await, Some(JobState::Waiting));
    bench.raw::<()>("DEL", "wk", &[]).await;
    bench.is_found_and_mended(2, "a worker that nobody knows").await;
    let until: f64 = bench.raw("ZSCORE", "wk", &[&WORKER.0.to_be_bytes()]).await;
    assert!(until <= bench.backend.now().await.expect("it has a clock") as f64, "its jobs are rescued");
}

/// A million tenants that came and went must leave nothing: not even what a check takes for sound.
#[tokio::test]
async fn groups_without_jobs_leave_no_key_behind() {
    let mut bench = Bench::empty().await;
    bench.hello().await;
    for group in ["ran", "removed", "cancelled"] {
        bench.add(vec![job(group).group(group)]).await;
    }
    assert_eq!(bench.raw::<usize>("HLEN", "groups", &[]).await, 4, "three, and the jobs without one");
    for command in [AdminCommand::Remove(vec![id("removed")]), AdminCommand::Cancel(vec![id("cancelled")])] {
        bench.backend.admin(&bench.queue, command).await.expect("it can be done");
    }
    let taken = bench.take(1).await.remove(0);
    assert_eq!(bench.raw::<usize>("HLEN", "groups", &[]).await, 2, "who runs a job is known");
    let outcome = Outcome::Complete { result: None, follow_ups: Vec::new() };
    bench.step(vec![Finished { job: taken, outcome }], 0).await;
    for key in ["groups", "ring", "held", "g:ran", "g:removed", "g:cancelled"] {
        assert_eq!(bench.raw::<usize>("EXISTS", key, &[]).await, 0, "{key}");
    }
}

#[tokio::test]
async fn a_rotation_out_of_step_is_found_and_mended() {
    let mut bench = Bench::full().await;
    let row: Vec<u8> = bench.raw("HGET", "groups", &[b"+g"]).await;
    for at in [5, 9] {
        let mut wrong = row.clone();
        wrong[at] += 1;
        bench.raw::<()>("HSET", "groups", &[b"+g", &wrong]).await;
        bench.is_found_and_mended(5, "a group's counts").await;
    }
    bench.raw::<()>("HDEL", "groups", &[b"+g"]).await;
    bench.is_found_and_mended(5, "an unknown group").await;
    bench.raw::<()>("HDEL", "groups", &[b"-"]).await;
    bench.is_found_and_mended(5, "jobs without a group").await;
    bench.raw::<()>("DEL", "ring", &[]).await;
    bench.is_found_and_mended(5, "nobody's turn").await;
    bench.raw::<()>("ZADD", "ring", &[b"1", b"+ghost"]).await;
    bench.is_found_and_mended(5, "a ghost's turn").await;
    bench.raw::<()>("DEL", "ring", &[]).await;
    bench.raw::<()>("DEL", "groups", &[]).await;
    bench.is_found_and_mended(5, "no rotation").await;
    assert_eq!(bench.take(9).await.len(), 4);
}

#[tokio::test]
async fn broken_families_are_found_and_mended() {
    let family = "fam:waiting-children";
    let bench = Bench::full().await;
    bench.raw::<()>("HSET", family, &[b"n", b"7"]).await;
    bench.is_found_and_mended(6, "a wrong count").await;
    let mut row: Vec<u8> = bench.raw("HGET", family, &[b"0"]).await;
    let last = row.len() - 1;
    row[last] = b'C';
    bench.raw::<()>("HSET", family, &[b"0", &row, b"n", b"0"]).await;
    bench.is_found_and_mended(6, "all have settled").await;
    assert_eq!(bench.state("waiting-children").await, Some(JobState::Waiting));
    let bench = Bench::full().await;
    bench.raw::<()>("DEL", family, &[]).await;
    bench.is_found_and_mended(6, "no children").await;
    assert_eq!(bench.state("waiting-children").await, Some(JobState::Waiting));
}

#[tokio::test]
async fn keys_that_nobody_would_free_are_found_and_freed() {
    let bench = Bench::full().await;
    let held = [&[0; 15][..], b"nobody"].concat();
    bench.raw::<()>("HSET", "dedup", &[b"orphan", &held]).await;
    bench.is_found_and_mended(7, "a holder that is gone").await;
    bench.add(vec![job("again").dedup("orphan")]).await;
    bench.raw::<()>("HSET", "dedup", &[b"broken", b"x"]).await;
    bench.is_found_and_mended(7, "no holder").await;
    bench.raw::<()>("ZADD", "dedupx", &[b"5", b"ghost"]).await;
    bench.is_found_and_mended(7, "a key that nobody holds").await;
    bench.raw::<()>("ZADD", "dedupx", &[b"5", b"key"]).await;
    bench.is_found_and_mended(7, "a key without a time").await;
    bench.raw::<()>("DEL", "dedupx", &[]).await;
    bench.is_found_and_mended(7, "a key with a time").await;
    assert_eq!(bench.raw::<u64>("ZCARD", "dedupx", &[]).await, 1);
}

#[tokio::test]
async fn what_only_a_person_can_judge_is_found_and_left() {
    for (word, key, rest, invariant) in [
        ("HSET", "jobs", &[&b"broken"[..], b"xyz"][..], 1),
        ("HSET", "jobs", &[b"no id!\xff", b"xyz"], 1),
        ("HSET", "act", &[b"active", b"xyz"], 2),
        ("HSET", "groups", &[b"+h", b"xyz"], 1),
        ("HSET", "meta", &[b"config", b"{"], 1),
        ("HSET", "meta", &[b"n", b"xyz"], 1),
        ("HSET", "fam:waiting-children", &[b"0", b"xyz"], 6),
        ("LPUSH", "wait", &[b"\x09xyz"], 1),
        ("LPUSH", "done", &[b"xyz"], 1),
        ("LPUSH", "rate", &[b"xyz"], 1),
        ("XADD", "out", &[b"*", b"e", b"xyz"], 8),
        ("SET", "strange", &[b"xyz"], 7),
        ("SET", "due", &[b"xyz"], 1),
        ("SET", "jobs", &[b"xyz"], 1),
    ] {
        let bench = Bench::full().await;
        let _: deadpool_redis::redis::Value = bench.raw(word, key, rest).await;
        bench.is_found_and_left(invariant, key).await;
    }
    let bench = Bench::full().await;
    let mut record: Vec<u8> = bench.raw("HGET", "jobs", &[b"failed"]).await;
    // Its errors stand at the end: one of 2 bytes of length and what that says.
    record.truncate(record.len() - (2 + 2 + 8 + 6 + 1 + "broken".len() + 6));
    bench.raw::<()>("HSET", "jobs", &[b"failed", &record]).await;
    bench.is_found_and_left(4, "a failure without an error").await;
    let mut record: Vec<u8> = bench.raw("HGET", "jobs", &[b"waiting"]).await;
    record[28] = 9;
    bench.raw::<()>("HSET", "jobs", &[b"waiting", &record]).await;
    bench.is_found_and_left(4, "stalls without runs").await;
}

#[tokio::test]
async fn a_large_queue_is_checked_in_slices_and_damage_in_any_of_them_is_mended() {
    let bench = Bench::empty().await;
    for part in 0..12 {
        let late = |n: u64| if n.is_multiple_of(2) { 0 } else { 3_600_000 };
        bench.add((0..1_000).map(|n| job(&format!("j{part}-{n}")).delay_ms(late(n))).collect()).await;
    }
    for n in 0..12 {
        bench.raw::<()>("ZADD", "due", &[b"5", format!("ghost{n}").as_bytes()]).await;
        bench.raw::<()>("ZREM", "due", &[format!("j{n}-{}", 2 * n + 1).as_bytes()]).await;
    }
    for _ in 0..4 {
        bench.raw::<Vec<u8>>("RPOP", "wait", &[]).await;
    }
    let pages = bench.slices(true).await;
    assert!(pages.len() > 1, "it takes several calls");
    assert_eq!(pages.iter().map(|page| page.checked).sum::<usize>(), 12_000);
    let findings: Vec<&Finding> = pages.iter().flat_map(|page| &page.findings).collect();
    assert!(findings.len() >= 12 + 12 + 4 && findings.iter().all(|finding| finding.repaired));
    assert_eq!(bench.verify(false).await, []);
}

#[tokio::test]
async fn wrong_counts_of_a_queue_that_never_rests_are_found_and_mended() {
    let bench = Bench::full().await;
    // Somebody pauses and resumes all the time: every look at the sums finds them changed.
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let busy = tokio::spawn({
        let (backend, queue, stop) = (bench.backend.clone(), bench.queue.clone(), stop.clone());
        async move {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for command in [AdminCommand::Pause, AdminCommand::Unpause] {
                    backend.admin(&queue, command).await.expect("it can be paused and resumed");
                }
            }
        }
    });
    // Delayed and failed are the fourth and the eighth counter of six bytes, behind the moment.
    for (place, what) in [(4, "delayed"), (8, "failed")] {
        bench.miscount(6 * place + 6).await;
        let found = bench.verify(false).await;
        assert!(found.iter().any(|it| it.text.starts_with(what) && !it.repaired), "{what}: {found:?}");
        // A repair of a moment's rest that did not last is tried again.
        let mut left = 100;
        while !bench.verify(true).await.is_empty() {
            left -= 1;
            assert!(left > 0, "{what} is mended");
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    busy.await.expect("it ends");
    assert_eq!(bench.verify(false).await, []);
}

#[tokio::test]
async fn a_queue_at_work_is_not_taken_for_a_damaged_one() {
    let mut bench = Bench::full().await;
    let backend = bench.backend.clone();
    let queue = bench.queue.clone();
    let checks = tokio::spawn(async move {
        let mut findings = Vec::new();
        for round in 0..8 {
            let mut cursor = Some(0);
            while let Some(from) = cursor {
                let page =
                    backend.verify(&queue, from, round % 2 == 1).await.expect("a queue can be checked");
                findings.extend(page.findings);
                cursor = page.next;
            }
        }
        findings
    });
    let mut round = 0;
    while !checks.is_finished() {
        round += 1;
        let new = |n: usize| match n % 4 {
            0 => job(&format!("r{round}-{n}")),
            1 => job(&format!("r{round}-{n}")).priority(n as u32),
            2 => job(&format!("r{round}-{n}")).group(format!("g{n}")).timeout_ms(9_000),
            _ => job(&format!("r{round}-{n}")).delay_ms(5).dedup(format!("k{round}-{n}")),
        };
        bench.add((0..20).map(new).collect()).await;
        let taken = bench.take(30).await;
        let complete = || Outcome::Complete { result: None, follow_ups: Vec::new() };
        let finished = taken.into_iter().map(|job| Finished { job, outcome: complete() }).collect();
        bench.step(finished, 0).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(20), checks).await.expect("it ends").expect("it is whole"),
        []
    );
    assert_eq!(bench.verify(false).await, []);
}

#[tokio::test]
async fn schedules_that_are_listed_wrong_or_are_there_by_half_are_found_and_mended() {
    let bench = Bench::empty().await;
    for (text, limit) in [("a", 5), ("b", 7)] {
        let spec = ScheduleSpec::every(ScheduleId::new(text).expect("a good id"), 60_000, &job("sch-0"));
        let spec = spec.expect("a good job").limit(limit);
        let put = bench.backend.put_schedule(&bench.queue, &Scope::All, spec, Put::Always).await;
        put.expect("it can be put");
    }
    assert_eq!(bench.verify(false).await, []);
    let ids = async || {
        let page = bench.backend.list_schedules(&bench.queue, &Scope::All, None, 10).await;
        let ids = page.expect("they can be read").schedules;
        ids.iter().map(|view| (view.id().to_string(), view.state.next.is_some())).collect::<Vec<_>>()
    };
    let whole = [("a".to_owned(), true), ("b".to_owned(), true)];
    bench.raw::<()>("ZREM", "schx", &[b"a"]).await;
    bench.is_found_and_mended(8, "not listed").await;
    bench.raw::<()>("ZADD", "schx", &[b"5", b"b"]).await;
    bench.is_found_and_mended(8, "listed at another slot").await;
    bench.raw::<()>("ZREM", "schi", &[b"b"]).await;
    bench.is_found_and_mended(8, "not to be read by id").await;
    assert_eq!(ids().await, whole);
    for key in ["schx", "schi"] {
        bench.raw::<()>("ZADD", key, &[b"0", b"nobody"]).await;
        bench.is_found_and_mended(7, key).await;
    }
    bench.raw::<()>("HSET", "schd", &[b"nobody", b"x"]).await;
    bench.is_found_and_mended(7, "schd").await;
    // One that must not fire stands nowhere: its first byte says that it is enabled.
    let state: Vec<u8> = bench.raw("HGET", "sch", &[b"a"]).await;
    bench.raw::<()>("HSET", "sch", &[b"a", &[&[0], &state[1..]].concat()]).await;
    bench.is_found_and_mended(8, "disabled").await;
    assert_eq!(ids().await, [("a".to_owned(), false), ("b".to_owned(), true)]);
    bench.raw::<()>("HDEL", "schd", &[b"b"]).await;
    bench.is_found_and_mended(8, "half of it").await;
    assert_eq!(ids().await, [("a".to_owned(), false)]);
    bench.raw::<()>("HSET", "sch", &[b"a", b"?"]).await;
    bench.is_found_and_left(8, "no state").await;
}
