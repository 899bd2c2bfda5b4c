//! `file:PATH`: the queues in memory, every change of theirs in a log on disk.
//!
//! The core holds all jobs already, so the store only keeps what commands changed and reads it back: an append-only log in segments,
//! and checkpoints that make its older part superfluous. What it promises:
//!
//! - A call is answered once what it changed is durable. After a crash of the process or of the machine, the store holds what some
//!   prefix of the commands had made, and that prefix includes every answered one.
//! - What a crash leaves unfinished is dropped; anything else that cannot be read is damage, refused and left as it was found.
//! - One process at a time; see [`directory`].
//!
//! Who writes what, and when, stands in [`log`], [`checkpoint`] and [`mod@recover`], the bytes in [`block`] and [`frame`].

mod block;
mod checkpoint;
mod committer;
mod directory;
mod disk;
mod files;
mod frame;
mod journal;
mod log;
mod look;
mod pending;
mod read;
mod recover;
#[cfg(test)]
mod tests;

pub use self::look::{FileLook, look};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, RwLock};

use self::committer::Committer;
use self::directory::DirectoryLock;
use self::disk::{Disk, RealDisk};
use self::files::Files;
use self::journal::{FileJournal, Shared};
use self::log::Log;
use self::pending::Pending;
use self::recover::{Recovered, recover};
use super::embedded::{Cell, Embedded, Queues};
use crate::clock::Clock;
use crate::model::Millis;
use crate::port::Result;

/// Sizes that decide when files begin and end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    /// A checkpoint begins when the log since the last one has this size, bytes, or
    checkpoint_bytes: u64,
    /// is so many times as large as that one.
    checkpoint_growth: u64,
    /// A new segment begins when the last one has this size, bytes.
    segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { checkpoint_bytes: 64 << 20, checkpoint_growth: 2, segment_bytes: 64 << 20 }
    }
}

impl Options {
    fn checkpoint_at(&self, last_bytes: u64) -> u64 {
        self.checkpoint_bytes.max(last_bytes.saturating_mul(self.checkpoint_growth))
    }
}

/// Opens the store in a directory, which is made if it is not there (its parent must be). Blocks while it reads.
///
/// # Errors
/// A directory that cannot be used or is in use, damage, a newer version, or the disk's.
pub(super) fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Embedded> {
    let lock = directory::lock(dir)?;
    open_on(Arc::new(RealDisk::new(dir.to_owned())), dir, lock, clock, Options::default())
}

fn open_on(
    disk: Arc<dyn Disk>,
    dir: &Path,
    lock: DirectoryLock,
    clock: Arc<dyn Clock>,
    options: Options,
) -> Result<Embedded> {
    let files = Files::new(dir.to_owned(), disk);
    let Revived { queues, log, checkpoint_bytes } = revive(&files, clock.now())?;
    let shared = Arc::new(Shared::new(log.next_seq - 1));
    let committer = Committer::new(shared.clone(), log, files, queues.clone(), options, checkpoint_bytes);
    let journal = FileJournal::start(shared, committer, lock)?;
    Ok(Embedded::journaled("file", clock, queues, Arc::new(journal)))
}

/// The queues as they go on.
struct Revived {
    queues: Queues,
    log: Log,
    checkpoint_bytes: u64,
}

/// Reads all queues and takes back what dead workers held. When this returns, that is durable too.
fn revive(files: &Files, now: Millis) -> Result<Revived> {
    let Recovered { queues: restores, mut log, checkpoint_bytes } = recover(files)?;
    let mut pending = Pending::new(log.next_seq);
    let mut queues = BTreeMap::new();
    let mut rescued = 0;
    for (name, restore) in restores {
        let mut core = restore.build(name.clone(), now);
        rescued += core.rescue_all(now);
        pending.add(&mut core);
        queues.insert(name, Arc::new(Cell::new(core)));
    }
    while let Some(mut batch) = pending.take() {
        log.commit(&mut batch.block)?;
    }
    if rescued > 0 {
        tracing::info!(jobs = rescued, "jobs that ran when the store was last in use are waiting again");
    }
    Ok(Revived { queues: Arc::new(RwLock::new(queues)), log, checkpoint_bytes })
}
