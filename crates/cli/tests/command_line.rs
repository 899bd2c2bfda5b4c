//! The program as a user runs it.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use common::{DEADLINE, Serve, path, run, text};

/// A running server.
struct Server {
    process: Serve,
}

impl Server {
    fn start(data: &Path) -> Self {
        Self { process: Serve::start(data, &[]) }
    }

    /// Status and body of a request.
    fn ask(&self, method: &str, target: &str, token: Option<&str>, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.process.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
        let authorization = token.map_or(String::new(), |token| format!("Authorization: Bearer {token}\r\n"));
        let content = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{authorization}{content}Content-Length: {length}\r\n\r\n{body}"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned();
        (status, body)
    }

    fn stop(self) -> bool {
        self.process.stop()
    }

    fn kill(self) {
        self.process.kill();
    }
}

fn token(data: &Path, sub: &str) -> String {
    let made = run(&["token", "new", "--data", path(data), "--role", "user", "--sub", sub]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let token = text(&made.stdout);
    assert_eq!(token.lines().count(), 1, "the token and nothing else: {token:?}");
    token.trim().to_owned()
}

const ENRICH: &str =
    r#"{"name":"enrich-property","data":{"propertyId":"no-such","location":{"latitude":1,"longitude":2}}}"#;

#[test]
fn the_demo_runs_the_whole_pipeline_and_ends_well() {
    let ran = run(&["demo", "--once"]);
    let said = text(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", text(&ran.stderr));
    for part in ["365 enriched days", "Independence Day", "mean price by week", "rain by week"] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
}

#[test]
fn a_server_takes_the_tokens_made_for_its_folder_and_keeps_its_jobs_over_a_kill() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = folder.path().join("data");
    let server = Server::start(&data);
    let ada = token(&data, "ada");
    assert_eq!(server.ask("GET", "/api/v1/jobs", None, "").0, 401);
    assert_eq!(server.ask("GET", "/api/v1/jobs", Some("x.y.z"), "").0, 401);
    assert_eq!(server.ask("GET", "/api/v1/jobs", Some(&ada), "").0, 200);
    let body = r#"{"name":"calculate","data":{"publisherId":"p","metricType":"revenue"},"options":{"jobId":"kept-1"}}"#;
    let (status, answer) = server.ask("POST", "/api/v1/queues/metrics/jobs", Some(&ada), body);
    assert_eq!(status, 202, "{answer}");
    server.kill();

    let server = Server::start(&data);
    let (status, answer) = server.ask("POST", "/api/v1/queues/metrics/jobs", Some(&ada), body);
    assert_eq!(status, 200, "the job is still there, so it is not added again: {answer}");
    assert!(server.stop(), "a server that is asked to stop ends well");
}

#[test]
fn a_second_server_on_the_same_folder_is_told_off_and_the_first_goes_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path());
    let second = run(&["serve", "--data", path(folder.path()), "--port", "0"]);
    assert!(!second.status.success());
    let said = text(&second.stderr);
    assert!(said.contains("in use by another process"), "{said}");
    assert_eq!(server.ask("GET", "/health/live", None, "").0, 200);
    let look = run(&["queue", "ls", "--data", path(folder.path())]);
    assert!(!look.status.success() && text(&look.stderr).contains("in use"), "{}", text(&look.stderr));
    assert!(server.stop());
}

#[test]
fn a_wrong_queue_is_answered_with_what_there_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Server::start(folder.path());
    let ada = token(folder.path(), "ada");
    let (status, answer) = server.ask("POST", "/api/v1/queues/enrichmnt/jobs", Some(&ada), ENRICH);
    assert_eq!(status, 404, "{answer}");
    assert!(answer.contains("enrichment"), "it names the near queue: {answer}");
    assert!(server.stop());
    let look = run(&["queue", "stats", "enrichmnt", "--data", path(folder.path())]);
    assert!(!look.status.success() && text(&look.stderr).contains("enrichment"), "{}", text(&look.stderr));
}

#[test]
fn a_damaged_store_is_refused_with_the_file_and_nothing_is_changed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = path(folder.path());
    for n in 0..3 {
        let added =
            run(&["job", "add", "enrichment", "probe", "{}", "--id", &format!("job-{n}"), "--data", data]);
        assert!(added.status.success(), "{}", text(&added.stderr));
    }
    // In the first job's block: what was written after it proves that this is damage and not a torn end.
    let file = &folder.path().join("engine/segment-000000000001.log");
    let mut bytes = std::fs::read(file).expect("it can be read");
    bytes[100] ^= 0x40;
    std::fs::write(file, &bytes).expect("it can be written");
    let look = run(&["queue", "ls", "--data", data]);
    let said = text(&look.stderr);
    assert!(!look.status.success() && said.contains("damaged"), "{said}");
    assert_eq!(std::fs::read(file).expect("it can be read"), bytes, "nothing was changed");
}

