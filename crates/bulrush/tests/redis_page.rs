//! Pages of a Redis server's queue where its collections are larger than what is read of them at once, and move between two pages.
#![cfg(feature = "redis")]

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::model::{
    Finished, JobId, JobPage, JobState, NewJob, Outcome, Owner, PageRequest, QueueName, WorkerId,
};
use bulrush::port::{AdminCommand, Backend, Resume, Step, WorkerInfo};
use deadpool_redis::redis::{Client, cmd};

const WORKER: WorkerId = WorkerId(7);

fn address() -> String {
    let address = std::env::var("BULRUSH_TEST_REDIS").expect(
        "BULRUSH_TEST_REDIS names no server: run scripts/test, which starts one of its own, or set it to redis://HOST:PORT or \
         unix:///PATH of a server that may be filled with anything",
    );
    if address.starts_with('/') { format!("unix://{address}") } else { address }
}

fn job(text: &str) -> NewJob {
    NewJob::new(JobId::new(text).expect("a good id"), "work", "{}")
}

fn numbered(prefix: &str, numbers: std::ops::Range<usize>) -> Vec<NewJob> {
    numbers.map(|n| job(&format!("{prefix}{n:05}"))).collect()
}

fn ids(page: &JobPage) -> Vec<String> {
    page.jobs.iter().map(|job| job.spec.id.to_string()).collect()
}

fn of(state: JobState) -> PageRequest {
    PageRequest { state: Some(state), limit: 100, ..PageRequest::default() }
}

struct Bench {
    backend: Arc<dyn Backend>,
    queue: QueueName,
    namespace: String,
    call: u64,
}

impl Bench {
    async fn new() -> Self {
        let namespace = format!("p{:016x}", RandomState::new().build_hasher().finish());
        let options = RedisOptions { namespace: namespace.clone(), ..RedisOptions::default() };
        let backend = connect_redis_with(&address(), options).await.expect("the server can be reached");
        let queue = QueueName::new("main").expect("a good name");
        let info = WorkerInfo { id: WORKER, name: "w".into(), slots: 9, version: "1".into(), started: 0 };
        let hello = Resume { info, call: 0, running: Vec::new() };
        backend.resume(&queue, hello).await.expect("a worker can say hello");
        Self { backend, queue, namespace, call: 0 }
    }

    async fn add(&self, jobs: Vec<NewJob>) {
        for some in jobs.chunks(500) {
            self.backend.add(&self.queue, some.to_vec()).await.expect("jobs can be added");
        }
    }

    async fn remove(&self, ids: &[&str]) {
        let ids = ids.iter().map(|id| JobId::new(id).expect("a good id")).collect();
        self.backend.admin(&self.queue, AdminCommand::Remove(ids)).await.expect("jobs can be removed");
    }

    /// Takes jobs and completes them.
    async fn run(&mut self, count: usize) {
        self.call += 2;
        let take = Step::take(WORKER, self.call - 1, count);
        let taken = self.backend.step(&self.queue, take).await.expect("it can step").taken;
        assert_eq!(taken.len(), count);
        let outcome = || Outcome::Complete { result: None, follow_ups: Vec::new() };
        let finished = taken.into_iter().map(|job| Finished { job, outcome: outcome() }).collect();
        self.backend.step(&self.queue, Step::settle(WORKER, self.call, finished)).await.expect("it can step");
    }

    async fn page(&self, request: PageRequest) -> JobPage {
        self.backend.page(&self.queue, request).await.expect("a queue can be read")
    }

    /// All that is left of a request, and in how many pages.
    async fn rest(&self, mut request: PageRequest) -> (Vec<String>, usize) {
        let (mut all, mut pages) = (Vec::new(), 0);
        loop {
            let page = self.page(request.clone()).await;
            all.extend(ids(&page));
            pages += 1;
            match page.next {
                Some(next) => request.cursor = Some(next),
                None => return (all, pages),
            }
        }
    }
}

fn falling(prefix: &str, numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.rev().map(|n| format!("{prefix}{n:05}")).collect()
}

#[tokio::test]
async fn jobs_due_at_the_same_moment_are_read_by_id_even_from_one_that_is_gone() {
    let bench = Bench::new().await;
    let at = bench.backend.now().await.expect("it has a clock") + 3_600_000;
    bench.add(numbered("d", 0..2_000).into_iter().map(|job| job.run_at(at)).collect()).await;
    let first = bench.page(of(JobState::Delayed)).await;
    assert_eq!(ids(&first), falling("d", 1_900..2_000));
    bench.remove(&["d01900", "d01899", "d01950"]).await;
    let (rest, _) = bench.rest(PageRequest { cursor: first.next, ..of(JobState::Delayed) }).await;
    assert_eq!(rest, falling("d", 0..1_899));
}

