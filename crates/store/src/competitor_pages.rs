//! Pages of competitors as they were last read, so that an unchanged page is not sent again. Shared by all jobs.

use crate::db::query;
use crate::{Store, StoreError, WriteTx};

/// What is known of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct CompetitorPage {
    /// Its `ETag`.
    pub etag: Option<String>,
    /// Its `Last-Modified`.
    pub last_modified: Option<String>,
    /// What was read from it.
    pub document: serde_json::Value,
    /// When it was last found to stand so, ms since 1970.
    pub fetched_at_ms: i64,
}

/// The table of pages.
#[derive(Debug, Clone, Copy)]
pub struct CompetitorPages<'s> {
    store: &'s Store,
}

impl<'s> CompetitorPages<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// The page under this key, a hash of its address and of the rules that it is read by.
    pub async fn get(&self, page: &str) -> Result<Option<CompetitorPage>, StoreError> {
        let found =
            query("SELECT etag, last_modified, document, fetched_at FROM competitor_pages WHERE page = $1")
                .bind(page)
                .fetch_optional(self.store.readers())
                .await?;
        let Some(row) = found else { return Ok(None) };
        let document: String = row.try_get("document")?;
        Ok(Some(CompetitorPage {
            etag: row.try_get("etag")?,
            last_modified: row.try_get("last_modified")?,
            document: serde_json::from_str(&document)
                .map_err(|_| StoreError::unreadable("competitor_pages", "document", &document))?,
            fetched_at_ms: row.try_get("fetched_at")?,
        }))
    }

    /// Keeps a page, in place of what was known of it. What was found later stays.
    pub async fn put(&self, tx: &mut WriteTx, page: &str, found: &CompetitorPage) -> Result<(), StoreError> {
        query(
            "INSERT INTO competitor_pages (page, etag, last_modified, document, fetched_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (page) DO UPDATE SET etag = excluded.etag, last_modified = excluded.last_modified, \
                 document = excluded.document, fetched_at = excluded.fetched_at \
             WHERE competitor_pages.fetched_at <= excluded.fetched_at",
        )
        .bind(page)
        .bind(&found.etag)
        .bind(&found.last_modified)
        .bind(found.document.to_string())
        .bind(found.fetched_at_ms)
        .execute(tx.connection())
        .await?;
        Ok(())
    }

    /// Forgets up to `limit` pages that nobody has read since `before_ms`; returns how many.
    pub async fn forget(&self, tx: &mut WriteTx, before_ms: i64, limit: u32) -> Result<u64, StoreError> {
        let done = query(
            "DELETE FROM competitor_pages WHERE fetched_at < $1 AND page IN \
             (SELECT page FROM competitor_pages WHERE fetched_at < $1 ORDER BY fetched_at LIMIT $2)",
        )
        .bind(before_ms)
        .bind(i64::from(limit))
        .execute(tx.connection())
        .await?;
        Ok(done)
    }
}
