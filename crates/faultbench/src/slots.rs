//! Schedules of a run, and the account of their slots.
//!
//! The schedules fire each second into a queue of their own, by tickers that are processes. Their jobs are run here, in the process that
//! nothing is done to, which writes down each run by schedule and slot; and the queue keeps nothing of a job that has ended, so that a slot
//! that fired twice is run twice, and not found to be there. In the end each slot from a schedule's first to the one at which it stands must
//! have run exactly once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush::model::{
    JobId, Keep, Millis, Missed, NewJob, QueueConfig, Recurrence, Retention, ScheduleId, ScheduleSpec, Scope,
};
use bulrush::{Client, Handlers, Queue, Worker, WorkerOptions};
use rustix::process::Signal;

use crate::field::Field;
use crate::process::{Process, Program};
use crate::ticker::TickerArguments;

/// The queue of the schedules.
const QUEUE: &str = "slots";
/// Between two slots of each of them, ms.
const PERIOD_MS: u64 = 1_000;
/// Schedules by elapsed time, with slots all over the second.
const PERIODS: u64 = 20;
/// Schedules by a clock on a wall, all at the full second.
const CRONS: u64 = 5;
/// Tickers.
pub const TICKERS: usize = 2;
/// How long a ticker may take to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How long what was missed may take to be made up for.
const EVEN_WITHIN: Duration = Duration::from_secs(30);

/// How often each slot of each schedule was run, and how late first, ms.
type Runs = BTreeMap<(ScheduleId, Millis), (u32, u64)>;

/// Schedules, their tickers, and who runs their jobs.
pub struct Slots {
    arguments: TickerArguments,
    tickers: Vec<Option<Process>>,
    worker: Worker,
    queue: Queue,
    firsts: BTreeMap<ScheduleId, Millis>,
    runs: Arc<Mutex<Runs>>,
}

