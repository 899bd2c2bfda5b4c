//! The thread that owns the log: writes blocks, begins new segments, and has checkpoints made.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Options;
use super::checkpoint::Checkpoint;
use super::files::Files;
use super::journal::{Shared, Task};
use super::log::Log;
use super::pending::Batch;
use crate::backend::embedded::Queues;
use crate::port::{Error, Result};

/// The log may grow to so many times the size at which a checkpoint begins; then commits wait for it.
const OVERDUE: u64 = 4;
/// How long a commit waits then. Bounded, for the checkpoint may itself wait for a commit.
const OVERDUE_WAIT: Duration = Duration::from_millis(20);

/// The owner of the log.
pub(super) struct Committer {
    shared: Arc<Shared>,
    log: Log,
    files: Files,
    queues: Queues,
    options: Options,
    /// Segment size at which the next one begins.
    rotate_at: u64,
    /// Log size at which a checkpoint begins.
    checkpoint_at: u64,
    running: Option<RunningCheckpoint>,
}

/// A checkpoint on its way, on a thread of its own.
struct RunningCheckpoint {
    /// Returns the checkpoint's size, or none if it was given up because the store closes.
    thread: JoinHandle<Result<Option<u64>>>,
    /// Bytes of the log that it makes superfluous.
    covers: u64,
}

impl Committer {
    pub fn new(
        shared: Arc<Shared>,
        log: Log,
        files: Files,
        queues: Queues,
        options: Options,
        checkpoint_bytes: u64,
    ) -> Self {
        let checkpoint_at = options.checkpoint_at(checkpoint_bytes);
        let rotate_at = options.segment_bytes;
        Self { shared, log, files, queues, options, rotate_at, checkpoint_at, running: None }
    }

    /// Works until the journal stops or fails.
    pub fn run(mut self) {
        let shared = self.shared.clone();
        // A bug that ends this thread must not leave anybody waiting.
        let _obituary = Obituary(&shared);
        if let Err(error) = self.work() {
            self.shared.fail(error);
        }
        if let Some(running) = self.running.take() {
            self.finish_checkpoint(running);
        }
    }

    fn work(&mut self) -> Result<()> {
        let mut sealed = false;
        loop {
            match self.shared.next_task(sealed) {
                Task::Write(batch) => {
                    self.commit(batch)?;
                    sealed = false;
                    self.keep_bounded()?;
                }
                Task::Rest => {
                    self.log.seal()?;
                    sealed = true;
                }
                Task::Stop => return self.log.finish(),
            }
        }
    }

    /// Makes a block durable and says so.
    pub fn commit(&mut self, mut batch: Batch) -> Result<()> {
        debug_assert_eq!(batch.seq, self.log.next_seq);
        self.log.commit(&mut batch.block)?;
        self.shared.publish(batch);
        Ok(())
    }

    /// Begins a new segment, or a checkpoint, where the log has grown enough.
    fn keep_bounded(&mut self) -> Result<()> {
        if self.running.as_ref().is_some_and(|running| running.thread.is_finished())
            && let Some(running) = self.running.take()
        {
            self.finish_checkpoint(running);
        }
        if self.running.is_none() && self.log.bytes() >= self.checkpoint_at {
            self.begin_checkpoint()
        } else if self.running.is_some() && self.log.bytes() >= self.checkpoint_at.saturating_mul(OVERDUE) {
            std::thread::park_timeout(OVERDUE_WAIT);
            Ok(())
        } else if self.log.segment_bytes() >= self.rotate_at {
            self.rotate().map(drop)
        } else {
            Ok(())
        }
    }

    /// Goes on in a new segment; if none can be made, the old one may grow as much again first.
    fn rotate(&mut self) -> Result<bool> {
        let rotated = self.log.rotate()?;
        self.rotate_at = self.options.segment_bytes + if rotated { 0 } else { self.log.segment_bytes() };
        Ok(rotated)
    }

    fn begin_checkpoint(&mut self) -> Result<()> {
        if !self.rotate()? {
            self.postpone();
            return Ok(());
        }
        let covers = self.log.bytes() - self.log.segment_bytes();
        let begun = Checkpoint::begin(&self.files, &self.queues, self.log.segment, self.log.next_seq);
        let started = begun.and_then(|checkpoint| {
            let shared = self.shared.clone();
            let thread = std::thread::Builder::new().name("bulrush-checkpoint".into());
            let spawned = thread.spawn(move || write_checkpoint(&shared, checkpoint));
            spawned.map_err(|error| Error::Unreachable { reason: error.to_string() })
        });
        match started {
            Ok(thread) => self.running = Some(RunningCheckpoint { thread, covers }),
            Err(error) => self.checkpoint_failed(&error),
        }
        Ok(())
    }

    fn finish_checkpoint(&mut self, running: RunningCheckpoint) {
        match running.thread.join() {
            Ok(Ok(Some(bytes))) => {
                self.log.forget(running.covers);
                self.checkpoint_at = self.options.checkpoint_at(bytes);
                tracing::debug!(
                    bytes,
                    covered_bytes = running.covers,
                    "a checkpoint of the store was written"
                );
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => self.checkpoint_failed(&error),
            Err(_) => self.checkpoint_failed(&Error::Unreachable { reason: "its thread panicked".into() }),
        }
    }

    fn checkpoint_failed(&mut self, error: &Error) {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        tracing::warn!(%error, cause, "no checkpoint of the store could be written; its log stays, and grows, until one can");
        self.postpone();
    }

    /// Tries again when the log has grown by another quarter.
    fn postpone(&mut self) {
        self.checkpoint_at = self.log.bytes() + self.options.checkpoint_bytes / 4;
    }
}

/// Copies all queues and publishes the copy. Returns its size, or none if the store closed meanwhile.
fn write_checkpoint(shared: &Shared, mut checkpoint: Checkpoint) -> Result<Option<u64>> {
    loop {
        match checkpoint.step() {
            Ok(true) if shared.is_ending() => break,
            Ok(true) => {}
            Ok(false) if shared.wait_for_all() => return checkpoint.publish().map(Some),
            Ok(false) => break,
            Err(error) => {
                checkpoint.abandon();
                return Err(error);
            }
        }
    }
    checkpoint.abandon();
    Ok(None)
}

/// Tells that the thread panicked.
struct Obituary<'a>(&'a Shared);

impl Drop for Obituary<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::Unreachable { reason: "the thread that writes the store died".into() });
        }
    }
}