#[test]
fn jobs_and_queues_can_be_looked_at_and_changed_from_the_command_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = path(folder.path());
    let ok = |arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--data", data]);
        let ran = run(&all);
        assert!(ran.status.success(), "{arguments:?}: {}", text(&ran.stderr));
        text(&ran.stdout)
    };
    ok(&[
        "job",
        "add",
        "sync",
        "sync-account",
        r#"{"n":9007199254740993}"#,
        "--id",
        "one",
        "--priority",
        "1",
    ]);
    assert!(ok(&["job", "add", "sync", "sync-account", "--id", "one"]).contains("was there already"));
    let shown = ok(&["job", "get", "sync", "one", "--json"]);
    assert!(shown.contains("\"state\":\"waiting\"") && shown.contains("\"priority\":1"), "{shown}");
    assert!(ok(&["job", "ls", "data-sync"]).contains("one"), "an alias finds the queue");
    assert!(ok(&["job", "explain", "sync", "one"]).contains("no worker"));
    assert!(ok(&["queue", "pause", "sync"]).contains("paused"));
    assert!(ok(&["queue", "ls"]).contains("paused"));
    ok(&["queue", "resume", "sync"]);
    ok(&["job", "cancel", "sync", "one"]);
    assert!(ok(&["job", "retry", "sync", "one"]).contains("will run again"));
    assert!(ok(&["queue", "verify", "sync"]).contains("0 findings"));
    assert!(ok(&["queue", "drain", "sync"]).contains("1 jobs"));
    let gone = run(&["job", "get", "sync", "one", "--data", data]);
    assert!(
        !gone.status.success() && text(&gone.stderr).contains("has no job one"),
        "{}",
        text(&gone.stderr)
    );
}

#[test]
fn the_bench_prints_one_object_a_line_with_the_promised_fields() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = format!("file:{}", path(folder.path()));
    let ran = run(&[
        "bench",
        "--backend",
        "memory:",
        "--backend",
        &file,
        "--scenario",
        "add,add-bulk,add-concurrent,process,latency,bytes",
        "--jobs",
        "200",
        "--batch",
        "20",
        "--concurrency",
        "8",
        "--json",
    ]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let said = text(&ran.stdout);
    assert_eq!(said.lines().count(), 12, "{said}");
    for line in said.lines() {
        let row: serde_json::Value = serde_json::from_str(line).expect("JSON");
        for field in [
            "backend",
            "scenario",
            "jobs",
            "seconds",
            "jobs_per_s",
            "p50_ms",
            "p99_ms",
            "bytes_per_waiting_job",
            "bytes_per_finished_job",
            "server_cpu_us_per_job",
            "client_cpu_us_per_job",
        ] {
            assert!(row.get(field).is_some(), "{field} is missing in {line}");
        }
        assert!(row["jobs_per_s"].as_f64().is_some_and(|rate| rate > 0.0), "{line}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "it cleans up after itself");
}

#[test]
fn the_doctor_looks_at_a_folder_beside_its_server_and_tells_what_is_not_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = path(folder.path());
    let server = Server::start(folder.path());
    let ran = run(&["doctor", "--data", data]);
    let said = text(&ran.stdout);
    assert_eq!(ran.status.code(), Some(0), "{said}");
    for part in ["a process has the store open", "fdatasync takes", "1; 1 files", "free"] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    assert!(server.stop());
    let engine = format!("file:{data}/engine");
    assert!(text(&run(&["doctor", "--engine", &engine]).stdout).contains("no process has the store open"));

    let segment = folder.path().join("engine/segment-000000000001.log");
    std::fs::write(&segment, "another program's file").expect("it can be written");
    let file = format!("file:{}", path(&segment));
    let gone = format!("file:{data}/none");
    for (arguments, part) in [
        (vec!["doctor", "--engine", &engine], "damaged"),
        (vec!["doctor", "--engine", &file], "it is a file"),
        (vec!["doctor", "--engine", &gone], "it is not there"),
        (vec!["doctor", "--engine", "postgres://u:secret@h/db"], "is not understood"),
        (vec!["doctor", "--data", "/no/such/folder"], "no data folder"),
        (vec!["doctor"], "which engine?"),
    ] {
        let ran = run(&arguments);
        let said = text(&ran.stdout);
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains(part) && said.contains("BROKEN") && !said.contains("secret"),
            "{arguments:?}: {said}"
        );
    }
    assert!(!folder.path().join("none").exists(), "a look makes nothing");
    let memory = run(&["doctor", "--engine", "memory:", "--strict"]);
    assert_eq!(memory.status.code(), Some(1), "{}", text(&memory.stdout));
}

