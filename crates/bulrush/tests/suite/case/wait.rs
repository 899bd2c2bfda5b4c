//! Idle waiting: woken by whatever there may be to take, and by nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bulrush::model::{GroupConfig, Millis, Outcome, Taken};
use bulrush::port::AdminCommand;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::suite::{Queue, Rig, complete, eventually, job};

/// A worker's loop as short as it can be: take, and wait when there is nothing. Counts its rounds.
struct Idle {
    rounds: Arc<AtomicUsize>,
    waits: Arc<AtomicBool>,
    taken: mpsc::UnboundedReceiver<Arc<Taken>>,
    task: JoinHandle<()>,
}

impl Idle {
    fn start(queue: &Queue, number: u64) -> Self {
        Self::with_slots(queue, number, usize::MAX)
    }

    /// Takes no more once it holds so many jobs, and does not call again.
    fn with_slots(queue: &Queue, number: u64, mut slots: usize) -> Self {
        let rounds = Arc::new(AtomicUsize::new(0));
        let (send, taken) = mpsc::unbounded_channel();
        let waits = Arc::new(AtomicBool::new(false));
        let (queue, counter, waiting) = (queue.clone(), rounds.clone(), waits.clone());
        let mut hand = queue.hand(number);
        let task = tokio::spawn(async move {
            // Far more rounds than any case needs: a worker that spins ends here instead of starving the case.
            for _ in 0..500 {
                counter.fetch_add(1, Ordering::SeqCst);
                let step = hand.step(Vec::new(), 1).await;
                if !step.known {
                    hand.resume(&[]).await;
                    continue;
                }
                if step.taken.is_empty() {
                    let until = [step.next_due, step.limited_until, Some(step.now + 60_000)];
                    let until: Millis = until.into_iter().flatten().min().unwrap_or(0);
                    waiting.store(true, Ordering::SeqCst);
                    queue.backend.wait(&queue.name, until.max(step.now + 1)).await.expect("it can wait");
                    waiting.store(false, Ordering::SeqCst);
                }
                for job in step.taken {
                    let _ = send.send(job);
                    slots -= 1;
                }
                if slots == 0 {
                    break;
                }
            }
        });
        Self { rounds, waits, taken, task }
    }

    /// Lets the loop run until it waits. Returns its rounds so far; a loop that spins has made all of them by then.
    async fn settle(&self) -> usize {
        eventually("the worker waits", async || {
            let before = self.rounds.load(Ordering::SeqCst);
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            let after = self.rounds.load(Ordering::SeqCst);
            let rests = self.waits.load(Ordering::SeqCst) || self.task.is_finished();
            if rests && before == after { Ok(after) } else { Err(format!("{after} rounds")) }
        })
        .await
    }

