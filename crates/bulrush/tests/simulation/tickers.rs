//! Several tickers that are killed, stand still between reading what is due and firing it, and lose or repeat their calls; and whoever puts
//! the same schedules again and again. Afterwards every slot must have added one job.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bulrush::model::{
    JobId, Millis, Missed, NewJob, PageRequest, QueueName, ScheduleId, ScheduleSpec, ScheduleView, Scope,
};
use bulrush::port::{Backend, Put};
use bulrush::{Ticker, TickerOptions};
use tokio::time::{Instant, sleep};

use super::bug::Bug;
use super::line::{Line, Odds};
use super::process::Process;
use super::random::Random;
use super::store::Store;

/// How long things go wrong, ms.
const STORM_MS: u64 = 20_000;
/// How long after the storm every slot that has come must have fired, ms.
const CALM_MS: u64 = 120_000;
const TICKERS: usize = 3;
const SCHEDULES: u64 = 6;

/// What one seed gave.
#[derive(Debug, Default, PartialEq)]
pub struct Report {
    pub seed: u64,
    /// Slots that were due.
    pub slots: usize,
    /// Slots that added no job, and those that added several.
    pub lost: Vec<String>,
    pub twice: Vec<String>,
    pub faults: BTreeMap<&'static str, u64>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.twice.is_empty()
    }
}

/// Plays one seed on a runtime and a clock of its own.
pub fn play(seed: u64, bug: Option<Bug>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be built");
    runtime.block_on(World::new(seed, bug).run())
}

struct World {
    seed: u64,
    random: Random,
    odds: Odds,
    store: Arc<Store>,
    queue: QueueName,
    tickers: Vec<(Arc<Process>, Ticker)>,
}

fn spec(n: u64) -> ScheduleSpec {
    let id = ScheduleId::new(&format!("s{n}")).expect("a good id");
    let job = NewJob::new(JobId::new("sch-0").expect("a good id"), "tick", "{}");
    let spec = match n {
        0 => ScheduleSpec::cron(id, "*/3 * * * * *", &job).map(|spec| spec.zone("Europe/Berlin")),
        n => ScheduleSpec::every(id, 900 + 137 * n + 100, &job),
    };
    spec.expect("a good job").missed(Missed::All { max: 1_000 })
}

impl World {
    fn new(seed: u64, bug: Option<Bug>) -> Self {
        let random = Random::new(seed);
        let some = |percent: u64| if random.percent(60) { random.below(percent) + 1 } else { 0 };
        let odds = Odds {
            lose_request: some(10),
            lose_answer: some(15),
            late_request: some(10),
            late_answer: some(8),
            twice: some(15),
        };
        let store = Store::new(&Arc::default(), bug, random.percent(50));
        let queue = QueueName::new("main").expect("a good name");
        Self { seed, random, odds, store, queue, tickers: Vec::new() }
    }

    async fn run(mut self) -> Report {
        for n in 0..SCHEDULES {
            let put = self.store.backend.put_schedule(&self.queue, &Scope::All, spec(n), Put::Always).await;
            put.expect("it can be put");
        }
        let begun = self.store.clock().now();
        (0..TICKERS).for_each(|_| self.start_ticker());
        self.storm().await;
        self.store.calm_down();
        let views = self.settle_down().await;
        for (_, ticker) in std::mem::take(&mut self.tickers) {
            ticker.stop();
        }
        self.judge(begun, &views).await
    }

    fn line(&self, process: &Arc<Process>) -> Arc<dyn Backend> {
        Line::new(self.store.clone(), process.clone(), self.random.fork(), self.odds)
    }

    fn start_ticker(&mut self) {
        let process = Arc::new(Process::new(self.random.next()));
        let options = TickerOptions { batch: 1 + self.random.below(8) as usize };
        let ticker = Ticker::start(&self.line(&process), [self.queue.clone()], options);
        self.tickers.push((process, ticker));
    }

    /// Breaks things for a while.
    async fn storm(&mut self) {
        let end = Instant::now() + Duration::from_millis(STORM_MS);
        while Instant::now() < end {
            sleep(Duration::from_millis(100 + self.random.below(900))).await;
            let victim = self.random.below(self.tickers.len() as u64) as usize;
            match self.random.below(5) {
                0 => {
                    self.store.note("ticker killed");
                    let (process, ticker) = self.tickers.swap_remove(victim);
                    process.kill();
                    // Whatever it was at never goes on.
                    drop(ticker);
                    self.start_ticker();
                }
                1 => {
                    self.store.note("ticker stood still");
                    self.tickers[victim].0.stall(Duration::from_millis(self.random.below(6_000)));
                }
                2 => {
                    self.store.note("store away");
                    self.store.go_away(Duration::from_millis(self.random.below(3_000)));
                }
                3 if self.store.forget_leases() => self.store.note("store begun anew"),
                _ => {
                    // As every process does that starts with its schedules.
                    let again = spec(self.random.below(SCHEDULES));
                    drop(self.store.backend.put_schedule(&self.queue, &Scope::All, again, Put::Always).await);
                }
            }
        }
    }

    /// Waits until nothing that has come is left, and tells how the schedules stand then.
    async fn settle_down(&self) -> Vec<ScheduleView> {
        let deadline = Instant::now() + Duration::from_millis(CALM_MS);
        loop {
            let due = self.store.backend.due_schedules(&self.queue, 100).await.expect("they can be read");
            if due.due.is_empty() || Instant::now() > deadline {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        let all = self.store.backend.list_schedules(&self.queue, &Scope::All, None, 100).await;
        all.expect("they can be read").schedules
    }

    async fn judge(&self, begun: Millis, views: &[ScheduleView]) -> Report {
        let now = self.store.clock().now();
        let mut report = Report { seed: self.seed, faults: self.store.faults(), ..Report::default() };
        let mut added: BTreeMap<(ScheduleId, Millis), usize> = BTreeMap::new();
        let mut request = PageRequest { limit: 1_000, ..PageRequest::default() };
        loop {
            let page = self.store.backend.page(&self.queue, request.clone()).await.expect("they can be read");
            for job in page.jobs {
                let slot = job.spec.schedule.as_ref().expect("a job of a schedule says so");
                *added.entry((slot.schedule.clone(), slot.slot)).or_default() += 1;
            }
            request.cursor = page.next;
            if request.cursor.is_none() {
                break;
            }
        }
        for view in views {
            // Slot by slot from the beginning, by the recurrence alone.
            let mut slot = view.slot_after(begun).expect("it is understood");
            while let Some(at) = slot.filter(|at| *at <= now) {
                report.slots += 1;
                match added.remove(&(view.id().clone(), at)) {
                    None => report.lost.push(format!("{} at {}", view.id(), at - begun)),
                    Some(1) => {}
                    Some(n) => report.twice.push(format!("{} at {}, {n} times", view.id(), at - begun)),
                }
                slot = view.slot_after(at).expect("it is understood");
            }
        }
        // Whatever is left is of no slot at all.
        report.twice.extend(added.into_keys().map(|(id, at)| format!("{id} at {at}, which is no slot")));
        report
    }
}
