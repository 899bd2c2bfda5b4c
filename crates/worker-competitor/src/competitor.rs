//! Whose pages are read for a property.
//!
//! A competitor is declared over the API, for one or more properties of its owner, with the rules by which its page is read
//! ([`PageRules`]). For properties that have none, an operator may name some in a file.

use std::sync::Arc;

use bulrush_catalog::PayloadProblems;
use bulrush_catalog::competitor::{COMPETITORS_MAX, PageRules};
use bulrush_store::{Scope, Store, StoreError};
use serde_json::Value;

/// Longest name, in characters.
const NAME_MAX: usize = 200;

/// A competitor and how its page is read.
#[derive(Debug, Clone)]
pub struct Competitor {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) page: Result<Arc<PageRules>, PayloadProblems>,
}

/// A file of competitors cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompetitorsError {
    /// Not a list of competitors.
    #[error("competitors are a JSON list of {{\"id\", \"name\", \"page\": {{\"url\", …}}}}: {0}")]
    Unreadable(String),
    /// One of them cannot be used.
    #[error("the competitor {id:?} cannot be used: {source}")]
    Rules {
        /// Which one.
        id: String,
        /// What is wrong.
        source: PayloadProblems,
    },
    /// Two of them are one.
    #[error("the competitor {0:?} is there twice")]
    Twice(String),
}

impl Competitor {
    /// Reads a list such as `[{"id": "alpenblick", "name": "Hotel Alpenblick", "page": {"url": "https://…"}}]`.
    ///
    /// # Errors
    /// [`CompetitorsError`] with the first that is wrong.
    pub fn list_from_json(text: &str) -> Result<Vec<Self>, CompetitorsError> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Entry {
            id: String,
            name: String,
            page: Value,
        }
        let entries: Vec<Entry> =
            serde_json::from_str(text).map_err(|error| CompetitorsError::Unreadable(error.to_string()))?;
        let mut competitors: Vec<Self> = Vec::new();
        for Entry { id, name, page } in entries {
            if competitors.iter().any(|known| known.id == id) {
                return Err(CompetitorsError::Twice(id));
            }
            match PageRules::from_json(&page) {
                Ok(rules) => competitors.push(Self { id, name: shortened(&name), page: Ok(Arc::new(rules)) }),
                Err(source) => return Err(CompetitorsError::Rules { id, source }),
            }
        }
        Ok(competitors)
    }

    /// The competitor that is declared.
    fn declared(competitor: bulrush_store::Competitor) -> Self {
        let page = PageRules::from_json(&competitor.page).map(Arc::new);
        Self { id: competitor.id, name: shortened(&competitor.name), page }
    }
}

fn shortened(name: &str) -> String {
    name.chars().take(NAME_MAX).collect()
}

/// The competitors of a property that `scope` may see, by their identifiers; whether there are more than are read.
pub(crate) async fn of_property(
    store: &Store,
    scope: &Scope,
    property: &str,
) -> Result<(Vec<Competitor>, bool), StoreError> {
    let most = u32::try_from(COMPETITORS_MAX).unwrap_or(u32::MAX);
    let mut found = store.competitors().list(scope, property, None, most.saturating_add(1)).await?;
    let has_more = found.len() > COMPETITORS_MAX;
    found.truncate(COMPETITORS_MAX);
    Ok((found.into_iter().map(Competitor::declared).collect(), has_more))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_s_competitors_are_all_good_or_none_is_taken() {
        let list =
            |text: &str| Competitor::list_from_json(text).map(|list| list.len()).map_err(|e| e.to_string());
        let one = r#"{"id": "a", "name": "A", "page": {"url": "https://a.example/"}}"#;
        assert_eq!(list(&format!("[{one}]")), Ok(1));
        assert_eq!(list("[]"), Ok(0));
        for (text, words) in [
            ("{}".to_owned(), "JSON list"),
            (format!("[{one}, {one}]"), "twice"),
            (one.replace("\"name\"", "\"nmae\"").replace('{', "[{"), "JSON list"),
            (format!("[{}]", one.replace("url", "uri")), "competitor \"a\" cannot be used"),
        ] {
            assert!(list(&text).unwrap_err().contains(words), "{text}");
        }
    }
}
