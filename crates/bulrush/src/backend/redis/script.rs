//! The scripts: their texts, put together once, and how one is called.
//!
//! A script is one command of the port. Its text is put together from files, once in a process:
//! - `-- @include part_x.lua` stands for the text of that part, which defines names: once in a script, however often it is asked for.
//! - `-- @inline block_x.lua` stands for that block, which does something with names that are there: every time. Hot paths are written
//!   without functions, because the server makes all functions of a script anew in each call.
//! - `-- @fields t a b c` says that table `t` holds `a`, `b` and `c` at places 1, 2 and 3: `t.b` becomes `t[2]`, and `&t.b` becomes `2`.
//!
//! The server keeps a script under the hash of its text, which it tells when it is given the text; a server that has lost it
//! (restarted, failed over, flushed) says so, gets it again, and the call is made anew.

use std::fmt::Write as _;
use std::sync::OnceLock;

use deadpool_redis::redis::{Cmd, RedisWrite};

use super::keys::{KEYS_OF_ADD, Keys};

/// A script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Script {
    Add,
    Admin,
    ChangeSchedules,
    Children,
    Configure,
    Deliver,
    Events,
    Explain,
    Fire,
    Get,
    Info,
    Logs,
    Maintain,
    Page,
    PutSchedules,
    Renew,
    Repair,
    Resume,
    Schedules,
    Step,
    Update,
    Verify,
    Workers,
}

impl Script {
    /// Whether somebody relies on what it has written once it has answered.
    pub fn is_acknowledged(self) -> bool {
        matches!(
            self,
            Self::Add
                | Self::Admin
                | Self::ChangeSchedules
                | Self::Configure
                | Self::Deliver
                | Self::Fire
                | Self::PutSchedules
                | Self::Step
        )
    }
}

/// Every script with its text, in the order of the enumeration.
const SCRIPTS: [(Script, &str); 23] = [
    (Script::Add, include_str!("lua/add.lua")),
    (Script::Admin, include_str!("lua/admin.lua")),
    (Script::ChangeSchedules, include_str!("lua/change_schedules.lua")),
    (Script::Children, include_str!("lua/children.lua")),
    (Script::Configure, include_str!("lua/configure.lua")),
    (Script::Deliver, include_str!("lua/deliver.lua")),
    (Script::Events, include_str!("lua/events.lua")),
    (Script::Explain, include_str!("lua/explain.lua")),
    (Script::Fire, include_str!("lua/fire.lua")),
    (Script::Get, include_str!("lua/get.lua")),
    (Script::Info, include_str!("lua/info.lua")),
    (Script::Logs, include_str!("lua/logs.lua")),
    (Script::Maintain, include_str!("lua/maintain.lua")),
    (Script::Page, include_str!("lua/page.lua")),
    (Script::PutSchedules, include_str!("lua/put_schedules.lua")),
    (Script::Renew, include_str!("lua/renew.lua")),
    (Script::Repair, include_str!("lua/repair.lua")),
    (Script::Resume, include_str!("lua/resume.lua")),
    (Script::Schedules, include_str!("lua/schedules.lua")),
    (Script::Step, include_str!("lua/step.lua")),
    (Script::Update, include_str!("lua/update.lua")),
    (Script::Verify, include_str!("lua/verify.lua")),
    (Script::Workers, include_str!("lua/workers.lua")),
];

/// What scripts include.
const PARTS: [(&str, &str); 19] = [
    ("block_keep_call.lua", include_str!("lua/block_keep_call.lua")),
    ("block_open.lua", include_str!("lua/block_open.lua")),
    ("block_owners.lua", include_str!("lua/block_owners.lua")),
    ("block_publish.lua", include_str!("lua/block_publish.lua")),
    ("block_trim.lua", include_str!("lua/block_trim.lua")),
    ("block_unpack.lua", include_str!("lua/block_unpack.lua")),
    ("part_add.lua", include_str!("lua/part_add.lua")),
    ("part_groups.lua", include_str!("lua/part_groups.lua")),
    ("part_job.lua", include_str!("lua/part_job.lua")),
    ("part_maintain.lua", include_str!("lua/part_maintain.lua")),
    ("part_moves.lua", include_str!("lua/part_moves.lua")),
    ("part_limit_seen.lua", include_str!("lua/part_limit_seen.lua")),
    ("part_limits.lua", include_str!("lua/part_limits.lua")),
    ("part_schedule.lua", include_str!("lua/part_schedule.lua")),
    ("part_state.lua", include_str!("lua/part_state.lua")),
    (SERVER_TIME, include_str!("lua/part_time.lua")),
    ("part_trim.lua", include_str!("lua/part_trim.lua")),
    ("part_batch.lua", include_str!("lua/part_batch.lua")),
    ("part_words.lua", include_str!("lua/part_words.lua")),
];

/// The part that reads the clock, and what stands in its place where a test moves it.
const SERVER_TIME: &str = "part_time.lua";
const TEST_TIME: &str = include_str!("lua/part_time_test.lua");

