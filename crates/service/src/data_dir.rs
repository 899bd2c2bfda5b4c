//! The folder in which a single server keeps everything: `serve --data DIR`.

use std::io;
use std::path::{Path, PathBuf};

use crate::{KeyFile, KeyFileError, Secret};

/// Where a single server's parts lie. One place knows the names, so that `serve` and `token new` agree.
#[derive(Debug, Clone)]
pub struct DataDir(PathBuf);

/// The folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the data folder {} cannot be used; choose one that this user may write to", path.display())]
pub struct DataDirError {
    /// The folder.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

impl DataDir {
    /// The folder, made for its owner alone if it is not there.
    ///
    /// # Errors
    /// [`DataDirError`] if it cannot be made or is no folder.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DataDirError> {
        let path = path.into();
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::DirBuilderExt as _;
            builder.mode(0o700);
        }
        match builder.create(&path).and_then(|()| path.canonicalize()) {
            Ok(real) => Ok(Self(real)),
            Err(source) => Err(DataDirError { path, source }),
        }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Address of the engine's store.
    pub fn engine_url(&self) -> String {
        format!("file:{}", self.0.join("engine").display())
    }

    /// Address of the database.
    pub fn database_url(&self) -> String {
        format!("sqlite:{}", self.0.join("bulrush.db").display())
    }

    /// Folder of uploaded and made files.
    pub fn files(&self) -> PathBuf {
        self.0.join("files")
    }

    /// The secret that signs bearer tokens, made at the first call.
    ///
    /// # Errors
    /// As [`KeyFile::load_or_create`].
    pub fn token_secret(&self) -> Result<Secret, KeyFileError> {
        KeyFile::load_or_create(&self.0.join("token.key"))
    }

    /// The key that seals secrets in payloads, made at the first call. It is not the token's: a worker that opens secrets must not be
    /// able to make tokens.
    ///
    /// # Errors
    /// As [`KeyFile::load_or_create`].
    pub fn seal_key(&self) -> Result<Secret, KeyFileError> {
        KeyFile::load_or_create(&self.0.join("seal.key"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_made_and_its_keys_stay_and_differ() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::open(folder.path().join("a/b")).unwrap();
        let again = DataDir::open(folder.path().join("a/b")).unwrap();
        assert_eq!(data.token_secret().unwrap(), again.token_secret().unwrap());
        assert_ne!(data.token_secret().unwrap(), data.seal_key().unwrap());
        std::fs::write(folder.path().join("file"), "x").unwrap();
        assert!(DataDir::open(folder.path().join("file")).is_err());
    }
}
