//! The binary: starts, tells what is wrong with its configuration, and drains when it is asked to stop.

#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bulrush-worker-analytics"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_all_that_is_wrong() {
    let output = binary().args(["--concurrency", "0"]).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    for name in ["BULRUSH_ENGINE", "DATABASE_URL", "BULRUSH_FILES", "BULRUSH_WORKER_CONCURRENCY"] {
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
fn a_health_check_without_a_process_to_ask_fails_and_says_why() {
    for (options, word) in
        [(vec!["healthcheck"], "BULRUSH_OPS"), (vec!["--ops", "127.0.0.1:1", "healthcheck"], "127.0.0.1:1")]
    {
        let output = binary().args(options).output().unwrap();
        assert!(!output.status.success());
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn it_runs_until_it_is_asked_to_stop_and_then_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("store.db").display());
    let mut child = binary()
        .args([
            "--engine",
            "memory:",
            "--database",
            &database,
            "--log-format",
            "json",
            "--ops",
            "127.0.0.1:0",
            "--files",
        ])
        .arg(folder.path().join("files"))
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("health and metrics are told") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the worker ended before it told how it is");
    }
    let address = line.split('"').find(|part| part.starts_with("127.0.0.1:")).unwrap().to_owned();
    while !line.contains("worker started") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the worker ended before it started to work");
    }
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let asked = binary().args(["--ops", &address, "healthcheck"]).output().unwrap();
        if asked.status.success() {
            break;
        }
        assert!(Instant::now() < deadline, "it is not ready: {asked:?}");
    }
    let metrics = get(&address, "/metrics");
    assert!(metrics.contains("bulrush_worker_slots{queue=\"export\"} 2"), "{metrics}");
    assert!(get(&address, "/health/live").starts_with("HTTP/1.1 200 "));
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let status = child.wait().unwrap();
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(status.success(), "{status}: {rest}");
    assert!(rest.contains("SIGTERM") && rest.contains("\"drained\":\"Whole\""), "{rest}");
}

#[test]
fn it_waits_for_an_engine_that_is_away_and_can_be_stopped_while_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("store.db").display());
    // Nothing listens at a port that was just given back.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut child = binary()
        .args([
            "--engine",
            &format!("redis://{free}"),
            "--database",
            &database,
            "--log-format",
            "json",
            "--ops",
            "127.0.0.1:0",
            "--files",
        ])
        .arg(folder.path().join("files"))
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    let mut address = None;
    while !line.contains("the engine's store is away; trying again") {
        if line.contains("health and metrics are told") {
            address = line.split('"').find(|part| part.starts_with("127.0.0.1:")).map(ToOwned::to_owned);
        }
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the worker ended instead of waiting");
    }
    let address = address.unwrap();
    assert!(
        get(&address, "/health/live").starts_with("HTTP/1.1 200 "),
        "an engine that is away is no reason to start anew"
    );
    assert!(get(&address, "/health/ready").starts_with("HTTP/1.1 503 "));
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
}
