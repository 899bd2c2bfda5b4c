//! Whatever is written reads back, and whatever else is read is refused or read as something else, but never panics.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::model::new_job::no_tags;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,12}",
        "\\PC{0,40}",
        Just(String::new()),
        Just("\0\r\n$3\r\n*1\r\n\u{fffe}".to_owned())
    ]
}

fn shared() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Arc::from)
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![vec(any::<u8>(), 0..60), vec(any::<u8>(), 0..3_000)].prop_map(Bytes::from)
}

/// Small numbers, all numbers, and those at the edges of their encoding.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..300_u64,
        any::<u64>(),
        Just(u64::MAX),
        Just(1 << 63),
        Just(127),
        Just(128),
        Just(i64::MAX as u64)
    ]
}

fn small() -> impl Strategy<Value = u32> {
    prop_oneof![0..5_u32, any::<u32>(), Just(u32::MAX)]
}

fn job_id() -> impl Strategy<Value = JobId> {
    "[A-Za-z0-9._~-]{1,128}".prop_map(|id| JobId::new(&id).unwrap())
}

fn queue() -> impl Strategy<Value = QueueName> {
    "[a-z0-9][a-z0-9_-]{0,62}".prop_map(|name| QueueName::new(&name).unwrap())
}

fn policy() -> impl Strategy<Value = ChildFailure> {
    prop_oneof![Just(ChildFailure::Fail), Just(ChildFailure::Ignore), Just(ChildFailure::Continue)]
}

fn token() -> impl Strategy<Value = Token> {
    (small(), number(), number()).prop_map(|(run, worker, take)| Token {
        run,
        worker: WorkerId(worker),
        take,
    })
}

fn backoff() -> impl Strategy<Value = Backoff> {
    let curve = prop_oneof![
        number().prop_map(|delay_ms| Curve::Fixed { delay_ms }),
        // NaN is no number to compare by; its bits are tried below.
        (number(), prop::num::f64::ANY.prop_filter("no NaN", |factor| !factor.is_nan()))
            .prop_map(|(base_ms, factor)| Curve::Exponential { base_ms, factor }),
        vec(number(), 0..5).prop_map(|delays_ms| Curve::Table { delays_ms }),
    ];
    let jitter = prop_oneof![Just(Jitter::None), Just(Jitter::Full), Just(Jitter::Equal)];
    (curve, of(number()), jitter).prop_map(|(curve, cap_ms, jitter)| Backoff { curve, cap_ms, jitter })
}

prop_compose! {
    fn spec()(
        id in job_id(), name in shared(), data in payload(), priority in small(), attempts in small(), lifo in any::<bool>(),
        (timeout_ms, backoff, group, owner) in (of(number()), of(backoff()), of(shared()), of((text(), text()))),
        tags in vec(shared(), 0..4),
        dedup in of((shared(), of(number()), of(number()))),
        parent in of((queue(), job_id(), policy())),
        traceparent in of(shared()), schedule in of((job_id(), number())),
    ) -> Spec {
        Spec {
            id, name, data, priority, attempts, lifo, timeout_ms, group, traceparent,
            backoff: backoff.map(Arc::new),
            owner: owner.map(|(tenant, user)| Arc::new(Owner { tenant, user })),
            tags: if tags.is_empty() { no_tags() } else { tags.into() },
            dedup: dedup.map(|(key, ttl_ms, fingerprint)| Arc::new(Dedup { key, ttl_ms, fingerprint })),
            parent: parent.map(|(queue, id, on_failure)| Arc::new(Parent { queue, id, on_failure })),
            schedule: schedule.map(|(id, slot)| {
                Arc::new(ScheduleSlot { schedule: ScheduleId::new(id.as_str()).unwrap(), slot })
            }),
        }
    }
}

prop_compose! {
    fn attempt()(attempt in small(), worker in number(), started in number(), ended in number(), kind in 0..6_usize,
        message in text()) -> Attempt {
        let error = JobError { kind: ERROR_KINDS[kind], message };
        Attempt { attempt, worker: WorkerId(worker), started, ended, error }
    }
}

