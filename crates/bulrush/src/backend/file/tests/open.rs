//! The store as its users meet it: opened, used by many at once, closed, opened again, and refused.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::observe::observe;
use super::random::{Random, seeds};
use super::sim::{SimDisk, Unsynced};
use crate::backend::file::block::FileKind;
use crate::backend::file::disk::{Disk, RealDisk};
use crate::backend::file::journal::{Shared, Task};
use crate::backend::file::{Options, directory, open, open_on};
use crate::backend::{Embedded, connect};
use crate::clock::{Clock, ManualClock, SystemClock};
use crate::core::Core;
use crate::model::{
    Finished, JobId, JobState, Keep, NewJob, Outcome, QueueConfig, QueueName, Retention, WorkerId,
};
use crate::port::{AddOutcome, Backend, Enqueue, Error, Inspect, Maintain, Resume, Step, Work, WorkerInfo};

/// Sizes that a test reaches.
const SMALL: Options = Options { checkpoint_bytes: 40_000, checkpoint_growth: 2, segment_bytes: 9_000 };

fn mail() -> QueueName {
    QueueName::new("mail").unwrap()
}

fn job(id: impl std::fmt::Display) -> NewJob {
    NewJob::new(JobId::new(&format!("job-{id}")).unwrap(), "work", "{\"n\":1}")
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::at(1_700_000_000_000))
}

fn open_small(disk: impl Disk + 'static, dir: &Path) -> crate::port::Result<Embedded> {
    open_on(Arc::new(disk), dir, directory::lock(dir)?, clock(), SMALL)
}

async fn has(store: &Embedded, id: &str) -> bool {
    store.get(&mail(), &[JobId::new(id).unwrap()]).await.unwrap()[0].is_some()
}

/// An error with its cause, as a user sees them.
fn told(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

#[tokio::test]
async fn what_was_added_is_there_after_a_clean_close_and_without_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = open(&path, clock()).unwrap();
    store.add(&mail(), vec![job(1)]).await.unwrap();
    store.close().await.unwrap();
    assert!(matches!(store.add(&mail(), vec![job(2)]).await, Err(Error::Closed)));
    let store = open(&path, clock()).unwrap();
    assert!(has(&store, "job-1").await);
    store.add(&mail(), vec![job(3)]).await.unwrap();
    drop(store);
    let store = open(&path, clock()).unwrap();
    assert!(has(&store, "job-1").await && has(&store, "job-3").await && !has(&store, "job-2").await);
    assert_eq!(store.kind(), "file");
}

#[cfg(unix)]
#[tokio::test]
async fn the_directory_and_its_files_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let _store = open(&path, clock()).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in std::fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[tokio::test]
async fn a_store_in_use_is_refused_and_free_again_once_it_was_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("file:{}", dir.path().display());
    let store = connect(&url).await.unwrap();
    let Err(error) = connect(&url).await else { panic!("opened twice") };
    assert!(matches!(&error, Error::Locked { path } if path == dir.path()), "{error}");
    store.add(&mail(), vec![job(1)]).await.unwrap();
    drop(store);
    connect(&url).await.unwrap().close().await.unwrap();
    connect(&url).await.unwrap();
}

#[tokio::test]
async fn a_path_that_cannot_be_a_store_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    std::fs::write(&file, "hello").unwrap();
    let refused = |path: &Path| told(&open(path, clock()).map(drop).unwrap_err());
    assert!(refused(&file).contains("it is a file"), "{}", refused(&file));
    let orphan = dir.path().join("no/such/store");
    assert!(refused(&orphan).contains("parent directory"), "{}", refused(&orphan));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "hello");
    assert!(matches!(connect("file:").await.map(drop), Err(Error::Url { .. })));
}

#[tokio::test]
async fn a_damaged_store_is_refused_by_name_and_place() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), clock()).unwrap();
    for n in 0..10 {
        store.add(&mail(), vec![job(n)]).await.unwrap();
    }
    store.close().await.unwrap();
    let file = dir.path().join("segment-000000000001.log");
    let mut bytes = std::fs::read(&file).unwrap();
    // Within the first job.
    bytes[100] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let error = open(dir.path(), clock()).map(drop).unwrap_err();
    assert!(matches!(&error, Error::Corrupt { path, offset, .. } if *path == file && *offset > 0), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), bytes, "a refused store was changed");
}

