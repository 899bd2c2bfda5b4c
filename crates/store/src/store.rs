//! The store: a database, opened.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::db::{Database, query};
use crate::url::DatabaseUrl;
use crate::{
    ApiKeys, Claims, CompetitorPages, CompetitorPrices, Competitors, Entities, Features, Files, Forecasts,
    Holidays, Observations, Outbox, Results, Rollups, SiteTurns, StoreError, StreamTickets, Templates,
    Weather, WebhookDeliveries, WebhookPositions, Webhooks,
};

/// How busy the connections are, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStatus {
    /// Connections that read at this moment.
    pub readers_busy: u32,
    /// The most that can read at once.
    pub readers_max: u32,
    /// Whether somebody writes at this moment.
    pub writer_busy: bool,
}

/// A handle to the domain's database. Cheap to clone; all clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    database: Database,
    /// The folder of a database that goes with the store. Dropped after the connections.
    _folder: Option<TempDir>,
}

impl Store {
    /// Opens the database at `url`:
    /// - `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, a PostgreSQL server of version 14 or newer, with libpq's parameters after a `?`:
    ///   `sslmode` (`prefer` where none is given, which takes what it gets; `verify-full` is the one that protects), `sslrootcert`,
    ///   `host=/run/postgresql` for a Unix socket, `application_name`, `options`; and the store's own: `connections` (at most; 10, half of
    ///   which read), `acquire_timeout_ms` (5,000), `statement_timeout_ms` (15,000) and `lock_timeout_ms` (5,000). Behind PgBouncer in
    ///   transaction mode add `statement-cache-capacity=0`, and let it pass the startup parameter `options`.
    /// - `sqlite:PATH`, a file, made if it is not there, its folder too. Several processes of one machine may share it.
    /// - `sqlite::memory:`, a private database that goes with the store. (It is a file in a new folder under the system's
    ///   temporary one, without flushes, because SQLite's own memory database blocks readers while somebody writes: a test
    ///   on it would say nothing about a file.)
    ///
    /// Call [`Store::migrate`] next.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Folder`], [`StoreError::CannotOpen`], [`StoreError::NotADatabase`],
    /// [`StoreError::ForeignDatabase`] and [`StoreError::Corrupt`] say what is wrong with what was asked for; a file that is
    /// refused is left as it is.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let (database, folder) = match DatabaseUrl::parse(url)? {
            DatabaseUrl::File(path) => {
                make_folder_of(&path).await?;
                (Database::open_sqlite(&path, true).await?, None)
            }
            DatabaseUrl::Memory => {
                let folder = tempfile::Builder::new()
                    .prefix("bulrush-store-")
                    .tempdir()
                    .map_err(|source| StoreError::Folder { path: std::env::temp_dir(), source })?;
                (Database::open_sqlite(&folder.path().join("store.db"), false).await?, Some(folder))
            }
            DatabaseUrl::Postgres(url) => (Database::open_postgres(*url).await?, None),
        };
        Ok(Self { inner: Arc::new(Inner { database, _folder: folder }) })
    }

    /// Brings the tables up to date: all of the missing migrations or none. Doing it again, or from several processes at
    /// once, does no harm.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.inner.database.migrate().await
    }

    /// Asks the database for an answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        query("SELECT 1").execute(self.readers()).await?;
        Ok(())
    }

    /// How busy the connections are at this moment.
    pub fn pool_status(&self) -> PoolStatus {
        let ((readers_busy, readers_max), (writers_busy, _)) = self.inner.database.busy();
        PoolStatus { readers_busy, readers_max, writer_busy: writers_busy > 0 }
    }

    /// Closes the connections, waiting for those in use. Every later call answers [`StoreError::Unavailable`].
    pub async fn close(&self) {
        self.inner.database.close().await;
    }

    /// Jobs that are to be added.
    pub fn outbox(&self) -> Outbox<'_> {
        Outbox::new(self)
    }

    /// The things that are watched.
    pub fn entities(&self) -> Entities<'_> {
        Entities::new(self)
    }

    /// What was seen of them over time.
    pub fn observations(&self) -> Observations<'_> {
        Observations::new(self)
    }

    /// Weather, holidays and calendar of their days.
    pub fn features(&self) -> Features<'_> {
        Features::new(self)
    }

    /// Weather already fetched.
    pub fn weather(&self) -> Weather<'_> {
        Weather::new(self)
    }

    /// Holidays already fetched.
    pub fn holidays(&self) -> Holidays<'_> {
        Holidays::new(self)
    }

    /// Who is fetching what.
    pub fn claims(&self) -> Claims<'_> {
        Claims::new(self)
    }

    /// Who competes with a property.
    pub fn competitors(&self) -> Competitors<'_> {
        Competitors::new(self)
    }

    /// What competitors asked.
    pub fn competitor_prices(&self) -> CompetitorPrices<'_> {
        CompetitorPrices::new(self)
    }

    /// Their pages, as they were last read.
    pub fn competitor_pages(&self) -> CompetitorPages<'_> {
        CompetitorPages::new(self)
    }

    /// Whose turn it is at a site.
    pub fn site_turns(&self) -> SiteTurns<'_> {
        SiteTurns::new(self)
    }

    /// Uploads, and files that jobs made.
    pub fn files(&self) -> Files<'_> {
        Files::new(self)
    }

    /// What is expected of them.
    pub fn forecasts(&self) -> Forecasts<'_> {
        Forecasts::new(self)
    }

    /// Results of jobs.
    pub fn results(&self) -> Results<'_> {
        Results::new(self)
    }

    /// Sums of observations.
    pub fn rollups(&self) -> Rollups<'_> {
        Rollups::new(self)
    }

    /// Keys of programs that call the API.
    pub fn api_keys(&self) -> ApiKeys<'_> {
        ApiKeys::new(self)
    }

    /// Tickets that open an event stream each.
    pub fn stream_tickets(&self) -> StreamTickets<'_> {
        StreamTickets::new(self)
    }

    /// Jobs to be added again and again.
    pub fn templates(&self) -> Templates<'_> {
        Templates::new(self)
    }

    /// Addresses that are told what happens to jobs.
    pub fn webhooks(&self) -> Webhooks<'_> {
        Webhooks::new(self)
    }

    /// What they were told.
    pub fn webhook_deliveries(&self) -> WebhookDeliveries<'_> {
        WebhookDeliveries::new(self)
    }

    /// How far they were told.
    pub fn webhook_positions(&self) -> WebhookPositions<'_> {
        WebhookPositions::new(self)
    }

    pub(crate) fn readers(&self) -> &Database {
        &self.inner.database
    }
}

/// Makes the folder that `path` is in.
async fn make_folder_of(path: &Path) -> Result<(), StoreError> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else { return Ok(()) };
    tokio::fs::create_dir_all(folder)
        .await
        .map_err(|source| StoreError::Folder { path: folder.to_path_buf(), source })
}
