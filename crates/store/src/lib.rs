//! The domain's persistence: tables through sqlx, files through `object_store`.
//!
//! All of the platform's businesses watch *things* over *time*, so the tables are few: [`Entities`], their [`Observations`], the
//! [`Features`] of their days, their sums ([`Rollups`]), caches of what the outside world said ([`Weather`], [`Holidays`]), [`Files`] and [`Results`]. Beside
//! them stands what the API keeps of its own: [`ApiKeys`], [`StreamTickets`], [`Templates`] and [`Webhooks`] with their
//! [`WebhookDeliveries`], and how far they were told ([`WebhookPositions`]). The [`Outbox`] holds jobs that are to be added together with the data that they are about.
//!
//! ```
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use bulrush_store::{FenceError, Observation, Scope, Store};
//!
//! let store = Store::open("sqlite::memory:").await?;
//! store.migrate().await?;
//!
//! // A job writes behind its fence: run 3 of it, with the nonce of its token.
//! let late = store
//!     .fenced("enr-01", 3, "w7.41", async |tx| {
//!         let rows = [Observation { metric: "price".into(), ts_ms: 1_704_067_200_000, value: 129.0 }];
//!         store.observations().upsert(tx, "no-such-entity", &rows).await?;
//!         Ok::<_, FenceError>(())
//!     })
//!     .await;
//! assert!(late.is_err(), "the entity does not exist, and nothing was kept");
//!
//! // What somebody else owns is absent.
//! assert!(store.entities().get(&Scope::owner("acme", "ada"), "no-such-entity").await?.is_none());
//! # Ok(())
//! # }
//! # tokio::runtime::Runtime::new().unwrap().block_on(example()).unwrap();
//! ```
//!
//! # Invariants
//! - **Ownership is part of each read's SQL** ([`Scope`]): another owner's row is absent, not refused.
//! - **A job writes behind its fence** ([`Store::fenced`]): a run that was overtaken cannot write, whatever it believes.
//! - **Everything is an upsert by a natural key**: doing it twice leaves what doing it once leaves.
//! - **Writers wait, and not for ever**: SQLite has one at a time, in order; a write transaction takes the write lock when it opens, so it
//!   waits there and is never told "busy" half way. On PostgreSQL writers of the same rows wait for each other. Readers are not held up.
//! - **What opens something is kept as a hash**: keys and tickets are shown once, and a copy of the database opens nothing.
//! - **Nothing half**: a transaction that is dropped, by an error or with its task, leaves nothing.
//! - The SQL is that which SQLite and PostgreSQL have in common; what is particular to one is in one module.

mod api_keys;
mod bulk;
mod claims;
mod competitor_pages;
mod competitor_prices;
mod competitors;
mod day;
mod db;
mod entities;
mod error;
mod features;
mod fences;
mod files;
mod forecasts;
mod holidays;
mod ids;
mod look;
mod objects;
mod observations;
mod outbox;
mod results;
mod rollups;
mod scope;
mod scoped;
mod secrets;
mod site_turns;
mod store;
mod stream_tickets;
mod templates;
mod tx;
mod url;
mod weather;
mod webhook_deliveries;
mod webhook_positions;
mod webhook_sending;
mod webhooks;

pub use api_keys::{ApiKeyRow, ApiKeys, NewApiKey};
pub use claims::Claims;
pub use competitor_pages::{CompetitorPage, CompetitorPages};
pub use competitor_prices::{CompetitorPrice, CompetitorPrices, PricePlace, PricesWanted, ShownPrice, Stay};
pub use competitors::{Competitor, Competitors, Declared, NewCompetitor};
pub use day::DayRange;
pub use entities::{Entities, Entity, EntityKind, Location, NewEntity, Saved, UnknownKind};
pub use error::{FenceError, StoreError};
pub use features::{DayFeatures, Features, Season, UnknownSeason};
pub use fences::forget_fences;
pub use files::{Completion, FileRow, FileState, Files, NewFile, NewOutput, display_name, download_name};
pub use forecasts::{
    Forecast, ForecastAccuracy, ForecastPoint, ForecastStep, Forecasts, NewForecast, UnknownStep,
};
pub use holidays::{Holiday, HolidayKind, Holidays};
pub use ids::{derived_id, new_id, now_ms};
pub use look::DatabaseLook;
pub use objects::{Area, BucketKeys, BucketSettings, ByteStream, ObjectError, Objects, Place, StoredObject};
pub use observations::{Observation, Observations, Point};
pub use outbox::{Outbox, OutboxLag, OutboxPlace, OutboxRow, RefusedRow};
pub use results::{JobResult, Results};
pub use rollups::{Replaced, Rollup, RollupPlace, Rollups, RollupsWanted};
pub use scope::{Owner, Scope};
pub use site_turns::{SiteTurns, Turn};
pub use store::{PoolStatus, Store};
pub use stream_tickets::{StreamTickets, TicketHolder};
pub use templates::{Template, TemplateContent, TemplateCreated, TemplateUpdated, Templates};
pub use tx::{FencedTx, WriteTx};
pub use weather::{DailyWeather, GridCell, Weather, WeatherDay};
pub use webhook_deliveries::{Delivery, DeliveryStatus, NewDelivery, WebhookDeliveries};
pub use webhook_positions::{WebhookPosition, WebhookPositions};
pub use webhook_sending::{AttemptOutcome, DeliveryAttempt, WebhooksMark};
pub use webhooks::{NewWebhook, OldSecret, Webhook, WebhookChange, Webhooks};
