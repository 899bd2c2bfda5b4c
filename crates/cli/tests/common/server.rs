//! A running server, asked over HTTP as its users do.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{DEADLINE, Serve, path, run, text};

/// From the first day of the uploaded prices to the last, gaps included.
pub const DAYS: usize = 362;

pub fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A running server and a user's token.
pub struct Server {
    process: Serve,
    token: String,
}

impl Server {
    pub fn start(data: &Path, more: &[&str]) -> Self {
        let process = Serve::start(data, more);
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

    /// Host and port.
    pub fn address(&self) -> &str {
        &self.process.address
    }

    /// Sends JSON; the body of a good answer.
    pub fn post_json(&self, target: &str, body: &str) -> Value {
        self.ask("POST", target, "application/json", body)
    }

    /// Uploads prices of a year; returns the file's id and the property's.
    pub fn upload(&self) -> (String, String) {
        let place = [
            ("name", "Inn"),
            ("latitude", "47.45"),
            ("longitude", "-122.31"),
            ("countryCode", "US"),
            ("timeZone", "America/Los_Angeles"),
        ];
        let mut csv = "date,price\n".to_owned();
        for month in 1..=12 {
            for day in 1..=28 {
                let _ = writeln!(csv, "2015-{month:02}-{day:02},{}", 100 + day);
            }
        }
        let answer = self.upload_form(&place, &csv);
        let id = |name: &str| answer[name].as_str().expect("an id").to_owned();
        (id("fileId"), id("propertyId"))
    }

    /// Uploads a form with a file; returns the answer.
    pub fn upload_form(&self, fields: &[(&str, &str)], csv: &str) -> Value {
        const BOUNDARY: &str = "bulrush-test-5c1d";
        let mut body = String::new();
        for (field, value) in fields {
            let _ = write!(
                body,
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            );
        }
        let _ = write!(
            body,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.csv\"\r\nContent-Type: text/csv\r\n\r\n\
             {csv}\r\n--{BOUNDARY}--\r\n"
        );
        self.ask("POST", "/files", &format!("multipart/form-data; boundary={BOUNDARY}"), &body)
    }

    /// Asks for an upload's enrichment; returns the job's id.
    pub fn enrich(&self, file: &str) -> String {
        let answer = self.ask("POST", &format!("/files/{file}/enrich"), "application/json", "{}");
        answer["jobId"].as_str().expect("an id").to_owned()
    }

    pub fn get(&self, target: &str) -> Value {
        self.ask("GET", target, "application/json", "")
    }

    pub fn post(&self, target: &str, body: &Value) -> Value {
        self.ask("POST", target, "application/json", &body.to_string())
    }

    /// Waits until a job has this status.
    pub fn see(&self, job: &str, status: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let now = self.status(job);
            if now == status {
                return;
            }
            assert!(Instant::now() < deadline, "{job} is {now}, not {status}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    fn status(&self, job: &str) -> String {
        self.get(&format!("/jobs/{job}"))["job"]["status"].as_str().expect("a status").to_owned()
    }

    /// Waits until all jobs have completed, or one has failed.
    pub fn see_completed(&self, jobs: &[String]) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let all = jobs.iter().map(|id| self.get(&format!("/jobs/{id}"))["job"].take());
            let left: Vec<_> = all.filter(|job| job["status"] != "completed").collect();
            if left.is_empty() {
                return;
            }
            let failed = left.iter().find(|job| job["status"] == "failed");
            assert!(failed.is_none(), "a job has failed: {failed:?}");
            assert!(Instant::now() < deadline, "jobs have not completed: {left:?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    pub fn stop(self) -> bool {
        self.process.stop()
    }

    pub fn kill(self) {
        self.process.kill();
    }
}