prop_compose! {
    fn status()(
        state in 0..7_usize, created_at in number(), run_at in number(),
        (attempts_made, stalls, run, log_lines) in (small(), small(), small(), small()),
        (processed_on, finished_on) in (of(number()), of(number())),
        progress in of((any::<u8>(), of(text()), of(payload()))),
        result in of(payload()),
        errors in vec(attempt(), 0..4),
        settled_by in of(token()),
    ) -> Status {
        Status {
            state: JobState::ALL[state], created_at, run_at, attempts_made, stalls, run, processed_on, finished_on,
            progress: progress.map(|(percent, message, data)| Arc::new(Progress { percent, message, data })),
            result, errors, log_lines, settled_by,
        }
    }
}

fn new_job() -> impl Strategy<Value = NewJob> {
    let when = prop_oneof![Just(When::Now), number().prop_map(When::After), number().prop_map(When::At)];
    let leaf = (spec(), any::<bool>(), when).prop_map(|(spec, default_priority, when)| NewJob {
        spec,
        default_priority,
        when,
        children: Vec::new(),
    });
    leaf.prop_recursive(3, 8, 3, |inner| {
        let child = (queue(), policy(), inner.clone()).prop_map(|(queue, on_failure, job)| NewChild {
            queue,
            on_failure,
            job,
        });
        (inner, vec(child, 0..3)).prop_map(|(job, children)| NewJob { children, ..job })
    })
}

fn record(spec: &Spec, status: &Status) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_record(&mut bytes, spec, status);
    bytes
}

fn read(spec: &Spec, bytes: &[u8]) -> Result<(Spec, Status), DecodeError> {
    let mut reader = Reader::new(bytes);
    let read = decode_record(&mut reader, spec.id.clone(), spec.data.clone())?;
    if reader.is_at_end() { Ok(read) } else { Err(DecodeError::Invalid("end")) }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_record_reads_back_as_it_was_written(spec in spec(), status in status()) {
        let bytes = record(&spec, &status);
        prop_assert_eq!(read(&spec, &bytes), Ok((spec, status)));
    }

    #[test]
    fn a_job_on_its_way_in_reads_back_with_its_whole_tree(job in new_job()) {
        let mut bytes = Vec::new();
        encode_new_job(&mut bytes, &job);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!(decode_new_job(&mut reader), Ok(job));
        prop_assert!(reader.is_at_end());
    }

    #[test]
    fn a_record_that_ends_early_is_refused(spec in spec(), status in status()) {
        let bytes = record(&spec, &status);
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
            prop_assert!(read(&spec, &bytes[..end]).is_err(), "cut at {} of {}", end, bytes.len());
        }
    }

    #[test]
    fn a_tree_that_ends_early_is_refused(job in new_job()) {
        let mut bytes = Vec::new();
        encode_new_job(&mut bytes, &job);
        for end in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
            prop_assert!(decode_new_job(&mut Reader::new(&bytes[..end])).is_err());
        }
    }

    /// Which bytes were damaged the frame's checksum tells; here a reader must only keep its feet.
    #[test]
    fn damaged_bytes_never_panic(spec in spec(), status in status(), job in new_job(), at in any::<prop::sample::Index>(),
        flip in 1..=255_u8) {
        let mut bytes = record(&spec, &status);
        let place = at.index(bytes.len());
        bytes[place] ^= flip;
        let _ = read(&spec, &bytes);
        let mut bytes = Vec::new();
        encode_new_job(&mut bytes, &job);
        let place = at.index(bytes.len());
        bytes[place] ^= flip;
        let _ = decode_new_job(&mut Reader::new(&bytes));
    }

    #[test]
    fn any_bytes_never_panic(bytes in vec(any::<u8>(), 0..300), spec in spec()) {
        let _ = read(&spec, &bytes);
        let _ = decode_new_job(&mut Reader::new(&bytes));
    }

    #[test]
    fn numbers_read_back(a in number(), b in any::<i64>(), c in small()) {
        let mut bytes = Vec::new();
        let mut writer = Writer(&mut bytes);
        writer.u64(a);
        writer.i64(b);
        writer.u32(c);
        let mut reader = Reader::new(&bytes);
        prop_assert_eq!((reader.u64(), reader.i64(), reader.u32()), (Ok(a), Ok(b), Ok(c)));
        prop_assert!(reader.is_at_end());
    }
}

