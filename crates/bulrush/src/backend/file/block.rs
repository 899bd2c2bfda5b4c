//! What the files are made of: a file header, then blocks.
//!
//! ```text
//! file    magic 8 · version 4 · crc 4 · kind 4 · number 8 · first sequence 8 · salt 8 · crc 4
//! block   magic 4 · crc of the rest of the header 4 · crc of the payload 4 · kind 4 · sequence 8 · length 8 · payload
//! ```
//!
//! Numbers are little-endian, checksums CRC-32. The first 16 bytes of a file are the same in every version, so that an old program
//! can tell a newer store from a damaged one. The salt is random for each file and goes into every checksum of its blocks: bytes
//! inside a payload, whoever chose them, are never taken for a block.

use std::ops::Range;

use crc32fast::Hasher;

/// Bytes of a file's header.
pub(super) const FILE_HEADER: usize = 48;
/// Bytes of a block's header.
pub(super) const BLOCK_HEADER: usize = 32;
/// The format that this version writes and reads.
pub(super) const VERSION: u32 = 1;

const FILE_MAGIC: [u8; 8] = *b"bulrush\x1a";
/// No text in UTF-8 holds these bytes, so they are rare in payloads.
pub(super) const BLOCK_MAGIC: [u8; 4] = [0xb5, 0xf7, 0xc1, 0x9e];

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// A piece of the log.
    Segment,
    /// All queues, as the log left them before a segment.
    Checkpoint,
}

impl FileKind {
    fn code(self) -> u32 {
        match self {
            Self::Segment => 1,
            Self::Checkpoint => 2,
        }
    }

    /// The file's name. Numbers have a fixed width, so names sort like numbers.
    pub fn name(self, number: u64) -> String {
        match self {
            Self::Segment => format!("segment-{number:012}.log"),
            Self::Checkpoint => format!("checkpoint-{number:012}.log"),
        }
    }

    /// The number in a name that [`name`](Self::name) made.
    pub fn number(self, name: &str) -> Option<u64> {
        let stem = name.strip_prefix(match self {
            Self::Segment => "segment-",
            Self::Checkpoint => "checkpoint-",
        })?;
        let number = stem.strip_suffix(".log")?.parse().ok()?;
        (self.name(number) == name).then_some(number)
    }
}

/// The start of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub kind: FileKind,
    /// A segment's own number; the first segment to replay after a checkpoint.
    pub number: u64,
    /// Sequence of the first block of the segment, or of the first one that is not part of the checkpoint.
    pub first_seq: u64,
    pub salt: u64,
}

/// Why the start of a file is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// Another program's file, or a damaged one.
    Damaged(&'static str),
    /// A newer version wrote it.
    Newer(u32),
}

impl FileHeader {
    pub fn encode(&self) -> [u8; FILE_HEADER] {
        let mut out = [0; FILE_HEADER];
        put(&mut out, 0..8, &FILE_MAGIC);
        put(&mut out, 8..12, &VERSION.to_le_bytes());
        let crc = crc32fast::hash(&out[..12]);
        put(&mut out, 12..16, &crc.to_le_bytes());
        put(&mut out, 16..20, &self.kind.code().to_le_bytes());
        put(&mut out, 20..28, &self.number.to_le_bytes());
        put(&mut out, 28..36, &self.first_seq.to_le_bytes());
        put(&mut out, 36..44, &self.salt.to_le_bytes());
        let crc = crc32fast::hash(&out[..44]);
        put(&mut out, 44..48, &crc.to_le_bytes());
        out
    }

    /// The format of a file by its first bytes, whichever version wrote it.
    pub fn version(start: &[u8]) -> Result<u32, BadHeader> {
        let start: &[u8; 16] = start
            .get(..16)
            .and_then(|start| start.try_into().ok())
            .ok_or(BadHeader::Damaged("the file is shorter than its header"))?;
        if start[..8] != FILE_MAGIC {
            return Err(BadHeader::Damaged("it does not start like a file of this store"));
        }
        if u32_at(start, 12) != crc32fast::hash(&start[..12]) {
            return Err(BadHeader::Damaged("the file's header does not match its checksum"));
        }
        Ok(u32_at(start, 8))
    }

    /// Reads the header of the file that should be of this kind and number.
    pub fn decode(bytes: &[u8], kind: FileKind, number: u64) -> Result<Self, BadHeader> {
        let bytes: &[u8; FILE_HEADER] = bytes
            .get(..FILE_HEADER)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(BadHeader::Damaged("the file is shorter than its header"))?;
        let version = Self::version(bytes)?;
        if version > VERSION {
            return Err(BadHeader::Newer(version));
        }
        if u32_at(bytes, 44) != crc32fast::hash(&bytes[..44]) {
            return Err(BadHeader::Damaged("the file's header does not match its checksum"));
        }
        if u32_at(bytes, 16) != kind.code() || u64_at(bytes, 20) != number {
            return Err(BadHeader::Damaged("the file was renamed: its header says that it is another one"));
        }
        Ok(Self { kind, number, first_seq: u64_at(bytes, 28), salt: u64_at(bytes, 36) })
    }
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    /// Frames: of the log, one group commit; of a checkpoint, a slice of a queue.
    Frames,
    /// Empty, and of the sequence of the block before: written once that block was known to be durable. A log that ends without one
    /// may end in a block that was never acknowledged; before one, everything was.
    Seal,
    /// The end of a checkpoint.
    End,
}

