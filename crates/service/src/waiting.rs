//! Parts that other machines serve may come up after the program that needs them.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bulrush::port::{self, Backend};
use bulrush_store::{ObjectError, Objects, Place, Store, StoreError};

use crate::Secret;

/// Pause between two tries. Everything that waits here waits for a person or another program.
const TRY_EVERY: Duration = Duration::from_secs(1);

/// Opens the database and brings its tables up to date, again and again while it is away. To be dropped when the program is to stop.
///
/// # Errors
/// What does not pass by itself, as of [`Store::open`] and [`Store::migrate`].
pub async fn open_store(url: &Secret) -> Result<Store, StoreError> {
    let open = async || {
        let store = Store::open(url.expose()).await?;
        store.migrate().await?;
        Ok(store)
    };
    until_there("the database is away; trying again", open, StoreError::is_transient).await
}

/// Connects to the engine's store, again and again while it is away. To be dropped when the program is to stop.
///
/// # Errors
/// What does not pass by itself, as of [`bulrush::backend::connect`].
pub async fn open_engine(url: &Secret) -> port::Result<Arc<dyn Backend>> {
    let open = async || bulrush::backend::connect(url.expose()).await;
    until_there("the engine's store is away; trying again", open, port::Error::is_transient).await
}

/// Opens the place of files, again and again while it is away. To be dropped when the program is to stop.
///
/// # Errors
/// What does not pass by itself, as of [`Objects::open_at`].
pub async fn open_objects(place: &Place) -> Result<Objects, ObjectError> {
    crate::log_place(place);
    let open = async || Objects::open_at(place).await;
    until_there("the place of files is away; trying again", open, ObjectError::is_transient).await
}

async fn until_there<T, E: Error + 'static>(
    away: &str,
    mut open: impl AsyncFnMut() -> Result<T, E>,
    is_transient: fn(&E) -> bool,
) -> Result<T, E> {
    loop {
        match open().await {
            Err(error) if is_transient(&error) => {
                tracing::warn!(error = &error as &dyn Error, "{away}");
                tokio::time::sleep(TRY_EVERY).await;
            }
            other => return other,
        }
    }
}
