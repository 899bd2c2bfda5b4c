//! Schedules on a Redis server that this version cannot read or does not understand: a newer one has written them, or they are damaged.
#![cfg(feature = "redis")]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::clock::ManualClock;
use bulrush::model::{
    JobId, Millis, NewJob, Owner, QueueName, ScheduleError, ScheduleId, ScheduleSpec, ScheduleView, Scope,
};
use bulrush::port::{Backend, Error, Put, PutOutcome, ScheduleChange, ScheduleResult};
use bulrush::{Ticker, TickerOptions, TickerStats};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Client, FromRedisValue, cmd};

const START: Millis = 1_700_000_000_000;
/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);

fn address() -> String {
    let address = std::env::var("BULRUSH_TEST_REDIS").expect(
        "BULRUSH_TEST_REDIS names no server: run scripts/test, which starts one of its own, or set it to redis://HOST:PORT or \
         unix:///PATH of a server that may be filled with anything",
    );
    if address.starts_with('/') { format!("unix://{address}") } else { address }
}

fn sid(text: &str) -> ScheduleId {
    ScheduleId::new(text).expect("a good id")
}

fn job() -> NewJob {
    NewJob::new(JobId::new("sch-0").expect("a good id"), "work", "{}")
}

fn every(text: &str, ms: u64) -> ScheduleSpec {
    ScheduleSpec::every(sid(text), ms, &job()).expect("a good job")
}

fn cron(text: &str, expression: &str) -> ScheduleSpec {
    ScheduleSpec::cron(sid(text), expression, &job()).expect("a good job")
}

/// A queue of its own on a clock that stands still, and a way to it beside the backend.
struct Bench {
    backend: Arc<dyn Backend>,
    clock: ManualClock,
    queue: QueueName,
    namespace: String,
    connection: MultiplexedConnection,
}

impl Bench {
    async fn open() -> Self {
        let namespace = format!("y{:016x}", RandomState::new().build_hasher().finish());
        let clock = ManualClock::at(START);
        let options = RedisOptions {
            namespace: namespace.clone(),
            clock: Some(Arc::new(clock.clone())),
            ..RedisOptions::default()
        };
        let backend = connect_redis_with(&address(), options).await.expect("the server can be reached");
        let client = Client::open(address()).expect("a good address");
        let connection = client.get_multiplexed_async_connection().await.expect("the server can be reached");
        let queue = QueueName::new("main").expect("a good name");
        Self { backend, clock, queue, namespace, connection }
    }

    async fn raw<T: FromRedisValue>(&self, word: &str, key: &str, arguments: &[&[u8]]) -> T {
        let mut call = cmd(word);
        call.arg(format!("{}:{{main}}:{key}", self.namespace));
        for argument in arguments {
            call.arg(*argument);
        }
        call.query_async(&mut self.connection.clone()).await.expect("the server does it")
    }

    async fn put(&self, spec: ScheduleSpec) {
        let put = self.backend.put_schedule(&self.queue, &Scope::All, spec, Put::Always).await;
        put.expect("it can be put");
    }

    /// Writes a part of a schedule anew.
    async fn rewrite(&self, key: &str, text: &str, how: impl FnOnce(Vec<u8>) -> Vec<u8>) {
        let before: Vec<u8> = self.raw("HGET", key, &[text.as_bytes()]).await;
        self.raw::<()>("HSET", key, &[text.as_bytes(), &how(before)]).await;
    }

    async fn get(&self, text: &str) -> Result<Option<ScheduleView>, Error> {
        let found = self.backend.get_schedules(&self.queue, &Scope::All, vec![sid(text)]).await;
        found.map(|mut found| found.remove(0))
    }

    async fn change(&self, text: &str, change: ScheduleChange) -> Result<ScheduleResult, Error> {
        let changed = self.backend.change_schedules(&self.queue, &Scope::All, vec![sid(text)], change).await;
        changed.map(|changed| changed[0])
    }

    /// Schedules of all kinds that cannot be read, each owned, and what is said of each.
    async fn break_some(&self) -> [(&'static str, &'static str); 5] {
        let some = [
            ("newer", "newer version"),
            ("short", "newer version"),
            ("cut", "newer version"),
            ("half-a", "half"),
            ("half-b", "half"),
        ];
        for (text, _) in some {
            self.put(every(text, 1_000).owner("acme", "ada")).await;
        }
        let newer = |bytes: Vec<u8>| {
            let at = bytes.windows(5).position(|part| part == b"every").expect("it says so");
            [&bytes[..at], b"moons", &bytes[at + 5..]].concat()
        };
        self.rewrite("schd", "newer", newer).await;
        self.rewrite("sch", "short", |bytes| bytes[..20].to_vec()).await;
        self.rewrite("schd", "cut", |bytes| bytes[..10].to_vec()).await;
        self.raw::<()>("HDEL", "schd", &[b"half-a"]).await;
        self.raw::<()>("HDEL", "sch", &[b"half-b"]).await;
        some
    }
}

