//! Payloads and results, one file per kind of job. Each comes with its processor.

pub mod aggregate;
pub mod analyze;
pub mod deliver_webhook;
pub mod enrich_property;
pub mod export;
pub mod fan_out_aggregates;
pub mod fan_out_prices;
pub mod optimize;
pub mod run_forecast;
pub mod scrape_prices;

pub use aggregate::{Aggregate, AggregateResult, Granularity};
pub use analyze::{AnalysisType, Analyze, AnalyzeParams, AnalyzeResult};
pub use deliver_webhook::{DeliverWebhook, DeliverWebhookResult, WebhookEvent};
pub use enrich_property::{EnrichProperty, EnrichPropertyResult, GeoPoint};
pub use export::{Export, ExportEntity, ExportFormat, ExportResult};
pub use fan_out_aggregates::FanOutAggregates;
pub use fan_out_prices::{FanOutPrices, FanOutResult};
pub use optimize::{Allocated, Constraints, Optimize, OptimizeResult, WarehouseNeed};
pub use run_forecast::{ForecastModel, RunForecast, RunForecastResult};
pub use scrape_prices::{CompetitorOutcome, CompetitorStatus, ScrapePrices, ScrapePricesResult};
