//! What has been carried out and is not yet written: the frames of the next block.

use std::collections::VecDeque;

use super::block::BLOCK_HEADER;
use super::frame::encode_changes;
use crate::core::Core;

/// A block that is full: commands after it go into the next one. One write should not take for ever, nor one buffer all memory.
const BATCH_BYTES: usize = 16 << 20;
/// A buffer that has grown larger than this is not kept for the next block.
const KEEP_BYTES: usize = 4 << 20;

/// The frames of one block, behind room for its header.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub seq: u64,
    pub block: Vec<u8>,
}

/// Blocks that wait to be written, in order.
#[derive(Debug)]
pub(super) struct Pending {
    full: VecDeque<Batch>,
    /// The last of them, which takes frames; it has none while its buffer is empty.
    open: Batch,
    spare: Vec<u8>,
}

impl Pending {
    /// Nothing waits, and the next block has this sequence.
    pub fn new(seq: u64) -> Self {
        Self { full: VecDeque::new(), open: Batch { seq, block: Vec::new() }, spare: Vec::new() }
    }

    /// Takes what the queue's last command changed. Says whether that was anything.
    pub fn add(&mut self, core: &mut Core) -> bool {
        if self.open.block.len() >= BATCH_BYTES {
            let next = Batch { seq: self.open.seq + 1, block: Vec::new() };
            self.full.push_back(std::mem::replace(&mut self.open, next));
        }
        let block = &mut self.open.block;
        let was = block.len();
        block.resize(was.max(BLOCK_HEADER), 0);
        let told = encode_changes(block, core);
        if !told {
            block.truncate(was);
        }
        told
    }

    /// The last block that holds anything, written or not.
    pub fn last_seq(&self) -> u64 {
        if self.open.block.is_empty() { self.open.seq - 1 } else { self.open.seq }
    }

    /// The next block to write.
    pub fn take(&mut self) -> Option<Batch> {
        if let Some(batch) = self.full.pop_front() {
            return Some(batch);
        }
        if self.open.block.is_empty() {
            return None;
        }
        let next = Batch { seq: self.open.seq + 1, block: std::mem::take(&mut self.spare) };
        Some(std::mem::replace(&mut self.open, next))
    }

    /// Gives a written block's buffer back.
    pub fn recycle(&mut self, mut block: Vec<u8>) {
        if block.capacity() <= KEEP_BYTES {
            block.clear();
            self.spare = block;
        }
    }
}
