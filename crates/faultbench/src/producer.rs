//! The load of a run: adds at a steady rate, whatever becomes of them, each written to the journal.

use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::model::NewJob;
use bulrush::port::{AddOutcome, Error, ServerFault};
use bulrush::{Client, Queue};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::door::Door;
use crate::journal::{Journal, What};
use crate::schedule::Chance;
use crate::worker::{Kind, Payload, QUEUE};
use crate::wrong::Bug;

/// Between two handfuls of adds.
const TICK: Duration = Duration::from_millis(20);
/// Adds without an answer at which no more are sent: a server that is away must not fill this process.
const WAITING_MAX: usize = 5_000;

/// What is added.
#[derive(Debug, Clone)]
pub struct Load {
    /// Jobs a second.
    pub rate: u64,
    /// How long a handler takes, ms.
    pub work_ms: RangeInclusive<u64>,
    /// One job in so many takes longer, and how long, ms: so that faults find jobs under way.
    pub long: Option<(u64, RangeInclusive<u64>)>,
    /// Bytes of weight in each payload.
    pub pad: usize,
    /// Time-out of each job, ms.
    pub timeout_ms: Option<u64>,
}

impl Load {
    /// So many jobs a second, of which each takes so long.
    pub fn even(rate: u64, work_ms: RangeInclusive<u64>) -> Self {
        Self { rate, work_ms, long: None, pad: 40, timeout_ms: None }
    }

    fn ms(&self, chance: &mut Chance) -> u64 {
        match &self.long {
            Some((one_in, ms)) if chance.one_in(*one_in) => chance.within(ms.clone()),
            _ => chance.within(self.work_ms.clone()),
        }
    }
}

impl Default for Load {
    fn default() -> Self {
        Self { long: Some((25, 300..=900)), ..Self::even(200, 5..=50) }
    }
}

/// A producer.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    queue: Queue,
    journal: Journal,
    tasks: TaskTracker,
    stop: CancellationToken,
    counts: Counts,
}

/// What has become of adds so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Acknowledged.
    pub acknowledged: AtomicU64,
    /// Refused.
    pub refused: AtomicU64,
    /// Nobody knows.
    pub indeterminate: AtomicU64,
}

impl Producer {
    /// Connects to a store.
    pub async fn connect(store: &str, journal: &Path, answer: Duration, bug: Option<Bug>) -> Result<Self> {
        let options =
            RedisOptions { connect_within: answer, answer_within: answer, ..RedisOptions::default() };
        let store = connect_redis_with(store, options).await?;
        let journal = Journal::open(journal)?;
        let client = Client::new(Arc::new(Door::new(store, journal.clone(), bug)));
        let queue = client.queue(QUEUE)?;
        let (tasks, stop, counts) = (TaskTracker::new(), CancellationToken::new(), Counts::default());
        Ok(Self { shared: Arc::new(Shared { client, queue, journal, tasks, stop, counts }) })
    }

    /// What has become of adds so far.
    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Adds jobs until it is stopped.
    pub fn start(&self, load: Load, mut chance: Chance) {
        let producer = self.clone();
        self.shared.tasks.spawn(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
            let mut owed = 0.0;
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = producer.shared.stop.cancelled() => return,
                }
                owed += load.rate as f64 * TICK.as_secs_f64();
                while owed >= 1.0 {
                    owed -= 1.0;
                    if producer.shared.tasks.len() < WAITING_MAX {
                        let ms = load.ms(&mut chance);
                        let job = producer.job(Kind::Work, ms, load.pad, load.timeout_ms);
                        producer.shared.tasks.spawn(producer.clone().add(job));
                    }
                }
            }
        });
    }

    /// A job, not added yet.
    pub fn job(&self, kind: Kind, ms: u64, pad: usize, timeout_ms: Option<u64>) -> NewJob {
        let payload = Payload { ms, pad: "x".repeat(pad) };
        let payload = serde_json::to_vec(&payload).expect("numbers and text can be written as JSON");
        let mut job = self.shared.queue.job(kind.name(), payload);
        job.spec.timeout_ms = timeout_ms;
        job
    }

    /// Adds a job, and writes down what becomes of it.
    pub async fn add(self, job: NewJob) {
        let Shared { queue, journal, counts, .. } = &*self.shared;
        let id = job.spec.id.to_string();
        journal.write(What::Sent { job: id.clone() });
        let (count, what) = match queue.add(job).await {
            Ok(added) => match added.outcome {
                // The same id: an earlier send of this call was carried out, and its answer lost.
                AddOutcome::New | AddOutcome::SameId { .. } => {
                    (&counts.acknowledged, What::Acknowledged { job: id })
                }
                other => {
                    (&counts.refused, What::Refused { job: id, why: format!("{other:?}"), memory: false })
                }
            },
            Err(error) if error.is_transient() || matches!(error, Error::Closed) => {
                (&counts.indeterminate, What::Indeterminate { job: id, why: error.to_string() })
            }
            Err(error) => {
                let memory = matches!(error, Error::Server { fault: ServerFault::Memory, .. });
                (&counts.refused, What::Refused { job: id, why: error.to_string(), memory })
            }
        };
        count.fetch_add(1, Ordering::Relaxed);
        journal.write(what);
    }

    /// Stops the load, and waits until every add has its answer. Says whether all have within the limit.
    pub async fn stop(&self, limit: Duration) -> Result<bool> {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        let settled = tokio::time::timeout(limit, self.shared.tasks.wait()).await.is_ok();
        self.shared.client.backend().close().await?;
        Ok(settled)
    }
}
