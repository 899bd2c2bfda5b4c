//! One object on its way in.

use std::error::Error;
use std::mem;
use std::pin::pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt as _, PutPayload};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use crate::ids::hex;
use crate::{ObjectError, Objects};

/// An object of which a part was sent. Dropped before it is published, it takes with it what was sent.
struct Begun {
    parts: Option<Box<dyn MultipartUpload>>,
}

/// An object that was published and that its writer does not know of yet. Dropped before it does, the object goes as well: nobody would
/// ever ask for it.
struct Published {
    objects: Objects,
    location: Option<Path>,
}

/// Sends `stream` to `location` and publishes it; returns size and checksum. What the caller is not told of is not left behind: each
/// step whose answer would be lost with this future is a task of its own, which undoes it then.
pub(super) async fn send<S, E>(
    objects: &Objects,
    location: &Path,
    stream: S,
    limit: u64,
) -> Result<(u64, String), ObjectError>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    let (part_bytes, limit) = objects.part_bytes(limit);
    let mut stream = pin!(stream);
    let mut hasher = Sha256::new();
    let mut size = 0_u64;
    let mut begun = Begun { parts: None };
    // Copied together: a piece of the network's may be a few bytes of a large buffer that it keeps alive.
    let mut part: Vec<u8> = Vec::new();
    while let Some(bytes) = stream.next().await {
        let mut bytes = match bytes {
            Ok(bytes) => bytes,
            Err(error) => return begun.give_up(ObjectError::Source(error.into())).await,
        };
        size += bytes.len() as u64;
        if size > limit {
            return begun.give_up(ObjectError::TooLarge { limit }).await;
        }
        hasher.update(&bytes);
        while !bytes.is_empty() {
            let taken = bytes.split_to(bytes.len().min(part_bytes - part.len()));
            part.extend_from_slice(&taken);
            if part.len() == part_bytes
                && let Err(error) = begun.send(objects, location, mem::take(&mut part)).await
            {
                return begun.give_up(error).await;
            }
        }
    }
    if begun.parts.is_some() && !part.is_empty() {
        let last = begun.send(objects, location, mem::take(&mut part)).await;
        if let Err(error) = last {
            return begun.give_up(error).await;
        }
    }
    let published = publish(objects.clone(), location.clone(), begun, part, size);
    let published = tokio::spawn(published).await.map_err(|_| ObjectError::Stopping)??;
    published.keep();
    Ok((size, hex(&hasher.finalize())))
}

/// Makes the object visible, all at once.
async fn publish(
    objects: Objects,
    location: Path,
    mut begun: Begun,
    rest: Vec<u8>,
    size: u64,
) -> Result<Published, ObjectError> {
    let done = match &mut begun.parts {
        Some(parts) => parts.complete().await.map(drop),
        None => objects.store.put(&location, PutPayload::from(rest)).await.map(drop),
    };
    if let Err(error) = done {
        // The answer may be what was lost, and a repeat finds no upload any more. The name is ours alone, so that an object of it can
        // only be this one.
        let is_there = objects.store.head(&location).await.is_ok_and(|meta| meta.size == size);
        if !is_there {
            return begun.give_up(objects.failed(error)).await;
        }
    }
    begun.parts = None;
    Ok(Published { objects, location: Some(location) })
}

impl Begun {
    async fn send(&mut self, objects: &Objects, location: &Path, part: Vec<u8>) -> Result<(), ObjectError> {
        if self.parts.is_none() {
            let (store, location) = (objects.store.clone(), location.clone());
            let begin =
                async move { store.put_multipart(&location).await.map(|parts| Self { parts: Some(parts) }) };
            let begun = tokio::spawn(begin).await.map_err(|_| ObjectError::Stopping)?;
            *self = begun.map_err(|error| objects.failed(error))?;
        }
        match &mut self.parts {
            Some(parts) => parts.put_part(part.into()).await.map_err(|error| objects.failed(error)),
            None => Ok(()),
        }
    }

    /// Removes what was sent; the error is the caller's.
    async fn give_up<T>(mut self, error: ObjectError) -> Result<T, ObjectError> {
        if let Some(parts) = self.parts.take() {
            // A task, as the caller may go away meanwhile.
            let _ = tokio::spawn(abort(parts)).await;
        }
        Err(error)
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let (Some(parts), Ok(runtime)) = (self.parts.take(), Handle::try_current()) {
            runtime.spawn(abort(parts));
        }
    }
}

async fn abort(mut parts: Box<dyn MultipartUpload>) {
    if let Err(error) = parts.abort().await {
        // A folder is swept at the next start; of a bucket its rule for incomplete uploads takes what is left.
        tracing::warn!(error = &error as &dyn Error, "a started object could not be removed");
    }
}

impl Published {
    fn keep(mut self) {
        self.location = None;
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        let (Some(location), Ok(runtime)) = (self.location.take(), Handle::try_current()) else { return };
        let store = self.objects.store.clone();
        runtime.spawn(async move {
            if let Err(error) = store.delete(&location).await {
                tracing::warn!(
                    error = &error as &dyn Error,
                    object = location.as_ref(),
                    "an object that nobody knows of could not be removed"
                );
            }
        });
    }
}
