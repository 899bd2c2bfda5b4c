//! Bringing the catalogue to the engine.

use bulrush::port::{Backend, Maintain, Result};
use bulrush_catalog::Catalog;

/// Says at the start which store the engine has, what an acknowledged job survives there, and whether it can be relied on.
pub fn log_engine(engine: &dyn Backend) {
    let condition = engine.condition();
    let (backend, durability) = (engine.kind(), condition.durability.as_str());
    if condition.is_ready() {
        tracing::info!(backend, durability, "the engine's store is open");
    } else {
        let hindrances: Vec<String> = condition.hindrances().map(ToString::to_string).collect();
        tracing::error!(
            backend,
            durability,
            why = hindrances.join("; "),
            "the engine's store is open and not ready"
        );
    }
}

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
