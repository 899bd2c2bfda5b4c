//! What is known of the server: asked when it is opened, and again and again by a task of its own.

mod info;
mod judge;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use deadpool_redis::redis::{Value, cmd, from_redis_value};
use tokio_util::sync::CancellationToken;

pub use self::info::{Info, SETTINGS};
use super::RedisOptions;
use super::connect::{Failed, Server};
use crate::port::{Check, Condition, Error, Result, ServerFault, Verdict};

/// How soon a server that gave no answer is asked again.
const AGAIN: Duration = Duration::from_secs(5);
/// Answers missing in a row that make a server unreachable: one may be lost to a pool that was busy.
const MISSING_MAX: u32 = 2;

/// Looks at a server and remembers what it saw.
pub(super) struct Watch {
    server: Arc<Server>,
    options: RedisOptions,
    last: RwLock<Arc<Condition>>,
}

impl Watch {
    /// Takes a first look.
    ///
    /// # Errors
    /// A server that does not answer, or is too old for the scripts.
    pub async fn open(server: Arc<Server>, options: RedisOptions) -> Result<Self> {
        let (condition, version) = ask(&server, &options).await?;
        let too_old = |check: &Check| check.what == "version" && check.hinders;
        if condition.checks.iter().any(too_old) {
            return Err(Error::Server {
                fault: ServerFault::Version,
                said: format!("redis_version:{version}"),
            });
        }
        let watch = Self { server, options, last: RwLock::default() };
        watch.note(condition);
        Ok(watch)
    }

    /// What was seen last.
    pub fn last(&self) -> Arc<Condition> {
        self.last.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks again and again. Whatever goes wrong here goes wrong for nobody else.
    pub async fn keep_looking(self: Arc<Self>, closed: CancellationToken) {
        let mut missing = 0;
        loop {
            let pause =
                if missing == 0 { self.options.look_every } else { self.options.look_every.min(AGAIN) };
            tokio::select! {
                () = closed.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let asked = tokio::select! {
                () = closed.cancelled() => return,
                asked = ask(&self.server, &self.options) => asked,
            };
            match asked {
                Ok((condition, _)) => {
                    missing = 0;
                    self.note(condition);
                }
                Err(error) => {
                    missing += 1;
                    tracing::debug!(%error, "the Redis server could not be asked how it is");
                    if missing >= MISSING_MAX {
                        self.note(unreachable(&self.last(), &error));
                    }
                }
            }
        }
    }

    /// Remembers what was seen, and logs what has changed.
    fn note(&self, condition: Condition) {
        let condition = Arc::new(condition);
        let before = {
            let mut last = self.last.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *last, condition.clone())
        };
        for check in changes(&before, &condition) {
            let (what, found) = (check.what, &check.found);
            let cure = check.cure.as_deref().unwrap_or_default();
            match check.verdict {
                Verdict::Broken => tracing::error!(what, found, cure, "the Redis server endangers jobs"),
                Verdict::Warning => {
                    tracing::warn!(what, found, cure, "the Redis server is not as it should be");
                }
                Verdict::Ok => tracing::info!(what, found, "the Redis server is as it should be again"),
            }
        }
    }
}

/// What stands differently from before. What was not looked at stood well, so that a first look tells what is wrong alone.
fn changes<'a>(before: &Condition, now: &'a Condition) -> Vec<&'a Check> {
    let stood = |what: &str| before.checks.iter().find(|check| check.what == what);
    let is_new = |check: &&Check| match stood(check.what) {
        Some(stood) if check.what == "durability" && before.durability != now.durability => {
            stood.found != check.found
        }
        Some(stood) => stood.verdict != check.verdict,
        None => check.verdict != Verdict::Ok,
    };
    now.checks.iter().filter(is_new).collect()
}

