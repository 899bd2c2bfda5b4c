//! Whose pages are read for a property.
//!
//! A competitor is an entity of the kind `competitor` with the attributes
//! `{"propertyIds": ["…"], "page": {"url", "selectors"?, "currency"?, "priceFor"?}}`, of the same owner as the properties that it
//! competes with ([`crate::PageRules`] says what stands in `page`). For properties that have none, an operator may name some in
//! a file.

use std::sync::Arc;

use bulrush_catalog::jobs::scrape_prices::declared_for;
use bulrush_store::{EntityKind, NewEntity, Scope, Store, StoreError};
use serde_json::Value;

use crate::page::{PageRules, RulesError};

/// The attribute of a competitor that says how its page is read.
const PAGE: &str = "page";
/// Most competitors that are read for one property; the rest is left out, and the result says so.
pub(crate) const COMPETITORS_MAX: usize = 50;
/// Most competitors of an owner that are looked through.
const LOOKED_AT_MAX: usize = 5_000;
const PAGE_SIZE: u32 = 200;
/// Longest name, in characters.
const NAME_MAX: usize = 200;

/// A competitor and how its page is read.
#[derive(Debug, Clone)]
pub struct Competitor {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) page: Result<Arc<PageRules>, RulesError>,
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
        source: RulesError,
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

    /// The competitor that an entity is, if it competes with `property`.
    fn of_entity(entity: NewEntity, property: &str) -> Option<Self> {
        let competes = declared_for(&entity.attributes).any(|one| one == property);
        competes.then(|| {
            let page = entity.attributes.get(PAGE).unwrap_or(&Value::Null);
            let page = PageRules::from_json(page).map(Arc::new);
            Self { id: entity.id, name: shortened(&entity.name), page }
        })
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
    let (mut found, mut looked_at, mut after) = (Vec::new(), 0, None::<String>);
    loop {
        let page = store.entities().list(scope, EntityKind::Competitor, after.as_deref(), PAGE_SIZE).await?;
        looked_at += page.len();
        let is_last = page.len() < PAGE_SIZE as usize;
        after = page.last().map(|last| last.entity.id.clone());
        for entity in page {
            if let Some(competitor) = Competitor::of_entity(entity.entity, property) {
                if found.len() == COMPETITORS_MAX {
                    return Ok((found, true));
                }
                found.push(competitor);
            }
        }
        if is_last {
            return Ok((found, false));
        }
        if looked_at >= LOOKED_AT_MAX {
            return Ok((found, true));
        }
    }
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