#[test]
fn a_call_that_changes_nothing_waits_for_what_its_answer_may_rest_on() {
    let shared = Shared::new(0);
    let mut core = Core::new(mail(), QueueConfig::default(), 1);
    core.note_changes();
    assert_eq!(shared.append(&mut core).unwrap(), None, "nothing was ever changed");
    core.add(vec![job(1)], 1).unwrap();
    assert_eq!(shared.append(&mut core).unwrap(), Some(1));
    let again = core.add(vec![job(1)], 1).unwrap();
    assert!(matches!(again.added[0].outcome, AddOutcome::SameId { .. }));
    assert_eq!(shared.append(&mut core).unwrap(), Some(1), "that the job exists is not durable yet");
    let Task::Write(batch) = shared.next_task(true) else { panic!("there is a block to write") };
    assert_eq!(shared.append(&mut core).unwrap(), Some(1), "nor while it is being written");
    shared.publish(batch);
    assert_eq!(shared.append(&mut core).unwrap(), None);
}

#[tokio::test]
async fn a_full_disk_is_told_as_such_and_everything_acknowledged_is_there_once_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    for failing in 4..40 {
        let disk = SimDisk::default();
        disk.fail_after(failing, io::ErrorKind::StorageFull);
        let mut acknowledged = Vec::new();
        let opened = open_small(disk.clone(), dir.path());
        if let Ok(store) = opened {
            let mut n = 0;
            let error = loop {
                match store.add(&mail(), vec![job(n)]).await {
                    Ok(_) => acknowledged.push(n),
                    Err(error) => break error,
                }
                n += 1;
            };
            assert!(matches!(error, Error::Full { .. }), "{error}");
            assert!(told(&error).contains("free some and restart"), "{error}");
            // Nothing is answered from then on, for the queues show more than is kept.
            assert!(matches!(store.info(&mail()).await, Err(Error::Full { .. })));
            assert!(matches!(store.close().await, Err(Error::Full { .. })));
        }
        let found = disk.image().cut(Unsynced::Stays, &mut Random::new(0));
        let store = open_small(SimDisk::holding(found), dir.path()).unwrap();
        for n in acknowledged {
            assert!(has(&store, &format!("job-{n}")).await, "{failing}: job {n} was acknowledged");
        }
    }
}

/// Workers and producers, all at once, until the store is closed or fails. Returns what was added and completed.
async fn use_it(store: &Arc<Embedded>, seed: u64, rounds: usize) -> (Vec<String>, Vec<String>) {
    let next = Arc::new(AtomicUsize::new(0));
    let keep = Retention { completed: Keep::ALL, failed: Keep::ALL, cancelled: Keep::ALL };
    let config = QueueConfig { retention: keep, ..QueueConfig::default() };
    if store.configure(&mail(), config).await.is_err() {
        return Default::default();
    }
    let mut tasks = Vec::new();
    for task in 0..6 {
        let (store, next) = (store.clone(), next.clone());
        tasks.push(tokio::spawn(async move {
            let mut random = Random::new(seed * 100 + task);
            let (mut added, mut completed) = (Vec::new(), Vec::new());
            let worker = WorkerId(random.next());
            let info =
                WorkerInfo { id: worker, name: String::new(), slots: 9, version: String::new(), started: 0 };
            let hello = Resume { info, call: 1, running: Vec::new() };
            if store.resume(&mail(), hello).await.is_err() {
                return (added, completed);
            }
            let mut finished: Vec<Finished> = Vec::new();
            for call in 2..rounds as u64 {
                let jobs: Vec<NewJob> = (0..=random.below(4))
                    .map(|_| {
                        let mut job = job(next.fetch_add(1, Ordering::Relaxed));
                        job.spec.data = vec![b'x'; random.below(400)].into();
                        job
                    })
                    .collect();
                let ids: Vec<String> = jobs.iter().map(|job| job.spec.id.to_string()).collect();
                if store.add(&mail(), jobs).await.is_err() {
                    break;
                }
                added.extend(ids);
                let done: Vec<String> = finished.iter().map(|it| it.id().to_string()).collect();
                let step =
                    Step { worker, call, finished: std::mem::take(&mut finished), want: random.below(5) };
                let Ok(reply) = store.step(&mail(), step).await else { break };
                completed.extend(done);
                finished = reply
                    .taken
                    .into_iter()
                    .map(|job| Finished {
                        job,
                        outcome: Outcome::Complete { result: Some("1".into()), follow_ups: Vec::new() },
                    })
                    .collect();
            }
            (added, completed)
        }));
    }
    let (mut added, mut completed) = (Vec::new(), Vec::new());
    for task in tasks {
        let (more_added, more_completed) = task.await.unwrap();
        added.extend(more_added);
        completed.extend(more_completed);
    }
    (added, completed)
}

