//! Whether two queues look the same from outside.
//!
//! Left out is what is nobody's promise: positions of events and the order in which different jobs have theirs, how many jobs stand
//! before another (what was removed may count), roll-ups beyond their sums, and a tenth of a lease.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bulrush::model::{
    Event, EventKind, EventPage, JobId, JobPage, JobState, JobView, Millis, Owner, PageRequest, Rollup,
};
use bulrush::port::{Error, Explanation, Reason};

use crate::happening::QUEUES;
use crate::pair::{Checked, Pair, START, same};

/// Longer ago than this minutes are forgotten.
const MINUTES_KEPT_MS: u64 = 20 * 3_600_000;
/// Windows of events that are never left in a history.
const WINDOW: usize = 1_000;

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Ids that were ever used, by queue.
    pub ids: [BTreeSet<JobId>; QUEUES],
    /// Up to where events were compared, on each side; none where a window was left meanwhile.
    events: [Option<(u64, u64)>; QUEUES],
}

impl Seen {
    /// Compares what is seen of a queue at a glance, and each of its jobs.
    pub async fn glance(&self, pair: &Pair, queue: usize) -> Checked {
        let (core, backend, name, now) = (&pair.cores[queue], pair.backend(), &pair.names[queue], pair.now());
        let ids: Vec<JobId> = self.ids[queue].iter().cloned().collect();
        let expected = core.get(&ids);
        let seen = read(backend.get(name, &ids).await)?;
        for ((id, expected), seen) in ids.iter().zip(&expected).zip(&seen) {
            same(&format!("job {id} of {name}"), expected, seen)?;
        }
        let (mut expected, mut seen) = (core.info(now), read(backend.info(name).await)?);
        for info in [&mut expected, &mut seen] {
            info.last_event = 0;
        }
        same(&format!("{name} at a glance"), &expected, &seen)?;
        for job in core.get(&ids).into_iter().flatten() {
            let id = job.id();
            let expected = core.children(id, 0, 100);
            if !expected.is_empty() {
                let seen = read(backend.children(name, id, 0, 100).await)?;
                same(&format!("children of {id}"), &expected, &seen)?;
            }
            if job.status.log_lines > 0 {
                for (offset, limit) in [(0, 1_000), (job.status.log_lines - 1, 1), (2, 2)] {
                    let seen = read(backend.logs(name, id, offset, limit).await)?;
                    same(&format!("lines of {id}"), &core.logs(id, offset, limit), &seen)?;
                }
            }
        }
        Ok(())
    }

    /// Compares everything else that can be read.
    pub async fn everything(&mut self, pair: &mut Pair, queue: usize) -> Checked {
        agree_on_the_living(pair, queue).await?;
        self.glance(pair, queue).await?;
        pages(pair, queue).await?;
        let (backend, name, now) = (pair.backend(), pair.names[queue].clone(), pair.now());
        for id in &self.ids[queue] {
            let expected = pair.cores[queue].explain(id, now).map(without_place);
            let seen = read(backend.explain(&name, id).await)?.map(without_place);
            same(&format!("why {id} is where it is"), &expected, &seen)?;
        }
        if now < START + MINUTES_KEPT_MS {
            for hourly in [false, true] {
                let expected = pair.cores[queue].history(0, hourly);
                let seen = read(backend.history(&name, 0, hourly).await)?;
                let sum = |rollups: &[Rollup]| rollups.iter().map(|rollup| rollup.completed).sum::<u64>();
                same(&format!("the sum of roll-ups of {name}"), &sum(&expected), &sum(&seen))?;
            }
        }
        self.events(pair, queue).await?;
        let (mut findings, mut cursor) = (Vec::new(), Some(0));
        while let Some(from) = cursor {
            let page = read(backend.verify(&name, from, false).await)?;
            findings.extend(page.findings);
            cursor = page.next;
        }
        same(&format!("what is wrong with {name}"), &Vec::new(), &findings)?;
        same(
            &format!("what is wrong with the core of {name}"),
            &pair.cores[queue].verify(0, false).findings,
            &Vec::new(),
        )
    }

    /// Each job's events in order, since the last look.
    async fn events(&mut self, pair: &Pair, queue: usize) -> Checked {
        let (backend, name, core) = (pair.backend(), &pair.names[queue], &pair.cores[queue]);
        let begun = self.events[queue].unwrap_or((0, 0));
        let mut ours = Vec::new();
        let expected =
            read_events(&mut ours, begun.0, async |after| Ok(core.events_after(after, 500))).await?;
        let mut theirs = Vec::new();
        let seen = read_events(&mut theirs, begun.1, async |after| {
            read(backend.events(name, after, 500, Duration::ZERO).await)
        })
        .await?;
        // A reader that fell out of the window is told so, by each side in its time.
        if self.events[queue].is_some()
            && core.config().events_max >= WINDOW
            && expected.1 == seen.1
            && !expected.1
        {
            same(&format!("events of {name}"), &by_job(&ours), &by_job(&theirs))?;
        }
        self.events[queue] = Some((expected.0, seen.0));
        Ok(())
    }
}

