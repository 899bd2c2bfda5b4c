//! The end of the log, where blocks are written.
//!
//! A block is written only after the one before it is durable. So a block that is not whole, with nothing after it, was never
//! acknowledged; one that anything follows was, and is damage if it cannot be read.

use super::block::{BLOCK_HEADER, BlockKind, FileHeader, FileKind};
use super::files::{AppendFile, Files};
use crate::port::{Error, Result};

/// The log.
pub(super) struct Log {
    files: Files,
    file: AppendFile,
    /// Number of the current segment.
    pub segment: u64,
    /// Sequence of the next block.
    pub next_seq: u64,
    /// Bytes in the segments before the current one that a checkpoint would make superfluous.
    older: u64,
    /// Whether the last block is followed by its seal.
    sealed: bool,
}

impl Log {
    /// Starts a segment. When this returns, the segment is sure to be found.
    ///
    /// # Errors
    /// The disk's.
    pub fn create(files: &Files, segment: u64, first_seq: u64, older: u64) -> Result<Self> {
        let file = files.create(FileKind::Segment.name(segment))?;
        let file = start_segment(files, file, segment, first_seq)?;
        Ok(Self { files: files.clone(), file, segment, next_seq: first_seq, older, sealed: true })
    }

    /// Goes on with a segment that was read to its end.
    pub fn resume(files: &Files, file: AppendFile, segment: u64, next_seq: u64, older: u64) -> Self {
        Self { files: files.clone(), file, segment, next_seq, older, sealed: false }
    }

    /// Writes a block of frames and makes it durable; the buffer holds them behind room for the header.
    ///
    /// # Errors
    /// The disk's. What is on it then is unknown, so nothing may be written after it: the log must be opened anew.
    pub fn commit(&mut self, block: &mut [u8]) -> Result<()> {
        self.file.append_block(block, BlockKind::Frames, self.next_seq)?;
        self.file.sync()?;
        self.next_seq += 1;
        self.sealed = false;
        Ok(())
    }

    /// Writes, before the log rests, that its last block is durable; see [`BlockKind::Seal`]. That need not be durable itself.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn seal(&mut self) -> Result<()> {
        if !self.sealed {
            self.file.append_block(&mut [0; BLOCK_HEADER], BlockKind::Seal, self.next_seq - 1)?;
            self.sealed = true;
        }
        Ok(())
    }

    /// Seals the log for good.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn finish(&mut self) -> Result<()> {
        self.seal()?;
        self.file.sync()
    }

    /// Goes on in a new segment; the old one is whole and durable to its last byte then. Says whether it did: where no file can be
    /// made (too many are open, say) the old one serves on.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn rotate(&mut self) -> Result<bool> {
        self.finish()?;
        let segment = self.segment + 1;
        let file = match self.files.create(FileKind::Segment.name(segment)) {
            Ok(file) => file,
            Err(error) => {
                tracing::warn!(%error, segment, "the log could not go on in a new file and goes on in the old one");
                return Ok(false);
            }
        };
        let file = start_segment(&self.files, file, segment, self.next_seq)?;
        self.older += self.file.len;
        self.file = file;
        self.segment = segment;
        Ok(true)
    }

    /// Bytes of the current segment.
    pub fn segment_bytes(&self) -> u64 {
        self.file.len
    }

    /// Bytes that a checkpoint would make superfluous.
    pub fn bytes(&self) -> u64 {
        self.older + self.file.len
    }

    /// Tells that a checkpoint has made superfluous what `bytes` were.
    pub fn forget(&mut self, bytes: u64) {
        self.older = self.older.saturating_sub(bytes);
    }
}

fn start_segment(files: &Files, mut file: AppendFile, segment: u64, first_seq: u64) -> Result<AppendFile> {
    file.append_header(FileHeader {
        kind: FileKind::Segment,
        number: segment,
        first_seq,
        salt: new_salt()?,
    })?;
    file.sync()?;
    files.sync_dir()?;
    Ok(file)
}

/// A salt that nobody can guess.
pub(super) fn new_salt() -> Result<u64> {
    getrandom::u64().map_err(|error| Error::Unreachable {
        reason: format!("the system gives no random numbers for the store's checksums: {error}"),
    })
}
