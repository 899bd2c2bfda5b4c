//! The fan-out: one reader for each queue, any number of streams.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bulrush::model::{Event, EventKind, JobId, JobView, Owner, Scope};
use bulrush_catalog::Catalog;
use bytes::Bytes;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};

use super::position::Positions;
use crate::http::problem::Problem;
use crate::jobs::trail::word;
use crate::state::Deps;

/// Events of one read.
const PAGE: usize = 1_000;
/// How long a read waits for the first event; after each one a reader looks whether anybody still listens.
const WAIT: Duration = Duration::from_secs(10);
/// Pause after a read that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// Events that a client may be behind before it is cut off: more than a few reads bring at once.
const BEHIND_MAX: usize = 4 * PAGE;
/// Events that a client which comes back is told; one that has missed more is told to read anew.
const MISSED_MAX: usize = 5_000;
/// Clients that catch up at the same time; the others wait for their turn.
const CATCHING_UP: usize = 8;

/// What a stream is about, beside whose jobs it may show.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Events of this queue only, by its place in the catalogue.
    pub queue: Option<usize>,
    /// Events of this job only.
    pub job: Option<JobId>,
}

/// What happens, for everybody who listens.
pub struct Hub {
    deps: Deps,
    catalog: Arc<Catalog>,
    prefixes: Vec<&'static str>,
    table: Mutex<Table>,
    starting: tokio::sync::Mutex<()>,
    catching_up: Arc<Semaphore>,
    streams: Arc<AtomicUsize>,
    runtime: Handle,
}

#[derive(Default)]
struct Table {
    /// Up to where each queue's events have been handed out.
    at: Vec<u64>,
    /// Whether a queue has a reader.
    read: Vec<bool>,
    next: u64,
    streams: HashMap<u64, Listener>,
}

struct Listener {
    scope: Scope,
    owner_hash: u64,
    wanted: Wanted,
    to: mpsc::Sender<Bytes>,
}

