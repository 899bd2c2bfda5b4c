//! Objects appear whole or not at all, under names of our own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bulrush_store::{Area, ObjectError, Objects};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tempfile::TempDir;

/// More than any test stores.
const NO_LIMIT: u64 = 1 << 40;

async fn opened() -> (Objects, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Objects::open(folder.path()).await.unwrap(), folder)
}

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Waits until no file is below `folder`: what a dropped upload leaves is removed by a thread of the runtime.
async fn eventually_empty(folder: &Path) {
    let emptied = async {
        while !files(folder).is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), emptied).await.expect("nothing is left behind");
}

fn pieces(bytes: &[u8], size: usize) -> impl futures_util::Stream<Item = io::Result<Bytes>> + use<> {
    let pieces: Vec<_> = bytes.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces)
}

async fn read(objects: &Objects, key: &str) -> (u64, Vec<u8>) {
    let (size, bytes) = objects.get(key).await.unwrap();
    (
        size,
        bytes
            .try_fold(Vec::new(), |mut all, piece| async move {
                all.extend(piece);
                Ok(all)
            })
            .await
            .unwrap(),
    )
}

#[tokio::test]
async fn what_is_put_is_read_back_with_its_size_and_checksum() {
    let (objects, _folder) = opened().await;
    // The checksums of FIPS 180-2 for "abc" and for nothing.
    for (text, sha256) in [
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        let stored = objects.put_reader(Area::Uploads, text.as_bytes(), NO_LIMIT).await.unwrap();
        assert_eq!((stored.size, stored.sha256.as_str()), (text.len() as u64, sha256));
        assert_eq!(read(&objects, &stored.key).await, (stored.size, text.as_bytes().to_vec()));
    }
}

#[tokio::test]
async fn an_object_of_many_parts_keeps_their_order() {
    let (objects, _folder) = opened().await;
    let bytes: Vec<u8> = (0..5_000_011_u32).map(|n| (n % 251) as u8).collect();
    let stored = objects.put(Area::Outputs, pieces(&bytes, 70_001), NO_LIMIT).await.unwrap();
    let (size, back) = read(&objects, &stored.key).await;
    assert_eq!(size, bytes.len() as u64);
    assert!(back == bytes);
    let (_, stream) = objects.get(&stored.key).await.unwrap();
    let largest = stream.map(|piece| piece.unwrap().len()).fold(0, |a, b| async move { a.max(b) }).await;
    assert!(largest <= 256 << 10, "{largest} bytes at once");
}

