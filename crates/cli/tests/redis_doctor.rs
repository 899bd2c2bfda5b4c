//! `bulrush doctor` on servers that are not as they should be. Each test starts its own, on a socket in a temporary folder.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(30);

/// A private server, killed at the end whatever happens.
struct Redis {
    child: Child,
    folder: TempDir,
}

impl Redis {
    /// Starts one with settings in addition to those that keep it private.
    fn start(settings: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("r.sock");
        let log = std::fs::File::create(folder.path().join("log")).expect("it can be made");
        let child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--daemonize", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path())
            .args(settings)
            .stdout(log)
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server can be started; scripts/test installs it");
        let mut redis = Self { child, folder };
        until("the server answers", || {
            if let Some(status) = redis.child.try_wait().expect("it can be waited for") {
                let log = std::fs::read_to_string(redis.folder.path().join("log")).unwrap_or_default();
                panic!("the server ended with {status}:\n{log}");
            }
            UnixStream::connect(redis.socket()).is_ok()
        });
        redis
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("r.sock")
    }

    fn url(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Says something to it, in a line; returns the first line of the answer.
    fn tell(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
        write!(stream, "{line}\r\n").expect("it reads");
        BufReader::new(stream).lines().next().expect("it answers").expect("as text")
    }

    /// What INFO says of a section.
    fn info(&self, section: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time-out can be set");
        write!(stream, "INFO {section}\r\nQUIT\r\n").expect("it reads");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("it answers");
        said
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "in time: {what}");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bulrush"));
    command.args(arguments).env_remove("BULRUSH_ENGINE").env_remove("REDIS_URL").env_remove("RUST_LOG");
    command.output().expect("the program can be started")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the doctor says of an address: its exit code, and one finding a check.
struct Told {
    code: i32,
    checks: Vec<Value>,
}

fn doctor(url: &str, more: &[&str]) -> Told {
    let mut arguments = vec!["doctor", "--redis", url, "--json"];
    arguments.extend(more);
    let ran = run(&arguments);
    let said = text(&ran.stdout);
    let checks = said.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let code = ran.status.code().expect("it ends by itself");
    assert!(!said.contains("s3cret") && !text(&ran.stderr).contains("s3cret"), "a password is told: {said}");
    Told { code, checks }
}

impl Told {
    /// Verdict, finding and cure of one check.
    fn of(&self, check: &str) -> (&str, &str, &str) {
        let found = self.checks.iter().find(|it| it["check"] == check);
        let found = found.unwrap_or_else(|| panic!("{check} was not looked at: {:?}", self.checks));
        let part = |name: &str| found[name].as_str().unwrap_or("");
        (part("verdict"), part("found"), part("cure"))
    }
}

#[test]
fn a_server_that_keeps_everything_is_durable_and_nothing_is_broken() {
    let redis = Redis::start(&["--appendonly", "yes", "--appendfsync", "always", "--maxmemory", "256mb"]);
    let told = doctor(&redis.url(), &[]);
    assert_eq!(told.code, 0, "{:?}", told.checks);
    let (verdict, found, _) = told.of("durability");
    assert!(verdict == "ok" && found.starts_with("durable"), "{found}");
    for check in [
        "version",
        "role",
        "cluster-enabled",
        "loading",
        "maxmemory-policy",
        "maxmemory",
        "evicted_keys",
        "writing to disk",
        "clock",
        "queues",
    ] {
        assert_eq!(told.of(check).0, "ok", "{:?}", told.of(check));
    }
    for check in ["reachable", "scripts"] {
        assert!(told.of(check).1.contains("ms (median"), "{:?}", told.of(check));
    }
    assert_eq!(redis.tell("CONFIG SET appendfsync everysec"), "+OK");
    assert!(doctor(&redis.url(), &[]).of("durability").1.starts_with("standard"));
}

#[test]
fn a_look_leaves_no_key_behind_and_tells_what_the_namespace_holds() {
    let redis = Redis::start(&[]);
    let url = format!("{}?namespace=here", redis.url());
    assert!(doctor(&url, &[]).of("queues").1.contains("0 in the namespace here"));
    assert_eq!(redis.tell("DBSIZE"), ":0");
    for id in ["a", "b"] {
        let added = run(&["job", "add", "sync", "sync-account", "--id", id, "--engine", &url]);
        assert!(added.status.success(), "{}", text(&added.stderr));
    }
    assert!(doctor(&url, &[]).of("queues").1.contains("2 unfinished jobs: sync 2"));
    assert!(doctor(&redis.url(), &[]).of("queues").1.contains("0 in the namespace bulrush"));
}

#[test]
fn warnings_end_well_unless_they_are_to_count() {
    let redis = Redis::start(&["--appendonly", "no"]);
    let told = doctor(&redis.url(), &[]);
    let (verdict, found, cure) = told.of("durability");
    assert!(verdict == "warning" && found.contains("a restart loses every job"), "{found}");
    assert_eq!(cure, "CONFIG SET appendonly yes");
    assert_eq!((told.code, doctor(&redis.url(), &["--strict"]).code), (0, 1));
}

#[test]
fn a_server_that_evicts_is_broken_and_the_cure_cures_it() {
    let redis = Redis::start(&["--maxmemory-policy", "allkeys-lru", "--maxmemory", "256mb"]);
    let told = doctor(&redis.url(), &[]);
    let (verdict, found, cure) = told.of("maxmemory-policy");
    assert!(told.code == 2 && verdict == "broken" && found.contains("allkeys-lru"), "{found}");
    assert_eq!(redis.tell(cure), "+OK", "the cure can be typed as it stands: {cure}");
    let told = doctor(&redis.url(), &[]);
    assert_eq!((told.code, told.of("maxmemory-policy").0), (0, "ok"));
    let table = text(&run(&["doctor", "--engine", &redis.url()]).stdout);
    assert!(table.contains("noeviction") && table.contains("to put right"), "{table}");
}

#[test]
fn full_memory_is_broken_and_says_how_much_is_used() {
    let redis = Redis::start(&[]);
    assert_eq!(redis.tell("CONFIG SET maxmemory 100kb"), "+OK");
    let told = doctor(&redis.url(), &[]);
    let (verdict, found, cure) = told.of("maxmemory");
    assert!(told.code == 2 && verdict == "broken" && found.contains("new jobs are refused"), "{found}");
    assert!(found.contains("of 100.0 KiB used") && cure.contains("CONFIG SET maxmemory"), "{found}; {cure}");
    assert_eq!(told.of("queues").0, "ok", "a full server can still be looked at");
}

#[test]
fn a_password_that_is_missing_or_wrong_is_told_and_never_printed() {
    let redis = Redis::start(&["--requirepass", "s3cret-right"]);
    for bad in [redis.url(), format!("{}?pass=s3cret-wrong", redis.url())] {
        let told = doctor(&bad, &[]);
        let (verdict, found, cure) = told.of("reachable");
        assert!(told.code == 2 && verdict == "broken" && found.contains("password"), "{found}");
        assert!(cure.contains("redis://USER:PASSWORD@HOST"), "{cure}");
    }
    let right = format!("{}?pass=s3cret-right", redis.url());
    assert_eq!(doctor(&right, &[]).of("version").0, "ok");
    let table = text(&run(&["doctor", "--engine", &right]).stdout);
    assert!(table.contains("durability") && !table.contains("s3cret"), "{table}");
}

#[test]
fn what_an_account_may_not_ask_is_unverified() {
    let redis = Redis::start(&["--appendonly", "yes"]);
    assert_eq!(redis.tell("ACL SETUSER app on >s3cret ~* &* +@all -config"), "+OK");
    let told = doctor(&format!("{}?user=app&pass=s3cret", redis.url()), &[]);
    let (verdict, found, _) = told.of("durability");
    assert!(told.code == 0 && verdict == "warning" && found.contains("unverified"), "{found}");
    assert_eq!(redis.tell("ACL SETUSER app -info"), "+OK");
    let told = doctor(&format!("{}?user=app&pass=s3cret", redis.url()), &[]);
    let (verdict, found, cure) = told.of("INFO");
    assert!(
        verdict == "warning" && found.contains("unverified") && cure.contains("+info"),
        "{found}; {cure}"
    );
}

#[test]
fn a_replica_is_broken_and_names_its_primary() {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
    let primary = Redis::start(&["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &port.to_string()]);
    until("the replica follows", || replica.info("replication").contains("master_link_status:up"));
    let told = doctor(&replica.url(), &[]);
    let (verdict, found, cure) = told.of("role");
    let place = format!("127.0.0.1:{port}");
    assert!(told.code == 2 && verdict == "broken" && found.contains(&place), "{found}");
    assert!(cure.contains(&place) && cure.contains("REPLICAOF NO ONE"), "{cure}");
    assert_eq!(doctor(&primary.url(), &[]).of("role").1, "primary, 1 replicas");
}

#[test]
fn a_port_that_is_not_redis_is_told_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it has one").port();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let _ = stream.read(&mut [0; 1_024]);
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let told = doctor(&format!("redis://:s3cret@127.0.0.1:{port}"), &[]);
    let (verdict, found, cure) = told.of("reachable");
    assert!(told.code == 2 && verdict == "broken" && found.contains("not a Redis server"), "{found}");
    assert!(cure.contains("rediss://"), "{cure}");
}

#[test]
fn nobody_at_the_address_is_told_with_what_to_look_at() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let gone = format!("unix://{}/none.sock?pass=s3cret", folder.path().display());
    let told = doctor(&gone, &[]);
    let (verdict, found, cure) = told.of("reachable");
    assert!(told.code == 2 && verdict == "broken" && found.contains("unreachable"), "{found}");
    assert!(cure.contains("ping"), "{cure}");
}
