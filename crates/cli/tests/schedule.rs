//! Schedules from the command line.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use common::server::Server;
use common::{DEADLINE, path, run, text};
use serde_json::Value;

fn lines(output: &std::process::Output) -> Vec<Value> {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn when_an_expression_fires_is_told_without_a_store() {
    let next = run(&[
        "schedule",
        "next",
        "--cron",
        "30 2 * * *",
        "--zone",
        "Europe/Berlin",
        "--json",
        "--count",
        "400",
    ]);
    let runs = lines(&next);
    assert_eq!(runs.len(), 400);
    // In a year there are two that are moved by the clock: one to 3 o'clock, and one that comes twice and fires once.
    let moved: Vec<&str> = runs
        .iter()
        .map(|run| run["local"].as_str().expect("a text"))
        .filter(|local| !local.contains("T02:30:00"))
        .collect();
    assert!(!moved.is_empty() && moved.iter().all(|local| local.contains("T03:00:00+02:00")), "{moved:?}");
    let next =
        run(&["schedule", "next", "--cron", "0 9 * * 1-5", "--zone", "America/New_York", "--count", "2"]);
    assert!(next.status.success(), "{}", text(&next.stderr));
    let shown = text(&next.stdout);
    assert_eq!(shown.lines().count(), 2);
    assert!(shown.contains("09:00:00 E") && shown.contains("UTC"), "{shown}");
    for (arguments, word) in [
        (vec!["--cron", "30 2 * *"], "five fields"),
        (vec!["--cron", "0 0 30 2 *"], "never fire"),
        (vec!["--cron", "0 2 * * *", "--zone", "Berlin"], "did you mean Europe/Berlin?"),
        (vec!["--every", "soon"], "no length of time"),
        (vec!["--every", "10ms"], "at least 1000 ms"),
        (vec!["--cron", "@daily", "--count", "0"], "1 to 1000"),
        (vec![], "--cron"),
    ] {
        let refused = run(&[&["schedule", "next"], arguments.as_slice()].concat());
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(text(&refused.stderr).contains(word), "{arguments:?}: {}", text(&refused.stderr));
    }
}

#[test]
fn schedules_are_put_listed_run_disabled_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    // An empty one: the store is made with the first schedule.
    let data = path(folder.path());
    let on = |arguments: &[&str]| run(&[&["schedule"], arguments, &["--data", data, "--json"]].concat());
    let set = [
        "set",
        "forecast",
        "nightly",
        "--cron",
        "30 2 * * *",
        "--zone",
        "Europe/Berlin",
        "--with",
        r#"{"productId":"p"}"#,
        "--limit",
        "9",
        "--overlap",
        "skip",
    ];
    let made = lines(&on(&set));
    assert_eq!(made[0]["done"], "is made");
    assert_eq!(made[0]["schedule"]["job"], "run-forecast", "the queue runs one kind");
    assert_eq!(lines(&on(&set))[0]["done"], "is so already");
    let owned = ["set", "export", "mine", "--every", "1h", "--owner", "acme/ada", "--disabled"];
    assert_eq!(lines(&on(&owned))[0]["done"], "is made");

    let all = lines(&on(&["ls"]));
    let mut names: Vec<_> = all.iter().map(|one| (one["queue"].as_str(), one["name"].as_str())).collect();
    names.sort_unstable();
    assert_eq!(names, [(Some("export"), Some("mine")), (Some("forecast"), Some("nightly"))]);
    assert_eq!(lines(&on(&["ls", "data-export"])).len(), 1);
    let shown = run(&["schedule", "ls", "--data", data]);
    let shown = text(&shown.stdout);
    assert!(shown.contains("nightly") && shown.contains("acme/ada") && shown.contains("disabled"), "{shown}");

    assert_eq!(lines(&on(&["next", "forecast", "nightly", "--count", "3"])).len(), 3);
    assert_eq!(lines(&on(&["next", "export", "mine", "--owner", "acme/ada"])).len(), 0);
    let enabled = on(&["enable", "export", "mine", "--owner", "acme/ada"]);
    assert_eq!(lines(&enabled)[0]["done"], "is enabled");
    assert_eq!(lines(&on(&["next", "export", "mine", "--owner", "acme/ada"])).len(), 5);
    assert_eq!(lines(&on(&["disable", "forecast", "nightly"]))[0]["done"], "is disabled");
    let ran = lines(&on(&["run", "forecast", "nightly"]));
    assert_eq!(ran[0]["new"], true);
    let job =
        run(&["job", "get", "forecast", ran[0]["id"].as_str().expect("an id"), "--data", data, "--json"]);
    assert_eq!(lines(&job)[0]["data"]["productId"], "p");
    assert_eq!(lines(&on(&["get", "forecast", "nightly"]))[0]["fired"], 0, "its slots stay");

    assert_eq!(lines(&on(&["rm", "forecast", "nightly"]))[0]["done"], "is removed");
    for (arguments, word) in [
        (vec!["rm", "forecast", "nightly"], "needs --owner TENANT/USER"),
        (vec!["run", "forecast", "nightly"], "has no schedule nightly"),
        (vec!["get", "forcast", "nightly"], "did you mean forecast?"),
        (vec!["set", "feeds", "x", "--cron", "@daily"], "sync-weather"),
        (vec!["set", "forecast", "a b", "--cron", "@daily"], "not allowed"),
        (vec!["set", "forecast", "x", "--cron", "@daily", "--with", "[]"], "not a JSON object"),
        (vec!["set", "forecast", "x", "--cron", "@daily", "--start", "tomorrow"], "--start tomorrow"),
        (vec!["set", "forecast", "x", "--cron", "@daily", "--owner", "ada"], "TENANT/USER"),
        (vec!["set", "forecast", "x"], "--cron"),
        (vec!["set", "forecast", "x", "--cron", "@daily", "--end", "2020-01-01T00:00:00Z"], "never fire"),
    ] {
        let refused = on(&arguments);
        assert!(!refused.status.success(), "{arguments:?}");
        assert!(text(&refused.stderr).contains(word), "{arguments:?}: {}", text(&refused.stderr));
    }
}

/// What a server tells Prometheus.
fn metrics(server: &Server) -> String {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    answer
}

#[test]
fn a_server_fires_schedules_counts_them_and_has_those_of_the_first_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let server =
        Server::start(folder.path(), &["--schedule-interval", "1s", "--schedules-zone", "Europe/Berlin"]);
    let made = server
        .post_json("/schedules", r#"{"queue":"metrics","every":"1s","limit":1,"data":{"publisherId":"p"}}"#);
    let id = made["schedule"]["id"].as_str().expect("an id").to_owned();
    let deadline = Instant::now() + DEADLINE;
    while server.get(&format!("/schedules/{id}"))["schedule"]["state"]["fired"] != 1 {
        assert!(Instant::now() < deadline, "it does not fire");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let told = "bulrush_schedule_fired_total{queue=\"metrics\"} 1";
    while !metrics(&server).contains(told) {
        assert!(Instant::now() < deadline, "{told} is missing in {}", metrics(&server));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(server.stop(), "a server that is asked to stop ends well");
    let list = run(&["schedule", "ls", "fan-out", "--data", path(folder.path()), "--json"]);
    let defaults = lines(&list);
    assert_eq!(defaults[0]["id"], "competitor-prices");
    assert_eq!(defaults[0]["recurrence"]["zone"], "Europe/Berlin");
}
