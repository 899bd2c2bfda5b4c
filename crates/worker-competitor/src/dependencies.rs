//! What the jobs of this worker need from the program around them.

use std::sync::Arc;

use bulrush::clock::{Clock, SystemClock};
use bulrush_store::Store;
use bulrush_upstream::fetch::Fetcher;

use crate::args::CompetitorSettings;
use crate::competitor::Competitor;
use crate::money::{Currency, Rates};
use crate::site::{Manners, Sites};

/// What the jobs work with. Cheap to clone.
#[derive(Clone)]
pub struct Dependencies {
    pub(crate) store: Store,
    pub(crate) sites: Sites,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) rates: Arc<Rates>,
    pub(crate) currency: Currency,
    pub(crate) fallback: Arc<[Competitor]>,
    fetcher: Fetcher,
    manners: Manners,
}

impl Dependencies {
    /// The store and the way out, the machine's clock, the built-in rates, euros for properties that name no currency, and no
    /// competitors for properties that have none.
    pub fn new(store: Store, fetcher: Fetcher) -> Self {
        let (clock, manners): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Manners::default());
        Self {
            sites: Sites::new(store.clone(), fetcher.clone(), clock.clone(), manners.clone()),
            store,
            clock,
            rates: Arc::new(Rates::built_in()),
            currency: Currency::EUR,
            fallback: Arc::default(),
            fetcher,
            manners,
        }
    }

    /// Reads pages as `settings` say; `fetcher` was made with theirs.
    pub fn with_settings(self, settings: CompetitorSettings) -> Self {
        let CompetitorSettings { pause, rates, currency, fallback, fetch: _ } = settings;
        let manners = pause.map_or_else(Manners::default, |pause| Manners { pause, ..Manners::default() });
        self.with_manners(manners).with_rates(rates).with_currency(currency).with_fallback(fallback)
    }

    /// Changes prices by these rates.
    pub fn with_rates(mut self, rates: Rates) -> Self {
        self.rates = Arc::new(rates);
        self
    }

    /// The currency of properties that name none.
    pub fn with_currency(mut self, currency: Currency) -> Self {
        self.currency = currency;
        self
    }

    /// The competitors of properties that have none declared.
    pub fn with_fallback(mut self, competitors: Vec<Competitor>) -> Self {
        self.fallback = competitors.into();
        self
    }

    /// Treats sites so.
    pub fn with_manners(mut self, manners: Manners) -> Self {
        self.manners = manners;
        self.renewed()
    }

    /// Tells the time by `clock`.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self.renewed()
    }

    fn renewed(mut self) -> Self {
        let manners = self.manners.clone();
        self.sites = Sites::new(self.store.clone(), self.fetcher.clone(), self.clock.clone(), manners);
        self
    }

    /// Now, ms since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now()).unwrap_or(i64::MAX)
    }
}
