//! `bulrush serve --redis` and the other commands on a Redis, as a user runs them.

mod common;

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{DEADLINE, Serve, path, run, text};
use serde_json::Value;

/// From the first day of the uploaded prices to the last, gaps included.
const DAYS: usize = 362;
/// Jobs of one round: more than run at once.
const JOBS: usize = 6;
/// A kill that came when all jobs had ended is tried again so often.
const ROUNDS: usize = 5;

/// The server that the tests are given, with a namespace that nobody has used.
fn address() -> String {
    let address = std::env::var("BULRUSH_TEST_REDIS").expect(
        "BULRUSH_TEST_REDIS names no server: run scripts/test, which starts one of its own, or set it to redis://HOST:PORT or \
         unix:///PATH of a server that may be filled with anything",
    );
    let address = if address.starts_with('/') { format!("unix://{address}") } else { address };
    let mark = if address.contains('?') { '&' } else { '?' };
    format!("{address}{mark}namespace=c{:016x}", RandomState::new().build_hasher().finish())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A running server.
struct Server {
    process: Serve,
    token: String,
}

impl Server {
    fn start(data: &Path, redis: &str) -> Self {
        let process = Serve::start(data, &["--redis", redis]);
        let token = run(&["token", "new", "--data", path(data), "--role", "user", "--sub", "ada"]);
        Self { process, token: text(&token.stdout).trim().to_owned() }
    }

    /// The body of a good answer.
    fn ask(&self, method: &str, target: &str, kind: &str, body: &str) -> Value {
        let mut stream = TcpStream::connect(&self.process.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
        let (token, length) = (&self.token, body.len());
        write!(
            stream,
            "{method} /api/v1{target} HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 20"), "{method} {target}: {answer}");
        // Long answers come in chunks, each after its length on a line of its own.
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            let mut whole = String::new();
            let mut rest = body;
            while let Some((length, after)) = rest.split_once("\r\n") {
                let length = usize::from_str_radix(length, 16).expect("a length");
                if length == 0 {
                    break;
                }
                whole.push_str(&after[..length]);
                rest = &after[length + 2..];
            }
            return json(&whole);
        }
        json(body)
    }

    /// Uploads prices of a year; returns the file's id and the property's.
    fn upload(&self) -> (String, String) {
        const BOUNDARY: &str = "bulrush-test-5c1d";
        let mut body = String::new();
        let place = [
            ("name", "Inn"),
            ("latitude", "47.45"),
            ("longitude", "-122.31"),
            ("countryCode", "US"),
            ("timeZone", "America/Los_Angeles"),
        ];
        for (field, value) in place {
            let _ = write!(
                body,
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            );
        }
        let _ = write!(
            body,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.csv\"\r\nContent-Type: text/csv\r\n\r\ndate,price\n"
        );
        for month in 1..=12 {
            for day in 1..=28 {
                let _ = writeln!(body, "2015-{month:02}-{day:02},{}", 100 + day);
            }
        }
        let _ = write!(body, "\r\n--{BOUNDARY}--\r\n");
        let answer = self.ask("POST", "/files", &format!("multipart/form-data; boundary={BOUNDARY}"), &body);
        let id = |name: &str| answer[name].as_str().expect("an id").to_owned();
        (id("fileId"), id("propertyId"))
    }

    /// Asks for an upload's enrichment; returns the job's id.
    fn enrich(&self, file: &str) -> String {
        let answer = self.ask("POST", &format!("/files/{file}/enrich"), "application/json", "{}");
        answer["jobId"].as_str().expect("an id").to_owned()
    }

    fn get(&self, target: &str) -> Value {
        self.ask("GET", target, "application/json", "")
    }

    fn status(&self, job: &str) -> String {
        self.get(&format!("/jobs/{job}"))["job"]["status"].as_str().expect("a status").to_owned()
    }

    /// Waits until all jobs have completed.
    fn see_completed(&self, jobs: &[String]) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left: Vec<_> = jobs.iter().map(|id| self.status(id)).filter(|it| it != "completed").collect();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "jobs have not completed: {left:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn stop(self) -> bool {
        self.process.stop()
    }

    fn kill(self) {
        self.process.kill();
    }
}

