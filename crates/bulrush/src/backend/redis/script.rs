//! The scripts: their texts, put together once, and how one is called.
//!
//! A script is one command of the port. Lines `-- @include part_x.lua` stand for the text of that part, each part once however often it is
//! asked for. The server keeps a script under the hash of its text, which it tells when it is given the text; a server that has lost it
//! (restarted, failed over, flushed) says so, gets it again, and the call is made anew.

use std::sync::OnceLock;

use deadpool_redis::redis::{Cmd, RedisWrite};

use super::keys::{KEYS_OF_ADD, Keys};

/// A script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Add,
    Admin,
    Children,
    Configure,
    Deliver,
    Events,
    Explain,
    Get,
    Info,
    Logs,
    Maintain,
    Page,
    Renew,
    Repair,
    Resume,
    Step,
    Update,
    Verify,
    Workers,
}

/// Every script with its text, in the order of the enumeration.
const SCRIPTS: [(Script, &str); 19] = [
    (Script::Add, include_str!("lua/add.lua")),
    (Script::Admin, include_str!("lua/admin.lua")),
    (Script::Children, include_str!("lua/children.lua")),
    (Script::Configure, include_str!("lua/configure.lua")),
    (Script::Deliver, include_str!("lua/deliver.lua")),
    (Script::Events, include_str!("lua/events.lua")),
    (Script::Explain, include_str!("lua/explain.lua")),
    (Script::Get, include_str!("lua/get.lua")),
    (Script::Info, include_str!("lua/info.lua")),
    (Script::Logs, include_str!("lua/logs.lua")),
    (Script::Maintain, include_str!("lua/maintain.lua")),
    (Script::Page, include_str!("lua/page.lua")),
    (Script::Renew, include_str!("lua/renew.lua")),
    (Script::Repair, include_str!("lua/repair.lua")),
    (Script::Resume, include_str!("lua/resume.lua")),
    (Script::Step, include_str!("lua/step.lua")),
    (Script::Update, include_str!("lua/update.lua")),
    (Script::Verify, include_str!("lua/verify.lua")),
    (Script::Workers, include_str!("lua/workers.lua")),
];

/// What scripts include.
const PARTS: [(&str, &str); 11] = [
    ("part_add.lua", include_str!("lua/part_add.lua")),
    ("part_groups.lua", include_str!("lua/part_groups.lua")),
    ("part_job.lua", include_str!("lua/part_job.lua")),
    ("part_maintain.lua", include_str!("lua/part_maintain.lua")),
    ("part_moves.lua", include_str!("lua/part_moves.lua")),
    ("part_limit_seen.lua", include_str!("lua/part_limit_seen.lua")),
    ("part_limits.lua", include_str!("lua/part_limits.lua")),
    ("part_state.lua", include_str!("lua/part_state.lua")),
    (SERVER_TIME, include_str!("lua/part_time.lua")),
    ("part_trim.lua", include_str!("lua/part_trim.lua")),
    ("part_batch.lua", include_str!("lua/part_batch.lua")),
];

/// The part that reads the clock, and what stands in its place where a test moves it.
const SERVER_TIME: &str = "part_time.lua";
const TEST_TIME: &str = include_str!("lua/part_time_test.lua");

const INCLUDE: &str = "-- @include ";

/// The scripts as one backend uses them.
#[derive(Debug)]
pub(super) struct Scripts {
    test_time: bool,
    texts: [OnceLock<String>; SCRIPTS.len()],
    /// Under which hash the server keeps each, once it has told.
    hashes: [OnceLock<String>; SCRIPTS.len()],
}

impl Scripts {
    /// The scripts on the server's clock or, in tests, on one that is moved.
    pub fn new(test_time: bool) -> Self {
        Self { test_time, texts: Default::default(), hashes: Default::default() }
    }

    /// The whole text of a script.
    pub fn text(&self, script: Script) -> &str {
        self.texts[script as usize].get_or_init(|| {
            let mut whole = String::new();
            resolve(SCRIPTS[script as usize].1, self.test_time, &mut Vec::new(), &mut whole);
            whole
        })
    }

    /// Under which hash the server keeps a script, if it has told.
    pub fn hash(&self, script: Script) -> Option<&str> {
        self.hashes[script as usize].get().map(String::as_str)
    }

    /// The server has told. The hash is that of the text, so every server tells the same.
    pub fn learn(&self, script: Script, hash: String) -> &str {
        self.hashes[script as usize].get_or_init(|| hash)
    }
}

/// A call of a script, to which its arguments are to be appended.
pub(super) fn call(script: Script, hash: &str, keys: &Keys) -> Cmd {
    let n = if script == Script::Add { KEYS_OF_ADD } else { keys.all().len() };
    let mut cmd = Cmd::with_capacity(n + 16, 4_096);
    cmd.write_arg(b"EVALSHA");
    cmd.write_arg(hash.as_bytes());
    cmd.write_arg_fmt(n);
    keys.all().take(n).for_each(|key| cmd.write_arg(key.as_bytes()));
    cmd
}

fn resolve(text: &'static str, test_time: bool, seen: &mut Vec<&'static str>, whole: &mut String) {
    for line in text.lines() {
        let part = line.strip_prefix(INCLUDE).map(str::trim);
        let found = part.and_then(|name| PARTS.iter().find(|(part, _)| *part == name));
        match found {
            Some((name, _)) if seen.contains(name) => {}
            Some((name, text)) => {
                seen.push(name);
                let text = if test_time && *name == SERVER_TIME { TEST_TIME } else { text };
                resolve(text, test_time, seen, whole);
            }
            None => {
                whole.push_str(line);
                whole.push('\n');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::QueueName;

    #[test]
    fn every_script_stands_in_its_place_and_includes_what_it_needs_once() {
        let scripts = Scripts::new(false);
        for (place, (script, _)) in SCRIPTS.iter().enumerate() {
            assert_eq!(place, *script as usize, "{script:?}");
            let text = scripts.text(*script);
            assert!(
                text.starts_with("#!lua"),
                "{script:?}: the first line tells the server what the script may do"
            );
            assert!(!text.contains(INCLUDE), "{script:?}: a part is missing");
            for (part, content) in PARTS {
                let first = content.lines().next().unwrap_or_default();
                assert!(text.matches(first).count() <= 1, "{script:?} holds {part} twice");
            }
        }
        assert!(scripts.text(Script::Step).contains("redis.call('TIME')"));
        let moved = Scripts::new(true);
        assert!(!moved.text(Script::Step).contains("redis.call('TIME')"));
        assert!(moved.text(Script::Step).contains(":clock"));
    }

    #[test]
    fn a_call_names_as_many_keys_as_it_brings() {
        let keys = Keys::new("ns", &QueueName::new("mail").expect("a good name"));
        for (script, n) in [(Script::Add, KEYS_OF_ADD), (Script::Step, keys.all().len())] {
            let packed = call(script, "abc", &keys).get_packed_command();
            let text = String::from_utf8(packed).expect("text");
            assert!(
                text.starts_with(&format!("*{}\r\n$7\r\nEVALSHA\r\n$3\r\nabc\r\n$2\r\n{n}\r\n", n + 3)),
                "{text}"
            );
        }
    }
}