#[test]
fn bad_arguments_are_answered_with_what_is_accepted() {
    for (arguments, expected) in [
        (vec!["bench", "--jobs", "0"], "--jobs is 0"),
        (vec!["bench", "--backend", "postgres://:secret@localhost"], "memory:, file:PATH"),
        (vec!["queue", "ls"], "--data DIR"),
        (vec!["queue", "ls", "--data", "/no/such/folder"], "no data folder"),
        (vec!["token", "new", "--sub", "ada"], "--data"),
    ] {
        let ran = run(&arguments);
        let said = text(&ran.stderr);
        assert!(!ran.status.success() && said.contains(expected), "{arguments:?}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

#[test]
fn a_key_is_issued_once_listed_without_its_text_and_revoked_for_good() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let data = path(folder.path());
    let made = run(&[
        "key", "create", "--data", data, "--sub", "ada", "--tenant", "acme", "--name", "import", "--days",
        "30",
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let key = text(&made.stdout);
    assert_eq!(key.lines().count(), 1, "the key and nothing else: {key:?}");
    let prefix = key.split('_').nth(1).expect("it has a prefix").to_owned();
    let told = text(&made.stderr);
    assert!(told.contains("not shown again") && !told.contains(key.trim()), "{told}");

    let other = run(&[
        "key", "create", "--json", "--data", data, "--sub", "bob", "--role", "viewer", "--name", "board",
    ]);
    let other: serde_json::Value = serde_json::from_slice(&other.stdout).expect("one JSON object");
    assert_eq!((other["tenant"].as_str(), other["role"].as_str()), (Some("default"), Some("viewer")));
    assert!(other["key"].as_str().is_some_and(|key| key.starts_with("blr_")), "{other}");
    assert!(other["expiresAt"].is_null(), "{other}");

    let listed = run(&["key", "list", "--data", data]);
    let said = text(&listed.stdout);
    for part in [&prefix, "import", "ada", "acme", "good", "board", "bob"] {
        assert!(said.contains(part), "{part:?} is missing in:\n{said}");
    }
    assert!(!said.contains(key.trim()) && !said.contains(key.trim().rsplit('_').next().unwrap()), "{said}");

    let list = |more: &[&str]| {
        let ran = run(&[&["key", "list", "--json", "--data", data], more].concat());
        assert!(ran.status.success(), "{}", text(&ran.stderr));
        let lines = text(&ran.stdout);
        lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect::<Vec<serde_json::Value>>()
    };
    assert_eq!(list(&[]).len(), 2);
    assert!(list(&["--tenant", "acme", "--sub", "bob"]).is_empty());
    let row = &list(&["--tenant", "acme"])[0];
    assert_eq!((row["prefix"].as_str(), row["state"].as_str()), (Some(prefix.as_str()), Some("good")));
    assert!(row.get("key").is_none());
    let days = (row["expiresAt"].as_i64().unwrap() - row["createdAt"].as_i64().unwrap()) / 86_400_000;
    assert!((29..=30).contains(&days), "{row}");

    let id = row["id"].as_str().expect("an id");
    let revoked = run(&["key", "revoke", id, "--data", data]);
    assert!(revoked.status.success(), "{}", text(&revoked.stderr));
    assert_eq!(list(&["--tenant", "acme"])[0]["state"], "revoked");
    assert_eq!(list(&["--tenant", "default"])[0]["state"], "good", "the other one stays");
}

#[test]
fn what_is_wrong_with_a_command_on_keys_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (data, absent) = (path(folder.path()), folder.path().join("absent"));
    let new = ["--sub", "ada", "--name", "x"];
    for (arguments, word) in [
        (vec!["key", "list"], "--data DIR"),
        (vec!["key", "list", "--data", path(&absent)], "is no data folder"),
        (vec!["key", "list", "--database", "mysql://u:canary@h/d"], "sqlite:PATH"),
        (vec!["key", "list", "--data", data, "--sub", "ada"], "--tenant"),
        (vec!["key", "revoke", "no-such", "--data", data], "bulrush key list"),
        (vec!["key", "create", "--data", data, "--sub", "", "--name", "x"], "--sub must have"),
        (vec!["key", "create", "--data", data, "--sub", "a\nb", "--name", "x"], "--sub must have"),
        ([&["key", "create", "--data", data, "--role", "root"], &new[..]].concat(), "user, viewer or admin"),
        ([&["key", "create", "--data", data, "--days", "0"], &new[..]].concat(), "1..=3660"),
    ] {
        let ran = run(&arguments);
        let said = text(&ran.stderr);
        assert!(!ran.status.success() && ran.stdout.is_empty(), "{arguments:?}: {said}");
        assert!(said.contains(word), "{arguments:?} does not say {word:?}: {said}");
        assert!(!said.contains("canary"), "{said}");
    }
    assert!(!absent.exists(), "a mistyped folder does not become one");
}