async fn until(ticker: &Ticker, what: &str, holds: impl Fn(&TickerStats) -> bool) {
    let end = tokio::time::Instant::now() + DEADLINE;
    while !holds(&ticker.stats()) {
        assert!(tokio::time::Instant::now() < end, "{what}: {:?}", ticker.stats());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_holds_up_no_other() {
    let bench = Bench::open().await;
    let some = bench.break_some().await;
    for n in 0..5 {
        bench.put(every(&format!("good{n}"), 1_000)).await;
    }
    // Listed under a name that is none.
    bench.raw::<()>("ZADD", "schx", &[b"1", b"\xff no id"]).await;
    bench.clock.set(START + 1_000);
    let mut told = Vec::new();
    let mut after = None;
    loop {
        let page = bench.backend.due_schedules_after(&bench.queue, after, 2).await.expect("it can be read");
        told.extend(page.unreadable);
        after = page.more;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(told.len(), some.len() + 1, "{told:?}");
    for (text, what) in some {
        let reason = &told.iter().find(|one| one.id == text).expect("it is told").reason;
        assert!(reason.contains(what), "{text}: {reason}");
    }
    let ticker = Ticker::start(&bench.backend, [bench.queue.clone()], TickerOptions { batch: 2 });
    for round in 1..=2 {
        until(&ticker, "the others fire", |stats| (stats.fired, stats.unable) == (5 * round, 6)).await;
        bench.clock.set(START + 1_000 * (round + 1));
    }
    // One is mended, and one goes.
    bench.put(every("newer", 1_000)).await;
    assert_eq!(bench.change("short", ScheduleChange::Remove).await.expect("it can go"), ScheduleResult::Done);
    until(&ticker, "they are seen no more", |stats| stats.unable == 4).await;
    assert_eq!(ticker.shutdown().await.errors, 0);
}

#[tokio::test]
async fn what_cannot_be_read_is_listed_apart_and_asking_for_it_is_an_error() {
    let bench = Bench::open().await;
    let some = bench.break_some().await;
    bench.put(every("good", 1_000)).await;
    for limit in [1, 3, 10] {
        let (mut good, mut bad, mut after) = (Vec::new(), Vec::new(), None);
        loop {
            let page = bench.backend.list_schedules(&bench.queue, &Scope::All, after, limit).await;
            let page = page.expect("it can be read");
            good.extend(page.schedules.iter().map(|view| view.id().to_string()));
            bad.extend(page.unreadable.into_iter().map(|one| one.id));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!((good, bad.len()), (vec!["good".to_owned()], some.len()), "{limit}");
    }
    for (text, what) in some {
        let asked = bench.get(text).await;
        assert!(
            matches!(&asked, Err(Error::Unreadable { what: named, reason }) if named.contains(text) && reason.contains(what)),
            "{asked:?}"
        );
        let enabled = bench.change(text, ScheduleChange::Enable).await;
        assert!(matches!(enabled, Err(Error::Unreadable { .. })), "{text}: {enabled:?}");
    }
    // Where it can be told how it stands, it can be stopped.
    for (text, stops) in [("newer", true), ("cut", true), ("short", false), ("half-b", false)] {
        let disabled = bench.change(text, ScheduleChange::Disable).await;
        assert_eq!(matches!(disabled, Ok(ScheduleResult::Done)), stops, "{text}: {disabled:?}");
        assert_eq!(matches!(disabled, Err(Error::Unreadable { .. })), !stops, "{text}: {disabled:?}");
    }
    // As a default it is there, and stays; whoever puts it has it anew, and whoever removes it is rid of it.
    for (text, _) in some {
        let default =
            bench.backend.put_schedule(&bench.queue, &Scope::All, every(text, 9_000), Put::Once).await;
        let default = default.expect("a default can be asked for");
        let there = if text == "half-b" { PutOutcome::New } else { PutOutcome::Known };
        assert_eq!((text, default.outcome), (text, there));
    }
    for text in ["newer", "short"] {
        let put =
            bench.backend.put_schedule(&bench.queue, &Scope::All, every(text, 9_000), Put::Always).await;
        assert_eq!(put.expect("it can be put").outcome, PutOutcome::Changed, "{text}");
        let there = bench.get(text).await.expect("it can be read").expect("it is there");
        assert_eq!((*there.spec).clone(), every(text, 9_000));
    }
    for text in ["cut", "half-a", "half-b"] {
        assert_eq!(
            bench.change(text, ScheduleChange::Remove).await.expect("it can go"),
            ScheduleResult::Done
        );
        assert_eq!(bench.get(text).await.expect("it can be read"), None);
    }
    let page =
        bench.backend.list_schedules(&bench.queue, &Scope::All, None, 10).await.expect("it can be read");
    assert_eq!((page.schedules.len(), page.unreadable.len()), (3, 0));
}

#[tokio::test]
async fn what_cannot_be_read_is_nobody_s_but_an_administrator_s() {
    let bench = Bench::open().await;
    bench.break_some().await;
    let ada = Scope::Owner(Owner { tenant: "acme".into(), user: "ada".into() });
    let bob = Scope::Tenant("other".into());
    let seen = async |scope: &Scope| {
        let page = bench.backend.list_schedules(&bench.queue, scope, None, 10).await.expect("it can be read");
        page.unreadable.into_iter().map(|one| one.id).collect::<Vec<_>>()
    };
    // Hers are those of which it can be told.
    assert_eq!(seen(&ada).await, ["cut", "half-a", "newer"]);
    assert_eq!(seen(&bob).await, Vec::<String>::new());
    for (scope, text) in [(&ada, "short"), (&ada, "half-b"), (&bob, "newer"), (&bob, "short")] {
        for change in [ScheduleChange::Remove, ScheduleChange::Enable, ScheduleChange::Disable] {
            let changed = bench.backend.change_schedules(&bench.queue, scope, vec![sid(text)], change).await;
            assert_eq!(changed.expect("it is answered"), [ScheduleResult::Unknown], "{text} {change:?}");
        }
    }
    let hers = every("short", 9_000).owner("acme", "ada");
    let put = bench.backend.put_schedule(&bench.queue, &ada, hers, Put::Always).await;
    assert_eq!(put.expect("it is answered").outcome, PutOutcome::Taken);
}

#[tokio::test]
async fn an_expression_that_is_not_understood_is_named_to_whoever_enables_it() {
    let bench = Bench::open().await;
    bench.put(cron("odd", "*/5 * * * *").disabled()).await;
    bench.put(cron("mars", "0 4 * * *").zone("Europe/Rome").disabled()).await;
    bench.put(every("good", 1_000).disabled()).await;
    let swap = |from: &'static str, to: &'static str| {
        move |bytes: Vec<u8>| {
            let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).expect("it says so");
            [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat()
        }
    };
    bench.rewrite("schd", "odd", swap("*/5 * *", "*/5 ~ *")).await;
    bench.rewrite("schd", "mars", swap("Europe/Rome", "Planet/Mars")).await;
    let both = vec![sid("good"), sid("odd")];
    let refused =
        bench.backend.change_schedules(&bench.queue, &Scope::All, both, ScheduleChange::Enable).await;
    assert!(
        matches!(&refused, Err(Error::Schedule(ScheduleError::Cron { expression, .. })) if expression == "*/5 ~ * * *"),
        "{refused:?}"
    );
    assert!(refused.expect_err("it is refused").to_string().contains("*/5 ~ * * *"));
    let good = bench.get("good").await.expect("it can be read").expect("it is there");
    assert!(!good.spec.enabled, "nothing was changed");
    let refused = bench.change("mars", ScheduleChange::Enable).await;
    assert!(
        matches!(&refused, Err(Error::Schedule(ScheduleError::Zone { zone })) if zone == "Planet/Mars"),
        "{refused:?}"
    );
    // What needs no slot needs no expression.
    for text in ["odd", "mars"] {
        let there = bench.get(text).await.expect("it can be read").expect("it is there");
        assert!(there.upcoming(1).is_err() && there.slot_after(START).is_err());
        assert_eq!(
            bench.change(text, ScheduleChange::Disable).await.expect("it is so"),
            ScheduleResult::Same
        );
        assert_eq!(
            bench.change(text, ScheduleChange::Remove).await.expect("it can go"),
            ScheduleResult::Done
        );
    }
}

#[tokio::test]
async fn many_are_enabled_in_one_call_each_with_its_own_slot() {
    let bench = Bench::open().await;
    for n in 0..150 {
        bench.put(every(&format!("s{n:03}"), 1_000 + n).disabled()).await;
    }
    bench.put(every("on", 1_000)).await;
    let mut ids: Vec<ScheduleId> = (0..150).map(|n| sid(&format!("s{n:03}"))).collect();
    ids.extend(["on", "gone", "s000"].map(sid));
    bench.clock.set(START + 500);
    let results =
        bench.backend.change_schedules(&bench.queue, &Scope::All, ids, ScheduleChange::Enable).await;
    let results = results.expect("they can be enabled");
    assert!(results[..150].iter().all(|result| *result == ScheduleResult::Done), "{results:?}");
    assert_eq!(results[150..], [ScheduleResult::Same, ScheduleResult::Unknown, ScheduleResult::Same]);
    for n in [0, 77, 149] {
        let there = bench.get(&format!("s{n:03}")).await.expect("it can be read").expect("it is there");
        assert_eq!(there.state.next, Some(START + 1_000 + n));
    }
}
