//! What a running job writes, and payloads that nobody looks into.

use bulrush::model::{ErrorKind, JobError, NewJob, Outcome, Progress};
use bulrush::port::UpdateChange;
use bytes::Bytes;

use crate::suite::{Rig, again, complete, id, job};

pub async fn progress_log_and_data_are_found_on_the_job(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let half = Progress { percent: 50, message: Some("half".into()), data: Some("[1]".into()) };
    hand.update(&taken, UpdateChange::Progress(half.clone())).await;
    hand.update(&taken, UpdateChange::Log { from: 0, lines: vec!["one".into(), "two\nlines".into()] }).await;
    hand.update(&taken, UpdateChange::Data("[2]".into())).await;
    let found = rig.job("a").await;
    assert_eq!(found.status.progress.as_deref(), Some(&half));
    assert_eq!(found.spec.data, "[2]");
    let logs = rig.backend.logs(&rig.name, found.id(), 0, 10).await.expect("logs can be read");
    assert_eq!(logs, [(0, "one".to_owned()), (1, "two\nlines".to_owned())]);
    let nobody = rig.backend.logs(&rig.name, &id("nobody"), 0, 10).await.expect("logs can be read");
    assert_eq!(nobody, []);
}

pub async fn invariant_8_log_lines_that_are_sent_again_stand_once(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    let log = |from: u32, lines: &[&str]| UpdateChange::Log {
        from,
        lines: lines.iter().map(ToString::to_string).collect(),
    };
    for change in [
        log(0, &["0", "1"]),
        log(0, &["0", "1"]),
        log(2, &["2"]),
        // Two calls whose answers got lost, sent as one.
        log(0, &["0", "1", "2", "3"]),
        // A line was lost on its way.
        log(5, &["5"]),
        log(5, &["5"]),
        log(1, &["1"]),
    ] {
        hand.update(&taken, change).await;
    }
    // The next run numbers its own.
    hand.end(&taken, again(0)).await;
    let taken = hand.take_one().await;
    for _ in 0..2 {
        hand.update(&taken, log(0, &["next"])).await;
    }
    let logs = rig.backend.logs(&rig.name, &id("a"), 0, 10).await.expect("logs can be read");
    let lines: Vec<&str> = logs.iter().map(|(_, line)| line.as_str()).collect();
    assert_eq!(lines, ["0", "1", "2", "3", "5", "next"]);
}

pub async fn the_next_attempt_goes_on_from_the_data_the_last_one_wrote(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    hand.update(&taken, UpdateChange::Data("[\"page 7\"]".into())).await;
    hand.end(&taken, again(0)).await;
    assert_eq!(hand.take_one().await.spec.data, "[\"page 7\"]");
}

pub async fn payload_bytes_are_opaque_and_come_back_byte_for_byte(rig: &Rig) {
    let deep = [vec![b'['; 5_000], vec![b']'; 5_000]].concat();
    let payloads: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"\0".to_vec(),
        b"a\0b\0".to_vec(),
        b"\r\n".to_vec(),
        b"$3\r\nSET\r\n*1\r\n+OK\r\n".to_vec(),
        b"{\"n\":9007199254740993}".to_vec(),
        b"{\"n\":1e400,\"m\":-0.0,\"m\":12345678901234567890}".to_vec(),
        b"\"\\ud800\"".to_vec(),
        vec![0xed, 0xa0, 0x80],
        vec![0xff, 0xfe, 0x00, 0xc0, 0x80],
        "{\"\u{fffe}\u{202e}\":\"\u{1f4a9}\"}".as_bytes().to_vec(),
        (0..=255).collect(),
        deep,
    ];
    let mut hand = rig.hand(1);
    for (n, payload) in payloads.into_iter().enumerate() {
        let text = format!("j{n}");
        let payload = Bytes::from(payload);
        rig.add(NewJob::new(id(&text), "work", payload.clone())).await;
        let taken = hand.take_one().await;
        assert_eq!(taken.spec.data, payload);
        let progress = Progress { percent: 1, message: None, data: Some(payload.clone()) };
        hand.update(&taken, UpdateChange::Progress(progress)).await;
        hand.update(&taken, UpdateChange::Data(payload.clone())).await;
        let result = Some(payload.clone());
        hand.end(&taken, Outcome::Complete { result: result.clone(), follow_ups: Vec::new() }).await;
        let found = rig.job(&text).await;
        assert_eq!((&found.spec.data, &found.status.result), (&payload, &result), "payload {n}");
        assert_eq!(found.status.progress.and_then(|progress| progress.data.clone()), result);
    }
}

pub async fn texts_come_back_as_they_were_written_whatever_is_in_them(rig: &Rig) {
    let texts = [
        "\0",
        "a\0b\r\nc",
        "$3\r\nSET\r\n*1\r\n+OK\r\n-ERR no\r\n",
        "{\"n\":9007199254740993,\"m\":1e400,\"o\":-0.0}",
        "\"\\ud800\"",
        "\u{fffe}\u{202e}\u{1f4a9}\u{1b}[2J",
        &"[".repeat(1_000),
    ];
    let mut hand = rig.hand(1);
    for (n, text) in texts.into_iter().enumerate() {
        let name = format!("j{n}");
        rig.add(job(&name).attempts(1)).await;
        let taken = hand.take_one().await;
        let message: String = text.chars().take(100).collect();
        let progress = Progress { percent: 1, message: Some(message.clone()), data: None };
        hand.update(&taken, UpdateChange::Progress(progress)).await;
        let log = UpdateChange::Log { from: 0, lines: vec![text.to_owned(), String::new(), text.to_owned()] };
        hand.update(&taken, log).await;
        let error = JobError { kind: ErrorKind::Unrecoverable, message: message.clone() };
        hand.end(&taken, Outcome::Fail { error }).await;
        let found = rig.job(&name).await;
        let told = found.status.progress.as_deref().and_then(|progress| progress.message.clone());
        assert_eq!(told, Some(message.clone()), "text {n}");
        assert_eq!(found.status.errors[0].error.message, message, "text {n}");
        let logs = rig.backend.logs(&rig.name, found.id(), 0, 10).await.expect("logs can be read");
        assert_eq!(logs, [(0, text.to_owned()), (1, String::new()), (2, text.to_owned())], "text {n}");
    }
}

pub async fn a_retry_forgets_the_last_progress_and_result_and_keeps_errors_and_logs(rig: &Rig) {
    rig.add(job("a")).await;
    let mut hand = rig.hand(1);
    let taken = hand.take_one().await;
    hand.update(&taken, UpdateChange::Progress(Progress { percent: 9, ..Progress::default() })).await;
    hand.update(&taken, UpdateChange::Log { from: 0, lines: vec!["line".into()] }).await;
    hand.end(&taken, crate::suite::fail()).await;
    rig.retry("a").await;
    let status = rig.job("a").await.status;
    assert_eq!((status.progress, status.result, status.errors.len()), (None, None, 1));
    assert_eq!(status.log_lines, 1);
    hand.run(complete()).await;
}