#[tokio::test]
async fn the_same_bytes_twice_are_two_objects_with_names_of_our_own() {
    let (objects, folder) = opened().await;
    let one = objects.put_reader(Area::Uploads, &b"same"[..], NO_LIMIT).await.unwrap();
    let two = objects.put_reader(Area::Uploads, &b"same"[..], NO_LIMIT).await.unwrap();
    assert_ne!(one.key, two.key);
    assert_eq!(one.sha256, two.sha256);
    assert!(one.key.starts_with("uploads/"));
    objects.delete(&one.key).await.unwrap();
    objects.delete(&one.key).await.unwrap();
    assert!(matches!(objects.get(&one.key).await, Err(ObjectError::NotFound { .. })));
    assert_eq!(read(&objects, &two.key).await.1, b"same");
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn one_byte_over_the_limit_is_refused_and_leaves_nothing() {
    let (objects, folder) = opened().await;
    let bytes = vec![7_u8; 3 << 20];
    let limit = bytes.len() as u64;
    let stored = objects.put(Area::Uploads, pieces(&bytes, 100_000), limit).await.unwrap();
    assert_eq!(stored.size, limit);
    objects.delete(&stored.key).await.unwrap();

    let refused = objects.put(Area::Uploads, pieces(&bytes, 100_000), limit - 1).await.unwrap_err();
    assert!(matches!(refused, ObjectError::TooLarge { limit: said } if said == limit - 1), "{refused:?}");
    assert!(!refused.is_transient());
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());

    // A stream that would never end is cut off as well.
    let endless = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 4_096])));
    assert!(matches!(objects.put(Area::Uploads, endless, 1 << 20).await, Err(ObjectError::TooLarge { .. })));
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing() {
    let (objects, folder) = opened().await;
    let bytes = vec![7_u8; 3 << 20];
    let broken = pieces(&bytes, 100_000).chain(stream::iter([Err(io::Error::other("connection reset"))]));
    let refused = objects.put(Area::Uploads, broken, NO_LIMIT).await.unwrap_err();
    assert!(matches!(refused, ObjectError::Source(_)), "{refused:?}");
    assert_eq!(files(folder.path()), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_put_that_is_dropped_half_way_leaves_nothing() {
    let (objects, folder) = opened().await;
    let bytes = vec![7_u8; 3 << 20];
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let mut begun = Some(begun);
    // Sends what it has, then waits for ever.
    let stalled = pieces(&bytes, 100_000).chain(stream::poll_fn(move |_| {
        if let Some(begun) = begun.take() {
            begun.send(()).unwrap();
        }
        std::task::Poll::Pending
    }));
    let put = tokio::spawn({
        let objects = objects.clone();
        async move { objects.put(Area::Uploads, stalled, NO_LIMIT).await }
    });
    has_begun.await.unwrap();
    assert_eq!(files(folder.path()).len(), 1, "it is being written");
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    eventually_empty(folder.path()).await;
}

#[tokio::test]
async fn keys_that_put_did_not_make_are_refused() {
    let (objects, folder) = opened().await;
    std::fs::write(folder.path().join("secret"), "secret").unwrap();
    let name = "0123456789abcdef0123456789abcdef";
    for key in [
        "",
        "secret",
        "../secret",
        "uploads/../secret",
        "/etc/passwd",
        "uploads",
        &format!("uploads/01/{name}/x"),
        &format!("uploads/02/{name}"),
        &format!("other/01/{name}"),
        &format!("uploads/01/{}", name.to_uppercase()),
        &format!("uploads/01/{name}#1"),
        &format!("uploads/01/{}é", &name[..30]),
        &format!("uploads//01/{name}"),
    ] {
        assert!(matches!(objects.get(key).await, Err(ObjectError::BadKey { .. })), "{key:?}");
        assert!(matches!(objects.delete(key).await, Err(ObjectError::BadKey { .. })), "{key:?}");
    }
    assert!(matches!(objects.get(&format!("uploads/01/{name}")).await, Err(ObjectError::NotFound { .. })));
}

#[tokio::test]
async fn opening_sweeps_what_was_abandoned_and_keeps_what_is_still_being_written() {
    let (objects, folder) = opened().await;
    let stored = objects.put_reader(Area::Uploads, &b"whole"[..], NO_LIMIT).await.unwrap();
    let object = folder.path().join(&stored.key);
    let old = SystemTime::now() - Duration::from_hours(2);
    for (suffix, is_old) in [("#1", true), ("#2", false)] {
        let path = PathBuf::from(format!("{}{suffix}", object.display()));
        let file = std::fs::File::create(path).unwrap();
        if is_old {
            file.set_modified(old).unwrap();
        }
    }
    // A whole object is never too old.
    std::fs::File::options().write(true).open(&object).unwrap().set_modified(old).unwrap();
    let again = Objects::open(folder.path()).await.unwrap();
    let mut left = files(folder.path());
    left.sort();
    assert_eq!(left, [object.clone(), PathBuf::from(format!("{}#2", object.display()))]);
    assert_eq!(read(&again, &stored.key).await.1, b"whole");
}

#[tokio::test]
async fn a_folder_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plain"), "a file").unwrap();
    let refused = Objects::open(folder.path().join("plain/files")).await.unwrap_err();
    assert!(matches!(refused, ObjectError::Folder { .. }), "{refused:?}");
    assert!(refused.to_string().contains("plain"), "{refused}");
    assert!(matches!(Objects::open("/").await.unwrap_err(), ObjectError::RootFolder { .. }));
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/", folder.path().join("link")).unwrap();
        let refused = Objects::open(folder.path().join("link")).await.unwrap_err();
        assert!(matches!(refused, ObjectError::RootFolder { .. }), "{refused:?}");
    }
}
