//! What is particular to a bucket: faults on the way to it, and what an upload costs.

use std::collections::BTreeMap;

use bulrush_sandbox::{Bucket, BucketFault, BucketOperation as Operation, BucketPlan};
use bulrush_store::{Area, BucketSettings, ObjectError, Objects, Place};
use bytes::Bytes;
use futures_util::stream;

use crate::rig::{MANY_PARTS, NO_LIMIT, Rig, Where, patterned, pieces, read, settings, whole_text};

const SLOW_DOWN: BucketFault = BucketFault::Refuse { status: 503, code: "SlowDown" };
const INTERNAL: BucketFault = BucketFault::Refuse { status: 500, code: "InternalError" };
/// More than the store repeats.
const FOR_EVER: u32 = 1_000;

async fn opened() -> (Objects, Bucket) {
    let Rig { objects, place: Where::Bucket(bucket) } = Rig::bucket().await else {
        unreachable!("it is a bucket")
    };
    (objects, bucket)
}

fn fail(bucket: &Bucket, operation: Operation, after: u32, count: u32, fault: &BucketFault) {
    bucket.fail(BucketPlan { operation, after, count, fault: fault.clone() });
}

#[tokio::test]
async fn a_small_file_is_one_request_and_a_large_one_is_sent_in_equal_parts_as_it_comes() {
    let (objects, bucket) = opened().await;
    objects.put_reader(Area::Uploads, &b"small"[..], NO_LIMIT).await.unwrap();
    let asked = bucket.counts().requests;
    assert_eq!(asked, BTreeMap::from([(Operation::List, 1), (Operation::Put, 1)]));
    let bytes = patterned(MANY_PARTS);
    objects.put(Area::Uploads, pieces(&bytes, 100_003), MANY_PARTS as u64).await.unwrap();
    let counts = bucket.counts();
    assert_eq!(counts.parts, [8 << 20, 8 << 20, 4 << 20]);
    assert_eq!((counts.requests[&Operation::Begin], counts.requests[&Operation::Complete]), (1, 1));
    assert_eq!(bucket.open_uploads(), 0);
    // An exact number of parts has no empty one at its end.
    objects.put(Area::Uploads, pieces(&bytes[..16 << 20], 1 << 20), NO_LIMIT).await.unwrap();
    assert!(bucket.counts().parts[3..].iter().all(|size| *size > 0));
}

#[tokio::test]
async fn an_upload_is_seen_by_nobody_before_its_last_byte() {
    let (objects, bucket) = opened().await;
    let (more, rest) = tokio::sync::mpsc::unbounded_channel::<Result<Bytes, std::io::Error>>();
    let rest = stream::unfold(rest, |mut rest| async { rest.recv().await.map(|piece| (piece, rest)) });
    let put = tokio::spawn({
        let objects = objects.clone();
        async move { objects.put(Area::Uploads, rest, NO_LIMIT).await }
    });
    more.send(Ok(vec![1; 9 << 20].into())).unwrap();
    while bucket.counts().parts.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!((bucket.keys().len(), bucket.open_uploads()), (0, 1));
    drop(more);
    let stored = put.await.unwrap().unwrap();
    assert_eq!(bucket.object(&format!("a/b/{}", stored.key)).unwrap().len(), 9 << 20);
}

#[tokio::test]
async fn a_bucket_that_stumbles_is_asked_again() {
    let bytes = patterned(MANY_PARTS);
    for fault in [SLOW_DOWN, INTERNAL, BucketFault::Cut, BucketFault::Lose] {
        let (objects, bucket) = opened().await;
        for operation in
            [Operation::Put, Operation::Begin, Operation::Part, Operation::Complete, Operation::Get]
        {
            fail(&bucket, operation, 0, 2, &fault);
        }
        let small = objects.put_reader(Area::Uploads, &b"small"[..], NO_LIMIT).await.unwrap();
        let large = objects.put(Area::Uploads, pieces(&bytes, 1 << 20), NO_LIMIT).await.unwrap();
        assert_eq!(read(&objects, &small.key).await.1, b"small", "{fault:?}");
        assert!(read(&objects, &large.key).await.1 == bytes, "{fault:?}");
        assert_eq!(bucket.keys().len(), 2, "{fault:?}");
    }
}

#[tokio::test]
async fn a_download_that_is_cut_goes_on_where_it_stopped() {
    let (objects, bucket) = opened().await;
    let bytes = patterned(MANY_PARTS);
    let stored = objects.put(Area::Uploads, pieces(&bytes, 1 << 20), NO_LIMIT).await.unwrap();
    fail(&bucket, Operation::Get, 0, 2, &BucketFault::Break);
    assert!(read(&objects, &stored.key).await.1 == bytes);
    assert_eq!(bucket.counts().requests[&Operation::Get], 3);
}

