//! Bringing the catalogue to the engine.

use bulrush::port::{Maintain, Result};
use bulrush_catalog::Catalog;

/// Gives every queue of the engine the settings of the catalogue. Done at the start of whatever owns the queues (`serve`, the
/// scheduler, a worker for its own); doing it again changes nothing.
///
/// # Errors
/// A backend that did not answer.
pub async fn configure_queues(engine: &dyn Maintain, catalog: &Catalog) -> Result<()> {
    for queue in catalog.queues() {
        engine.configure(queue.name(), queue.config()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_engine_s_queues_get_the_catalogue_s_limits() {
        let engine = bulrush::backend::connect("memory:").await.unwrap();
        let catalog = Catalog::default();
        configure_queues(&*engine, &catalog).await.unwrap();
        configure_queues(&*engine, &catalog).await.unwrap();
        assert_eq!(engine.queues().await.unwrap().len(), catalog.queues().len());
        let enrichment = catalog.find("enrichment").unwrap();
        assert_eq!(engine.info(enrichment.name()).await.unwrap().config, enrichment.config());
    }
}
