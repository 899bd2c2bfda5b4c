//! What was asked, and how often.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;

/// Different queries told apart per sandbox; beyond that a request counts for its path alone.
const QUERIES_MAX: usize = 10_000;
/// Parameters whose values are keys, and stay out of the list.
const SECRET_PARAMETERS: [&str; 4] = ["api_key", "apikey", "key", "token"];

/// How often everything was asked since the start or the last reset. The sandbox's own paths are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RequestCounts {
    /// All requests.
    pub total: u64,
    /// Those among them that were answered with 304.
    pub not_modified: u64,
    /// By path, in the order of the alphabet.
    pub paths: Vec<PathCount>,
}

/// How often one path was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PathCount {
    /// The path.
    pub path: String,
    /// All requests to it.
    pub count: u64,
    /// By query, in the order of the alphabet.
    pub queries: Vec<QueryCount>,
}

/// How often one path was asked with one query.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueryCount {
    /// The query as it came, with `***` in the place of keys.
    pub query: String,
    /// Requests with it.
    pub count: u64,
}

impl RequestCounts {
    /// Requests whose path starts so.
    pub fn of(&self, path_prefix: &str) -> u64 {
        self.paths.iter().filter(|path| path.path.starts_with(path_prefix)).map(|path| path.count).sum()
    }

    /// The requests that came more than once, as `path?query`: empty if everything was fetched at most once.
    pub fn repeated(&self) -> Vec<String> {
        let all = self.paths.iter().flat_map(|path| path.queries.iter().map(move |query| (path, query)));
        all.filter(|(_, query)| query.count > 1)
            .map(|(path, query)| format!("{}?{}", path.path, query.query))
            .collect()
    }
}

#[derive(Debug, Default)]
pub(crate) struct RequestLog(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    paths: BTreeMap<String, (u64, BTreeMap<String, u64>)>,
    queries: usize,
    not_modified: u64,
}

impl RequestLog {
    pub fn count(&self, path: &str, query: &str) {
        let query = masked(query);
        let mut counts = self.lock();
        let full = counts.queries >= QUERIES_MAX;
        if full && !counts.paths.contains_key(path) {
            return;
        }
        let (total, queries) = counts.paths.entry(path.to_owned()).or_default();
        *total += 1;
        if let Some(count) = queries.get_mut(&query) {
            *count += 1;
        } else if !full {
            queries.insert(query, 1);
            counts.queries += 1;
        }
    }

    pub fn count_not_modified(&self) {
        self.lock().not_modified += 1;
    }

    pub fn counts(&self) -> RequestCounts {
        let counts = self.lock();
        let paths: Vec<PathCount> = counts
            .paths
            .iter()
            .map(|(path, (count, queries))| PathCount {
                path: path.clone(),
                count: *count,
                queries: queries
                    .iter()
                    .map(|(query, count)| QueryCount { query: query.clone(), count: *count })
                    .collect(),
            })
            .collect();
        RequestCounts {
            total: paths.iter().map(|path| path.count).sum(),
            not_modified: counts.not_modified,
            paths,
        }
    }

    pub fn clear(&self) {
        *self.lock() = Counts::default();
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn masked(query: &str) -> String {
    let parts: Vec<String> = query
        .split('&')
        .map(|part| match part.split_once('=') {
            Some((name, _)) if SECRET_PARAMETERS.contains(&name.to_ascii_lowercase().as_str()) => {
                format!("{name}=***")
            }
            _ => part.to_owned(),
        })
        .collect();
    parts.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_path_and_query_without_keys() {
        let log = RequestLog::default();
        log.count("/b", "year=2024&api_key=canary");
        log.count("/b", "year=2024&api_key=other");
        log.count("/a", "");
        let counts = log.counts();
        assert_eq!((counts.total, counts.of("/b"), counts.of("/c")), (3, 2, 0));
        assert_eq!(counts.repeated(), ["/b?year=2024&api_key=***"]);
        log.clear();
        assert_eq!(log.counts(), RequestCounts::default());
    }

    #[test]
    fn the_list_is_bounded() {
        let log = RequestLog::default();
        for n in 0..QUERIES_MAX + 10 {
            log.count("/a", &format!("n={n}"));
        }
        log.count("/unseen", "");
        let counts = log.counts();
        assert_eq!(counts.total, QUERIES_MAX as u64 + 10);
        assert_eq!(counts.paths[0].queries.len(), QUERIES_MAX);
    }
}
