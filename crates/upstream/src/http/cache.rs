//! Bodies kept with their ETag, so that an unchanged answer is not sent again. Bounded in number and in bytes; the one that
//! was not used for longest goes first.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use reqwest::header::HeaderValue;

pub(super) struct EtagCache {
    entries_max: usize,
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By full URL. A URL may hold an API key, and must: an answer for one key is none for another.
    entries: HashMap<String, Entry>,
    /// Sum of the sizes of all entries.
    bytes: usize,
    /// Counts uses; the entry with the smallest `used` is the oldest.
    uses: u64,
}

struct Entry {
    etag: HeaderValue,
    body: Bytes,
    used: u64,
}

impl Entry {
    fn size(&self, url: &str) -> usize {
        url.len() + self.etag.len() + self.body.len()
    }
}

impl EtagCache {
    pub fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self { entries_max, bytes_max, state: Mutex::default() }
    }

    /// The ETag and body kept for the URL.
    pub fn get(&self, url: &str) -> Option<(HeaderValue, Bytes)> {
        let mut state = self.lock();
        state.uses += 1;
        let used = state.uses;
        let entry = state.entries.get_mut(url)?;
        entry.used = used;
        Some((entry.etag.clone(), entry.body.clone()))
    }

    /// Keeps a body, in the place of the one kept before. One that alone exceeds the bound is not kept.
    pub fn put(&self, url: &str, etag: HeaderValue, body: Bytes) {
        let mut state = self.lock();
        state.remove(url);
        state.uses += 1;
        let entry = Entry { etag, body, used: state.uses };
        let size = entry.size(url);
        if self.entries_max == 0 || size > self.bytes_max {
            return;
        }
        while state.entries.len() >= self.entries_max || state.bytes + size > self.bytes_max {
            let Some(oldest) = state.entries.iter().min_by_key(|(_, e)| e.used).map(|(url, _)| url.clone())
            else {
                break;
            };
            state.remove(&oldest);
        }
        state.bytes += size;
        state.entries.insert(url.to_owned(), entry);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code under the lock panics half way through a change, so a poisoned lock still guards a whole state.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, url: &str) {
        if let Some(entry) = self.entries.remove(url) {
            self.bytes -= entry.size(url);
        }
    }
}

/// Counts only: the URLs may hold API keys.
impl fmt::Debug for EtagCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        f.debug_struct("EtagCache")
            .field("entries", &state.entries.len())
            .field("bytes", &state.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &EtagCache, url: &str, body: &'static str) {
        cache.put(url, HeaderValue::from_static("\"v\""), Bytes::from_static(body.as_bytes()));
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = EtagCache::new(2, 1000);
        put(&cache, "a", "1");
        put(&cache, "b", "2");
        assert!(cache.get("a").is_some());
        put(&cache, "c", "3");
        assert!(cache.get("b").is_none());
        assert!(cache.get("a").is_some() && cache.get("c").is_some());
    }

    #[test]
    fn bytes_are_bounded_and_counted_back() {
        // Each entry is 1 byte of URL, 3 of ETag and 10 of body.
        let cache = EtagCache::new(100, 30);
        put(&cache, "a", "0123456789");
        put(&cache, "a", "9876543210");
        put(&cache, "b", "0123456789");
        assert!(cache.get("a").is_some());
        put(&cache, "c", "0123456789");
        assert!(cache.get("b").is_none());
        assert_eq!(cache.lock().bytes, 28);
        put(&cache, "a", "0123456789012345678901234567890123456789");
        assert!(cache.get("a").is_none(), "neither the too long body nor the outdated one");
    }

    #[test]
    fn no_url_is_printed() {
        let cache = EtagCache::new(2, 1000);
        put(&cache, "http://host/?api_key=canary", "1");
        assert!(!format!("{cache:?}").contains("canary"));
    }
}
