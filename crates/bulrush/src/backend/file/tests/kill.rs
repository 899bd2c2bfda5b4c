//! A real process that is killed at any moment, on a real disk.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use super::random::Random;
use crate::backend::Embedded;
use crate::backend::file::disk::RealDisk;
use crate::backend::file::{Options, directory, open_on};
use crate::clock::SystemClock;
use crate::model::{
    Finished, JobId, JobState, Keep, NewJob, Outcome, QueueConfig, QueueName, Retention, WorkerId,
};
use crate::port::{Backend, Enqueue, Error, Inspect, Maintain, Resume, Step, Work, WorkerInfo};

/// Says to the test below that it is the child, and where its store is.
const DIR: &str = "BULRUSH_TEST_KILLED_DIR";
const LIFE: &str = "BULRUSH_TEST_KILLED_LIFE";

fn mail() -> QueueName {
    QueueName::new("mail").unwrap()
}

fn open(dir: &Path) -> crate::port::Result<Embedded> {
    let options = Options { checkpoint_bytes: 300_000, checkpoint_growth: 1, segment_bytes: 60_000 };
    let disk = Arc::new(RealDisk::new(dir.to_owned()));
    open_on(disk, dir, directory::lock(dir)?, Arc::new(SystemClock), options)
}

/// Adds and completes jobs, and prints what was acknowledged, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_works_until_it_is_killed() {
    let (Ok(dir), Ok(life)) = (std::env::var(DIR), std::env::var(LIFE)) else { return };
    let store = Arc::new(open(&PathBuf::from(dir)).unwrap());
    let keep = Retention { completed: Keep::ALL, failed: Keep::ALL, cancelled: Keep::ALL };
    let config = QueueConfig { retention: keep, stalls_max: 1_000, ..QueueConfig::default() };
    store.configure(&mail(), config).await.unwrap();
    let mut tasks = Vec::new();
    for task in 0..8_u64 {
        let (store, life) = (store.clone(), life.clone());
        tasks.push(tokio::spawn(async move {
            let worker = WorkerId(life.parse::<u64>().unwrap() * 100 + task);
            let info =
                WorkerInfo { id: worker, name: String::new(), slots: 9, version: String::new(), started: 0 };
            store.resume(&mail(), Resume { info, call: 1, running: Vec::new() }).await.unwrap();
            let mut finished: Vec<Finished> = Vec::new();
            for call in 2.. {
                let id = format!("job-{life}-{task}-{call}");
                // Some payloads are larger than a page, so that a block can be cut within one.
                let data = vec![b'x'; if call % 9 == 0 { 20_000 } else { 100 }];
                let job = NewJob::new(JobId::new(&id).unwrap(), "work", data);
                store.add(&mail(), vec![job]).await.unwrap();
                let mut said = format!("\nadded {id}\n");
                let done: Vec<String> = finished.iter().map(|it| it.id().to_string()).collect();
                let step = Step { worker, call, finished: std::mem::take(&mut finished), want: 1 };
                let reply = store.step(&mail(), step).await.unwrap();
                for id in &done {
                    said += "done ";
                    said += id;
                    said += "\n";
                }
                let mut out = std::io::stdout().lock();
                out.write_all(said.as_bytes()).unwrap();
                out.flush().unwrap();
                finished = reply
                    .taken
                    .into_iter()
                    .map(|job| {
                        let result = Some("1".into());
                        Finished { job, outcome: Outcome::Complete { result, follow_ups: Vec::new() } }
                    })
                    .collect();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// Kills the child also when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(dir: &Path, life: u64) -> (Killed, BufReader<ChildStdout>) {
    let child = "backend::file::tests::kill::child_that_works_until_it_is_killed";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--nocapture"])
        .env(DIR, dir)
        .env(LIFE, life.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    (Killed(child), said)
}

#[tokio::test]
async fn nothing_that_was_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random::new(u64::from(std::process::id()));
    let (mut added, mut done) = (BTreeSet::new(), BTreeSet::new());
    for life in 0..6 {
        let (mut child, said) = start(dir.path(), life);
        let mut killed = false;
        let enough = added.len() + 20 + random.below(1_500);
        for line in said.lines() {
            let line = line.unwrap();
            if let Some(id) = line.strip_prefix("added ") {
                added.insert(id.to_owned());
            } else if let Some(id) = line.strip_prefix("done ") {
                done.insert(id.to_owned());
            }
            if added.len() >= enough && !killed {
                let refused = open(dir.path()).map(drop);
                assert!(matches!(&refused, Err(Error::Locked { path }) if path == dir.path()), "{refused:?}");
                // What it said before it died is still read, to the end.
                child.0.kill().unwrap();
                killed = true;
            }
        }
        assert!(
            added.len() >= enough,
            "the child ended by itself in life {life}, after {} jobs",
            added.len()
        );
        drop(child);
        let store = open(dir.path()).unwrap();
        for id in &added {
            let id = JobId::new(id).unwrap();
            let job = store.get(&mail(), std::slice::from_ref(&id)).await.unwrap().remove(0);
            let job = job.unwrap_or_else(|| panic!("life {life}: {id} was added"));
            let state = if done.contains(id.as_str()) { JobState::Completed } else { job.state() };
            assert_eq!(job.state(), state, "life {life}: {id}");
        }
        let findings = store.verify(&mail(), 0, false).await.unwrap().findings;
        assert!(findings.is_empty(), "life {life}: {findings:?}");
        assert_eq!(store.info(&mail()).await.unwrap().counts.active, 0);
        store.close().await.unwrap();
    }
    assert!(done.len() > 50, "{} jobs were completed in six lives", done.len());
}