/// Jobs of the enrichment queue that have not ended, as the command line tells.
fn unfinished(redis: &str) -> u64 {
    let told = run(&["queue", "stats", "enrichment", "--json", "--engine", redis]);
    assert!(told.status.success(), "{}", text(&told.stderr));
    let counts = &json(&text(&told.stdout))["counts"];
    ["waiting", "active", "delayed"].iter().map(|state| counts[state].as_u64().expect("a count")).sum()
}

#[test]
fn a_server_on_redis_takes_an_upload_through_to_its_result() {
    let (folder, redis) = (tempfile::tempdir().expect("a temporary folder"), address());
    let server = Server::start(folder.path(), &redis);
    let (file, property) = server.upload();
    let job = server.enrich(&file);
    server.see_completed(std::slice::from_ref(&job));
    let found = server.get(&format!("/jobs/{job}"));
    assert_eq!(found["job"]["result"]["daysEnriched"], DAYS, "{found}");
    let days = server.get(&format!("/properties/{property}/features?limit=1000"));
    assert_eq!(days["features"].as_array().map(Vec::len), Some(DAYS));
    assert!(!folder.path().join("engine").exists(), "nothing of the engine is in the folder");
    assert!(server.stop(), "a server that is asked to stop ends well");
}

#[test]
fn jobs_of_a_server_killed_in_the_middle_complete_after_its_restart() {
    let (folder, redis) = (tempfile::tempdir().expect("a temporary folder"), address());
    let mut server = Server::start(folder.path(), &redis);
    for round in 1.. {
        let files: Vec<_> = (0..JOBS).map(|_| server.upload().0).collect();
        let jobs: Vec<_> = files.iter().map(|file| server.enrich(file)).collect();
        server.kill();
        let left = unfinished(&redis);
        server = Server::start(folder.path(), &redis);
        server.see_completed(&jobs);
        if left > 0 {
            break;
        }
        assert!(round < ROUNDS, "every kill came when all jobs had ended");
    }
    let verified = run(&["queue", "verify", "enrichment", "--engine", &redis]);
    assert!(verified.status.success() && text(&verified.stdout).contains(" 0 findings"), "{verified:?}");
    assert!(server.stop());
}

#[test]
fn two_servers_on_one_redis_share_the_work_and_one_goes_on_when_the_other_is_killed() {
    let (folder, redis) = (tempfile::tempdir().expect("a temporary folder"), address());
    let (one, two) = (Server::start(folder.path(), &redis), Server::start(folder.path(), &redis));
    let files: Vec<_> = (0..JOBS).map(|n| if n % 2 == 0 { one.upload().0 } else { two.upload().0 }).collect();
    let jobs: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(n, file)| if n % 2 == 0 { two.enrich(file) } else { one.enrich(file) })
        .collect();
    one.kill();
    two.see_completed(&jobs);
    assert_eq!(unfinished(&redis), 0);
    assert!(two.stop());
}

#[test]
fn demo_and_bench_run_on_redis() {
    let redis = address();
    let demo = run(&["demo", "--once", "--redis", &redis]);
    let said = text(&demo.stdout);
    assert!(demo.status.success() && said.contains("365 enriched days"), "{said}\n{}", text(&demo.stderr));
    let bench = run(&[
        "bench",
        "--backend",
        &redis,
        "--scenario",
        "add-bulk,process,bytes",
        "--jobs",
        "200",
        "--batch",
        "20",
        "--json",
    ]);
    assert!(bench.status.success(), "{}", text(&bench.stderr));
    assert_eq!(text(&bench.stdout).lines().count(), 3, "{}", text(&bench.stdout));
}
