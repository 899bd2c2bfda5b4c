//! The bytes of files: uploads and what jobs make, on the local disk (through `object_store`, so that a bucket can take its place).
//!
//! An object appears whole or not at all: it is written beside its place and moved there when its last byte is on the disk. Its
//! name is of our own making, so nothing that a client says ever becomes part of a path.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::{GetResultPayload, MultipartUpload, ObjectStore, ObjectStoreExt as _, PutPayload};
use sha2::{Digest, Sha256};
use tokio::io::AsyncRead;
use tokio_util::io::ReaderStream;

use crate::ids::{hex, random_hex};

/// The bytes of an object, in order, in pieces of at most 256 KiB.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Bytes gathered before they are handed to the disk. All that an upload holds in memory, whatever its size.
const PART_BYTES: usize = 1 << 20;
/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;
/// A started object that nothing was written to for so long has no writer any more: a client that sends nothing is cut off
/// after minutes. Younger ones may belong to another process on the same folder.
const ABANDONED_AFTER: Duration = Duration::from_hours(1);

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
    /// A key that no object can have.
    #[error("{key:?} is no key of an object; keys are made by put")]
    BadKey {
        /// The key, cut to 100 characters.
        key: String,
    },
    /// The operating system gave no random bytes for a name.
    #[error("the operating system gave no random bytes")]
    Randomness,
    /// The disk did not do what it was asked to: it may be full.
    #[error("the folder for files could not be read or written; is its disk full?")]
    Disk(#[source] object_store::Error),
}

impl ObjectError {
    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Randomness | Self::Disk(_))
    }

    fn bad_key(key: &str) -> Self {
        Self::BadKey { key: key.chars().take(100).collect() }
    }
}

/// What an object is for: the first part of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Area {
    /// What clients sent.
    Uploads,
    /// What jobs made for clients to fetch: exports, reports, lists of errors.
    Outputs,
}

impl Area {
    const ALL: [Self; 2] = [Self::Uploads, Self::Outputs];

    fn as_str(self) -> &'static str {
        match self {
            Self::Uploads => "uploads",
            Self::Outputs => "outputs",
        }
    }
}

/// An object that was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// Its key, for [`Objects::get`] and [`Objects::delete`]. Not for clients.
    pub key: String,
    /// Its bytes.
    pub size: u64,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// A handle to the folder of objects. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
}

impl Objects {
    /// Opens the folder `root`, making it if it is not there, and sweeps what writers that died left half written.
    ///
    /// # Errors
    /// [`ObjectError::Folder`] if it cannot be written to, [`ObjectError::RootFolder`] if it is `/`.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, ObjectError> {
        let root = root.into();
        let wrap = |path: PathBuf| move |source| ObjectError::Folder { path, source };
        let prepared = {
            let root = root.clone();
            tokio::task::spawn_blocking(move || prepare(&root))
        };
        let real = prepared.await.map_err(|error| wrap(root.clone())(io::Error::other(error)))?;
        let Some(real) = real.map_err(wrap(root.clone()))? else {
            return Err(ObjectError::RootFolder { path: root });
        };
        // Flushed before it is moved to its place, and the folder after: a row that names the object is written later, and
        // must not outlive it in a loss of power.
        let local = LocalFileSystem::new_with_prefix(&real).map_err(ObjectError::Disk)?.with_fsync(true);
        Ok(Self { store: Arc::new(local) })
    }

    /// Stores the bytes of `stream` under a new key, computing their size and checksum on the way. If the stream fails or goes
    /// on after `limit` bytes, or this call is dropped, nothing is stored.
    ///
    /// # Errors
    /// [`ObjectError::TooLarge`] as soon as there is one byte too many; [`ObjectError::Source`] if the stream fails.
    pub async fn put<S, E>(&self, area: Area, stream: S, limit: u64) -> Result<StoredObject, ObjectError>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let name = random_hex().map_err(|_| ObjectError::Randomness)?;
        // Folders of 256 parts keep each small.
        let key = format!("{}/{}/{name}", area.as_str(), &name[..2]);
        let mut upload = self.store.put_multipart(&location(&key)?).await.map_err(ObjectError::Disk)?;
        match send(upload.as_mut(), stream, limit).await {
            Ok((size, sha256)) => Ok(StoredObject { key, size, sha256 }),
            Err(error) => {
                if let Err(leftover) = upload.abort().await {
                    // The sweep at the next start takes what is left.
                    tracing::warn!(error = %leftover, "a started object could not be removed");
                }
                Err(error)
            }
        }
    }

    /// [`Objects::put`] for what is read.
    pub async fn put_reader<R: AsyncRead>(
        &self,
        area: Area,
        reader: R,
        limit: u64,
    ) -> Result<StoredObject, ObjectError> {
        self.put(area, ReaderStream::with_capacity(reader, READ_BYTES), limit).await
    }

    /// The size of the object `key` and its bytes. Wrap the stream in `tokio_util::io::StreamReader` to read from it.
    ///
    /// # Errors
    /// [`ObjectError::NotFound`] and [`ObjectError::BadKey`].
    pub async fn get(&self, key: &str) -> Result<(u64, ByteStream), ObjectError> {
        let found = self.store.get(&location(key)?).await.map_err(|error| reading(key, error))?;
        let size = found.meta.size;
        let bytes = match found.payload {
            // The library reads a file in pieces of 8 KiB, each a trip to another thread.
            GetResultPayload::File(file, _) => {
                ReaderStream::with_capacity(tokio::fs::File::from_std(file), READ_BYTES).boxed()
            }
            GetResultPayload::Stream(stream) => stream.map_err(io::Error::other).boxed(),
        };
        Ok((size, bytes))
    }

    /// Removes the object `key`. That it is not there is no error: removing twice is harmless.
    pub async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        match self.store.delete(&location(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(ObjectError::Disk(error)),
        }
    }
}

