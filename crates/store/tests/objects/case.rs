//! What holds wherever objects are kept.

use std::io;

use bulrush_store::{Area, ObjectError};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use crate::rig::{MANY_PARTS, NO_LIMIT, Rig, Where, all, patterned, pieces, read};

pub async fn what_is_put_is_read_back_with_its_size_and_checksum(rig: Rig) {
    let objects = &rig.objects;
    // The checksums of FIPS 180-2 for "abc" and for nothing.
    for (text, sha256) in [
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ] {
        let stored = objects.put_reader(Area::Uploads, text.as_bytes(), NO_LIMIT).await.unwrap();
        assert_eq!((stored.size, stored.sha256.as_str()), (text.len() as u64, sha256));
        assert_eq!(read(objects, &stored.key).await, (stored.size, text.as_bytes().to_vec()));
    }
}

pub async fn an_object_of_many_parts_keeps_their_order(rig: Rig) {
    let objects = &rig.objects;
    let bytes = patterned(MANY_PARTS + 11);
    let stored = objects.put(Area::Outputs, pieces(&bytes, 70_001), NO_LIMIT).await.unwrap();
    let (size, back) = read(objects, &stored.key).await;
    assert_eq!(size, bytes.len() as u64);
    assert!(back == bytes);
    let (_, stream) = objects.get(&stored.key).await.unwrap();
    let largest = stream.map(|piece| piece.unwrap().len()).fold(0, |a, b| async move { a.max(b) }).await;
    assert!(largest <= 256 << 10, "{largest} bytes at once");
}

pub async fn the_same_bytes_twice_are_two_objects_with_names_of_our_own(rig: Rig) {
    let objects = &rig.objects;
    let one = objects.put_reader(Area::Uploads, &b"same"[..], NO_LIMIT).await.unwrap();
    let two = objects.put_reader(Area::Uploads, &b"same"[..], NO_LIMIT).await.unwrap();
    assert_ne!(one.key, two.key);
    assert_eq!(one.sha256, two.sha256);
    assert!(one.key.starts_with("uploads/"));
    objects.delete(&one.key).await.unwrap();
    objects.delete(&one.key).await.unwrap();
    assert!(matches!(objects.get(&one.key).await, Err(ObjectError::NotFound { .. })));
    assert_eq!(read(objects, &two.key).await.1, b"same");
    assert_eq!(rig.stored().len(), 1);
}

pub async fn one_byte_over_the_limit_is_refused_and_leaves_nothing(rig: Rig) {
    let objects = &rig.objects;
    let bytes = vec![7_u8; MANY_PARTS];
    let limit = bytes.len() as u64;
    let stored = objects.put(Area::Uploads, pieces(&bytes, 100_000), limit).await.unwrap();
    assert_eq!(stored.size, limit);
    objects.delete(&stored.key).await.unwrap();

    let refused = objects.put(Area::Uploads, pieces(&bytes, 100_000), limit - 1).await.unwrap_err();
    assert!(matches!(refused, ObjectError::TooLarge { limit: said } if said == limit - 1), "{refused:?}");
    assert!(!refused.is_transient());
    assert_eq!(rig.stored(), Vec::<String>::new());

    // A stream that would never end is cut off as well.
    let endless = stream::repeat_with(|| Ok::<_, io::Error>(Bytes::from_static(&[0; 4_096])));
    assert!(matches!(objects.put(Area::Uploads, endless, 9 << 20).await, Err(ObjectError::TooLarge { .. })));
    assert_eq!(rig.stored(), Vec::<String>::new());
}

pub async fn a_client_that_goes_away_leaves_nothing(rig: Rig) {
    let objects = &rig.objects;
    let bytes = vec![7_u8; MANY_PARTS];
    let broken = pieces(&bytes, 100_000).chain(stream::iter([Err(io::Error::other("connection reset"))]));
    let refused = objects.put(Area::Uploads, broken, NO_LIMIT).await.unwrap_err();
    assert!(matches!(refused, ObjectError::Source(_)), "{refused:?}");
    assert_eq!(rig.stored(), Vec::<String>::new());
}

pub async fn a_put_that_is_dropped_half_way_leaves_nothing(rig: Rig) {
    let objects = &rig.objects;
    let bytes = vec![7_u8; MANY_PARTS];
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
    assert_eq!(rig.stored().len(), 1, "it is being written");
    put.abort();
    assert!(put.await.unwrap_err().is_cancelled());
    rig.eventually_empty().await;
}

pub async fn keys_that_put_did_not_make_are_refused(rig: Rig) {
    let objects = &rig.objects;
    if let Where::Folder(folder) = &rig.place {
        std::fs::write(folder.path().join("secret"), "secret").unwrap();
    }
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
        assert!(matches!(objects.size(key).await, Err(ObjectError::BadKey { .. })), "{key:?}");
    }
    assert!(matches!(objects.get(&format!("uploads/01/{name}")).await, Err(ObjectError::NotFound { .. })));
}

pub async fn a_range_is_read_alone(rig: Rig) {
    let objects = &rig.objects;
    let bytes = patterned(700_001);
    let stored = objects.put(Area::Outputs, pieces(&bytes, 70_001), NO_LIMIT).await.unwrap();
    let size = stored.size;
    for range in [0..1, 0..size, 5..300_000, 299_999..size, size - 1..size, 3..NO_LIMIT] {
        let (said, stream) = objects.get_range(&stored.key, range.clone()).await.unwrap();
        assert_eq!(said, size, "{range:?}");
        let end = usize::try_from(range.end.min(size)).unwrap();
        assert!(all(stream).await == bytes[usize::try_from(range.start).unwrap()..end], "{range:?}");
    }
    for range in [size..size + 1, NO_LIMIT..NO_LIMIT + 1, 5..5] {
        let refused = objects.get_range(&stored.key, range.clone()).await.err().unwrap();
        assert!(
            matches!(refused, ObjectError::NoSuchRange { size: said } if said == size),
            "{range:?}: {refused:?}"
        );
    }
    assert_eq!(objects.size(&stored.key).await.unwrap(), Some(size));
    objects.delete(&stored.key).await.unwrap();
    assert_eq!(objects.size(&stored.key).await.unwrap(), None);
    for range in [0..1, 5..5] {
        let refused = objects.get_range(&stored.key, range).await.err().unwrap();
        assert!(matches!(refused, ObjectError::NotFound { .. }), "{refused:?}");
    }
}

pub async fn a_place_that_answers_is_well(rig: Rig) {
    rig.objects.ping().await.unwrap();
}