/// The start of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHeader {
    pub kind: BlockKind,
    pub seq: u64,
    /// Bytes of payload.
    pub len: u64,
    payload_crc: u32,
}

impl BlockHeader {
    /// Makes a block of a buffer that holds the payload behind room for the header.
    pub fn seal(block: &mut [u8], kind: BlockKind, seq: u64, salt: u64) {
        let (header, payload) = block.split_at_mut(BLOCK_HEADER);
        let payload_crc = payload_crc(payload, seq, salt);
        let kind: u32 = match kind {
            BlockKind::Frames => 1,
            BlockKind::Seal => 2,
            BlockKind::End => 3,
        };
        put(header, 0..4, &BLOCK_MAGIC);
        put(header, 8..12, &payload_crc.to_le_bytes());
        put(header, 12..16, &kind.to_le_bytes());
        put(header, 16..24, &seq.to_le_bytes());
        put(header, 24..32, &(payload.len() as u64).to_le_bytes());
        let crc = salted(salt, &header[8..]);
        put(header, 4..8, &crc.to_le_bytes());
    }

    /// Reads the start of a block; none if there is no whole one.
    pub fn decode(bytes: &[u8], salt: u64) -> Option<Self> {
        let header: &[u8; BLOCK_HEADER] = bytes.get(..BLOCK_HEADER)?.try_into().ok()?;
        if header[..4] != BLOCK_MAGIC || u32_at(header, 4) != salted(salt, &header[8..]) {
            return None;
        }
        let kind = match u32_at(header, 12) {
            1 => BlockKind::Frames,
            2 => BlockKind::Seal,
            3 => BlockKind::End,
            _ => return None,
        };
        Some(Self { kind, seq: u64_at(header, 16), len: u64_at(header, 24), payload_crc: u32_at(header, 8) })
    }

    /// Whether this is the payload that was written.
    pub fn admits(&self, payload: &[u8], salt: u64) -> bool {
        payload.len() as u64 == self.len && payload_crc(payload, self.seq, salt) == self.payload_crc
    }
}

fn payload_crc(payload: &[u8], seq: u64, salt: u64) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&seq.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

fn salted(salt: u64, bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(bytes);
    hasher.finalize()
}

fn put(out: &mut [u8], at: Range<usize>, bytes: &[u8]) {
    out[at].copy_from_slice(bytes);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: FileHeader =
        FileHeader { kind: FileKind::Segment, number: 7, first_seq: 1 << 40, salt: 0x0123_4567_89ab_cdef };

    #[test]
    fn a_file_header_reads_back_and_each_flipped_bit_of_it_is_noticed() {
        let bytes = HEADER.encode();
        assert_eq!(FileHeader::decode(&bytes, FileKind::Segment, 7), Ok(HEADER));
        for bit in 0..FILE_HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            let read = FileHeader::decode(&flipped, FileKind::Segment, 7);
            assert!(matches!(read, Err(BadHeader::Damaged(_))), "bit {bit}: {read:?}");
        }
    }

    #[test]
    fn a_file_of_a_newer_version_is_told_apart_from_a_damaged_one() {
        let mut bytes = HEADER.encode();
        put(&mut bytes, 8..12, &(VERSION + 1).to_le_bytes());
        let crc = crc32fast::hash(&bytes[..12]);
        put(&mut bytes, 12..16, &crc.to_le_bytes());
        assert_eq!(FileHeader::decode(&bytes, FileKind::Segment, 7), Err(BadHeader::Newer(VERSION + 1)));
    }

    #[test]
    fn a_renamed_file_is_noticed() {
        let bytes = HEADER.encode();
        for (kind, number) in [(FileKind::Segment, 8), (FileKind::Checkpoint, 7)] {
            assert!(FileHeader::decode(&bytes, kind, number).is_err());
        }
    }

    #[test]
    fn each_flipped_bit_of_a_block_is_noticed() {
        let mut block = vec![0; BLOCK_HEADER];
        block.extend_from_slice(b"two frames");
        BlockHeader::seal(&mut block, BlockKind::Frames, 9, 1);
        let whole = |bytes: &[u8], salt| {
            BlockHeader::decode(bytes, salt).is_some_and(|it| it.admits(&bytes[BLOCK_HEADER..], salt))
        };
        assert!(whole(&block, 1));
        assert!(!whole(&block, 2), "the block of another file");
        for bit in 0..block.len() * 8 {
            let mut flipped = block.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!whole(&flipped, 1), "bit {bit}");
        }
    }

    #[test]
    fn names_tell_their_numbers_and_no_others() {
        let name = FileKind::Segment.name(42);
        assert_eq!(FileKind::Segment.number(&name), Some(42));
        assert_eq!(FileKind::Checkpoint.number(&name), None);
        for foreign in ["segment-42.log", "segment-000000000042.log.bak", "segment--00000000042.log", "lock"]
        {
            assert_eq!(FileKind::Segment.number(foreign), None, "{foreign}");
        }
    }
}