/// A stream's end of it; the listener is gone when it is dropped.
pub struct Listening {
    number: u64,
    hub: Weak<Hub>,
    /// Events as they happen; its end means that the client was too slow, or that the server has lost its place.
    pub events: mpsc::Receiver<Bytes>,
    /// Where the stream began.
    start: Positions,
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(hub) = self.hub.upgrade() {
            hub.table().streams.remove(&self.number);
            hub.streams.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// An event as clients see it; progress and message as seed 004 has them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    job_id: Option<&'a str>,
    /// The queue: seed 004 calls it the type of the job.
    #[serde(rename = "type")]
    kind: &'a str,
    queue: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// ms since 1970.
    at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
}

impl Hub {
    /// A hub whose readers run on `runtime`.
    pub fn new(deps: Deps, catalog: Arc<Catalog>, runtime: Handle) -> Arc<Self> {
        let n = catalog.queues().len();
        let prefixes = catalog.queues().iter().map(|queue| queue.entry().prefix).collect();
        let table = Table { at: vec![0; n], read: vec![false; n], ..Table::default() };
        Arc::new(Self {
            deps,
            catalog,
            prefixes,
            table: Mutex::new(table),
            starting: tokio::sync::Mutex::default(),
            catching_up: Arc::new(Semaphore::new(CATCHING_UP)),
            streams: Arc::default(),
            runtime,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many listen.
    pub fn streams(&self) -> usize {
        self.streams.load(Ordering::Relaxed)
    }

    /// What an id of an event says; none for one that was not issued here.
    pub fn position(&self, id: &str) -> Option<Positions> {
        Positions::parse(id, &self.prefixes)
    }

    /// Listens from now on.
    pub async fn listen(
        self: &Arc<Self>,
        scope: Scope,
        owner: &Owner,
        wanted: Wanted,
    ) -> Result<Listening, Problem> {
        self.start_readers().await?;
        let (to, events) = mpsc::channel(BEHIND_MAX);
        let (number, start) = {
            let mut table = self.table();
            let number = table.next;
            table.next += 1;
            table.streams.insert(number, Listener { scope, owner_hash: owner.hash64(), wanted, to });
            self.streams.fetch_add(1, Ordering::Relaxed);
            (number, Positions(table.at.clone()))
        };
        // A reader that has found nobody just before may have gone in between.
        let listening = Listening { number, hub: Arc::downgrade(self), events, start };
        self.start_readers().await?;
        Ok(listening)
    }

    /// Sees to it that each queue has a reader, which begins where the queue is now.
    async fn start_readers(self: &Arc<Self>) -> Result<(), Problem> {
        if self.table().read.iter().all(|read| *read) {
            return Ok(());
        }
        let _one_at_a_time = self.starting.lock().await;
        let missing: Vec<usize> = {
            let table = self.table();
            (0..table.read.len()).filter(|n| !table.read[*n]).collect()
        };
        let reads = missing.iter().map(|n| self.deps.inspect.info(self.catalog.queues()[*n].name()));
        let infos = futures_util::future::try_join_all(reads).await?;
        let mut table = self.table();
        for (n, info) in missing.into_iter().zip(infos) {
            // Not what it was when a reader stopped: a store that has lost its data begins anew, with other positions.
            table.at[n] = info.last_event;
            table.read[n] = true;
            // Not on the runtime of the thread that answers this request, which may end before others.
            drop(self.runtime.spawn(read(Arc::downgrade(self), n)));
        }
        Ok(())
    }

    /// The frames of what has happened between `since` and where `listening` began. `None` in the place of what is lost.
    pub async fn missed(
        &self,
        listening: &Listening,
        since: &Positions,
        (scope, owner, wanted): (&Scope, &Owner, &Wanted),
    ) -> Result<Vec<Option<Bytes>>, Problem> {
        let _turn = self.catching_up.acquire().await;
        let mut at = since.clone();
        let mut frames = Vec::new();
        let listener = Reader { scope, owner_hash: owner.hash64(), wanted };
        for n in 0..self.catalog.queues().len() {
            let until = listening.start.0[n];
            if wanted.queue.is_some_and(|queue| queue != n) {
                at.0[n] = until;
                continue;
            }
            if at.0[n] > until {
                // Of a life of the store that is over, or of a process that reads ahead of this one.
                frames.push(None);
            }
            while at.0[n] < until {
                let queue = self.catalog.queues()[n].name();
                let page = self.deps.inspect.events(queue, at.0[n], PAGE, Duration::ZERO).await?;
                if page.gap {
                    frames.push(None);
                }
                if page.events.is_empty() {
                    break;
                }
                let events: Vec<Event> =
                    page.events.into_iter().filter(|event| event.position <= until).collect();
                let jobs = self.jobs(n, &events, |event| listener.may_see(event)).await?;
                for event in &events {
                    at.0[n] = event.position;
                    let job = event.job.as_ref().and_then(|id| jobs.get(id));
                    if listener.sees(n, event, job) {
                        frames.push(Some(self.frame(n, event, job, &at)));
                    }
                }
                if frames.len() > MISSED_MAX {
                    // Who was away for so long reads anew faster than it reads all that.
                    return Ok(vec![None]);
                }
                if page.next >= until {
                    break;
                }
                at.0[n] = page.next;
            }
            at.0[n] = until;
        }
        Ok(frames)
    }

    /// The jobs that some of the events are about, read in one call.
    async fn jobs(
        &self,
        n: usize,
        events: &[Event],
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<HashMap<JobId, JobView>, Problem> {
        let mut ids: Vec<JobId> = Vec::new();
        let mut seen = HashSet::new();
        for event in events.iter().filter(|event| wanted(event)) {
            if let Some(id) = event.job.as_ref().filter(|id| seen.insert((*id).clone())) {
                ids.push(id.clone());
            }
        }
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let queue = &self.catalog.queues()[n];
        let found = self.deps.inspect.get(queue.name(), &ids).await?;
        Ok(found.into_iter().flatten().map(|job| (job.id().clone(), job)).collect())
    }

    /// Hands events to whoever may see them.
    async fn hand_out(&self, n: usize, events: &[Event]) -> Result<(), Problem> {
        let (all, hashes) = {
            let table = self.table();
            let all = table.streams.values().any(|to| !matches!(to.scope, Scope::Owner(_)));
            (all, table.streams.values().map(|to| to.owner_hash).collect::<HashSet<u64>>())
        };
        let jobs = self.jobs(n, events, |event| all || hashes.contains(&event.owner_hash)).await?;
        let mut table = self.table();
        let mut slow = Vec::new();
        for event in events {
            table.at[n] = event.position;
            let job = event.job.as_ref().and_then(|id| jobs.get(id));
            let mut frame = None;
            for (number, to) in &table.streams {
                let reader = Reader { scope: &to.scope, owner_hash: to.owner_hash, wanted: &to.wanted };
                if !reader.sees(n, event, job) {
                    continue;
                }
                let frame: &Bytes =
                    frame.get_or_insert_with(|| self.frame(n, event, job, &Positions(table.at.clone())));
                if to.to.try_send(frame.clone()).is_err() {
                    slow.push(*number);
                }
            }
            for number in slow.drain(..) {
                // Its channel ends, and with it the stream; the client comes back and says where it was.
                table.streams.remove(&number);
            }
        }
        Ok(())
    }

    fn frame(&self, n: usize, event: &Event, job: Option<&JobView>, at: &Positions) -> Bytes {
        let queue = self.catalog.queues()[n].name().as_str();
        let progress = job.and_then(|job| job.status.progress.as_deref());
        let told = Told {
            job_id: event.job.as_ref().map(JobId::as_str),
            kind: queue,
            queue,
            name: job.map(|job| &*job.spec.name),
            at: event.at,
            progress: match event.kind {
                EventKind::Progress { percent } => Some(percent),
                EventKind::Completed => Some(100),
                _ => None,
            },
            message: match event.kind {
                EventKind::Progress { .. } => progress.and_then(|progress| progress.message.as_deref()),
                _ => None,
            },
            failed_reason: match event.kind {
                EventKind::Failed | EventKind::Retrying => job.and_then(JobView::failed_reason),
                EventKind::Cancelled => Some("cancelled"),
                _ => None,
            },
            count: match event.kind {
                EventKind::Cleaned { count } => Some(count),
                _ => None,
            },
        };
        let data = serde_json::to_string(&told).unwrap_or_default();
        let id = at.to_text(&self.prefixes);
        let about = if event.job.is_some() { "job" } else { "queue" };
        // The seeds' clients listen for `job:complete`.
        let name = if event.kind == EventKind::Completed { "complete" } else { word(event.kind) };
        Bytes::from(format!("id: {id}\nevent: {about}:{name}\ndata: {data}\n\n"))
    }
}

/// Who reads, for the question whether they may see an event.
struct Reader<'a> {
    scope: &'a Scope,
    owner_hash: u64,
    wanted: &'a Wanted,
}

impl Reader<'_> {
    /// Whether an event may be theirs, before its job is looked at.
    fn may_see(&self, event: &Event) -> bool {
        !matches!(self.scope, Scope::Owner(_)) || event.owner_hash == self.owner_hash
    }

    /// Whether they may see it and want it. A job that is gone is told by the hash of its owner alone, so only to its owner and to
    /// administrators.
    fn sees(&self, n: usize, event: &Event, job: Option<&JobView>) -> bool {
        let wanted = self.wanted.queue.is_none_or(|queue| queue == n)
            && self.wanted.job.as_ref().is_none_or(|id| event.job.as_ref() == Some(id));
        wanted
            && match (self.scope, job) {
                (Scope::All, _) => true,
                (scope, Some(job)) => scope.admits(job.spec.owner.as_deref()),
                (Scope::Owner(_), None) => event.job.is_some() && event.owner_hash == self.owner_hash,
                (Scope::Tenant(_), None) => false,
            }
    }
}

/// Reads a queue's events while anybody listens.
async fn read(hub: Weak<Hub>, n: usize) {
    loop {
        let Some(hub) = hub.upgrade() else { return };
        let after = {
            let mut table = hub.table();
            if table.streams.is_empty() {
                table.read[n] = false;
                return;
            }
            table.at[n]
        };
        let queue = hub.catalog.queues()[n].name();
        let page = match hub.deps.inspect.events(queue, after, PAGE, WAIT).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%queue, %error, "events cannot be read now; trying again");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if page.gap {
            // More has happened than is kept: nobody knows what. Each stream ends, and its client begins anew.
            hub.table().streams.clear();
        }
        if let Err(problem) = hub.hand_out(n, &page.events).await {
            tracing::warn!(%queue, %problem, "events could not be handed out now; trying again");
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        hub.table().at[n] = page.next;
    }
}
