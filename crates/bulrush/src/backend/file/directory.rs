//! The store's directory: made if it is not there, and locked against a second process.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use super::files::storage_error;
use crate::port::{Error, Result};

/// The file whose lock stands for the directory. It stays empty, and stays there: removing it would let two processes lock two files
/// of one name.
pub(super) const LOCK: &str = "lock";

/// Holds the directory until it is dropped, or the process ends in whatever way: the lock belongs to the open file.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

/// Makes the directory, for its owner alone, and locks it.
///
/// # Errors
/// A parent that is not there, a path that is no directory, one that cannot be written, or one that is in use.
pub(super) fn lock(dir: &Path) -> Result<DirectoryLock> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => {
            let why = "it is a file, and a store is a directory: give another path";
            return Err(storage_error("use", dir, io::Error::new(io::ErrorKind::NotADirectory, why)));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(dir)?,
        Err(error) => return Err(storage_error("look at", dir, error)),
    }
    let path = dir.join(LOCK);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(|error| storage_error("write to", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(DirectoryLock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(Error::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(storage_error("lock", &path, error)),
    }
}

fn make(dir: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(dir) {
        Ok(()) => {}
        // Another process was faster; who gets the lock is decided below.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let why = "its parent directory is not there: make it first, or check the path";
            return Err(storage_error("create", dir, io::Error::new(io::ErrorKind::NotFound, why)));
        }
        Err(error) => return Err(storage_error("create", dir, error)),
    }
    // The new directory itself must outlive a power cut.
    #[cfg(unix)]
    if let Some(parent) = dir.parent() {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        File::open(parent)
            .and_then(|parent| parent.sync_all())
            .map_err(|error| storage_error("make durable", dir, error))?;
    }
    Ok(())
}