fn plain() -> (Spec, Status) {
    let mut bytes = Vec::new();
    encode_new_job(&mut bytes, &NewJob::new(JobId::new("a").unwrap(), "work", "{}"));
    let mut reader = Reader::new(&bytes);
    let id = reader.job_id().unwrap();
    let data = Bytes::copy_from_slice(reader.bytes().unwrap());
    decode_record(&mut reader, id, data).unwrap()
}

#[test]
fn a_record_of_a_newer_version_is_refused_with_a_reason() {
    let (spec, status) = plain();
    let mut bytes = record(&spec, &status);
    bytes[0] = VERSION_SCHEDULED + 1;
    let error = read(&spec, &bytes).unwrap_err();
    assert_eq!(error, DecodeError::Version(VERSION_SCHEDULED + 1));
    assert!(error.to_string().contains("upgrade"), "{error}");
}

#[test]
fn the_state_stands_in_the_second_byte() {
    let (spec, mut status) = plain();
    for state in JobState::ALL {
        status.state = state;
        assert_eq!(record(&spec, &status)[1], state.code());
    }
}

#[test]
fn a_plain_job_takes_a_few_dozen_bytes() {
    let (spec, mut status) = plain();
    status.created_at = 1_700_000_000_000;
    status.run_at = status.created_at;
    assert!(record(&spec, &status).len() <= 32, "{} bytes", record(&spec, &status).len());
}

#[test]
fn a_factor_that_is_no_number_keeps_its_bits() {
    let (mut spec, status) = plain();
    spec.backoff = Some(Arc::new(Backoff::exponential(1, f64::NAN)));
    let bytes = record(&spec, &status);
    let (again, status) = read(&spec, &bytes).unwrap();
    assert_eq!(record(&again, &status), bytes);
}

/// A count says how much follows. A hostile one must not make the reader reserve memory for it, or read for ever.
#[test]
fn hostile_counts_are_refused_at_the_end_of_the_bytes() {
    let (mut spec, mut status) = plain();
    spec.tags = Arc::new(["a".into()]);
    let mut bytes = record(&spec, &status);
    let tail = bytes.len() - 3;
    assert_eq!(&bytes[tail..], [1, 1, b'a'], "the count of tags, and the only tag");
    bytes.truncate(tail);
    Writer(&mut bytes).u64(u64::MAX);
    assert!(read(&spec, &bytes).is_err());
    spec.tags = no_tags();
    status.result = Some(Bytes::from_static(b"x"));
    let mut bytes = record(&spec, &status);
    bytes.truncate(bytes.len() - 2);
    Writer(&mut bytes).u64(u64::MAX);
    assert_eq!(read(&spec, &bytes), Err(DecodeError::Truncated(bytes.len())));
}

#[test]
fn a_number_that_does_not_fit_is_refused() {
    for bytes in [[0xff; 11].as_slice(), &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]] {
        assert_eq!(Reader::new(bytes).u64(), Err(DecodeError::Invalid("number")));
    }
    assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).u32(), Err(DecodeError::Invalid("number")));
}

#[test]
fn a_tree_deeper_than_a_flow_may_be_is_refused() {
    let mut job = NewJob::new(JobId::new("leaf").unwrap(), "work", "{}");
    for _ in 0..NewJob::FLOW_DEPTH_MAX {
        let parent = NewJob::new(JobId::new("node").unwrap(), "work", "{}");
        job = parent.child(QueueName::new("q").unwrap(), job, ChildFailure::Fail);
    }
    let mut bytes = Vec::new();
    encode_new_job(&mut bytes, &job);
    assert_eq!(decode_new_job(&mut Reader::new(&bytes)), Err(DecodeError::Invalid("flow depth")));
}
