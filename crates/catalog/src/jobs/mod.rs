//! Payloads and results, one file per kind of job. Each comes with its processor.

pub mod analyze;
pub mod deliver_webhook;
pub mod enrich_property;
pub mod export;
pub mod fan_out_prices;
pub mod scrape_prices;

pub use analyze::{AnalysisType, Analyze, AnalyzeParams, AnalyzeResult};
pub use deliver_webhook::{DeliverWebhook, DeliverWebhookResult, WebhookEvent};
pub use enrich_property::{EnrichProperty, EnrichPropertyResult, GeoPoint};
pub use export::{Export, ExportEntity, ExportFormat, ExportResult};
pub use fan_out_prices::{FanOutPrices, FanOutResult};
pub use scrape_prices::{CompetitorOutcome, CompetitorStatus, ScrapePrices, ScrapePricesResult};