/// A server that does not answer. What it keeps is what it kept when it did.
fn unreachable(before: &Condition, error: &Error) -> Condition {
    let found = match error {
        Error::Unreachable { .. } => "the server does not answer".to_owned(),
        Error::Server { fault, .. } => format!("the server refuses to say how it is: {fault}"),
        _ => "the server cannot be asked".to_owned(),
    };
    let cure = "see that it runs and that nothing is in between; the log has what was seen";
    let mut checks: Vec<Check> =
        before.checks.iter().filter(|check| check.what != "reachable").cloned().collect();
    checks.push(Check::hindrance("reachable", found, cure));
    Condition { durability: before.durability, checks }
}

/// Asks a server how it is. Returns that and its version.
async fn ask(server: &Server, options: &RedisOptions) -> Result<(Condition, String)> {
    let Some(text) = server.info().await? else {
        // An account that may not ask can still be one that may do all the rest.
        let untold = Check::warning(
            "INFO",
            "unverified: this user may not ask the server for its version, role, memory and durability",
            "allow it: ACL SETUSER <user> +info +config|get",
        );
        return Ok((Condition { checks: vec![untold], ..Condition::default() }, String::new()));
    };
    let mut info = Info::parse(&text);
    let mut settings = cmd("CONFIG");
    settings.arg("GET").arg(&SETTINGS);
    match server.call(&settings).await {
        Ok(reply) => info.learn(from_redis_value::<HashMap<String, String>>(reply).unwrap_or_default()),
        // Many servers forbid this or do not have it, which leaves the settings unverified.
        Err(Failed::Refused(error)) if error.code().is_some() => {}
        Err(failed) => return Err(failed.into()),
    }
    let mut condition = info.condition(options);
    condition.checks.push(Check::ok("reachable", "it answers"));
    let version = info.field("redis_version").unwrap_or_default().to_owned();
    Ok((condition, version))
}

/// Text of a reply to INFO.
pub(super) fn text_of(reply: Value) -> Option<String> {
    match reply {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::VerbatimString { text, .. } => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Durability;

    fn seen(policy: &str, more: &str) -> Condition {
        let text = format!("role:master\r\nmaxmemory_policy:{policy}\r\n{more}");
        Info::parse(&text).condition(&RedisOptions::default())
    }

    fn told(before: &Condition, now: &Condition) -> Vec<(&'static str, Verdict)> {
        changes(before, now).into_iter().map(|check| (check.what, check.verdict)).collect()
    }

    #[test]
    fn a_change_is_told_once_and_so_is_its_end() {
        let (good, bad) = (seen("noeviction", ""), seen("allkeys-lru", ""));
        let policy = "maxmemory-policy";
        assert!(told(&Condition::default(), &good).iter().all(|(what, _)| *what != policy));
        assert_eq!(told(&good, &bad), [(policy, Verdict::Broken)]);
        assert_eq!(told(&bad, &bad), []);
        assert_eq!(told(&bad, &good), [(policy, Verdict::Ok)]);
    }

    #[test]
    fn another_class_of_durability_is_told_though_both_are_well() {
        let class = |fsync: &str| {
            let mut info = Info::parse("aof_enabled:1\r\n");
            info.learn(HashMap::from([("appendfsync".to_owned(), fsync.to_owned())]));
            info.condition(&RedisOptions::default())
        };
        assert_eq!(told(&class("always"), &class("everysec")), [("durability", Verdict::Ok)]);
    }

    #[test]
    fn a_server_that_does_not_answer_is_not_ready_and_keeps_its_class() {
        let mut before = seen("noeviction", "");
        before.durability = Durability::Standard;
        let away = Error::Unreachable { reason: "10.0.0.1 refused".into() };
        let gone = unreachable(&unreachable(&before, &away), &away);
        assert!(!gone.is_ready() && gone.durability == Durability::Standard);
        let told: Vec<String> = gone.hindrances().map(Check::to_string).collect();
        assert!(told.len() == 1 && !told[0].contains("10.0.0.1"), "{told:?}");
    }
}
