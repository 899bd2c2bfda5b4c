//! Fencing tokens: which take of a job may still write.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A worker, for one start of its process on one queue: random, so a restarted worker is never taken for the dead one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub u64);

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
impl fmt::Debug for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for WorkerId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for WorkerId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        u64::from_str_radix(&s, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// Proof that its holder is the current taker of a job. Every write of a worker carries it.
///
/// `run` grows by one at each take of the job. The nonce (worker and take number) makes two takes different even when a store
/// that lost its tail issues a run number twice: worker ids are random and take numbers are the worker's own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token {
    /// How often the job had been taken, this take included.
    pub run: u32,
    /// Who took it.
    pub worker: WorkerId,
    /// The worker's number of the call that took it: within one call no job is taken twice.
    pub take: u64,
}

impl Token {
    /// The nonce as text: worker and take number, for `job_fences(job, run, nonce)`.
    pub fn nonce(&self) -> String {
        format!("{}.{:x}", self.worker, self.take)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{:x}", self.run, self.worker, self.take)
    }
}
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is no token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a token: expected RUN.WORKER.TAKE")]
pub struct InvalidToken(String);

impl FromStr for Token {
    type Err = InvalidToken;
    fn from_str(s: &str) -> Result<Self, InvalidToken> {
        let parse = || {
            let mut parts = s.split('.');
            let token = Self {
                run: parts.next()?.parse().ok()?,
                worker: WorkerId(u64::from_str_radix(parts.next()?, 16).ok()?),
                take: u64::from_str_radix(parts.next()?, 16).ok()?,
            };
            parts.next().is_none().then_some(token)
        };
        parse().ok_or_else(|| InvalidToken(s.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_from_its_text() {
        let token = Token { run: 7, worker: WorkerId(0xfeed), take: 0x10_0001 };
        assert_eq!(token.to_string().parse(), Ok(token));
        for bad in ["", "1", "1.2", "x.2.3", "1.2.3.4"] {
            assert!(bad.parse::<Token>().is_err(), "{bad:?}");
        }
    }
}
