//! What keeps webhooks from being told for a while.

use bulrush_store::StoreError;

/// Trouble with a store; the work is done again from where it was last kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    /// The engine.
    #[error("the engine: {0}")]
    Engine(#[from] bulrush::port::Error),
    /// The database.
    #[error("the database: {0}")]
    Store(#[from] StoreError),
    /// The catalogue has no queue for deliveries.
    #[error("the catalogue has no queue for the deliveries of webhooks")]
    NoQueue,
}
