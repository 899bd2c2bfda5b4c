//! `scripts/up`, running: every part a process of its own, found by the ids that it writes down.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{path, text};

/// How long parts may take to start, to end, and to take back the jobs of one that was killed (half a minute of lease, and what follows).
pub const DEADLINE: Duration = Duration::from_mins(2);

/// Parts that work on jobs, what takes jobs in, and what keeps them.
const PARTS: [&str; 9] =
    ["redis", "postgres", "sandbox", "api", "scheduler", "enrichment", "competitor", "analytics", "forecast"];

/// All parts, stopped at the end whatever happens.
pub struct Up {
    script: Child,
    folder: tempfile::TempDir,
    /// The programs that were built beside this test.
    programs: PathBuf,
    /// Where the API is, `http://HOST:PORT`.
    pub base: String,
    /// Where the outside world is.
    pub outside: String,
}

impl Up {
    /// Starts everything and waits until the API says where it is.
    pub fn start() -> Self {
        let programs = Path::new(env!("CARGO_BIN_EXE_bulrush")).parent().expect("a folder").to_owned();
        for name in [
            "api",
            "scheduler",
            "sandbox",
            "worker-enrichment",
            "worker-competitor",
            "worker-analytics",
            "worker-forecast",
        ] {
            let program = programs.join(format!("bulrush-{name}"));
            assert!(program.exists(), "{} is missing: cargo build --workspace --bins", program.display());
        }
        let folder = tempfile::tempdir().expect("a folder");
        // PostgreSQL may run as another user, who must reach its own folder below this one.
        std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))
            .expect("it is ours");
        let port =
            TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/up");
        let mut script = Command::new(script)
            .args(["--data", path(folder.path()), "--port", "0", "--bin", path(&programs)])
            .env("SANDBOX_PORT", port.to_string())
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("bash can be run");
        // Its one view of all logs, which tells a failed test's reader what happened.
        let log = BufReader::new(script.stdout.take().expect("it is piped"));
        std::thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| println!("{line}")));
        let mut up = Self {
            script,
            folder,
            programs,
            base: String::new(),
            outside: format!("http://127.0.0.1:{port}"),
        };
        let address = up.data().join("address");
        up.wait_until("it says where it is", |_| {
            std::fs::read_to_string(&address).is_ok_and(|it| it.ends_with('\n'))
        });
        std::fs::read_to_string(&address).expect("it was there").trim().clone_into(&mut up.base);
        up
    }

    /// Where everything is kept.
    pub fn data(&self) -> &Path {
        self.folder.path()
    }

    /// The database.
    pub fn database(&self) -> String {
        format!("postgres://bulrush@localhost/postgres?host={}/pg", path(self.data()))
    }

    /// A token of the role for `sub` of a tenant.
    pub fn token(&self, role: &str, tenant: &str, sub: &str) -> String {
        let made = Command::new(self.programs.join("bulrush"))
            .args(["token", "new", "--role", role, "--tenant", tenant, "--sub", sub])
            .env("JWT_SECRET_FILE", self.data().join("keys/jwt_secret"))
            .output()
            .expect("it can be run");
        assert!(made.status.success(), "{}", text(&made.stderr));
        text(&made.stdout).trim().to_owned()
    }

    /// The process of a part, if one runs.
    pub fn process(&self, part: &str) -> Option<i32> {
        let pid =
            std::fs::read_to_string(self.data().join(format!("{part}.pid"))).ok()?.trim().parse().ok()?;
        lives(pid).then_some(pid)
    }

    /// Sends a part's process a signal that ends it, and waits for the process that takes its place.
    pub fn replace(&mut self, part: &str, signal: &str) {
        let old = self.process(part).unwrap_or_else(|| panic!("{part} does not run"));
        send(signal, old);
        self.wait_until(&format!("{part} is started again"), |up| {
            up.process(part).is_some_and(|pid| pid != old)
        });
    }

    /// Waits for what must happen while the script runs.
    pub fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_so(self) {
            if let Some(status) = self.script.try_wait().expect("it can be waited for") {
                panic!("scripts/up ended with {status} before {what}");
            }
            assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// Stops everything as Ctrl-C does; says whether that went well, and which parts are still there.
    pub fn stop(mut self) -> (bool, Vec<String>) {
        let processes: Vec<_> = PARTS.iter().map(|part| (*part, self.process(part))).collect();
        send("INT", self.script.id().cast_signed());
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = self.script.try_wait().expect("it can be waited for") {
                break status;
            }
            assert!(Instant::now() < deadline, "scripts/up did not stop");
            std::thread::park_timeout(Duration::from_millis(50));
        };
        let left = processes.into_iter().filter(|(_, pid)| pid.is_some_and(lives));
        (status.success(), left.map(|(part, _)| part.to_owned()).collect())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.script.try_wait().is_ok_and(|status| status.is_some()) {
            return;
        }
        send("TERM", self.script.id().cast_signed());
        let deadline = Instant::now() + DEADLINE;
        while self.script.try_wait().is_ok_and(|status| status.is_none()) && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(50));
        }
        for pid in PARTS.iter().filter_map(|part| self.process(part)) {
            send("KILL", pid);
        }
    }
}

fn send(signal: &str, pid: i32) {
    // One that has ended meanwhile needs none.
    let _ =
        Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).stderr(Stdio::null()).status();
}

/// Whether a process is there and has not ended; one that nobody has waited for yet has ended.
fn lives(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
