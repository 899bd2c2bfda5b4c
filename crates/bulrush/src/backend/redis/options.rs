//! How a server is used, and what an address may say of it.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::port::{Error, Result};

/// What the keys of all queues begin with unless told otherwise.
const NAMESPACE: &str = "bulrush";
/// How long a server may take unless told otherwise: longer than any script takes, and half the lease of a queue that sets none.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a server is looked at unless told otherwise.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// How long replicas may take unless told otherwise.
const REPLICAS_WITHIN: Duration = Duration::from_secs(1);
/// Longest time that replicas may be given: calls wait for each other meanwhile.
const REPLICAS_WITHIN_MAX: Duration = Duration::from_mins(1);

/// How a server is used. An address may say most of it too, and wins: `?namespace=NAME`, `?allow-eviction=yes`, `?replicas=N`,
/// `?replicas-timeout=MS`, `?ca=PATH`.
#[derive(Clone)]
pub struct RedisOptions {
    /// What all keys begin with: letters, digits, `.`, `_` and `-`. Queues in different namespaces know nothing of each other.
    pub namespace: String,
    /// How long the server may take to accept a connection.
    pub connect_within: Duration,
    /// How long it may take to answer a call that does not wait for anything.
    pub answer_within: Duration,
    /// How often it is looked at ([`Inspect::condition`](crate::port::Inspect::condition)): its role, its `maxmemory-policy`, what it keeps.
    pub look_every: Duration,
    /// The server counts as ready although it may delete jobs when its memory is full (a `maxmemory-policy` other than `noeviction`).
    pub allow_eviction: bool,
    /// So many replicas must have taken in a write before it is acknowledged; 0: none.
    ///
    /// Adds, steps, deliveries, settings and what an administrator asks are followed by `WAIT` in the same round trip. Fewer replicas
    /// within [`replicas_within`](Self::replicas_within) are [`Error::Unconfirmed`]: the write is there, only not that safe, and the same
    /// call may be made again.
    ///
    /// What it promises: an acknowledged write was in the memory of so many replicas, so that it survives the loss of the primary if one
    /// of *those* is promoted. What it does not: a failover to a replica that lags loses it all the same; a primary that was cut off
    /// takes writes until it notices; and whether replicas keep it on disk is up to their `appendfsync`. Redis stays asynchronous.
    pub replicas: u32,
    /// How long those replicas may take, at most a minute.
    pub replicas_within: Duration,
    /// The certificates (PEM) of who vouches for the server, for `rediss://`, in place of the system's.
    pub ca: Option<PathBuf>,
    /// A clock in place of the server's: for tests.
    #[doc(hidden)]
    pub clock: Option<Arc<dyn Clock>>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            namespace: NAMESPACE.to_owned(),
            connect_within: PATIENCE,
            answer_within: PATIENCE,
            look_every: LOOK_EVERY,
            allow_eviction: false,
            replicas: 0,
            replicas_within: REPLICAS_WITHIN,
            ca: None,
            clock: None,
        }
    }
}

impl RedisOptions {
    /// Takes in what an address says of the use of its server. Returns the address of the server alone.
    ///
    /// # Errors
    /// A value that is none, with the ones that are.
    pub fn take_from(mut self, url: &str) -> Result<(Cow<'_, str>, Self)> {
        let Some((server, query)) = url.split_once('?') else { return Ok((url.into(), self)) };
        let mut others = Vec::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let refused = |what: &str| Error::Url {
                url: super::super::open::redact(url),
                reason: format!("{name}={value}: {what}"),
            };
            match name {
                "namespace" => value.clone_into(&mut self.namespace),
                "allow-eviction" => {
                    self.allow_eviction = match value {
                        "yes" => true,
                        "no" => false,
                        _ => return Err(refused("give yes or no")),
                    }
                }
                "replicas" => {
                    self.replicas = value
                        .parse()
                        .map_err(|_| refused("give the number of replicas that must have a write"))?;
                }
                "replicas-timeout" => {
                    let within = value.parse().ok().map(Duration::from_millis);
                    let fits = |within: &Duration| !within.is_zero() && *within <= REPLICAS_WITHIN_MAX;
                    self.replicas_within =
                        within.filter(fits).ok_or_else(|| refused("give milliseconds, 1 to 60000"))?;
                }
                "ca" if value.is_empty() => return Err(refused("give the path of a PEM file")),
                "ca" => self.ca = Some(value.into()),
                _ => others.push(pair),
            }
        }
        if others.len() == query.split('&').count() {
            return Ok((url.into(), self));
        }
        let mark = if others.is_empty() { "" } else { "?" };
        Ok((format!("{server}{mark}{}", others.join("&")).into(), self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> (String, RedisOptions) {
        let (url, options) = RedisOptions::default().take_from(url).expect("it is understood");
        (url.into_owned(), options)
    }

    #[test]
    fn an_address_may_say_how_its_server_is_used_among_other_things() {
        let (url, options) = read("redis://h");
        assert_eq!((url.as_str(), options.namespace.as_str()), ("redis://h", "bulrush"));
        let (url, options) = read("redis://h?namespace=a");
        assert_eq!((url.as_str(), options.namespace.as_str()), ("redis://h", "a"));
        let (url, options) = read("unix:///r.sock?db=1&namespace=b.c&pass=x&allow-eviction=yes");
        assert_eq!((url.as_str(), options.namespace.as_str()), ("unix:///r.sock?db=1&pass=x", "b.c"));
        assert!(options.allow_eviction);
        let (url, options) = read("rediss://h?replicas=2&replicas-timeout=250&ca=/etc/ca.pem");
        assert_eq!(url, "rediss://h");
        assert_eq!((options.replicas, options.replicas_within), (2, Duration::from_millis(250)));
        assert_eq!(options.ca, Some(PathBuf::from("/etc/ca.pem")));
        assert_eq!(read("redis://u:p?q@h").0, "redis://u:p?q@h");
    }

    #[test]
    fn a_value_that_is_none_is_refused_and_no_secret_is_told() {
        for bad in [
            "allow-eviction=1",
            "replicas=-1",
            "replicas=all",
            "replicas-timeout=0",
            "replicas-timeout=60001",
            "ca=",
        ] {
            let refused = RedisOptions::default().take_from(&format!("redis://:s3cret@h?{bad}")).map(drop);
            let told = refused.expect_err("it is no value").to_string();
            assert!(told.contains(bad) && !told.contains("s3cret"), "{told}");
        }
    }
}
