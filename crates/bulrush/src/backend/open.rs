//! From an address to a backend.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Embedded, file};
use crate::clock::{Clock, SystemClock};
use crate::port::{Backend, Error, Result};

/// Opens a backend by its address: `memory:` or `file:PATH`, PATH being a directory of the store's own. It is made if it is not
/// there.
///
/// # Errors
/// An address that is not understood; a store that is damaged, in use by another process, or cannot be read.
pub async fn connect(url: &str) -> Result<Arc<dyn Backend>> {
    connect_with(url, Arc::new(SystemClock)).await
}

/// As [`connect`], on another clock: for tests.
///
/// # Errors
/// As [`connect`].
pub async fn connect_with(url: &str, clock: Arc<dyn Clock>) -> Result<Arc<dyn Backend>> {
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(Embedded::memory(clock))),
        Some(("file", path)) if !path.is_empty() => {
            let path = PathBuf::from(path);
            // A large store takes seconds to read.
            let opened = tokio::task::spawn_blocking(move || file::open(&path, clock)).await;
            let opened = opened.unwrap_or_else(|error| Err(Error::Unreachable { reason: error.to_string() }));
            Ok(Arc::new(opened?))
        }
        _ => Err(Error::Url { url: redact(url) }),
    }
}

/// The address without user and password.
fn redact(url: &str) -> String {
    match (url.split_once("://"), url.rfind('@')) {
        (Some((scheme, _)), Some(at)) => format!("{scheme}://***{}", &url[at..]),
        _ => url.to_owned(),
    }
}
