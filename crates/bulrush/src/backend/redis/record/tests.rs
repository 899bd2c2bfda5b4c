use proptest::prelude::*;

use super::*;
use crate::model::{Backoff, ChildFailure, Curve, Jitter, ScheduleId, ScheduleSlot};

fn id(text: &str) -> JobId {
    JobId::new(text).expect("a good id")
}

/// A spec with nothing optional.
fn plain() -> Spec {
    Spec {
        id: id("job-1"),
        name: "work".into(),
        data: "{}".into(),
        priority: 5,
        attempts: 3,
        lifo: false,
        timeout_ms: None,
        backoff: None,
        group: None,
        owner: None,
        tags: no_tags(),
        dedup: None,
        parent: None,
        traceparent: None,
        schedule: None,
    }
}

/// A spec with everything optional.
fn full() -> Spec {
    Spec {
        lifo: true,
        timeout_ms: Some(1_001),
        backoff: Some(Arc::new(Backoff {
            curve: Curve::Table { delays_ms: vec![1, 2_000, 3] },
            cap_ms: Some(9),
            jitter: Jitter::Equal,
        })),
        group: Some("acme\0corp".into()),
        owner: Some(Arc::new(Owner { tenant: String::new(), user: "ada ✓".into() })),
        tags: ["a", "", "ü"].map(Arc::from).into(),
        dedup: Some(Arc::new(Dedup {
            key: "k".into(),
            ttl_ms: Some(86_400_000),
            fingerprint: Some(u64::MAX),
        })),
        parent: Some(Arc::new(Parent {
            queue: QueueName::new("parents").expect("a good name"),
            id: id("par-1"),
            on_failure: ChildFailure::Continue,
        })),
        traceparent: Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        schedule: Some(Arc::new(ScheduleSlot {
            schedule: ScheduleId::new("nightly").expect("a good id"),
            slot: 1_700_000_000_000,
        })),
        ..plain()
    }
}

fn error(attempt: u32, message: &str) -> Attempt {
    let error = JobError { kind: ErrorKind::Timeout, message: message.to_owned() };
    Attempt { attempt, worker: WorkerId(u64::MAX), started: 70, ended: 80, error }
}

/// What the script of an add puts before the rest of a record.
fn stamped(state: u8, at: u64, created: u64, rest: &[u8]) -> Vec<u8> {
    let mut record = vec![VERSION, state];
    put_u32(&mut record, 0);
    put_u48(&mut record, at);
    put_u48(&mut record, created);
    record.extend_from_slice(rest);
    record
}

fn added(spec: &Spec) -> Vec<u8> {
    let mut rest = Vec::new();
    put_new(&mut rest, spec, spec.priority, false);
    stamped(b'd', 2_000, 1_000, &rest)
}

fn big_of(spec: &Spec) -> Option<Vec<u8>> {
    is_big(spec).then(|| spec.data.to_vec())
}

fn settled(over: &Over<'_>, state: u8, at: u64) -> Vec<u8> {
    let mut rest = Vec::new();
    put_over(&mut rest, over);
    let mut record = vec![VERSION, state];
    put_u32(&mut record, 7);
    put_u48(&mut record, at);
    record.extend_from_slice(&rest);
    record
}

fn taken(spec: Spec, errors: Vec<Attempt>) -> Taken {
    Taken {
        spec: Arc::new(spec),
        token: Token { run: 4, worker: WorkerId(0xfeed), take: 77 },
        attempt: 3,
        stalls: 1,
        created_at: 1_000,
        run_at: 1_500,
        started: 1_600,
        errors,
        is_parent: false,
    }
}

#[test]
fn an_added_job_is_read_as_it_was_asked_for() {
    for spec in [plain(), full()] {
        let read = Record::decode(spec.id.clone(), added(&spec), None).expect("it can be read");
        assert_eq!(read.spec, spec);
        let status = read.status;
        assert_eq!((status.state, status.created_at, status.run_at), (JobState::Delayed, 1_000, 2_000));
        assert_eq!((status.attempts_made, status.run, status.stalls, status.finished_on), (0, 0, 0, None));
        assert_eq!((status.settled_by, status.processed_on, status.result), (None, None, None));
    }
}

#[test]
fn payloads_above_the_limit_are_kept_beside_the_record() {
    for (len, beside) in [(0, false), (1_024, false), (1_025, true), (1 << 20, true)] {
        let spec = Spec { data: vec![0xff; len].into(), ..plain() };
        assert_eq!(is_big(&spec), beside, "{len} bytes");
        let record = added(&spec);
        assert_eq!(record.len() < 1_024, beside || len == 0, "{len} bytes");
        let read = Record::decode(spec.id.clone(), record.clone(), big_of(&spec)).expect("it can be read");
        assert_eq!(read.spec.data, spec.data);
        assert_eq!(Record::decode(spec.id.clone(), record, None).is_err(), beside, "its payload is missing");
    }
}

