//! The options of a job: each checked, all that is wrong told at once.

use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::{Backoff, Curve, Jitter, Millis, NewJob, When};
use bulrush_catalog::{PayloadProblems, nearest};
use jiff::Timestamp;
use serde_json::{Map, Value};

const YEAR_MS: u64 = 365 * 24 * 3_600 * 1_000;
const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// Longest dedup time: as long as failed jobs are kept, four times over.
const DEDUP_MAX_MS: u64 = 30 * DAY_MS;
/// Every option.
const KNOWN: [&str; 11] = [
    "priority", "delay", "runAt", "attempts", "backoff", "timeout", "jobId", "dedup", "group", "tags", "lifo",
];

/// A client's own deduplication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupOption {
    pub key: String,
    pub ttl_ms: Option<u64>,
}

/// What a client asks for beside the data.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Options {
    pub priority: Option<u32>,
    pub when: When,
    pub attempts: Option<u32>,
    pub backoff: Option<Backoff>,
    pub timeout_ms: Option<u64>,
    pub job_id: Option<String>,
    pub dedup: Option<DedupOption>,
    pub group: Option<String>,
    pub tags: Vec<String>,
    pub lifo: bool,
}

impl Options {
    /// Reads the options; what is wrong is noted.
    pub fn parse(map: &Map<String, Value>, problems: &mut PayloadProblems) -> Self {
        let mut read = Reader { map, path: "options", problems };
        read.only(&KNOWN);
        let priority =
            read.whole("priority", 0, u64::from(NewJob::PRIORITY_MAX)).map(|priority| priority as u32);
        let delay_ms = read.whole("delay", 0, YEAR_MS);
        let run_at = read.moment("runAt");
        let attempts =
            read.whole("attempts", 1, u64::from(NewJob::ATTEMPTS_MAX)).map(|attempts| attempts as u32);
        let timeout_ms = read.whole("timeout", 1, 7 * DAY_MS);
        let job_id = read.text("jobId", 200);
        let group = read.text("group", 50);
        let lifo = match map.get("lifo") {
            None => false,
            Some(Value::Bool(lifo)) => *lifo,
            Some(_) => {
                read.problem("lifo", "must be true or false");
                false
            }
        };
        let tags = read.tags();
        let dedup = read.dedup();
        let backoff = read.backoff();
        if group.is_some() && priority.is_some() {
            read.problem("group", "cannot be given together with a priority: groups take turns");
        }
        let when = match (delay_ms, run_at) {
            (Some(_), Some(_)) => {
                read.problem("runAt", "cannot be given together with a delay; keep one of them");
                When::Now
            }
            (Some(0) | None, None) => When::Now,
            (Some(ms), None) => When::After(ms),
            (None, Some(at)) => When::At(at),
        };
        Self { priority, when, attempts, backoff, timeout_ms, job_id, dedup, group, tags, lifo }
    }
}

struct Reader<'a> {
    map: &'a Map<String, Value>,
    path: &'a str,
    problems: &'a mut PayloadProblems,
}

