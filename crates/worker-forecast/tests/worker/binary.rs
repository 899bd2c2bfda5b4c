//! The binary: starts, tells what is wrong with its configuration, and drains when it is asked to stop.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};

fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bulrush-worker-forecast"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn a_configuration_that_cannot_be_used_is_refused_with_all_that_is_wrong() {
    let output = binary().args(["--concurrency", "0"]).output().unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    for name in ["BULRUSH_ENGINE", "DATABASE_URL", "BULRUSH_WORKER_CONCURRENCY"] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
}

#[test]
fn it_runs_until_it_is_asked_to_stop_and_then_ends_well() {
    let folder = tempfile::tempdir().unwrap();
    let database = format!("sqlite:{}", folder.path().join("store.db").display());
    let mut child = binary()
        .args(["--engine", "memory:", "--database", &database, "--log-format", "json"])
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("worker started") {
        line.clear();
        assert!(log.read_line(&mut line).unwrap() > 0, "the worker ended before it started to work");
    }
    let asked = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert!(asked.success());
    let status = child.wait().unwrap();
    let mut rest = String::new();
    log.read_to_string(&mut rest).unwrap();
    assert!(status.success(), "{status}: {rest}");
    assert!(rest.contains("SIGTERM") && rest.contains("\"drained\":\"Whole\""), "{rest}");
}
