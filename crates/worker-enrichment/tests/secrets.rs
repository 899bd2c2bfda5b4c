//! A key that comes with a job is nowhere to be read. Alone in its process: whether a line is logged is decided once per
//! process, by whoever logs first.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use bulrush::model::JobId;
use bulrush_catalog::Sealer as _;
use bulrush_sandbox::Fault;
use bulrush_service::{Sealing, Secret};
use common::{SEATTLE, World, payload};

/// Looks like a key, is in no other text.
const CANARY: &str = "canary+7f3a/9e=";
const TRACES: [&str; 3] = ["canary", "7f3a", "9e="];

/// Keeps what is logged.
#[derive(Clone, Default)]
struct LogBuffer(Arc<Mutex<Vec<u8>>>);

impl io::Write for LogBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn sealing(secret: &str) -> Sealing {
    Sealing::new(&Secret::new(secret.repeat(32))).unwrap()
}

async fn add(world: &World, id: &str, sealed_by: &Sealing, key: &str) -> JobId {
    let mut payload = payload(id, SEATTLE, Some("US"));
    payload.calendarific_api_key = Some(sealed_by.seal(key).unwrap());
    world.queue().add(world.job(&payload)).await.unwrap().id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_comes_with_a_job_is_used_and_is_in_no_record_error_result_or_log() {
    let log = LogBuffer::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        // All there is, but for the sandbox, which stands for somebody else's server and logs the faults it was told to show.
        .with_env_filter("trace,bulrush_sandbox=off")
        .with_writer(move || writer.clone())
        .init();
    let mut world = World::new().await;
    let seal = Arc::new(sealing("a"));
    world.deps.sealing = Some(seal.clone());
    let workers = world.start();
    world.property("inn", SEATTLE, Some("US"), "2015-01-01", "2015-01-31").await;

    // The service refuses, and repeats the key in its answer; or it breaks, or it is slow, or the key is not what was sealed.
    let mut jobs = Vec::new();
    for fault in [
        Fault::Refused { status: 401 },
        Fault::Html,
        Fault::Body { body: format!(r#"{{"meta":{{"code":403,"error_detail":"{CANARY}"}},"response":[]}}"#) },
    ] {
        world.sandbox.reset();
        world.fail("/api/v2", 1, fault);
        let job = add(&world, "inn", &seal, CANARY).await;
        let reason = world.failed(&job, 1).await;
        assert!(reason.contains("Calendarific"), "{reason}");
        jobs.push(job);
    }
    let job = add(&world, "inn", &sealing("b"), CANARY).await;
    assert!(world.failed(&job, 1).await.contains("could not be opened"));
    jobs.push(job);
    let job = add(&world, "inn", &seal, "canary with blanks").await;
    assert!(world.failed(&job, 1).await.contains("unusable character"));
    jobs.push(job);
    world.fail("/api/v2", 1, Fault::RateLimited { retry_after: Some("1".to_owned()) });
    world.fail("/api/v2", 1, Fault::ServerError { status: 500 });
    let job = add(&world, "inn", &seal, CANARY).await;
    assert_eq!(world.completed(&job).await.public_holidays, 2);
    jobs.push(job.clone());
    // It was asked with the key, and the sandbox masks keys in its own list.
    assert!(world.sandbox.requests().of("/api/v2") >= 3);
    assert_eq!(world.sandbox.requests().of("/api/v3"), 0);

    let mut texts =
        vec![format!("{:?}", world.document(&job).await), format!("{:?}", world.summaries("inn").await)];
    for job in &jobs {
        texts.push(format!("{:?}", world.ended(job).await));
        texts.push(world.logs(job).await.join("\n"));
    }
    workers.shutdown().await;
    let logged = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(logged.contains("property enriched") && logged.contains("was not enriched"), "the log was kept");
    texts.push(logged);
    for text in texts {
        for trace in TRACES {
            let at = text.find(trace).map(|at| &text[at.saturating_sub(200)..(at + 60).min(text.len())]);
            assert_eq!(at, None, "{trace:?}");
        }
    }
    // Nor is it in the files of the store.
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"canary"));
    }

    // A worker that cannot open keys says so, and what to do.
    world.deps.sealing = None;
    let workers = world.start();
    world.property("other", SEATTLE, Some("CA"), "2013-01-01", "2013-01-02").await;
    let mut payload = payload("other", SEATTLE, Some("CA"));
    payload.calendarific_api_key = Some(seal.seal(CANARY).unwrap());
    let job = world.queue().add(world.job(&payload)).await.unwrap().id;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("BULRUSH_SEAL_KEY") && !reason.contains("canary"), "{reason}");
    // A key in plain text is not read as a sealed one, and is not repeated.
    let plain = serde_json::json!({
        "propertyId": "inn", "userId": "ada", "location": SEATTLE, "calendarificApiKey": CANARY,
    });
    let job = world.add_raw(&plain).await;
    let reason = world.failed(&job, 1).await;
    assert!(reason.contains("not sealed") && !reason.contains("canary"), "{reason}");
    workers.shutdown().await;
}
