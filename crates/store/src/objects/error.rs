//! What can go wrong with objects.

use std::error::Error;
use std::io;
use std::path::PathBuf;

/// An object was not stored or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObjectError {
    /// The folder cannot be used.
    #[error("the folder for files {} cannot be used; choose one that this user may write to", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The folder is the root of the file system, perhaps behind a link.
    #[error("the folder for files {} is the root of the file system; choose one of its own", path.display())]
    RootFolder {
        /// The folder as it was given.
        path: PathBuf,
    },
    /// The place is not one that this build can use. The text holds nothing of a place that may hold a secret.
    #[error("the place for files cannot be used: {reason}")]
    Place {
        /// What is wrong and what is accepted.
        reason: String,
    },
    /// There is no such bucket.
    #[error(
        "there is no bucket {bucket:?} where files are to be kept; make it, or correct its name, region or endpoint"
    )]
    NoBucket {
        /// Its name.
        bucket: String,
    },
    /// The bucket does not let this program in.
    #[error(
        "the bucket {bucket:?} refuses access; check the keys, and that they may list, get, put and delete in it"
    )]
    Denied {
        /// Its name.
        bucket: String,
        /// What it said.
        #[source]
        source: object_store::Error,
    },
    /// The bucket did not answer, or not as it should.
    #[error("the bucket {bucket:?} does not answer as it should; is it reachable from here?")]
    Bucket {
        /// Its name.
        bucket: String,
        /// What happened.
        #[source]
        source: object_store::Error,
    },
    /// The bytes are more than was allowed. Nothing was stored.
    #[error("the file is larger than {limit} bytes")]
    TooLarge {
        /// How many were allowed.
        limit: u64,
    },
    /// The bytes stopped coming: whoever sent them failed. Nothing was stored.
    #[error("the file's bytes stopped coming before its end")]
    Source(#[source] Box<dyn Error + Send + Sync>),
    /// There is no such object.
    #[error("there is no object {key:?}")]
    NotFound {
        /// Its key.
        key: String,
    },
    /// The object does not have the bytes that were asked for.
    #[error("the object has {size} bytes, none of those that were asked for")]
    NoSuchRange {
        /// How many it has.
        size: u64,
    },
    /// A key that no object can have.
    #[error("{key:?} is no key of an object; keys are made by put")]
    BadKey {
        /// The key, cut to 100 characters.
        key: String,
    },
    /// The operating system gave no random bytes for a name.
    #[error("the operating system gave no random bytes")]
    Randomness,
    /// The program is being torn down.
    #[error("the program is stopping; the file was not stored")]
    Stopping,
    /// The disk did not do what it was asked to: it may be full.
    #[error("the folder for files could not be read or written; is its disk full?")]
    Disk(#[source] object_store::Error),
}

impl ObjectError {
    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Source(_) | Self::Randomness | Self::Disk(_) | Self::Bucket { .. } | Self::Stopping
        )
    }

    pub(super) fn bad_key(key: &str) -> Self {
        Self::BadKey { key: key.chars().take(100).collect() }
    }
}