    /// The next job, which must come without the clock being moved.
    async fn next(&mut self) -> Arc<Taken> {
        let next = tokio::time::timeout(Duration::from_secs(10), self.taken.recv()).await;
        next.expect("the worker wakes").expect("the worker lives")
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub async fn an_add_wakes_an_idle_worker(rig: &Rig) {
    let mut idle = Idle::start(rig, 1);
    let before = idle.settle().await;
    rig.add(job("a")).await;
    assert_eq!(idle.next().await.spec.id.as_str(), "a");
    assert!(idle.settle().await <= before + 3, "one wake, one take, one look");
}

pub async fn a_due_time_and_an_earlier_one_wake_an_idle_worker(rig: &Rig) {
    rig.add(job("late").delay_ms(50_000)).await;
    let mut idle = Idle::start(rig, 1);
    idle.settle().await;
    rig.add(job("early").delay_ms(5_000)).await;
    idle.settle().await;
    rig.advance(5_000);
    assert_eq!(idle.next().await.spec.id.as_str(), "early");
    idle.settle().await;
    rig.advance(45_000);
    assert_eq!(idle.next().await.spec.id.as_str(), "late");
}

pub async fn a_freed_place_under_the_cap_wakes_an_idle_worker(rig: &Rig) {
    rig.configure(|config| config.concurrency = Some(1)).await;
    rig.add_ids(&["a", "b"]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let mut idle = Idle::start(rig, 2);
    idle.settle().await;
    hand.end(&taken, complete()).await;
    assert_eq!(idle.next().await.spec.id.as_str(), "b");
}

pub async fn a_freed_place_in_a_group_wakes_an_idle_worker(rig: &Rig) {
    rig.configure(|config| config.group_default = GroupConfig { weight: 1, concurrency: Some(1) }).await;
    rig.add_all(vec![job("a").group("g"), job("b").group("g")]).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let mut idle = Idle::start(rig, 2);
    idle.settle().await;
    hand.end(&taken, complete()).await;
    assert_eq!(idle.next().await.spec.id.as_str(), "b");
}

pub async fn a_resumed_queue_wakes_an_idle_worker(rig: &Rig) {
    rig.admin(AdminCommand::Pause).await;
    rig.add(job("a")).await;
    let mut idle = Idle::start(rig, 1);
    idle.settle().await;
    rig.admin(AdminCommand::Unpause).await;
    assert_eq!(idle.next().await.spec.id.as_str(), "a");
}

pub async fn the_end_of_a_limit_wakes_an_idle_worker(rig: &Rig) {
    rig.add_all(vec![job("a").group("g"), job("b").group("g")]).await;
    rig.hand(1).run(Outcome::RateLimited { retry_after_ms: 5_000 }).await;
    let mut idle = Idle::start(rig, 2);
    idle.settle().await;
    rig.advance(5_000);
    assert_eq!(idle.next().await.spec.id.as_str(), "a");
    assert_eq!(idle.next().await.spec.id.as_str(), "b");
}

pub async fn a_returned_or_rescued_job_wakes_an_idle_worker(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let mut idle = Idle::start(rig, 2);
    idle.settle().await;
    hand.end(&taken, Outcome::Release).await;
    assert_eq!(idle.next().await.spec.id.as_str(), "a");
    // The idle worker's own lease runs out too, as nothing renews it, and it takes the job anew.
    rig.lose_workers().await;
    assert_eq!(idle.next().await.spec.id.as_str(), "a");
}

pub async fn every_job_of_a_batch_finds_one_of_many_idle_workers(rig: &Rig) {
    for (name, group) in [("plain", None), ("grouped", Some("g"))] {
        let queue = rig.queue(name);
        // None can take a second one, so each has to pass the word on.
        let mut idle: Vec<Idle> = (1..=8).map(|number| Idle::with_slots(&queue, number, 1)).collect();
        for worker in &idle {
            worker.settle().await;
        }
        let numbered = |n: usize| {
            let job = job(&format!("j{n}"));
            if let Some(group) = group { job.group(group) } else { job }
        };
        queue.add_all((0..8).map(numbered).collect()).await;
        let mut seen = Vec::new();
        eventually("all jobs are taken", async || {
            for worker in &mut idle {
                while let Ok(job) = worker.taken.try_recv() {
                    seen.push(job.spec.id.to_string());
                }
            }
            if seen.len() == 8 { Ok(()) } else { Err(format!("{name}: {seen:?}")) }
        })
        .await;
        seen.sort();
        assert_eq!(seen, (0..8).map(|n| format!("j{n}")).collect::<Vec<_>>());
    }
}

/// Whatever keeps jobs from starting, a worker that waits makes no calls but its wait.
async fn stays_idle(rig: &Rig, what: &str) {
    let idle = Idle::start(rig, 7);
    let before = idle.settle().await;
    assert!(before <= 2, "{before} rounds before it waits: {what}");
    let other = Idle::start(rig, 8);
    other.settle().await;
    assert!(idle.settle().await <= before + 1, "a second idle worker must not keep the first busy: {what}");
    rig.maintain().await;
    rig.maintain().await;
    assert!(idle.settle().await + other.settle().await <= before + 8, "maintenance: {what}");
}

pub async fn a_worker_of_an_empty_queue_does_not_spin(rig: &Rig) {
    stays_idle(rig, "an empty queue").await;
}

pub async fn a_worker_of_a_paused_queue_does_not_spin(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    rig.admin(AdminCommand::Pause).await;
    stays_idle(rig, "a paused queue").await;
}

pub async fn a_worker_at_the_global_cap_does_not_spin(rig: &Rig) {
    rig.configure(|config| config.concurrency = Some(1)).await;
    rig.add_ids(&["a", "b"]).await;
    rig.hand(1).take_one().await;
    stays_idle(rig, "the global cap").await;
}

pub async fn a_worker_at_a_group_s_cap_does_not_spin(rig: &Rig) {
    rig.configure(|config| config.group_default = GroupConfig { weight: 1, concurrency: Some(1) }).await;
    rig.add_ids(&["a", "b"]).await;
    rig.hand(1).take_one().await;
    stays_idle(rig, "a group's cap").await;
}

pub async fn a_worker_of_a_limited_queue_does_not_spin(rig: &Rig) {
    rig.add_ids(&["a", "b"]).await;
    rig.configure(|config| config.rate = Some(bulrush::model::RateLimit { max: 1, per_ms: 60_000 })).await;
    rig.hand(1).take_one().await;
    stays_idle(rig, "the rate limit").await;
}

pub async fn waits_on_a_queue_that_nobody_made_end_when_work_comes(rig: &Rig) {
    let later = rig.queue("later");
    // Whoever is woken takes one and passes the word on.
    let waits: Vec<_> = (1..=3)
        .map(|n| {
            let (backend, queue, until) = (rig.backend.clone(), later.name.clone(), rig.now() + 60_000);
            let mut hand = later.hand(n);
            tokio::spawn(async move {
                backend.wait(&queue, until).await.expect("it can wait");
                hand.take(1).await.len()
            })
        })
        .collect();
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(waits.iter().all(|wait| !wait.is_finished()));
    assert_eq!(rig.backend.queues().await.expect("queues can be listed"), [], "waiting makes no queue");
    later.add_ids(&["a", "b", "c"]).await;
    for wait in waits {
        assert_eq!(wait.await.expect("it ends"), 1);
    }
}

pub async fn a_wait_ends_at_its_time(rig: &Rig) {
    rig.backend.wait(&rig.name, rig.now()).await.expect("a time that has come is no wait");
    let (backend, queue, until) = (rig.backend.clone(), rig.name.clone(), rig.now() + 1_000);
    let wait = tokio::spawn(async move { backend.wait(&queue, until).await });
    tokio::task::yield_now().await;
    assert!(!wait.is_finished());
    rig.advance(1_000);
    wait.await.expect("it ends").expect("its time has come");
}
