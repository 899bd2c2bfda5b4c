//! What the jobs of this worker need from the program around them.

use std::sync::Arc;

use bulrush::clock::{Clock, SystemClock};
use bulrush_service::Sealing;
use bulrush_store::{Objects, Store};
use bulrush_upstream::webhook::WebhookClient;
use jiff::Timestamp;

/// What the jobs work with. Cheap to clone.
#[derive(Clone)]
pub struct Dependencies {
    /// The domain's tables.
    pub store: Store,
    /// The bytes of files.
    pub objects: Objects,
    /// What tells today from tomorrow. The machine's clock but in tests.
    pub clock: Arc<dyn Clock>,
    /// Opens the secrets of webhooks. Without it each try fails, and after the last one the message.
    pub sealing: Option<Arc<Sealing>>,
    /// The way to webhooks. Without it their queue is left to others.
    pub webhooks: Option<WebhookClient>,
}

impl Dependencies {
    /// The store, the files and the machine's clock.
    pub fn new(store: Store, objects: Objects) -> Self {
        Self { store, objects, clock: Arc::new(SystemClock), sealing: None, webhooks: None }
    }

    /// Tells the time by `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sends what webhooks are told, signed with secrets that `sealing` opens.
    pub fn with_webhooks(mut self, client: WebhookClient, sealing: Option<Arc<Sealing>>) -> Self {
        self.webhooks = Some(client);
        self.sealing = sealing;
        self
    }

    /// Now.
    pub(crate) fn now(&self) -> Timestamp {
        let ms = i64::try_from(self.clock.now()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX)
    }
}