async fn assert_holds(store: &Embedded, added: &[String], completed: &[String], context: &str) {
    for id in added {
        assert!(has(store, id).await, "{context}: {id} was added");
    }
    for id in completed {
        let job = store.get(&mail(), &[JobId::new(id).unwrap()]).await.unwrap().remove(0).unwrap();
        assert_eq!(job.state(), JobState::Completed, "{context}: {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn checkpoints_are_made_while_commands_go_on_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open_small(RealDisk::new(dir.path().to_owned()), dir.path()).unwrap());
    let (added, completed) = use_it(&store, 1, 120).await;
    store.close().await.unwrap();
    assert!(completed.len() > 500, "{}", completed.len());
    let names: Vec<String> = RealDisk::new(dir.path().to_owned()).list().unwrap();
    assert!(names.iter().any(|name| FileKind::Checkpoint.number(name).is_some()), "{names:?}");
    assert!(!names.contains(&"segment-000000000001.log".to_owned()), "old segments are removed: {names:?}");
    let cells = store.queues_here();
    drop(store);
    let again = open_small(RealDisk::new(dir.path().to_owned()), dir.path()).unwrap();
    assert_holds(&again, &added, &completed, "reopened").await;
    let take = |queues: &crate::backend::embedded::Queues| {
        let cell = queues.write().unwrap().remove(&mail()).unwrap();
        Arc::into_inner(cell).unwrap().into_core()
    };
    let now = clock().now();
    let mut before = take(&cells);
    before.rescue_all(now);
    let after = take(&again.queues_here());
    assert_eq!(observe(after, now), observe(before, now));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn wherever_the_disk_stops_under_load_nothing_acknowledged_is_lost() {
    for seed in seeds(0..60) {
        let mut random = Random::new(seed);
        let dir = tempfile::tempdir().unwrap();
        let disk = SimDisk::default();
        disk.fail_after(6 + random.below(300), io::ErrorKind::Other);
        let store = Arc::new(open_small(disk.clone(), dir.path()).unwrap());
        let (added, completed) = use_it(&store, seed, 40).await;
        drop(store);
        for unsynced in [Unsynced::Lost, Unsynced::Torn, Unsynced::Stays] {
            let found = disk.image().cut(unsynced, &mut random);
            let again = open_small(SimDisk::holding(found), dir.path()).unwrap();
            assert_holds(&again, &added, &completed, &format!("seed {seed} {unsynced:?}")).await;
        }
    }
}

#[tokio::test]
async fn a_checkpoint_that_cannot_be_written_costs_nothing_but_space() {
    /// Refuses to make checkpoints until it is told to.
    struct NoCheckpoints(SimDisk, Arc<AtomicUsize>);
    impl Disk for NoCheckpoints {
        fn create(&self, name: &str) -> io::Result<Box<dyn crate::backend::file::disk::DiskFile>> {
            if name.starts_with("checkpoint") {
                self.1.fetch_add(1, Ordering::Relaxed);
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.0.create(name)
        }
        fn open(&self, name: &str) -> io::Result<Box<dyn crate::backend::file::disk::DiskFile>> {
            self.0.open(name)
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            self.0.remove(name)
        }
        fn list(&self) -> io::Result<Vec<String>> {
            self.0.list()
        }
        fn sync_dir(&self) -> io::Result<()> {
            self.0.sync_dir()
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let (disk, tries) = (SimDisk::default(), Arc::new(AtomicUsize::new(0)));
    let store = open_small(NoCheckpoints(disk.clone(), tries.clone()), dir.path()).unwrap();
    for n in 0..900 {
        store.add(&mail(), vec![job(n)]).await.unwrap();
    }
    store.close().await.unwrap();
    assert!(tries.load(Ordering::Relaxed) > 1, "it is tried again");
    drop(store);
    let again = open_small(disk, dir.path()).unwrap();
    assert_eq!(again.info(&mail()).await.unwrap().counts.waiting, 900);
}

#[tokio::test]
async fn jobs_of_a_dead_process_wait_again_and_a_poison_job_ends_as_crashed() {
    let dir = tempfile::tempdir().unwrap();
    let id = JobId::new("job-1").unwrap();
    for life in 0..5_u32 {
        let store = open(dir.path(), Arc::new(SystemClock)).unwrap();
        store.add(&mail(), vec![job(1)]).await.unwrap();
        let found = store.get(&mail(), std::slice::from_ref(&id)).await.unwrap().remove(0).unwrap();
        if life == 4 {
            assert_eq!(found.state(), JobState::Failed, "it has lost its worker more often than allowed");
            assert!(found.failed_reason().unwrap().contains("crash"), "{found:?}");
            break;
        }
        assert_eq!((found.state(), found.status.stalls), (JobState::Waiting, life));
        let worker = WorkerId(u64::from(life) + 1);
        let info =
            WorkerInfo { id: worker, name: String::new(), slots: 1, version: String::new(), started: 0 };
        store.resume(&mail(), Resume { info, call: 1, running: Vec::new() }).await.unwrap();
        assert_eq!(store.step(&mail(), Step::take(worker, 2, 1)).await.unwrap().taken.len(), 1);
        // The process dies here, as far as the store can tell.
    }
}
