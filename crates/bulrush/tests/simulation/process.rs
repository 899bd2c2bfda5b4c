//! A process of the simulated world: it can die, or stand still for a while and go on as if nothing had happened.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bulrush::model::WorkerId;
use tokio::time::Instant;

/// Who runs handlers and makes calls.
pub struct Process {
    /// Instead of the random id of the worker in it, so that a run can be played again.
    pub id: WorkerId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    died: Option<Instant>,
    stalled_until: Option<Instant>,
    /// When it stood still, from and to.
    stalls: Vec<(Instant, Instant)>,
}

impl Process {
    pub fn new(id: u64) -> Self {
        Self { id: WorkerId(id), state: Mutex::default() }
    }

    /// It dies: whatever it does next never happens.
    pub fn kill(&self) {
        self.state().died.get_or_insert_with(Instant::now);
    }

    /// It stands still from now on for so long.
    pub fn stall(&self, span: Duration) {
        let (from, until) = (Instant::now(), Instant::now() + span);
        let mut state = self.state();
        state.stalled_until = state.stalled_until.max(Some(until));
        state.stalls.push((from, until));
    }

    /// Returns when the process runs; never, once it is dead.
    pub async fn runs(&self) {
        loop {
            let until = {
                let state = self.state();
                if state.died.is_some() {
                    None
                } else {
                    Some(state.stalled_until.filter(|until| *until > Instant::now()))
                }
            };
            match until {
                Some(None) => return,
                Some(Some(until)) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Whether it can do anything at this moment.
    pub fn is_running(&self) -> bool {
        let state = self.state();
        state.died.is_none() && state.stalled_until.is_none_or(|until| until <= Instant::now())
    }

    pub fn died(&self) -> Option<Instant> {
        self.state().died
    }

    /// Whether it was dead or stood still at any moment between two.
    pub fn failed_between(&self, from: Instant, to: Instant) -> bool {
        let state = self.state();
        state.died.is_some_and(|died| died <= to)
            || state.stalls.iter().any(|(start, end)| *start <= to && *end >= from)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
