//! Keys that a single server makes for itself and keeps in its data folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::{Secret, hex};

/// Shortest key: as long as the output of SHA-256, which is what RFC 7518 asks of an HS256 key.
pub const KEY_BYTES_MIN: usize = 32;

/// A key in a file that only its owner may read.
#[derive(Debug)]
pub struct KeyFile;

/// A key could not be read or made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file cannot be read or written.
    #[error("the key file {} cannot be {action}; check that it is a file of this user", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `made`.
        action: &'static str,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// What is in the file is no key.
    #[error(
        "the key file {} holds {found} bytes and at least {KEY_BYTES_MIN} are needed; restore it, or remove it to get a new key \
         (what the old one signed or sealed is then void)", path.display()
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Bytes found.
        found: usize,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes for a new key")]
    Randomness,
}

impl KeyFile {
    /// The key in `path`; made, from 32 random bytes and readable by its owner alone, if there is none.
    ///
    /// Two processes that start at once end up with the same key: the file appears whole, and only if it was not there.
    ///
    /// # Errors
    /// [`KeyFileError`] says what is wrong with the file; a file that is no key is left as it is.
    pub fn load_or_create(path: &Path) -> Result<Secret, KeyFileError> {
        match Self::load(path) {
            Err(KeyFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        let failed = |source| KeyFileError::Io { path: path.to_owned(), action: "made", source };
        let mut random = [0_u8; 32];
        getrandom::fill(&mut random).map_err(|_| KeyFileError::Randomness)?;
        let text = hex::encode(&random);
        let mut suffix = [0_u8; 8];
        getrandom::fill(&mut suffix).map_err(|_| KeyFileError::Randomness)?;
        let draft = path.with_extension(format!("new-{:016x}", u64::from_ne_bytes(suffix)));
        let made = write_private(&draft, &text).and_then(|()| match std::fs::hard_link(&draft, path) {
            // Somebody else was faster; theirs is the key.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        });
        let removed = std::fs::remove_file(&draft);
        made.and(removed).map_err(failed)?;
        Self::load(path)
    }

    /// The key in `path`.
    ///
    /// # Errors
    /// As [`load_or_create`](Self::load_or_create), and if there is no file.
    pub fn load(path: &Path) -> Result<Secret, KeyFileError> {
        let text = std::fs::read_to_string(path).map_err(|source| KeyFileError::Io {
            path: path.to_owned(),
            action: "read",
            source,
        })?;
        let text = text.trim_end();
        if text.len() < KEY_BYTES_MIN {
            return Err(KeyFileError::TooShort { path: path.to_owned(), found: text.len() });
        }
        warn_if_others_may_read(path);
        Ok(Secret::new(text))
    }
}

fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file: File = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn warn_if_others_may_read(path: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if let Ok(meta) = std::fs::metadata(path)
            && meta.permissions().mode() & 0o077 != 0
        {
            tracing::warn!(path = %path.display(), "others may read this key file; run chmod 600 on it");
        }
    }
    #[cfg(not(unix))]
    let _ = path;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        let keys: Vec<Secret> = std::thread::scope(|scope| {
            let starts: Vec<_> =
                (0..8).map(|_| scope.spawn(|| KeyFile::load_or_create(&path).expect("a key"))).collect();
            starts.into_iter().map(|start| start.join().expect("no panic")).collect()
        });
        assert!(keys.iter().all(|key| key == &keys[0] && key.expose().len() == 64));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "drafts are removed");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.key");
        std::fs::write(&path, "changeme\n").unwrap();
        let error = KeyFile::load_or_create(&path).unwrap_err().to_string();
        assert!(error.contains("8 bytes") && !error.contains("changeme"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "changeme\n");
        assert!(KeyFile::load_or_create(folder.path()).is_err(), "a folder is no key file");
    }
}