const INCLUDE: &str = "-- @include ";
const INLINE: &str = "-- @inline ";
const FIELDS: &str = "-- @fields ";

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
            let mut making = Making { test_time: self.test_time, ..Making::default() };
            making.put(SCRIPTS[script as usize].1);
            making.finish()
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

/// A script's text on its way.
#[derive(Debug, Default)]
struct Making {
    test_time: bool,
    /// Parts that are in it.
    seen: Vec<&'static str>,
    /// Names of the places of tables.
    fields: Vec<(&'static str, Vec<&'static str>)>,
    text: String,
}

impl Making {
    fn put(&mut self, text: &'static str) {
        #[cfg(feature = "mutants")]
        let text = mutated(text);
        for line in text.lines() {
            let bare = line.trim_start();
            let find = |name: &str| PARTS.iter().find(|(part, _)| *part == name.trim());
            if let Some((name, text)) = bare.strip_prefix(INCLUDE).and_then(find) {
                if !self.seen.contains(name) {
                    self.seen.push(name);
                    self.put(if self.test_time && *name == SERVER_TIME { TEST_TIME } else { text });
                }
            } else if let Some((_, text)) = bare.strip_prefix(INLINE).and_then(find) {
                self.put(text);
            } else if let Some(fields) = bare.strip_prefix(FIELDS) {
                let mut names = fields.split_whitespace();
                let table = names.next().unwrap_or_default();
                match self.fields.iter_mut().find(|(known, _)| *known == table) {
                    Some((_, places)) => places.extend(names),
                    None => self.fields.push((table, names.collect())),
                }
            } else {
                self.text.push_str(line);
                self.text.push('\n');
            }
        }
    }

    /// The text with places for names.
    fn finish(self) -> String {
        let mut rest = self.text.as_str();
        let mut whole = String::with_capacity(rest.len());
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        // Word by word: a table's name is one of its own, and no field of another table.
        while let Some(from) = rest.find(is_word) {
            let (between, word) = rest.split_at(from);
            let (word, after) = word.split_at(word.find(|c| !is_word(c)).unwrap_or(word.len()));
            let place = |(_, places): &(&str, Vec<&str>)| {
                let field = after.strip_prefix('.')?;
                let name = &field[..field.find(|c| !is_word(c)).unwrap_or(field.len())];
                Some((places.iter().position(|place| *place == name)? + 1, &field[name.len()..]))
            };
            let table = self.fields.iter().find(|(table, _)| *table == word && !between.ends_with('.'));
            match (table.and_then(place), between.strip_suffix('&')) {
                (Some((place, after)), Some(between)) => {
                    whole.push_str(between);
                    whole.push_str(&place.to_string());
                    rest = after;
                }
                (Some((place, after)), None) => {
                    whole.push_str(between);
                    whole.push_str(word);
                    // Writing to a string cannot fail.
                    let _ = write!(whole, "[{place}]");
                    rest = after;
                }
                (None, _) => {
                    whole.push_str(between);
                    whole.push_str(word);
                    rest = after;
                }
            }
        }
        whole.push_str(rest);
        whole
    }
}

/// A text with what `scripts/mutants` wants changed in it, so that all mutants of scripts need one build. The file that is meant is known by
/// its head, which begins with its name. A release cannot have this (`lib.rs`).
#[cfg(feature = "mutants")]
fn mutated(text: &'static str) -> &'static str {
    let [head, find, replace] =
        ["HEAD", "FIND", "REPLACE"].map(|what| std::env::var(format!("BULRUSH_MUTANT_{what}")));
    match (head, find, replace) {
        (Ok(head), Ok(find), Ok(replace)) if text.contains(&head) => text.replacen(&find, &replace, 1).leak(),
        _ => text,
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
            assert!(!text.contains(INCLUDE) && !text.contains(INLINE), "{script:?}: a part is missing");
            for (at, _) in text.match_indices("n.").chain(text.match_indices("cfg.")) {
                let comment = text[..at].rsplit('\n').next().is_some_and(|line| line.contains("--"));
                let own = text[..at]
                    .chars()
                    .next_back()
                    .is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_' && c != '.');
                let named = text[at..]
                    .split_once('.')
                    .is_some_and(|(_, name)| name.starts_with(|c: char| c.is_ascii_lowercase()));
                assert!(
                    comment || !own || !named,
                    "{script:?}: no such place: {}",
                    &text[at..text.len().min(at + 30)]
                );
            }
            for (part, content) in PARTS.iter().filter(|(part, _)| part.starts_with("part_")) {
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
    fn names_of_places_become_places_where_they_stand_for_themselves() {
        let mut making = Making::default();
        making.put("-- @fields n a b\n-- @fields n c\nn.c = n.a + f(&n.b, x.n.a, in_n.a, n.aa, n.) -- n\n  -- @inline block_keep_call.lua");
        let text = making.finish();
        assert!(text.starts_with("n[3] = n[1] + f(2, x.n.a, in_n.a, n.aa, n.) -- n\n"), "{text}");
        assert!(text.contains("'ZADD'"), "{text}");
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
