//! A look at a store from outside, which changes nothing and may come while another process has it open.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::Path;

use super::block::{BadHeader, FileHeader, FileKind, VERSION};
use super::directory::LOCK;
use super::files::storage_error;
use crate::port::{Error, Result};

/// What a store looks like from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileLook {
    /// Another process has it open.
    pub in_use: bool,
    /// Its newest file's format; none while the store is empty.
    pub format: Option<u32>,
    /// The newest format that this version reads.
    pub format_known: u32,
    /// How many segments and checkpoints it has.
    pub files: usize,
    /// Their size, bytes.
    pub bytes: u64,
}

/// Looks at the store in a directory. Only the start of its newest file is read; whether all is whole shows when the store is opened.
///
/// # Errors
/// A directory that cannot be read, and a newest file that is not one of a store.
pub fn look(dir: &Path) -> Result<FileLook> {
    let mut found =
        FileLook { in_use: in_use(dir)?, format: None, format_known: VERSION, files: 0, bytes: 0 };
    let mut newest: Option<(u64, String)> = None;
    for entry in fs::read_dir(dir).map_err(|error| storage_error("list", dir, error))? {
        let entry = entry.map_err(|error| storage_error("list", dir, error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kinds = [FileKind::Segment, FileKind::Checkpoint];
        let Some(number) = kinds.into_iter().find_map(|kind| kind.number(&name)) else { continue };
        match entry.metadata() {
            Ok(metadata) => {
                found.files += 1;
                found.bytes += metadata.len();
                newest = newest.max(Some((number, name)));
            }
            // Whoever has the store open may remove what a checkpoint has replaced.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(storage_error("look at", &entry.path(), error)),
        }
    }
    if let Some((_, name)) = newest {
        found.format = format(&dir.join(name))?;
    }
    Ok(found)
}

/// Whether a process holds the directory. A shared lock is asked for and let go of at once, for no lock tells its holder otherwise.
fn in_use(dir: &Path) -> Result<bool> {
    let path = dir.join(LOCK);
    match File::open(&path) {
        Ok(file) => match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(storage_error("lock", &path, error)),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(storage_error("look at", &path, error)),
    }
}

/// A file's format; none if a crash left it before its header was written, or if it has gone.
fn format(path: &Path) -> Result<Option<u32>> {
    let mut start = Vec::with_capacity(16);
    match File::open(path).and_then(|file| file.take(16).read_to_end(&mut start)) {
        Ok(16) => {}
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(storage_error("read", path, error)),
    }
    match FileHeader::version(&start) {
        Ok(version) | Err(BadHeader::Newer(version)) => Ok(Some(version)),
        Err(BadHeader::Damaged(reason)) => {
            Err(Error::Corrupt { path: path.to_owned(), offset: 0, reason: reason.to_owned() })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;

    #[tokio::test]
    async fn a_look_tells_the_format_and_who_has_the_store_and_changes_nothing() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let dir = folder.path().join("store");
        assert!(matches!(look(&dir), Err(Error::Storage { .. })), "a store that is not there is not made");
        fs::create_dir(&dir).expect("it can be made");
        let empty = look(&dir).expect("it can be looked at");
        assert_eq!((empty.in_use, empty.format, empty.files), (false, None, 0));
        assert_eq!(fs::read_dir(&dir).expect("it can be listed").count(), 0);

        let store = super::super::open(&dir, Arc::new(SystemClock)).expect("it can be opened");
        let open = look(&dir).expect("it can be looked at");
        assert_eq!((open.in_use, open.format, open.files), (true, Some(VERSION), 1));
        crate::port::Backend::close(&store).await.expect("it can be closed");
        drop(store);
        assert!(!look(&dir).expect("it can be looked at").in_use);
    }

    #[test]
    fn a_newer_format_is_told_and_a_strange_file_refused() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(FileKind::Segment.name(1));
        let mut header = FileHeader { kind: FileKind::Segment, number: 1, first_seq: 1, salt: 0 }.encode();
        header[8..12].copy_from_slice(&9_u32.to_le_bytes());
        let crc = crc32fast::hash(&header[..12]);
        header[12..16].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, header).expect("it can be written");
        assert_eq!(look(folder.path()).expect("it can be looked at").format, Some(9));
        fs::write(&path, b"another program's file").expect("it can be written");
        assert!(matches!(look(folder.path()), Err(Error::Corrupt { .. })));
        fs::write(&path, b"torn").expect("it can be written");
        assert_eq!(look(folder.path()).expect("it can be looked at").format, None);
    }
}