impl Reader<'_> {
    fn problem(&mut self, name: &str, message: impl Into<String>) {
        self.problems.push(format!("{}.{name}", self.path), message);
    }

    fn only(&mut self, known: &[&str]) {
        let map = self.map;
        for name in map.keys().filter(|name| !known.contains(&name.as_str())).take(10) {
            let message = match nearest(name, known.iter().copied()) {
                Some(near) => format!("is not an option; did you mean {near}?"),
                None => format!("is not an option; options are {}", known.join(", ")),
            };
            self.problem(&name.chars().take(64).collect::<String>(), message);
        }
    }

    /// A whole number; null, a text or a fraction is none.
    fn whole(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        match self.map.get(name)?.as_u64() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                self.problem(name, format!("must be a whole number from {min} to {max}"));
                None
            }
        }
    }

    fn text(&mut self, name: &str, max: usize) -> Option<String> {
        match self.map.get(name)?.as_str() {
            Some(text) if (1..=max).contains(&text.len()) && !text.chars().any(char::is_control) => {
                Some(text.to_owned())
            }
            _ => {
                self.problem(name, format!("must be a text of 1 to {max} bytes without control characters"));
                None
            }
        }
    }

    fn moment(&mut self, name: &str) -> Option<Millis> {
        let value = self.map.get(name)?;
        let ms = match value {
            Value::String(text) => {
                text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok())
            }
            other => other.as_u64(),
        };
        let latest = SystemClock.now() + YEAR_MS;
        match ms {
            Some(at) if at <= latest => Some(at),
            _ => {
                self.problem(
                    name,
                    "must be a moment within a year: ms since 1970, or RFC 3339 (2026-01-31T08:00:00Z)",
                );
                None
            }
        }
    }

    fn tags(&mut self) -> Vec<String> {
        let Some(value) = self.map.get("tags") else { return Vec::new() };
        let fits = |tag: &&str| (1..=64).contains(&tag.len()) && !tag.chars().any(char::is_control);
        let tags: Option<Vec<String>> = value
            .as_array()
            .filter(|tags| tags.len() <= 16)
            .and_then(|tags| tags.iter().map(|tag| tag.as_str().filter(fits).map(str::to_owned)).collect());
        tags.unwrap_or_else(|| {
            self.problem(
                "tags",
                "must be a list of at most 16 texts of 1 to 64 bytes without control characters",
            );
            Vec::new()
        })
    }

    fn dedup(&mut self) -> Option<DedupOption> {
        match self.map.get("dedup")? {
            Value::String(_) => self.text("dedup", 1_024).map(|key| DedupOption { key, ttl_ms: None }),
            Value::Object(map) => {
                let mut inner = Reader { map, path: "options.dedup", problems: self.problems };
                inner.only(&["key", "ttl"]);
                let ttl_ms = inner.whole("ttl", 1, DEDUP_MAX_MS);
                if !map.contains_key("key") {
                    inner.problem("key", "is required");
                }
                inner.text("key", 1_024).map(|key| DedupOption { key, ttl_ms })
            }
            _ => {
                self.problem("dedup", "must be a key, or {\"key\": \"…\", \"ttl\": ms}");
                None
            }
        }
    }

    /// `5000` (the same pause each time), or `{type: fixed | exponential | table, delay, factor, delays, cap, jitter}`.
    fn backoff(&mut self) -> Option<Backoff> {
        let map = match self.map.get("backoff")? {
            Value::Number(_) => return self.whole("backoff", 1, DAY_MS).map(Backoff::fixed),
            Value::Object(map) => map,
            _ => {
                self.problem(
                    "backoff",
                    "must be a pause in ms, or {\"type\": \"exponential\", \"delay\": 2000}",
                );
                return None;
            }
        };
        let before = self.problems.0.len();
        let mut inner = Reader { map, path: "options.backoff", problems: self.problems };
        inner.only(&["type", "delay", "factor", "delays", "cap", "jitter"]);
        let cap_ms = inner.whole("cap", 1, YEAR_MS);
        let jitter = match map.get("jitter").map(Value::as_str) {
            None | Some(Some("none")) => Jitter::None,
            Some(Some("full")) => Jitter::Full,
            Some(Some("equal")) => Jitter::Equal,
            Some(_) => {
                inner.problem("jitter", "must be none, full or equal");
                Jitter::None
            }
        };
        let curve = match map.get("type").and_then(Value::as_str) {
            Some("fixed") => inner.pause().map(|delay_ms| Curve::Fixed { delay_ms }),
            Some("exponential") => {
                let factor = match map.get("factor") {
                    None => Some(2.0),
                    Some(value) => value.as_f64().filter(|factor| (1.0..=100.0).contains(factor)),
                };
                if factor.is_none() {
                    inner.problem("factor", "must be a number from 1 to 100");
                }
                inner.pause().zip(factor).map(|(base_ms, factor)| Curve::Exponential { base_ms, factor })
            }
            Some("table") => {
                let delays =
                    map.get("delays").and_then(Value::as_array).filter(|d| (1..=100).contains(&d.len()));
                let pause = |delay: &Value| delay.as_u64().filter(|ms| *ms <= YEAR_MS);
                let delays_ms: Option<Vec<u64>> =
                    delays.and_then(|delays| delays.iter().map(pause).collect());
                if delays_ms.is_none() {
                    inner.problem("delays", "must be a list of 1 to 100 pauses in ms");
                }
                delays_ms.map(|delays_ms| Curve::Table { delays_ms })
            }
            _ => {
                inner.problem("type", "must be fixed, exponential or table");
                None
            }
        };
        let whole = self.problems.0.len() == before;
        curve.filter(|_| whole).map(|curve| Backoff { curve, cap_ms, jitter })
    }

    fn pause(&mut self) -> Option<u64> {
        if !self.map.contains_key("delay") {
            self.problem("delay", "is required: ms");
        }
        self.whole("delay", 1, DAY_MS)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &Value) -> (Options, Vec<String>) {
        let mut problems = PayloadProblems::default();
        let options = Options::parse(value.as_object().expect("an object"), &mut problems);
        (options, problems.0.into_iter().map(|problem| problem.field).collect())
    }

    #[test]
    fn every_option_is_read() {
        let (options, problems) = parse(&json!({
            "priority": 0, "delay": 5000, "attempts": 4, "timeout": 300_000, "jobId": "mine", "lifo": true,
            "backoff": {"type": "exponential", "delay": 2000, "factor": 5, "cap": 60_000, "jitter": "full"},
            "dedup": {"key": "k", "ttl": 1000}, "tags": ["a", "b"],
        }));
        assert_eq!(problems, Vec::<String>::new());
        assert_eq!(
            (options.priority, options.when, options.attempts),
            (Some(0), When::After(5_000), Some(4))
        );
        assert_eq!(
            options.backoff,
            Some(Backoff::exponential(2_000, 5.0).with_cap(60_000).with_jitter(Jitter::Full))
        );
        assert_eq!(options.dedup, Some(DedupOption { key: "k".into(), ttl_ms: Some(1_000) }));
        assert_eq!((options.tags.len(), options.lifo, options.job_id.as_deref()), (2, true, Some("mine")));
        let (options, problems) =
            parse(&json!({"runAt": "2026-01-31T08:00:00Z", "backoff": 100, "group": "g"}));
        assert_eq!((options.when, problems.len()), (When::At(1_769_846_400_000), 0));
        assert_eq!(parse(&json!({"delay": 0})).0.when, When::Now);
    }

    #[test]
    fn what_is_out_of_range_or_of_another_type_is_named() {
        for (name, bad) in [
            ("priority", json!([-1, 2_147_483_648_u64, 9_223_372_036_854_775_808_u64, 1.5, "1", null, true])),
            ("delay", json!([-1, 1e18, "5s", 3.7, "NaN", 31_536_000_001_u64])),
            ("attempts", json!([0, -1, 1_000_000_000])),
            ("timeout", json!([0, -1, "1m"])),
            ("backoff", json!([0, "soon", [1]])),
            ("runAt", json!([-1, "tomorrow", 1e18, "9999-01-01T00:00:00Z"])),
            ("tags", json!(["a", [""], [1], ["a\n"], (0..17).map(|n| n.to_string()).collect::<Vec<_>>()])),
            ("jobId", json!(["", 7, "x".repeat(201), "a\r\nb"])),
            ("group", json!(["", "x".repeat(51)])),
            ("dedup", json!(["", 7, "x".repeat(2_000), "a\n"])),
            ("lifo", json!(["yes", 1, null])),
            ("delai", json!([1])),
        ] {
            for value in bad.as_array().expect("a list") {
                let (_, problems) = parse(&json!({ name: value }));
                assert_eq!(problems, [format!("options.{name}")], "{name}: {value}");
            }
        }
        for (bad, field) in [
            (json!({"type": "exponential", "delay": 0}), "delay"),
            (json!({"type": "exponential"}), "delay"),
            (json!({"type": "exponential", "delay": 1, "factor": 1e9}), "factor"),
            (json!({"type": "eval", "delay": 1}), "type"),
            (json!({"type": "table", "delays": []}), "delays"),
            (json!({"type": "fixed", "delay": 1, "jitter": "some"}), "jitter"),
        ] {
            assert_eq!(parse(&json!({ "backoff": bad })).1, [format!("options.backoff.{field}")]);
        }
        for ttl in [json!(0), json!(-1), json!(1e18)] {
            assert_eq!(parse(&json!({"dedup": {"key": "k", "ttl": ttl}})).1, ["options.dedup.ttl"]);
        }
    }

    #[test]
    fn options_that_exclude_each_other_are_told() {
        assert_eq!(parse(&json!({"delay": 1, "runAt": 1})).1, ["options.runAt"]);
        assert_eq!(parse(&json!({"group": "g", "priority": 1})).1, ["options.group"]);
    }
}
