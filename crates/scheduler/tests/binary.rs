//! The binary: starts, tells what is wrong with its configuration, fires schedules, and ends well when it is asked to stop.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bulrush-scheduler"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_all_that_is_wrong() {
    let output = binary().args(["--schedules-zone", "Mars/Base"]).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    for name in ["BULRUSH_ENGINE", "DATABASE_URL", "BULRUSH_SCHEDULES_ZONE"] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
}

/// What the process tells at a path, head and body.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn it_runs_until_it_is_asked_to_stop_and_then_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("store.db").display());
    let engine = format!("file:{}", folder.path().join("engine").display());
    // Somebody's schedule, put before: it fires once, and then is over.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = bulrush::Client::connect(&engine).await.unwrap();
        let queue = client.queue("forecast").unwrap();
        let id = bulrush::model::ScheduleId::new("once").unwrap();
        let spec = bulrush::model::ScheduleSpec::every(id, 1_000, &queue.job("run-forecast", "{}"))
            .unwrap()
            .limit(1);
        queue.schedules().put(spec).await.unwrap();
        client.backend().close().await.unwrap();
    });
    let mut child = binary()
        .args(["--engine", &engine, "--database", &database, "--log-format", "json", "--ops", "127.0.0.1:0"])
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("health and metrics are told") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the scheduler ended before it told how it is");
    }
    let address = line.split('"').find(|part| part.starts_with("127.0.0.1:")).unwrap().to_owned();
    while !line.contains("scheduler started") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the scheduler ended before it started to work");
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let asked = binary().args(["--ops", &address, "healthcheck"]).output().unwrap();
        let metrics = get(&address, "/metrics");
        let fired = metrics.contains("bulrush_schedule_fired_total{queue=\"forecast\"} 1");
        if asked.status.success() && fired {
            assert!(metrics.contains("bulrush_worker_slots{queue=\"fan-out\"} 2"), "{metrics}");
            break;
        }
        assert!(Instant::now() < deadline, "it is not ready or has not fired: {asked:?}\n{metrics}");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(get(&address, "/health/live").starts_with("HTTP/1.1 200 "));
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let status = child.wait().unwrap();
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(status.success(), "{status}: {rest}");
    assert!(rest.contains("SIGTERM") && rest.contains("\"stopped\""), "{rest}");
    runtime.block_on(async {
        let client = bulrush::Client::connect(&engine).await.unwrap();
        assert_eq!(client.queue("forecast").unwrap().info().await.unwrap().counts.waiting, 1);
        let fan_out = client.queue("fan-out").unwrap();
        assert!(fan_out.schedules().get("competitor-prices").await.unwrap().is_some());
        client.backend().close().await.unwrap();
    });
}