#[tokio::test]
async fn a_bucket_that_goes_on_failing_is_told_and_keeps_nothing() {
    let bytes = patterned(MANY_PARTS);
    for (operation, after) in [
        (Operation::Put, 0),
        (Operation::Begin, 0),
        (Operation::Part, 0),
        (Operation::Part, 2),
        (Operation::Complete, 0),
    ] {
        let (objects, bucket) = opened().await;
        fail(&bucket, operation, after, FOR_EVER, &SLOW_DOWN);
        let bytes = if operation == Operation::Put { &bytes[..10] } else { &bytes[..] };
        let refused = objects.put(Area::Uploads, pieces(bytes, 1 << 20), NO_LIMIT).await.unwrap_err();
        assert!(matches!(refused, ObjectError::Bucket { .. }) && refused.is_transient(), "{refused:?}");
        assert!(!whole_text(&refused).contains("canary"), "{refused:?}");
        assert_eq!((bucket.keys().len(), bucket.open_uploads()), (0, 0), "{operation:?} {after}");
    }
}

#[tokio::test]
async fn a_put_that_is_dropped_while_it_is_published_leaves_nothing() {
    for (operation, size) in
        [(Operation::Begin, 9 << 20), (Operation::Complete, 9 << 20), (Operation::Put, 9)]
    {
        let (objects, bucket) = opened().await;
        // The first try does it and loses its answer, so that the put is known to be in the middle of it.
        fail(&bucket, operation, 0, 1, &BucketFault::Lose);
        let put = tokio::spawn(async move {
            objects.put(Area::Uploads, pieces(&vec![7; size], 1 << 20), NO_LIMIT).await
        });
        while !bucket.counts().requests.contains_key(&operation) {
            tokio::task::yield_now().await;
        }
        put.abort();
        assert!(put.await.unwrap_err().is_cancelled(), "{operation:?}");
        // What a lost answer began has no name that anybody knew: that one is the bucket's own to remove.
        let unknown = usize::from(operation == Operation::Begin);
        let emptied = async {
            while !(bucket.keys().is_empty() && bucket.open_uploads() == unknown)
                || asked_again(&bucket, operation)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_mins(1), emptied)
            .await
            .expect("nothing is left behind");
    }
}

/// Whether the repeat of what was lost is still to come.
fn asked_again(bucket: &Bucket, operation: Operation) -> bool {
    bucket.counts().requests[&operation] < 2
}

#[tokio::test]
async fn what_keeps_a_bucket_from_being_used_is_told_apart() {
    let bucket = Bucket::start("files", "test-key").await.unwrap();
    let open = |settings: BucketSettings| async move {
        Objects::open_at(&Place::Bucket(settings)).await.unwrap_err()
    };
    let good = settings(&bucket);
    let refused = open(BucketSettings { bucket: "other".into(), ..good.clone() }).await;
    assert!(matches!(refused, ObjectError::NoBucket { .. }) && !refused.is_transient(), "{refused:?}");
    let mut keys = good.keys.clone().unwrap();
    keys.access_key = "unknown".into();
    let refused = open(BucketSettings { keys: Some(keys), ..good.clone() }).await;
    assert!(matches!(refused, ObjectError::Denied { .. }) && !refused.is_transient(), "{refused:?}");
    assert!(!whole_text(&refused).contains("canary"), "{}", whole_text(&refused));
    drop(bucket);
    let refused = open(good).await;
    assert!(matches!(refused, ObjectError::Bucket { .. }) && refused.is_transient(), "{refused:?}");
    assert!(!whole_text(&refused).contains("canary"), "{}", whole_text(&refused));
}

#[tokio::test]
async fn a_bucket_that_is_away_is_unwell_until_it_is_back() {
    let (objects, bucket) = opened().await;
    fail(&bucket, Operation::List, 0, FOR_EVER, &SLOW_DOWN);
    assert!(objects.ping().await.unwrap_err().is_transient());
    bucket.heal();
    objects.ping().await.unwrap();
}

#[tokio::test]
async fn parts_grow_with_the_limit_so_that_no_bucket_runs_out_of_them() {
    let (objects, bucket) = opened().await;
    let bytes = patterned(MANY_PARTS);
    // 10,000 parts of 10 MiB.
    objects.put(Area::Uploads, pieces(&bytes, 1 << 20), 10_000 * (10 << 20)).await.unwrap();
    assert_eq!(bucket.counts().parts, [10 << 20, 10 << 20]);
}
