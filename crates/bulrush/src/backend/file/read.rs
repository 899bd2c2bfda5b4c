//! Reading files block by block, and telling an unfinished end from damage.

use std::io;

use super::block::{
    BLOCK_HEADER, BLOCK_MAGIC, BadHeader, BlockHeader, BlockKind, FILE_HEADER, FileHeader, FileKind, VERSION,
};
use super::disk::DiskFile;
use super::files::{Files, storage_error};
use crate::model::codec::DecodeError;
use crate::port::{Error, Result};

/// Bytes read at once.
const READ: usize = 1 << 20;

/// Takes the payloads of blocks, in order.
pub(super) trait TakeFrames: FnMut(&[u8]) -> Result<(), DecodeError> {}
impl<F: FnMut(&[u8]) -> Result<(), DecodeError>> TakeFrames for F {}

/// A file that is read from its start to its end.
pub(super) struct BlockReader<'a> {
    files: &'a Files,
    name: String,
    file: Box<dyn DiskFile>,
    len: u64,
    salt: u64,
    /// Where in the file the buffered bytes stand.
    start: u64,
    buffer: Vec<u8>,
}

/// What a segment ends in.
pub(super) struct SegmentEnd {
    pub file: Box<dyn DiskFile>,
    pub salt: u64,
    /// Where its last whole block ends.
    pub good: u64,
    /// Bytes after that.
    pub torn: u64,
}

/// What follows a place where no whole block stands.
enum Later {
    /// The block that is expected next: what is damaged was but a seal.
    Next(u64),
    /// Proof that the block that is expected next was durable.
    Proof,
    Nothing,
}

impl<'a> BlockReader<'a> {
    fn open(files: &'a Files, name: String) -> Result<Self> {
        let file = files.open(&name)?;
        let len = file.len().map_err(|error| storage_error("look at", &files.path(&name), error))?;
        Ok(Self { files, name, file, len, salt: 0, start: 0, buffer: Vec::new() })
    }

