//! A checkpoint: everything that all queues hold, so that the log before it can go.
//!
//! It is fuzzy. The log goes on in a new segment first; then the queues are copied slice by slice while commands are carried out, so
//! a later slice shows later commands than an earlier one. Every such command stands in the new segment, and facts are absolute:
//! replaying the segment over the copy ends where the queues are. That holds only if the log is durable up to the last command that
//! the copy may show, which is waited for before the copy is published.
//!
//! Published means renamed from its temporary name after it was made durable. Until then, and if anything fails, the older
//! checkpoint and the whole log stay.

use std::sync::{Arc, PoisonError};

use super::block::{BLOCK_HEADER, BlockKind, FileHeader, FileKind};
use super::files::{AppendFile, Files};
use super::frame::encode_slice;
use super::log::new_salt;
use crate::backend::embedded::{Cell, Queues};
use crate::core::ExportCursor;
use crate::port::Result;

/// What marks a checkpoint that is not published.
pub(super) const TEMPORARY: &str = ".tmp";

/// Bytes after which the file is synced while it is written. One sync at the end would keep the log's own waiting for as long as all
/// of it takes.
const SYNC_EVERY: u64 = 8 << 20;

/// A checkpoint on its way.
pub(super) struct Checkpoint {
    files: Files,
    file: AppendFile,
    number: u64,
    cells: std::vec::IntoIter<Arc<Cell>>,
    /// The queue that is copied now, and how far.
    current: Option<(Arc<Cell>, ExportCursor)>,
    seq: u64,
    unsynced: u64,
    block: Vec<u8>,
}

impl Checkpoint {
    /// Starts a checkpoint that makes the segments before `segment` superfluous. Block `first_seq` is the first of that segment, and
    /// no command of it may have been carried out before the segment was begun.
    ///
    /// # Errors
    /// The disk's.
    pub fn begin(files: &Files, queues: &Queues, segment: u64, first_seq: u64) -> Result<Self> {
        let kind = FileKind::Checkpoint;
        let header = FileHeader { kind, number: segment, first_seq, salt: new_salt()? };
        let mut file = files.create(kind.name(segment) + TEMPORARY)?;
        file.append_header(header)?;
        // A queue that is made from now on stands in the log with all it holds.
        let cells: Vec<Arc<Cell>> =
            queues.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        Ok(Self {
            files: files.clone(),
            file,
            number: segment,
            cells: cells.into_iter(),
            current: None,
            seq: 0,
            unsynced: 0,
            block: Vec::new(),
        })
    }

    /// Copies the next slice. Says whether there was one.
    ///
    /// # Errors
    /// The disk's; the checkpoint must be abandoned.
    pub fn step(&mut self) -> Result<bool> {
        let Some((cell, cursor)) =
            self.current.take().or_else(|| Some((self.cells.next()?, ExportCursor::default())))
        else {
            return Ok(false);
        };
        self.block.clear();
        self.block.resize(BLOCK_HEADER, 0);
        let next = encode_slice(&mut self.block, &cell.lock(), &cursor);
        self.current = next.map(|cursor| (cell, cursor));
        self.seq += 1;
        self.file.append_block(&mut self.block, BlockKind::Frames, self.seq)?;
        self.unsynced += self.block.len() as u64;
        if self.unsynced >= SYNC_EVERY {
            self.unsynced = 0;
            self.file.sync()?;
        }
        Ok(true)
    }

    /// Publishes the checkpoint and removes what it makes superfluous. Returns its size, bytes.
    ///
    /// # Errors
    /// The disk's; the checkpoint may have been published or not.
    pub fn publish(mut self) -> Result<u64> {
        self.file.append_block(&mut [0; BLOCK_HEADER], BlockKind::End, self.seq + 1)?;
        self.file.sync()?;
        self.files.rename(&self.file.name, &FileKind::Checkpoint.name(self.number))?;
        self.files.sync_dir()?;
        if let Err(error) = self.files.remove_older_than(self.number) {
            // It costs space only, and the next checkpoint tries again.
            tracing::warn!(%error, "files that a checkpoint has made superfluous could not be removed");
        }
        Ok(self.file.len)
    }

    /// Leaves it, as far as the disk lets us; what stays is removed when the store is opened.
    pub fn abandon(self) {
        if let Err(error) = self.files.remove(&self.file.name) {
            tracing::debug!(%error, "an abandoned checkpoint could not be removed");
        }
    }
}