fn lock(runs: &Mutex<Runs>) -> MutexGuard<'_, Runs> {
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Slots {
    /// Puts the schedules and starts the tickers.
    pub async fn start(field: &Field) -> Result<Self> {
        let client = Client::new(connect_redis_with(&field.server.address(), RedisOptions::default()).await?);
        let queue = client.queue(QUEUE)?;
        let nothing = Retention { completed: Keep::NOTHING, failed: Keep::ALL, cancelled: Keep::ALL };
        queue.configure(QueueConfig { retention: nothing, ..QueueConfig::default() }).await?;
        let runs = Arc::<Mutex<Runs>>::default();
        let noted = runs.clone();
        let handlers = Handlers::new().on_raw("slot", move |context| {
            let noted = noted.clone();
            async move {
                if let Some(of) = &context.spec().schedule {
                    let late =
                        bulrush::clock::Clock::now(&bulrush::clock::SystemClock).saturating_sub(of.slot);
                    let mut runs = lock(&noted);
                    runs.entry((of.schedule.clone(), of.slot)).or_insert((0, late)).0 += 1;
                }
                Ok(None)
            }
        });
        let worker =
            Worker::start(&queue, handlers, WorkerOptions { concurrency: 16, ..WorkerOptions::default() });
        let mut firsts = BTreeMap::new();
        for n in 0..PERIODS + CRONS {
            let id = ScheduleId::new(&format!("schedule-{n:02}"))?;
            let recurrence = if n < PERIODS {
                Recurrence::Every { ms: PERIOD_MS, anchor: Some(n * PERIOD_MS / PERIODS) }
            } else {
                Recurrence::Cron { expression: "* * * * * *".to_owned(), zone: "Europe/Berlin".to_owned() }
            };
            let job = NewJob::new(JobId::generate("slo", 0, 0), "slot", "{}");
            // All that was missed is made up for, so that none may be lacking.
            let spec = ScheduleSpec::new(id.clone(), recurrence, &job)?.missed(Missed::All { max: 1_000 });
            let put = queue.schedules().put(spec).await?.schedule;
            let first = put.and_then(|view| view.state.next).context("a schedule does not stand anywhere")?;
            firsts.insert(id, first);
        }
        let arguments = TickerArguments {
            store: field.server.address(),
            queue: QUEUE.to_owned(),
            answer_ms: 2_000,
            bug: field.bug.filter(|bug| bug.is_tickers()),
        };
        let tickers = (0..TICKERS).map(|_| None).collect();
        let mut slots = Self { arguments, tickers, worker, queue, firsts, runs };
        for n in 0..TICKERS {
            slots.fill(field, n)?;
        }
        Ok(slots)
    }

    /// Starts a ticker in an empty place.
    pub fn fill(&mut self, field: &Field, n: usize) -> Result<()> {
        let output = field.folder().join(format!("ticker-{n}.log"));
        let program = Program {
            guard: field.program(),
            run: field.program().into(),
            arguments: self.arguments.words(),
            environment: Vec::new(),
            output: &output,
        };
        self.tickers[n] = Some(Process::start(program)?);
        Ok(())
    }

    /// Kills a ticker. Returns its number.
    pub async fn kill(&mut self, n: usize) -> Result<u32> {
        match self.tickers[n].take() {
            Some(mut ticker) => ticker.kill().await.map(|()| ticker.pid()),
            None => bail!("ticker {n} is not there"),
        }
    }

    /// Sends a signal to a ticker. Returns its number.
    pub fn signal(&self, n: usize, signal: Signal) -> Result<u32> {
        let ticker = self.tickers[n].as_ref().with_context(|| format!("ticker {n} is not there"))?;
        ticker.signal(signal)?;
        Ok(ticker.pid())
    }

    /// Lets the tickers make up for what was missed, ends them, and holds what was run against what should have been. Says what is wrong
    /// and what is worth telling.
    pub async fn account(mut self, field: &mut Field) -> Result<()> {
        let backend = self.queue.backend().clone();
        let deadline = Instant::now() + EVEN_WITHIN;
        // Nothing is due but what has come due since.
        loop {
            let due = backend.due_schedules(self.queue.name(), 1_000).await?;
            let late = |view: &bulrush::model::ScheduleView| {
                view.state.next.is_some_and(|next| due.now.saturating_sub(next) > PERIOD_MS)
            };
            if !due.due.iter().any(late) {
                break;
            }
            if Instant::now() >= deadline {
                field
                    .wrong
                    .push(format!("slots were still due {} s after the last fault", EVEN_WITHIN.as_secs()));
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for (n, ticker) in self.tickers.iter_mut().enumerate() {
            if let Some(ticker) = ticker
                && !ticker.stop(END_WITHIN).await?
            {
                field.wrong.push(format!("ticker {n} did not end well when it was asked to"));
            }
        }
        let page = backend.list_schedules(self.queue.name(), &Scope::All, None, 1_000).await?;
        loop {
            let counts = self.queue.info().await?.counts;
            if counts.depth() + counts.active == 0 {
                break;
            }
            if Instant::now() >= deadline + EVEN_WITHIN {
                field.wrong.push("jobs of slots did not come to their end".to_owned());
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.worker.shutdown().await;
        let runs = std::mem::take(&mut *lock(&self.runs));
        let standing: BTreeMap<ScheduleId, Millis> =
            page.schedules.iter().filter_map(|view| Some((view.id().clone(), view.state.next?))).collect();
        field.wrong.extend(compare(&self.firsts, &standing, &runs));
        for view in &page.schedules {
            let of = runs.keys().filter(|(id, _)| id == view.id()).count() as u64;
            if view.state.fired != of || view.state.missed > 0 {
                field.wrong.push(format!(
                    "{} says that it fired {} and missed {} slots; {of} were run",
                    view.id(),
                    view.state.fired,
                    view.state.missed
                ));
            }
        }
        let latest = runs.values().map(|(_, late)| *late).max().unwrap_or_default();
        field.notes.push(format!(
            "{} slots of {} schedules were run, the latest {latest} ms after its moment",
            runs.len(),
            self.firsts.len()
        ));
        backend.close().await?;
        Ok(())
    }
}

/// What is wrong: slots between a schedule's first and the one at which it stands that were not run, or more than once, and runs of others.
fn compare(
    firsts: &BTreeMap<ScheduleId, Millis>,
    standing: &BTreeMap<ScheduleId, Millis>,
    runs: &Runs,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expected = 0;
    for (id, first) in firsts {
        let Some(next) = standing.get(id) else {
            wrong.push(format!("{id} stands nowhere"));
            continue;
        };
        let mut slot = *first;
        while slot < *next {
            expected += 1;
            match runs.get(&(id.clone(), slot)) {
                None => wrong.push(format!("the slot {slot} of {id} never fired")),
                Some((1, _)) => {}
                Some((times, _)) => wrong.push(format!("the slot {slot} of {id} fired {times} times")),
            }
            slot += PERIOD_MS;
        }
        for ((_, slot), _) in
            runs.iter().filter(|((of, slot), _)| of == id && !(*first..*next).contains(slot))
        {
            wrong.push(format!("{id} fired at {slot}, where it has not come to be"));
        }
    }
    if expected == 0 {
        wrong.push("no slot came: the run shows nothing".to_owned());
    }
    // A few tell enough.
    let more = wrong.len().saturating_sub(10);
    wrong.truncate(10);
    if more > 0 {
        wrong.push(format!("and {more} more of the kind"));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_is_lacking_one_that_fired_twice_and_one_that_never_was_are_told() {
        let id = ScheduleId::new("s").expect("a good id");
        let at = |slot: Millis| (id.clone(), slot);
        let (firsts, standing) = (BTreeMap::from([at(5_000)]), BTreeMap::from([at(8_000)]));
        let mut runs: Runs = [5_000, 6_000, 7_000].into_iter().map(|slot| (at(slot), (1, 0))).collect();
        assert_eq!(compare(&firsts, &standing, &runs), Vec::<String>::new());
        runs.remove(&at(6_000));
        runs.insert(at(7_000), (2, 0));
        runs.insert(at(8_000), (1, 0));
        let wrong = compare(&firsts, &standing, &runs);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        for word in ["6000 of s never fired", "7000 of s fired 2 times", "fired at 8000"] {
            assert!(wrong.iter().any(|text| text.contains(word)), "{word}: {wrong:?}");
        }
        assert!(!compare(&firsts, &firsts, &Runs::new()).is_empty(), "nothing shows nothing");
    }
}
