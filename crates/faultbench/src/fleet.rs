//! The worker processes of a run, and who starts them again when they die.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use tokio::task::JoinHandle;

use crate::clock::now_us;
use crate::process::{Process, Program};
use crate::worker::WorkerArguments;

/// How often it is looked whether a worker has died.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// One place for a worker process.
#[derive(Debug, Clone)]
pub struct Place {
    /// How it works; its journal's path is set here.
    pub arguments: WorkerArguments,
    /// What its environment has besides ours.
    pub environment: Vec<(String, OsString)>,
}

/// Worker processes.
pub struct Fleet {
    shared: Arc<Shared>,
    supervisor: JoinHandle<()>,
}

struct Shared {
    guard: PathBuf,
    folder: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    places: Vec<Place>,
    /// One for each place.
    processes: Vec<Option<Process>>,
    /// Who may be started again.
    restarts: Vec<bool>,
    /// When each process that has died did, at the latest.
    died: BTreeMap<u32, u64>,
    started: u64,
    /// What went wrong with starting again.
    trouble: Option<String>,
}

impl Fleet {
    /// Starts a process in each place.
    pub fn start(guard: &Path, folder: &Path, places: Vec<Place>) -> Result<Self> {
        let n = places.len();
        let state = State {
            places,
            processes: (0..n).map(|_| None).collect(),
            restarts: vec![true; n],
            ..State::default()
        };
        let shared =
            Arc::new(Shared { guard: guard.to_owned(), folder: folder.to_owned(), state: Mutex::new(state) });
        for place in 0..n {
            shared.fill(&mut shared.state(), place)?;
        }
        let supervisor = tokio::spawn(supervise(shared.clone()));
        Ok(Self { shared, supervisor })
    }

    /// How many places there are.
    pub fn len(&self) -> usize {
        self.shared.state().places.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The process in a place, if one is there.
    pub fn pid(&self, place: usize) -> Option<u32> {
        self.shared.state().processes[place].as_ref().map(Process::pid)
    }

    /// Sends a signal to the process in a place. Returns its number.
    pub fn signal(&self, place: usize, signal: Signal) -> Result<u32> {
        let state = self.shared.state();
        let process = state.processes[place].as_ref().context("no process is there")?;
        process.signal(signal)?;
        Ok(process.pid())
    }

    /// Whether the process in a place is started again when it ends.
    pub fn restart(&self, place: usize, restart: bool) {
        self.shared.state().restarts[place] = restart;
    }

    /// Fills an empty place.
    pub fn fill(&self, place: usize) -> Result<()> {
        let mut state = self.shared.state();
        if state.processes[place].is_none() {
            self.shared.fill(&mut state, place)?;
        }
        Ok(())
    }

    /// Waits until the process in a place has ended, at most so long. Says whether it has.
    pub async fn ended(&self, pid: u32, limit: Duration) -> bool {
        let deadline = now_us() + limit.as_micros() as u64;
        loop {
            if self.shared.state().died.contains_key(&pid) {
                return true;
            }
            if now_us() >= deadline {
                return false;
            }
            tokio::time::sleep(LOOK_EVERY / 4).await;
        }
    }

    /// Ends all processes as a shutdown does, those that do not the hard way. Returns the places of those.
    pub async fn stop(&self, limit: Duration) -> Result<Vec<usize>> {
        let mut pids = Vec::new();
        for place in 0..self.len() {
            self.restart(place, false);
            if self.pid(place).is_some() {
                pids.push((place, self.signal(place, Signal::TERM)?));
            }
        }
        let mut killed = Vec::new();
        for (place, pid) in pids {
            if !self.ended(pid, limit).await {
                killed.push(place);
                self.signal(place, Signal::KILL)?;
                self.ended(pid, Duration::from_secs(10)).await;
            }
        }
        Ok(killed)
    }

    /// When each process that has died did.
    pub fn died(&self) -> BTreeMap<u32, u64> {
        self.shared.state().died.clone()
    }

    /// Processes started so far.
    pub fn started(&self) -> u64 {
        self.shared.state().started
    }

    /// What went wrong with starting them again.
    pub fn trouble(&self) -> Option<String> {
        self.shared.state().trouble.clone()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.supervisor.abort();
        // The processes die with their handles, which the supervisor may still share.
        self.shared.state().processes.clear();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fill(&self, state: &mut State, place: usize) -> Result<()> {
        let mut arguments = state.places[place].arguments.clone();
        state.started += 1;
        // One for each start: a journal has one writer.
        arguments.journal = self.folder.join(format!("worker-{place}-{}.journal", state.started));
        let output = self.folder.join(format!("worker-{place}.log"));
        let program = Program {
            guard: &self.guard,
            run: self.guard.clone().into(),
            arguments: arguments.words(),
            environment: state.places[place].environment.clone(),
            output: &output,
        };
        state.processes[place] = Some(Process::start(program)?);
        Ok(())
    }

    /// Notes who has died, and starts them again.
    fn look(&self) -> Result<()> {
        let mut state = self.state();
        for place in 0..state.processes.len() {
            let Some(process) = &mut state.processes[place] else { continue };
            if process.ended()?.is_some() {
                let pid = process.pid();
                state.died.insert(pid, now_us());
                state.processes[place] = None;
                if state.restarts[place] {
                    self.fill(&mut state, place)?;
                }
            }
        }
        Ok(())
    }
}

async fn supervise(shared: Arc<Shared>) {
    loop {
        if let Err(error) = shared.look() {
            shared.state().trouble = Some(format!("{error:#}"));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