/// Reads events to the end. Returns the last position, and whether some were missing.
async fn read_events(
    events: &mut Vec<Event>,
    mut after: u64,
    mut page: impl AsyncFnMut(u64) -> Checked<EventPage>,
) -> Checked<(u64, bool)> {
    let mut gap = false;
    loop {
        let EventPage { events: some, next, gap: missed } = page(after).await?;
        gap |= missed;
        after = next;
        if some.is_empty() {
            return Ok((after, gap));
        }
        events.extend(some);
    }
}

fn by_job(events: &[Event]) -> BTreeMap<String, Vec<(Millis, EventKind, u64)>> {
    let mut jobs: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for event in events {
        let job = event.job.as_ref().map_or_else(String::new, ToString::to_string);
        jobs.entry(job).or_default().push((event.at, event.kind, event.owner_hash));
    }
    jobs
}

/// What was removed may count among those that are before a job, on each side in its way.
fn without_place(mut explanation: Explanation) -> Explanation {
    explanation.reasons.retain(|reason| !matches!(reason, Reason::Behind(_)));
    explanation
}

async fn pages(pair: &Pair, queue: usize) -> Checked {
    let mut requests = vec![PageRequest::default()];
    requests.extend(JobState::ALL.map(|state| PageRequest { state: Some(state), ..PageRequest::default() }));
    for user in ["user0", "user1"] {
        let owner = Some(Owner { tenant: tenant(), user: user.into() });
        requests.push(PageRequest { owner, ..PageRequest::default() });
    }
    for request in requests {
        for limit in [3, 1_000] {
            let request = PageRequest { limit, ..request.clone() };
            let expected = read_page(request.clone(), async |request| {
                pair.cores[queue].page(&request).map_err(|error| error.to_string())
            })
            .await?;
            let (backend, name) = (pair.backend(), &pair.names[queue]);
            let seen =
                read_page(request.clone(), async |request| read(backend.page(name, request).await)).await?;
            let what = format!("pages of {name}: {:?} {:?}", request.state, request.owner);
            let order = |jobs: &[JobView]| jobs.iter().map(|job| job.id().to_string()).collect::<Vec<_>>();
            let (mut ours, mut theirs) = (order(&expected), order(&seen));
            if request.state.is_none() && request.owner.is_none() || request.state == Some(JobState::Active) {
                // All jobs come in no telling order, nor do those that started in the same moment.
                ours.sort();
                theirs.sort();
            }
            same(&what, &ours, &theirs)?;
        }
    }
    Ok(())
}

/// All jobs of a request, page by page.
async fn read_page(
    mut request: PageRequest,
    mut page: impl AsyncFnMut(PageRequest) -> Checked<JobPage>,
) -> Checked<Vec<JobView>> {
    let mut jobs = Vec::new();
    for _ in 0..1_000 {
        let page = page(request.clone()).await?;
        jobs.extend(page.jobs);
        match page.next {
            Some(next) => request.cursor = Some(next),
            None => return Ok(jobs),
        }
    }
    Err(format!("pages without end: {request:?}"))
}

/// A name that everything must be able to hold.
pub fn tenant() -> String {
    "tenant :{}\u{0}\u{7f}ü€\u{1F980}".into()
}

/// Lets time pass until both sides count the same workers as alive: a lease may end up to a tenth earlier on the server, which saves it
/// a write with most calls.
pub async fn agree_on_the_living(pair: &mut Pair, queue: usize) -> Checked {
    for _ in 0..20 {
        let now = pair.now();
        let ours = pair.cores[queue].workers(now);
        let theirs = read(pair.backend().workers(&pair.names[queue]).await)?;
        let mut latest = None;
        for worker in &ours {
            match theirs.iter().find(|other| other.info.id == worker.info.id) {
                Some(other) => {
                    same("a worker", &worker.info, &other.info)?;
                    same("what a worker runs", &worker.running, &other.running)?;
                    lease(pair.lease_ms, worker.lease_until, other.lease_until)?;
                }
                None => latest = latest.max(Some(worker.lease_until)),
            }
        }
        let alive: BTreeSet<_> = ours.iter().map(|worker| worker.info.id).collect();
        if let Some(other) = theirs.iter().find(|other| !alive.contains(&other.info.id)) {
            return Err(format!("only the server counts {other:?} as alive"));
        }
        let Some(latest) = latest else { return Ok(()) };
        lease(pair.lease_ms, latest, pair.time)?;
        if pair.full {
            return Ok(());
        }
        pair.set_clock(latest);
    }
    Err("workers come and go without end".into())
}

fn lease(longest_ms: u64, ours: Millis, theirs: Millis) -> Checked {
    if theirs <= ours && ours - theirs <= longest_ms / 10 {
        Ok(())
    } else {
        same("how long a lease lasts, a tenth more or less", &ours, &theirs)
    }
}

fn read<T>(answer: Result<T, Error>) -> Checked<T> {
    answer.map_err(|error| format!("a queue cannot be read: {error}"))
}
