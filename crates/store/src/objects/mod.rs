//! The bytes of files: uploads and what jobs make, in a folder or in a bucket that speaks S3, both through `object_store`.
//!
//! An object appears whole or not at all: a folder's is written beside its place and moved there when its last byte is on the disk, a
//! bucket's is completed when its last part is there. Its name is of our own making, so nothing that a client says ever becomes part of a
//! path.

mod bucket;
mod error;
mod folder;
mod place;
mod upload;

use std::error::Error;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use object_store::aws::AmazonS3;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, GetResultPayload, ObjectStore, ObjectStoreExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;

use crate::ids::random_hex;

pub use error::ObjectError;
pub use place::{BucketKeys, BucketSettings, Place};

/// The bytes of an object, in order, in pieces of at most 256 KiB.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Bytes gathered before they are handed to the disk. All that an upload holds in memory, whatever its size.
const FOLDER_PART_BYTES: usize = 1 << 20;
/// The same for a bucket, which takes no fewer than 5 MiB.
const BUCKET_PART_BYTES: usize = 8 << 20;
/// The same where the limit asks for more than a bucket takes in parts of that size.
const BUCKET_PART_BYTES_MAX: usize = 64 << 20;
/// Most parts that a bucket takes.
const BUCKET_PARTS_MAX: u64 = 10_000;
/// Bytes read at once.
const READ_BYTES: usize = 256 << 10;

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

    pub(crate) fn as_str(self) -> &'static str {
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

/// A handle to the objects of one place. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Folder(PathBuf),
    /// The same client as the store, where its own type is needed.
    Bucket(Arc<AmazonS3>, Arc<BucketSettings>),
}