#[tokio::test]
async fn a_place_in_a_list_is_found_again_behind_any_number_of_newer_jobs() {
    let mut bench = Bench::new().await;
    bench.add(numbered("a", 0..1_000)).await;
    let first = bench.page(of(JobState::Waiting)).await;
    assert_eq!(ids(&first), falling("a", 900..1_000));
    bench.add(numbered("b", 0..5_000)).await;
    bench.run(300).await;
    bench.remove(&["a00900", "a00899"]).await;
    let request = PageRequest { cursor: first.next, ..of(JobState::Waiting) };
    assert_eq!(bench.rest(request.clone()).await.0, falling("a", 300..899));
    // Whatever was older than the place has been taken with it.
    bench.run(650).await;
    assert_eq!(bench.rest(request).await.0, Vec::<String>::new());
}

#[tokio::test]
async fn completed_jobs_are_gone_on_with_where_the_page_ended() {
    let mut bench = Bench::new().await;
    bench.add(numbered("a", 0..900)).await;
    for _ in 0..9 {
        bench.run(100).await;
    }
    let first = bench.page(PageRequest { limit: 150, ..of(JobState::Completed) }).await;
    assert_eq!(ids(&first), falling("a", 750..900));
    bench.add(numbered("b", 0..50)).await;
    bench.run(50).await;
    bench.remove(&["a00750", "a00749"]).await;
    let (rest, _) = bench.rest(PageRequest { cursor: first.next, ..of(JobState::Completed) }).await;
    assert_eq!(rest, falling("a", 0..749));
}

#[tokio::test]
async fn many_groups_are_read_from_the_last_name_to_the_first() {
    let bench = Bench::new().await;
    let in_group = |n: usize, m: usize| job(&format!("g{n:05}-{m}")).group(format!("t{n:05}"));
    bench
        .add((0..300).flat_map(|n| (0..2).map(move |m| (n, m))).map(|(n, m)| in_group(n, m)).collect())
        .await;
    bench.add((0..200).map(|m| in_group(150, m + 2)).collect()).await;
    bench.add(numbered("plain", 0..3)).await;
    let (all, pages) = bench.rest(of(JobState::Waiting)).await;
    let mut expected = Vec::new();
    for n in (0..300).rev() {
        let jobs = if n == 150 { 202 } else { 2 };
        expected.extend((0..jobs).rev().map(|m| format!("g{n:05}-{m}")));
    }
    expected.extend(falling("plain", 0..3));
    assert_eq!(all, expected);
    assert!(pages > 5);
}

#[tokio::test]
async fn other_priorities_stand_around_the_list_s() {
    let bench = Bench::new().await;
    for (prefix, priority) in [("low", 9), ("urgent", 0), ("mid", 5)] {
        bench.add(numbered(prefix, 0..700).into_iter().map(|job| job.priority(priority)).collect()).await;
    }
    let (all, _) = bench.rest(of(JobState::Waiting)).await;
    assert_eq!(all, [falling("low", 0..700), falling("mid", 0..700), falling("urgent", 0..700)].concat());
}

#[tokio::test]
async fn a_walk_over_all_jobs_sees_each_that_stays() {
    let bench = Bench::new().await;
    bench.add(numbered("a", 0..3_000)).await;
    let mut request = PageRequest { limit: 70, ..PageRequest::default() };
    let mut seen = BTreeSet::new();
    for round in 0.. {
        let page = bench.page(request.clone()).await;
        seen.extend(ids(&page));
        let Some(next) = page.next else { break };
        request.cursor = Some(next);
        // The table grows, and of each page the end is removed.
        if round < 20 {
            bench.add(numbered("b", round * 100..(round + 1) * 100)).await;
        }
        let last = page.jobs.last().map(|job| job.spec.id.to_string());
        bench.remove(&[&last.unwrap_or_default()]).await;
    }
    let kept = falling("a", 0..3_000);
    assert!(kept.iter().all(|id| seen.contains(id)), "each of the first is seen once at least");
}

#[tokio::test]
async fn an_id_that_an_owner_used_twice_is_shown_once_and_that_of_another_not_at_all() {
    let bench = Bench::new().await;
    let of_ada = |text: &str| job(text).owner("acme", "ada");
    bench.add(vec![of_ada("a"), of_ada("b"), of_ada("c")]).await;
    bench.remove(&["a", "b"]).await;
    bench.add(vec![of_ada("a"), job("b").owner("acme", "bob")]).await;
    let ada = Owner { tenant: "acme".into(), user: "ada".into() };
    let request = PageRequest { owner: Some(ada), limit: 1, ..PageRequest::default() };
    assert_eq!(bench.rest(request).await.0, ["a", "c"]);
}

#[tokio::test]
async fn a_damaged_record_hides_no_other_job() {
    let bench = Bench::new().await;
    bench.add(numbered("a", 0..3)).await;
    let client = Client::open(address()).expect("a good address");
    let mut connection = client.get_multiplexed_async_connection().await.expect("the server can be reached");
    let mut set = cmd("HSET");
    set.arg(format!("{}:{{main}}:jobs", bench.namespace))
        .arg("a00001")
        .arg(format!("\u{3}w{}", "x".repeat(60)));
    let () = set.query_async(&mut connection).await.expect("the server does it");
    assert_eq!(bench.rest(of(JobState::Waiting)).await.0, ["a00002", "a00000"]);
    assert_eq!(bench.rest(PageRequest { limit: 9, ..PageRequest::default() }).await.0.len(), 2);
}