    /// Up to `n` bytes from an offset on, fewer where the file ends.
    fn view(&mut self, at: u64, n: usize) -> Result<&[u8]> {
        let n = usize::try_from(self.len.saturating_sub(at)).unwrap_or(usize::MAX).min(n);
        let buffered = self.start..self.start + self.buffer.len() as u64;
        if !(buffered.contains(&at) && at + n as u64 <= buffered.end) {
            let want = usize::try_from(self.len - at).unwrap_or(usize::MAX).min(n.max(READ));
            self.buffer.resize(want, 0);
            let read = self.file.read_at(at, &mut self.buffer).and_then(|read| {
                if read == want { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
            });
            read.map_err(|error| storage_error("read", &self.files.path(&self.name), error))?;
            self.start = at;
        }
        let from = (at - self.start) as usize;
        Ok(&self.buffer[from..from + n])
    }

    fn corrupt(&self, offset: u64, reason: impl Into<String>) -> Error {
        self.files.corrupt(&self.name, offset, reason)
    }

    fn bad_header(&self, bad: BadHeader) -> Error {
        match bad {
            BadHeader::Damaged(reason) => self.corrupt(0, reason),
            BadHeader::Newer(found) => self.newer(found),
        }
    }

    fn newer(&self, found: u32) -> Error {
        Error::Newer { path: self.files.path(&self.name), found, known: VERSION }
    }

    /// The block at an offset, if a whole one stands there.
    fn block(&mut self, at: u64) -> Result<Option<BlockHeader>> {
        let salt = self.salt;
        let Some(header) = BlockHeader::decode(self.view(at, BLOCK_HEADER)?, salt) else { return Ok(None) };
        let payload = at + BLOCK_HEADER as u64;
        let fits = header.len <= self.len - payload;
        let whole = fits && header.admits(self.view(payload, header.len as usize)?, salt);
        Ok(whole.then_some(header))
    }

    fn take_frames(&mut self, at: u64, header: BlockHeader, take: &mut impl TakeFrames) -> Result<()> {
        let payload = self.view(at + BLOCK_HEADER as u64, header.len as usize)?;
        match take(payload) {
            Ok(()) => Ok(()),
            Err(DecodeError::Version(found)) => Err(self.newer(u32::from(found))),
            Err(error) => {
                Err(self.corrupt(at, format!("block {} cannot be understood: {error}", header.seq)))
            }
        }
    }

    /// Looks for what follows a place where no whole block stands. The start of a block is enough: whatever began to be written
    /// after the expected block proves that that one was durable.
    fn later(&mut self, from: u64, expected: u64) -> Result<Later> {
        let salt = self.salt;
        let mut at = from;
        while at < self.len {
            let window = self.view(at, READ)?;
            let Some(found) = window.windows(BLOCK_MAGIC.len()).position(|bytes| *bytes == BLOCK_MAGIC)
            else {
                // The magic may stand across the window's end.
                at += (window.len().max(BLOCK_MAGIC.len()) - (BLOCK_MAGIC.len() - 1)) as u64;
                continue;
            };
            at += found as u64;
            match BlockHeader::decode(self.view(at, BLOCK_HEADER)?, salt) {
                Some(it) if it.kind == BlockKind::Frames && it.seq == expected => return Ok(Later::Next(at)),
                Some(it) if it.seq >= expected => return Ok(Later::Proof),
                _ => at += 1,
            }
        }
        Ok(Later::Nothing)
    }
}

/// Reads a segment and takes its frames, `expected` being the sequence of its first block, and then of the first one after it.
/// Returns none for the last segment if it was never finished being made.
///
/// # Errors
/// Damage, a newer version, or the disk's.
pub(super) fn read_segment(
    files: &Files,
    number: u64,
    expected: &mut u64,
    is_last: bool,
    take: &mut impl TakeFrames,
) -> Result<Option<SegmentEnd>> {
    let mut reader = BlockReader::open(files, FileKind::Segment.name(number))?;
    let header = match FileHeader::decode(reader.view(0, FILE_HEADER)?, FileKind::Segment, number) {
        Ok(header) => header,
        // The header is durable before anything else is written.
        Err(BadHeader::Damaged(_)) if is_last && reader.len <= FILE_HEADER as u64 => return Ok(None),
        Err(bad) => return Err(reader.bad_header(bad)),
    };
    if header.first_seq != *expected {
        let reason = format!(
            "the file starts with block {}, but block {expected} comes next: files are missing, or of different ages",
            header.first_seq
        );
        return Err(reader.corrupt(0, reason));
    }
    reader.salt = header.salt;
    let mut at = FILE_HEADER as u64;
    let mut good = at;
    while at < reader.len {
        let Some(block) = reader.block(at)? else {
            match reader.later(at + 1, *expected)? {
                Later::Next(offset) => at = offset,
                Later::Nothing if is_last => break,
                _ => {
                    let reason = format!("block {expected} was acknowledged and cannot be read");
                    return Err(reader.corrupt(at, reason));
                }
            }
            continue;
        };
        match block.kind {
            BlockKind::Frames if block.seq == *expected => {
                reader.take_frames(at, block, take)?;
                *expected += 1;
            }
            BlockKind::Seal if block.seq + 1 == *expected => {}
            _ => {
                let reason = format!("block {} stands where block {expected} should", block.seq);
                return Err(reader.corrupt(at, reason));
            }
        }
        at += BLOCK_HEADER as u64 + block.len;
        good = at;
    }
    let torn = reader.len - good;
    Ok(Some(SegmentEnd { file: reader.file, salt: header.salt, good, torn }))
}

/// Reads a published checkpoint and takes its frames. Returns the sequence of the first block to replay after it, and its size.
///
/// # Errors
/// As [`read_segment`]; anything that is not whole is damage, for it was durable before it was published.
pub(super) fn read_checkpoint(files: &Files, number: u64, take: &mut impl TakeFrames) -> Result<(u64, u64)> {
    let mut reader = BlockReader::open(files, FileKind::Checkpoint.name(number))?;
    let header = FileHeader::decode(reader.view(0, FILE_HEADER)?, FileKind::Checkpoint, number);
    let header = header.map_err(|bad| reader.bad_header(bad))?;
    reader.salt = header.salt;
    let mut at = FILE_HEADER as u64;
    for seq in 1.. {
        let block = reader.block(at)?.filter(|block| block.seq == seq);
        let end = at + BLOCK_HEADER as u64 + block.map_or(0, |block| block.len);
        match block.map(|block| (block, block.kind)) {
            Some((block, BlockKind::Frames)) => reader.take_frames(at, block, take)?,
            Some((_, BlockKind::End)) if end == reader.len => break,
            _ => return Err(reader.corrupt(at, format!("block {seq} of the checkpoint cannot be read"))),
        }
        at = end;
    }
    Ok((header.first_seq, reader.len))
}