impl Objects {
    /// Opens the folder `root`, making it if it is not there, and sweeps what writers that died left half written.
    ///
    /// # Errors
    /// [`ObjectError::Folder`] if it cannot be written to, [`ObjectError::RootFolder`] if it is `/`.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self, ObjectError> {
        let root = root.into();
        let store = folder::open(root.clone()).await?;
        Ok(Self { store: Arc::new(store), kind: Kind::Folder(root) })
    }

    /// Opens a place, and asks a bucket whether it is there. What a writer that died left in a bucket is taken by the bucket's own rule
    /// for incomplete uploads, which should be set to a day.
    ///
    /// # Errors
    /// As [`Objects::open`] for a folder; for a bucket [`ObjectError::NoBucket`], [`ObjectError::Denied`] and
    /// [`ObjectError::Bucket`], of which the last may pass.
    pub async fn open_at(place: &Place) -> Result<Self, ObjectError> {
        match place {
            Place::Folder(root) => Self::open(root.clone()).await,
            Place::Bucket(settings) => {
                let client = Arc::new(bucket::client(settings)?);
                let kind = Kind::Bucket(client.clone(), Arc::new(settings.clone()));
                let objects = Self { store: client, kind };
                objects.ping().await?;
                Ok(objects)
            }
        }
    }

    /// Asks the place for an answer.
    pub async fn ping(&self) -> Result<(), ObjectError> {
        match &self.kind {
            Kind::Folder(root) => match tokio::fs::metadata(root).await {
                Ok(_) => Ok(()),
                Err(source) => Err(ObjectError::Folder { path: root.clone(), source }),
            },
            Kind::Bucket(client, settings) => bucket::ping(client, settings).await,
        }
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
        let (size, sha256) = upload::send(self, &self.location(&key)?, stream, limit).await?;
        Ok(StoredObject { key, size, sha256 })
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
        let found = self.store.get(&self.location(key)?).await.map_err(|error| self.reading(key, error))?;
        let size = found.meta.size;
        Ok((size, pieces(found).await.map_err(|error| self.reading(key, error))?))
    }

    /// The size of the object `key`, and its bytes from `range.start` up to `range.end`, or to its end if that comes first.
    ///
    /// # Errors
    /// As [`Objects::get`]; [`ObjectError::NoSuchRange`] if it has none of them.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<(u64, ByteStream), ObjectError> {
        let location = self.location(key)?;
        let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
        let found = if range.is_empty() { None } else { Some(self.store.get_opts(&location, options).await) };
        let error = match found {
            Some(Ok(found)) => {
                let size = found.meta.size;
                return Ok((size, pieces(found).await.map_err(|error| self.reading(key, error))?));
            }
            Some(Err(error)) => Some(error),
            None => None,
        };
        // Places say in ways of their own that an object is too short.
        let size = self.store.head(&location).await.map_err(|error| self.reading(key, error))?.size;
        match error {
            Some(error) if range.start < size => Err(self.reading(key, error)),
            _ => Err(ObjectError::NoSuchRange { size }),
        }
    }

    /// The size of the object `key`, if there is one.
    ///
    /// # Errors
    /// [`ObjectError::BadKey`].
    pub async fn size(&self, key: &str) -> Result<Option<u64>, ObjectError> {
        match self.store.head(&self.location(key)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Removes the object `key`. That it is not there is no error: removing twice is harmless.
    pub async fn delete(&self, key: &str) -> Result<(), ObjectError> {
        match self.store.delete(&self.location(key)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// How many bytes are sent at once, and how many are taken in all, for an upload of at most `limit` bytes.
    fn part_bytes(&self, limit: u64) -> (usize, u64) {
        match &self.kind {
            Kind::Folder(_) => (FOLDER_PART_BYTES, limit),
            Kind::Bucket(..) => {
                // All but the last of the same size, as some servers ask for.
                let needed = usize::try_from(limit.div_ceil(BUCKET_PARTS_MAX)).unwrap_or(usize::MAX);
                let part = needed.clamp(BUCKET_PART_BYTES, BUCKET_PART_BYTES_MAX);
                (part, limit.min(part as u64 * BUCKET_PARTS_MAX))
            }
        }
    }

    /// The place of `key`, if it has the form that [`Objects::put`] gives.
    fn location(&self, key: &str) -> Result<Path, ObjectError> {
        let location = location(key)?;
        match &self.kind {
            Kind::Bucket(_, settings) if !settings.prefix.is_empty() => {
                Path::parse(format!("{}/{location}", settings.prefix)).map_err(|_| ObjectError::bad_key(key))
            }
            _ => Ok(location),
        }
    }

    fn reading(&self, key: &str, error: object_store::Error) -> ObjectError {
        match error {
            object_store::Error::NotFound { .. } => ObjectError::NotFound { key: key.to_owned() },
            error => self.failed(error),
        }
    }

    fn failed(&self, error: object_store::Error) -> ObjectError {
        match &self.kind {
            Kind::Folder(_) => ObjectError::Disk(error),
            Kind::Bucket(_, settings) => bucket::failed(&settings.bucket, error),
        }
    }
}

/// The bytes of what was found.
async fn pieces(found: GetResult) -> Result<ByteStream, object_store::Error> {
    let range = found.range.clone();
    Ok(match found.payload {
        // The library reads a file in pieces of 8 KiB, each a trip to another thread.
        GetResultPayload::File(file, _) => {
            let mut file = tokio::fs::File::from_std(file);
            if range.start > 0 {
                let failed =
                    |source: io::Error| object_store::Error::Generic { store: "file", source: source.into() };
                file.seek(io::SeekFrom::Start(range.start)).await.map_err(failed)?;
            }
            ReaderStream::with_capacity(file.take(range.end - range.start), READ_BYTES).boxed()
        }
        GetResultPayload::Stream(bytes) => bytes
            .map_err(io::Error::other)
            .map_ok(|mut bytes| {
                stream::iter(std::iter::from_fn(move || {
                    (!bytes.is_empty()).then(|| Ok(bytes.split_to(bytes.len().min(READ_BYTES))))
                }))
            })
            .try_flatten()
            .boxed(),
    })
}

/// The place of `key`, if it has the form that [`Objects::put`] gives: `area/ab/ab…`, 32 hexadecimal digits.
fn location(key: &str) -> Result<Path, ObjectError> {
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
    Path::parse(key).map_err(|_| ObjectError::bad_key(key))
}
