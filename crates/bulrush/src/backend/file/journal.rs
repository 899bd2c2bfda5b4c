//! Group commit: commands leave their facts here and wait; one thread writes them, block by block.
//!
//! While a block is being made durable the next one fills, so the busier the store is, the more commands share a flush. Whoever
//! waits is told by the number of the block, which is the number of the commit.
//!
//! A write or flush that fails ends the journal: what is on the disk is unknown then, and asking again could be answered by a lie.
//! Every call fails from then on, until the store is opened anew and has read what is there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::Notify;

use super::committer::Committer;
use super::directory::DirectoryLock;
use super::pending::{Batch, Pending};
use crate::backend::embedded;
use crate::core::Core;
use crate::port::{BoxFuture, Error, Result};

/// Waiters are spread over so many bells by the number of their block, so that a commit wakes those it was for. At most a few
/// blocks are waited for at a time.
const BELLS: usize = 4;

/// What commands, the committer and a checkpoint share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Rung for the committer: there is something to write, or to stop for.
    work: Condvar,
    /// Rung for threads that wait for a commit.
    committed: Condvar,
    /// The last block that is durable.
    durable: AtomicU64,
    bells: [Notify; BELLS],
    failure: OnceLock<Error>,
}

struct State {
    pending: Pending,
    /// The committer sleeps: who brings work wakes it.
    idle: bool,
    /// Nothing is taken any more; what was is still written.
    stopping: bool,
}

/// What the committer does next.
pub(super) enum Task {
    Write(Batch),
    /// Nothing waits: seal the log, then sleep.
    Rest,
    Stop,
}

impl Shared {
    /// A journal whose blocks are durable up to one.
    pub fn new(durable: u64) -> Self {
        let state = State { pending: Pending::new(durable + 1), idle: false, stopping: false };
        Self {
            state: Mutex::new(state),
            work: Condvar::new(),
            committed: Condvar::new(),
            durable: AtomicU64::new(durable),
            bells: Default::default(),
            failure: OnceLock::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what a command changed. Returns the commit that its answer has to wait for: its own, or the last one when it changed
    /// nothing, for its answer (say, that a job exists) may rest on what is still being written.
    pub fn append(&self, core: &mut Core) -> Result<Option<u64>> {
        let mut state = self.lock();
        self.check()?;
        if state.stopping {
            return Err(Error::Closed);
        }
        if state.pending.add(core) && state.idle {
            state.idle = false;
            self.work.notify_one();
        }
        let last = state.pending.last_seq();
        Ok((last > self.durable()).then_some(last))
    }

    /// The last block that is durable.
    pub fn durable(&self) -> u64 {
        self.durable.load(Ordering::Acquire)
    }

    /// Fails once the journal has failed.
    pub fn check(&self) -> Result<()> {
        self.failure.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }

    /// What the committer does next. Sleeps if the log is sealed and there is nothing to do.
    pub fn next_task(&self, sealed: bool) -> Task {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.pending.take() {
                return Task::Write(batch);
            }
            if state.stopping {
                return Task::Stop;
            }
            if !sealed {
                return Task::Rest;
            }
            state.idle = true;
            state = self.work.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle = false;
        }
    }

    /// Tells everybody that a block is durable.
    pub fn publish(&self, batch: Batch) {
        self.durable.store(batch.seq, Ordering::Release);
        self.bells[batch.seq as usize % BELLS].notify_waiters();
        self.lock().pending.recycle(batch.block);
        self.committed.notify_all();
    }

    /// Ends the journal.
    pub fn fail(&self, error: Error) {
        tracing::error!(%error, "the store stops: no call succeeds until it is opened anew");
        // The first failure is the cause of the others.
        let _ = self.failure.set(error);
        self.bells.iter().for_each(Notify::notify_waiters);
        drop(self.lock());
        self.committed.notify_all();
    }

    /// Takes nothing more.
    fn stop(&self) {
        self.lock().stopping = true;
        self.work.notify_one();
        self.committed.notify_all();
    }

    /// Whether a checkpoint need not go on.
    pub fn is_ending(&self) -> bool {
        self.lock().stopping || self.failure.get().is_some()
    }

    /// Waits until everything that any queue shows now is durable. Says false if there are commands that will never be: the journal
    /// refused them because it ends.
    pub fn wait_for_all(&self) -> bool {
        let mut state = self.lock();
        let last = state.pending.last_seq();
        // A command is carried out and appended under its queue's lock, so one that was refused was refused before this look.
        while !state.stopping && self.failure.get().is_none() {
            if self.durable() >= last {
                return true;
            }
            state = self.committed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        false
    }

    async fn wait(&self, commit: u64) -> Result<()> {
        loop {
            let mut rung = std::pin::pin!(self.bells[commit as usize % BELLS].notified());
            // Registered before the look, so that no ring in between is missed.
            rung.as_mut().enable();
            if self.durable() >= commit {
                return Ok(());
            }
            self.check()?;
            rung.await;
        }
    }
}

/// The journal of a store, and its thread.
pub(super) struct FileJournal {
    shared: Arc<Shared>,
    thread: Arc<Mutex<Option<Running>>>,
}

/// The committer while it runs. The directory stays locked as long.
struct Running {
    committer: JoinHandle<()>,
    _lock: DirectoryLock,
}

impl FileJournal {
    /// Starts the committer.
    ///
    /// # Errors
    /// The system's, if it starts no thread.
    pub fn start(shared: Arc<Shared>, committer: Committer, lock: DirectoryLock) -> Result<Self> {
        let thread = std::thread::Builder::new().name("bulrush-commit".into());
        let committer = thread.spawn(move || committer.run()).map_err(|error| Error::Unreachable {
            reason: format!("the system starts no thread for the store: {error}"),
        })?;
        Ok(Self { shared, thread: Arc::new(Mutex::new(Some(Running { committer, _lock: lock }))) })
    }
}

/// Stops the committer once all that was taken is written, and waits for it.
fn stop(shared: &Shared, thread: &Mutex<Option<Running>>) -> Result<()> {
    shared.stop();
    let mut thread = thread.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = thread.take() {
        // Should it have panicked, it has left word of it.
        let _ = running.committer.join();
    }
    shared.check()
}

impl embedded::Journal for FileJournal {
    fn check(&self) -> Result<()> {
        self.shared.check()
    }

    fn append(&self, core: &mut Core) -> Result<Option<u64>> {
        self.shared.append(core)
    }

    fn durable(&self, commit: u64) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.shared.wait(commit))
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        let (shared, thread) = (self.shared.clone(), self.thread.clone());
        Box::pin(async move {
            let stopped = tokio::task::spawn_blocking(move || stop(&shared, &thread));
            stopped.await.unwrap_or_else(|error| Err(Error::Unreachable { reason: error.to_string() }))
        })
    }
}

impl Drop for FileJournal {
    fn drop(&mut self) {
        // A failure was logged when it happened, and nobody is left to be told.
        let _ = stop(&self.shared, &self.thread);
    }
}
