//! The store's files by kind and number, on whatever disk, with errors that name them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::block::{BLOCK_HEADER, BlockHeader, BlockKind, FILE_HEADER, FileHeader, FileKind};
use super::disk::{Disk, DiskFile};
use crate::port::{Error, Result};

/// What a failed operation on a file means to the caller.
pub(super) fn storage_error(action: &'static str, path: &Path, source: io::Error) -> Error {
    let (path, source) = (path.to_owned(), Arc::new(source));
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::Full { path, source },
        _ => Error::Storage { action, path, source },
    }
}

/// The directory.
#[derive(Clone)]
pub(super) struct Files {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
}

impl Files {
    pub fn new(dir: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { dir, disk }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub fn corrupt(&self, name: &str, offset: u64, reason: impl Into<String>) -> Error {
        Error::Corrupt { path: self.path(name), offset, reason: reason.into() }
    }

    /// Makes an empty file.
    pub fn create(&self, name: String) -> Result<AppendFile> {
        let result = self.disk.create(&name);
        let file = result.map_err(|error| storage_error("create", &self.path(&name), error))?;
        Ok(AppendFile { files: self.clone(), name, file, salt: 0, len: 0 })
    }

    pub fn open(&self, name: &str) -> Result<Box<dyn DiskFile>> {
        self.disk.open(name).map_err(|error| storage_error("open", &self.path(name), error))
    }

    pub fn list(&self) -> Result<Vec<String>> {
        self.disk.list().map_err(|error| storage_error("list", &self.dir, error))
    }

    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.disk.rename(from, to).map_err(|error| storage_error("rename", &self.path(from), error))
    }

    pub fn remove(&self, name: &str) -> Result<()> {
        match self.disk.remove(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(storage_error("remove", &self.path(name), error))
            }
            _ => Ok(()),
        }
    }

    pub fn sync_dir(&self) -> Result<()> {
        self.disk.sync_dir().map_err(|error| storage_error("make durable", &self.dir, error))
    }

    /// Removes what a checkpoint has made superfluous: older checkpoints, and segments before the first one to replay.
    pub fn remove_older_than(&self, number: u64) -> Result<()> {
        for name in self.list()? {
            let kinds = [FileKind::Segment, FileKind::Checkpoint];
            if kinds.iter().any(|kind| kind.number(&name).is_some_and(|it| it < number)) {
                self.remove(&name)?;
            }
        }
        Ok(())
    }
}

/// A file that grows.
pub(super) struct AppendFile {
    files: Files,
    pub name: String,
    file: Box<dyn DiskFile>,
    salt: u64,
    /// How long it is.
    pub len: u64,
}

impl AppendFile {
    /// Goes on with a file that was read to its end.
    pub fn resume(files: Files, name: String, file: Box<dyn DiskFile>, salt: u64, len: u64) -> Self {
        Self { files, name, file, salt, len }
    }

    /// Writes the header of a file that is empty.
    pub fn append_header(&mut self, header: FileHeader) -> Result<()> {
        self.salt = header.salt;
        self.append(&header.encode())
    }

    /// Writes a block; the buffer holds its payload behind room for the header.
    pub fn append_block(&mut self, block: &mut [u8], kind: BlockKind, seq: u64) -> Result<()> {
        debug_assert!(block.len() >= BLOCK_HEADER && self.len >= FILE_HEADER as u64);
        BlockHeader::seal(block, kind, seq, self.salt);
        self.append(block)
    }

    fn append(&mut self, bytes: &[u8]) -> Result<()> {
        let result = self.file.append(bytes);
        result.map_err(|error| storage_error("write to", &self.files.path(&self.name), error))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    pub fn sync(&mut self) -> Result<()> {
        let result = self.file.sync();
        result.map_err(|error| storage_error("make durable", &self.files.path(&self.name), error))
    }

    pub fn truncate(&mut self, len: u64) -> Result<()> {
        let result = self.file.truncate(len);
        result.map_err(|error| storage_error("cut", &self.files.path(&self.name), error))?;
        self.len = len;
        Ok(())
    }
}