/// Sends `stream` to `upload` and publishes it; returns size and checksum.
async fn send<S, E>(
    upload: &mut dyn MultipartUpload,
    stream: S,
    limit: u64,
) -> Result<(u64, String), ObjectError>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let mut stream = pin!(stream);
    let mut hasher = Sha256::new();
    let mut size = 0_u64;
    let mut part: Vec<Bytes> = Vec::new();
    let mut part_bytes = 0;
    while let Some(bytes) = stream.next().await {
        let bytes = bytes.map_err(|error| ObjectError::Source(error.into()))?;
        size += bytes.len() as u64;
        if size > limit {
            return Err(ObjectError::TooLarge { limit });
        }
        hasher.update(&bytes);
        part_bytes += bytes.len();
        part.push(bytes);
        if part_bytes >= PART_BYTES {
            upload.put_part(part.drain(..).collect::<PutPayload>()).await.map_err(ObjectError::Disk)?;
            part_bytes = 0;
        }
    }
    if !part.is_empty() {
        upload.put_part(part.into_iter().collect()).await.map_err(ObjectError::Disk)?;
    }
    upload.complete().await.map_err(ObjectError::Disk)?;
    Ok((size, hex(&hasher.finalize())))
}

/// The place of `key`, if it has the form that [`Objects::put`] gives: `area/ab/ab…`, 32 hexadecimal digits.
fn location(key: &str) -> Result<object_store::path::Path, ObjectError> {
    let is_ours = |key: &str| {
        let mut parts = key.split('/');
        let (area, folder, name) = (parts.next()?, parts.next()?, parts.next()?);
        let plain = name.len() == 32 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        (parts.next().is_none()
            && Area::ALL.iter().any(|known| known.as_str() == area)
            && plain
            && folder == &name[..2])
            .then_some(())
    };
    is_ours(key).ok_or_else(|| ObjectError::bad_key(key))?;
    object_store::path::Path::parse(key).map_err(|_| ObjectError::bad_key(key))
}

fn reading(key: &str, error: object_store::Error) -> ObjectError {
    match error {
        object_store::Error::NotFound { .. } => ObjectError::NotFound { key: key.to_owned() },
        error => ObjectError::Disk(error),
    }
}

/// Makes `root` and sees that it can be written to; `None` if it is the file system's root. Sweeps it.
fn prepare(root: &Path) -> io::Result<Option<PathBuf>> {
    std::fs::create_dir_all(root)?;
    let real = root.canonicalize()?;
    if real.parent().is_none() {
        return Ok(None);
    }
    // Permission bits do not tell: the file system may be mounted read-only.
    drop(tempfile::NamedTempFile::new_in(&real)?);
    for area in Area::ALL {
        let area = real.join(area.as_str());
        std::fs::create_dir_all(&area)?;
        for folder in std::fs::read_dir(&area)? {
            let folder = folder?;
            if folder.file_type()?.is_dir() {
                sweep(&folder.path())?;
            }
        }
    }
    Ok(Some(real))
}

/// Removes the half-written objects of `folder` that nobody writes any more. The library names them `object#number`.
fn sweep(folder: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().contains('#') {
            continue;
        }
        let age =
            entry.metadata().and_then(|meta| meta.modified()).map(|at| SystemTime::now().duration_since(at));
        match age {
            Ok(Ok(age)) if age >= ABANDONED_AFTER => match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => tracing::info!("removed a half-written object that its writer abandoned"),
            },
            // Young, from the future, or gone since: published or removed by its writer.
            _ => {}
        }
    }
    Ok(())
}
