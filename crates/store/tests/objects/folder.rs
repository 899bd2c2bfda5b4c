//! What is particular to a folder.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use bulrush_store::{Area, ObjectError, Objects};

use crate::rig::{NO_LIMIT, files, read};

#[tokio::test]
async fn opening_sweeps_what_was_abandoned_and_keeps_what_is_still_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let objects = Objects::open(folder.path()).await.unwrap();
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
