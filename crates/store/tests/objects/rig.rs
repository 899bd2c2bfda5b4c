//! A place for objects of a test's own, and a look into it past the store.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bulrush_sandbox::Bucket;
use bulrush_store::{BucketKeys, BucketSettings, ObjectError, Objects, Place};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use tempfile::TempDir;

/// More than any test stores.
pub const NO_LIMIT: u64 = 1 << 36;
/// More than one part of a folder's (1 MiB) or a bucket's (8 MiB).
pub const MANY_PARTS: usize = 20 << 20;

pub struct Rig {
    pub objects: Objects,
    pub place: Where,
}

pub enum Where {
    Folder(TempDir),
    Bucket(Bucket),
}

impl Rig {
    pub async fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { objects: Objects::open(folder.path()).await.unwrap(), place: Where::Folder(folder) }
    }

    pub async fn bucket() -> Self {
        let bucket = Bucket::start("files", "test-key").await.unwrap();
        let objects = Objects::open_at(&Place::Bucket(settings(&bucket))).await.unwrap();
        Self { objects, place: Where::Bucket(bucket) }
    }

    /// What lies there, by key: whole objects, and what is on its way to become one.
    pub fn stored(&self) -> Vec<String> {
        match &self.place {
            Where::Folder(folder) => {
                let root = folder.path();
                files(root)
                    .iter()
                    .map(|path| path.strip_prefix(root).unwrap().display().to_string())
                    .collect()
            }
            Where::Bucket(bucket) => {
                let whole = bucket.keys().into_iter().map(|key| key.strip_prefix("a/b/").unwrap().to_owned());
                whole.chain((0..bucket.open_uploads()).map(|number| format!("upload {number}"))).collect()
            }
        }
    }

    /// Waits until nothing lies there: what a dropped upload leaves is removed by a task.
    pub async fn eventually_empty(&self) {
        let emptied = async {
            while !self.stored().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), emptied).await.expect("nothing is left behind");
    }
}

/// How the store reaches a bucket of the sandbox.
pub fn settings(bucket: &Bucket) -> BucketSettings {
    BucketSettings {
        bucket: "files".into(),
        prefix: "a/b".into(),
        endpoint: Some(bucket.endpoint()),
        region: None,
        keys: Some(BucketKeys {
            access_key: "test-key".into(),
            secret_key: "secret-canary".into(),
            session_token: None,
        }),
        path_style: true,
    }
}

/// All files below `folder`.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

pub fn pieces(bytes: &[u8], size: usize) -> impl Stream<Item = std::io::Result<Bytes>> + use<> {
    let pieces: Vec<_> = bytes.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

/// Bytes that are not alike.
pub fn patterned(count: usize) -> Vec<u8> {
    (0..count).map(|n| (n % 251) as u8).collect()
}

pub async fn read(objects: &Objects, key: &str) -> (u64, Vec<u8>) {
    let (size, bytes) = objects.get(key).await.unwrap();
    (size, all(bytes).await)
}

pub async fn all(bytes: bulrush_store::ByteStream) -> Vec<u8> {
    let gathered = bytes.try_fold(Vec::new(), |mut all, piece| async move {
        all.extend(piece);
        Ok(all)
    });
    gathered.await.unwrap()
}

/// Everything that an error says, its causes too.
pub fn whole_text(error: &ObjectError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
