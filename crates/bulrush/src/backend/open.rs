//! From an address to a backend.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Embedded, file};
use crate::clock::{Clock, SystemClock};
use crate::port::{Backend, Error, Result};

/// What an address may be.
const UNDERSTOOD: &str = if cfg!(feature = "redis") {
    "use memory:, file:PATH, redis://HOST[:PORT][/DB], rediss://HOST[:PORT][/DB] or unix:///PATH, the last three with ?namespace=NAME for keys of their own (also replicas=N, replicas-timeout=MS, allow-eviction=yes, ca=PATH)"
} else {
    "use memory: or file:PATH (this program was built without Redis)"
};

/// Opens a backend by its address: `memory:`, `file:PATH`, PATH being a directory of the store's own (it is made if it is not there), or
/// a Redis server: `redis://[USER:PASSWORD@]HOST[:PORT][/DB]`, `rediss://…` with TLS, `unix:///PATH[?db=DB&user=USER&pass=PASSWORD]`.
/// `?namespace=NAME` keeps its keys apart from those of others on the same server, in place of the namespace `bulrush`;
/// `?replicas=N&replicas-timeout=MS` acknowledges what so many replicas have, `?allow-eviction=yes` takes a server for ready that may
/// delete jobs, `?ca=PATH` names who vouches for a server with TLS: see `RedisOptions`.
///
/// # Errors
/// An address that is not understood; a store that is damaged, in use by another process, or cannot be read; a server that cannot be
/// reached or cannot serve.
pub async fn connect(url: &str) -> Result<Arc<dyn Backend>> {
    open(url, None).await
}

/// As [`connect`], on another clock: for tests. On Redis it stands in for the server's.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(url: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn Backend>> {
    open(url, Some(clock)).await
}

/// Opens a Redis server with more to say about how it is used. What the address says of it wins over the options.
///
/// # Errors
/// As [`connect`].
#[cfg(feature = "redis")]
pub async fn connect_redis_with(url: &str, options: super::RedisOptions) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(super::Redis::open(url, options).await?))
}

async fn open(url: &str, clock: Option<Arc<dyn Clock>>) -> Result<Arc<dyn Backend>> {
    let or_system = |clock: Option<Arc<dyn Clock>>| clock.unwrap_or_else(|| Arc::new(SystemClock));
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(Embedded::memory(or_system(clock)))),
        Some(("file", path)) if !path.is_empty() => {
            let (path, clock) = (PathBuf::from(path), or_system(clock));
            // A large store takes seconds to read.
            let opened = tokio::task::spawn_blocking(move || file::open(&path, clock)).await;
            let opened = opened.unwrap_or_else(|error| Err(Error::Unreachable { reason: error.to_string() }));
            Ok(Arc::new(opened?))
        }
        #[cfg(feature = "redis")]
        Some(("redis" | "rediss" | "valkey" | "valkeys" | "unix" | "redis+unix" | "valkey+unix", _)) => {
            connect_redis_with(url, super::RedisOptions { clock, ..super::RedisOptions::default() }).await
        }
        _ => Err(Error::Url { url: redact(url), reason: UNDERSTOOD.to_owned() }),
    }
}

/// The address without user, password and whatever else may tell a secret.
pub(super) fn redact(url: &str) -> String {
    let (plain, query) = url.split_once('?').unwrap_or((url, ""));
    let hidden = if query.is_empty() { "" } else { "?***" };
    match (plain.split_once("://"), plain.rfind('@')) {
        // A password may hold a question mark that should have been escaped.
        (Some((scheme, _)), _) if query.contains('@') => format!("{scheme}://***"),
        (Some((scheme, _)), Some(at)) => format!("{scheme}://***{}{hidden}", &plain[at..]),
        _ => format!("{plain}{hidden}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_of_an_address_is_told() {
        assert_eq!(redact("redis://ada:s3cret@host:1/2"), "redis://***@host:1/2");
        assert_eq!(redact("redis://:s3@cret@host"), "redis://***@host");
        assert_eq!(redact("unix:///run/r.sock?db=1&pass=s3cret"), "unix:///run/r.sock?***");
        assert_eq!(redact("redis://u:p?q@host"), "redis://***");
        assert_eq!(redact("memory:"), "memory:");
    }

    #[cfg(feature = "redis")]
    #[tokio::test]
    async fn a_namespace_that_cannot_be_one_is_refused_before_anything_is_connected() {
        for bad in ["redis://u:s3cret@h?namespace=", "redis://u:s3cret@h?namespace=a:b"] {
            let error = connect(bad).await.map(drop).expect_err("it cannot be opened").to_string();
            assert!(error.contains("namespace") && !error.contains("s3cret"), "{bad}: {error}");
        }
    }

    #[tokio::test]
    async fn an_address_that_is_not_understood_says_what_is() {
        for bad in ["", "memory", "memory:x", "file:", "http://host", "postgres://u:s3cret@h/db"] {
            let error = connect(bad).await.map(drop).expect_err("it cannot be opened").to_string();
            assert!(error.contains("memory:") && !error.contains("s3cret"), "{bad}: {error}");
        }
    }
}