#[test]
fn a_finished_job_keeps_its_times_its_result_and_its_errors() {
    let errors = vec![error(1, "käse"), error(2, "")];
    for spec in [plain(), full()] {
        let job = taken(spec, errors.clone());
        let result = Bytes::from_static(b"{\"ok\":true}");
        let over =
            Over { job: &job, attempts_made: 3, result: Some(&result), errors: &job.errors, ended: true };
        let read =
            Record::decode(job.spec.id.clone(), settled(&over, b'c', 1_700), None).expect("it can be read");
        assert_eq!(read.spec, *job.spec);
        let expected = Status {
            state: JobState::Completed,
            created_at: 1_000,
            run_at: 1_500,
            attempts_made: 3,
            stalls: 1,
            run: 4,
            processed_on: Some(1_600),
            finished_on: Some(1_700),
            progress: None,
            result: Some(result.clone()),
            errors: errors.clone(),
            log_lines: 0,
            settled_by: Some(job.token),
        };
        assert_eq!(read.status, expected);
    }
}

#[test]
fn a_job_that_runs_again_is_due_when_its_record_says() {
    let job = taken(plain(), vec![]);
    let over = Over { job: &job, attempts_made: 2, result: None, errors: &[], ended: false };
    let read =
        Record::decode(job.spec.id.clone(), settled(&over, b'd', 9_000), None).expect("it can be read");
    assert_eq!((read.status.run_at, read.status.finished_on), (9_000, None));
    let again = read.taken(WorkerId(8), 9, 9_100);
    assert_eq!((again.token, again.attempt), (Token { run: 5, worker: WorkerId(8), take: 9 }, 3));
    assert_eq!((again.run_at, again.started, again.created_at), (9_000, 9_100, 1_000));
}

#[test]
fn an_error_that_a_script_has_stamped_is_read_back() {
    let job = taken(plain(), vec![]);
    let over = Over { job: &job, attempts_made: 3, result: None, errors: &[], ended: true };
    let mut record = settled(&over, b'f', 1_700);
    let failure = JobError { kind: ErrorKind::Panic, message: "x".repeat(100_000) };
    put_error(&mut record, 3, WorkerId(5), 1_600, &failure);
    put_u48(&mut record, 1_700);
    let read = Record::decode(job.spec.id.clone(), record, None).expect("it can be read");
    let [last] = read.status.errors.as_slice() else { panic!("one error: {:?}", read.status.errors) };
    assert_eq!((last.attempt, last.worker, last.started, last.ended), (3, WorkerId(5), 1_600, 1_700));
    assert_eq!((last.error.kind, last.error.message.len()), (ErrorKind::Panic, usize::from(u16::MAX) - 23));
}

#[test]
fn an_active_entry_a_progress_report_and_counted_lines_are_part_of_the_view() {
    let job = taken(full(), vec![]);
    let mut entry = Vec::new();
    super::super::active::put_expected(&mut entry, &job);
    let progress = Progress { percent: 200, message: Some("a ü".into()), data: Some(Bytes::new()) };
    let mut packed = Vec::new();
    put_progress(&mut packed, &progress, 3);
    let mut lines = Vec::new();
    for n in [12, 4, 3] {
        put_u32(&mut lines, n);
    }
    let mut rest = Vec::new();
    put_new(&mut rest, &job.spec, 5, true);
    let kept = Kept {
        record: stamped(b'w', 1_500, 1_000, &rest),
        active: Some(entry),
        progress: Some(packed),
        lines: Some(lines),
        children_pending: 2,
        big: None,
    };
    let queue = QueueName::new("main").expect("a good name");
    let view = kept.view(&queue, job.spec.id.clone()).expect("it can be read");
    let run = view.active.expect("it runs");
    assert_eq!(run.token, Token { run: 1, ..job.token });
    // A time-out of 1,001 ms is two whole seconds.
    assert_eq!(
        (run.started, run.deadline, run.cancel_requested),
        (1_600, Some(1_600 + 2_000 + 30_000), false)
    );
    let status = &view.status;
    assert_eq!((status.state, status.run, status.attempts_made), (JobState::Active, 1, 1));
    assert_eq!((status.processed_on, status.log_lines, view.children_pending), (Some(1_600), 12, 2));
    let seen = status.progress.as_deref().expect("it reported");
    assert_eq!(
        (seen.percent, seen.message.as_deref(), seen.data.as_deref()),
        (100, Some("a "), Some(&b""[..]))
    );
}

#[test]
fn a_record_of_a_newer_version_is_told_apart() {
    let mut record = added(&plain());
    record[0] = 3;
    assert_eq!(Record::decode(id("a"), record, None).map(|_| ()), Err(Damaged::Format(3)));
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Record::decode(id("a"), bytes.clone(), None);
        let _ = Active::decode(&bytes);
        let _ = read_progress(&bytes);
    }

    #[test]
    fn a_record_with_a_changed_byte_or_a_cut_end_never_panics(at in 0_usize..400, byte: u8, cut in 0_usize..400) {
        let job = taken(full(), vec![error(1, "a"), error(2, "b")]);
        let result = Bytes::from_static(b"[1]");
        let over = Over { job: &job, attempts_made: 3, result: Some(&result), errors: &job.errors, ended: true };
        let mut record = settled(&over, b'c', 1_700);
        let at = at % record.len();
        record[at] = byte;
        record.truncate(record.len().saturating_sub(cut));
        let _ = Record::decode(id("a"), record, None);
    }
}
