//! The store as the world finds it: away for a while, or begun anew. And its time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulrush::backend::Embedded;
use bulrush::clock::{Clock, TokioClock};
use bulrush::model::Millis;
use bulrush::port::{Backend, BoxFuture};
use tokio::time::Instant;

use super::bug::Bug;
use super::door::Door;
use super::kept::Kept;
use super::ledger::Ledger;
use super::lock;

/// How long a worker counts as alive, ms.
pub const LEASE_MS: u64 = 1_000;
/// When the store's clock begins.
const EPOCH: Millis = 1_700_000_000_000;

/// The runtime's virtual time, or for a moment another one.
pub struct SimClock {
    time: TokioClock,
    instead: AtomicU64,
}

impl SimClock {
    /// Shows another time, or with none the right one again.
    pub fn pretend(&self, at: Option<Millis>) {
        self.instead.store(at.unwrap_or(0), Ordering::Relaxed);
    }
}

impl Clock for SimClock {
    fn now(&self) -> Millis {
        match self.instead.load(Ordering::Relaxed) {
            0 => self.time.now(),
            instead => instead,
        }
    }
    fn sleep_until(&self, at: Millis) -> BoxFuture<'static, ()> {
        self.time.sleep_until(at)
    }
}

/// The store, and what is wrong with it.
pub struct Store {
    pub backend: Arc<dyn Backend>,
    /// What can begin anew; the other backend lives as long as the world.
    kept: Option<Arc<Kept>>,
    clock: Arc<SimClock>,
    ledger: Arc<Ledger>,
    away_until: Mutex<Option<Instant>>,
    restarts: AtomicU64,
    lives: AtomicU64,
    calm: AtomicBool,
    faults: Mutex<BTreeMap<&'static str, u64>>,
    traced: bool,
}

impl Store {
    pub fn new(ledger: &Arc<Ledger>, bug: Option<Bug>, kept: bool) -> Arc<Self> {
        let time = TokioClock::starting_at(EPOCH);
        let clock = Arc::new(SimClock { time, instead: AtomicU64::new(0) });
        let kept = kept.then(|| Arc::new(Kept::new(clock.clone(), bug)));
        let inner: Arc<dyn Backend> = match &kept {
            Some(kept) => kept.clone(),
            None => Arc::new(Embedded::memory(clock.clone())),
        };
        Arc::new(Self {
            backend: Arc::new(Door::new(inner, clock.clone(), ledger.clone(), bug)),
            kept,
            clock,
            ledger: ledger.clone(),
            away_until: Mutex::default(),
            restarts: AtomicU64::new(0),
            lives: AtomicU64::new(0),
            calm: AtomicBool::new(false),
            faults: Mutex::default(),
            traced: std::env::var_os("BULRUSH_SIM_TRACE").is_some(),
        })
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// It answers nobody for so long. What was under way is cut: it may or may not have been carried out.
    pub fn go_away(&self, span: Duration) {
        let now = Instant::now();
        *lock(&self.away_until) = Some(now + span);
        self.restarts.fetch_add(1, Ordering::Relaxed);
        self.ledger.away(now, now + span);
    }

    /// It forgets who works and until when, if it is one that can. Says whether it did.
    pub fn forget_leases(&self) -> bool {
        if let Some(kept) = &self.kept {
            kept.begin_anew();
            self.lives.fetch_add(1, Ordering::Relaxed);
        }
        self.kept.is_some()
    }

    /// Grows whenever what was under way is cut.
    pub fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Grows whenever it begins anew.
    pub fn life(&self) -> u64 {
        self.lives.load(Ordering::Relaxed)
    }

    /// From now on nothing goes wrong any more.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub fn is_away(&self) -> bool {
        lock(&self.away_until).is_some_and(|until| until > Instant::now())
    }

    /// Counts a fault.
    pub fn note(&self, fault: &'static str) {
        *lock(&self.faults).entry(fault).or_default() += 1;
    }

    /// How often what happened.
    pub fn faults(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.faults).clone()
    }

    /// What happens, for whoever looks into a seed: `BULRUSH_SIM_TRACE=1`.
    pub fn tell(&self, what: impl FnOnce() -> String) {
        if self.traced {
            eprintln!("{} {}", self.clock.now() - EPOCH, what());
        }
    }
}
