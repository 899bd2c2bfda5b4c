//! Opening: the newest checkpoint, the segments after it, and what a crash left unfinished.
//!
//! Everything is read before anything is changed, so a store that cannot be read stays as it was found.

use std::collections::BTreeMap;

use super::block::FileKind;
use super::checkpoint::TEMPORARY;
use super::files::{AppendFile, Files};
use super::frame::decode_frames;
use super::log::Log;
use super::read::{SegmentEnd, read_checkpoint, read_segment};
use crate::core::Restore;
use crate::model::QueueName;
use crate::port::Result;

/// What was found.
pub(super) struct Recovered {
    pub queues: BTreeMap<QueueName, Restore>,
    pub log: Log,
    /// Size of the newest checkpoint, bytes; 0 without one.
    pub checkpoint_bytes: u64,
}

/// Reads the store, or makes an empty one. When this returns, all that was read is durable, whether it was acknowledged or not:
/// somebody may see it from now on.
///
/// # Errors
/// Damage, a newer version, or the disk's.
pub(super) fn recover(files: &Files) -> Result<Recovered> {
    let names = files.list()?;
    let numbers = |kind: FileKind| {
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| kind.number(name)).collect();
        numbers.sort_unstable();
        numbers
    };
    let mut queues = BTreeMap::new();
    let mut take = |payload: &[u8]| decode_frames(payload, &mut queues);

    let checkpoint = numbers(FileKind::Checkpoint).last().copied();
    let (first, mut expected, checkpoint_bytes) = match checkpoint {
        Some(number) => {
            let (first_seq, bytes) = read_checkpoint(files, number, &mut take)?;
            (number, first_seq, bytes)
        }
        None => (1, 1, 0),
    };
    let mut segments = numbers(FileKind::Segment);
    segments.retain(|number| *number >= first);
    check_complete(files, first, &segments, checkpoint.is_some())?;

    let mut older = 0;
    let mut end = None;
    for (at, number) in segments.iter().enumerate() {
        let is_last = at + 1 == segments.len();
        let found = read_segment(files, *number, &mut expected, is_last, &mut take)?;
        if !is_last {
            older += found.as_ref().map_or(0, |end| end.good);
        }
        end = found.map(|end| (*number, end));
    }

    for name in names.iter().filter(|name| is_temporary(name)) {
        files.remove(name)?;
    }
    let log = match end {
        Some((number, end)) => resume(files, number, end, expected, older)?,
        // There is none, or the last one was never finished being made.
        None => Log::create(files, segments.last().copied().unwrap_or(first), expected, older)?,
    };
    // A checkpoint that was renamed by a process that died must not be un-renamed by a power cut once older files are removed.
    files.sync_dir()?;
    if checkpoint.is_some() {
        files.remove_older_than(first)?;
    }
    Ok(Recovered { queues, log, checkpoint_bytes })
}

/// Checks that no segment is missing. The last ones cannot be missed by number; the first block of each says what it follows.
fn check_complete(files: &Files, first: u64, segments: &[u64], must_exist: bool) -> Result<()> {
    let missing = if segments.is_empty() { must_exist.then_some(first) } else { None };
    let gap = segments.iter().zip(first..).find(|(number, expected)| **number != *expected);
    match missing.or(gap.map(|(_, expected)| expected)) {
        Some(number) => {
            let reason = "the file is missing, and what others hold builds upon it";
            Err(files.corrupt(&FileKind::Segment.name(number), 0, reason))
        }
        None => Ok(()),
    }
}

fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY).is_some_and(|name| FileKind::Checkpoint.number(name).is_some())
}

fn resume(files: &Files, number: u64, end: SegmentEnd, next_seq: u64, older: u64) -> Result<Log> {
    let name = FileKind::Segment.name(number);
    let path = files.path(&name);
    let SegmentEnd { file, salt, good, torn } = end;
    let mut file = AppendFile::resume(files.clone(), name, file, salt, good);
    if torn > 0 {
        tracing::warn!(
            path = %path.display(),
            offset = good,
            bytes = torn,
            "the log ended in an unfinished write, as a crash leaves it: dropped, for it was never acknowledged"
        );
        file.truncate(good)?;
    }
    file.sync()?;
    Ok(Log::resume(files, file, number, next_seq, older))
}
