//! How competitors' pages are read, as options and variables say it: shared by the binary and whatever else runs its jobs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bulrush_catalog::competitor::Currency;
use bulrush_service::Problems;
use bulrush_upstream::fetch::FetchOptions;
use clap::Args;

use crate::competitor::Competitor;
use crate::money::Rates;

/// Longest pause between two requests to a site, ms.
const PAUSE_MS_MAX: u64 = 600_000;

/// Options about competitors' pages.
#[derive(Debug, Clone, Args)]
pub struct CompetitorArgs {
    /// What the reader of competitors' pages calls itself to the sites; it should say whom to turn to.
    #[arg(long, env = "BULRUSH_USER_AGENT", value_name = "TEXT")]
    pub user_agent: Option<String>,
    /// Pause between two requests to a competitor's site, ms, where its robots.txt does not ask for a longer one; 2000 if not given.
    #[arg(long, env = "BULRUSH_SITE_PAUSE_MS", value_name = "MS")]
    pub site_pause_ms: Option<u64>,
    /// File of exchange rates: {"base": "EUR", "date": "2026-11-27", "rates": {"USD": 1.04}}. Built in are those of 2024-12-31.
    #[arg(long, env = "BULRUSH_RATES_FILE", value_name = "FILE")]
    pub rates_file: Option<PathBuf>,
    /// Currency of properties that name none.
    #[arg(long, env = "BULRUSH_CURRENCY", value_name = "CODE", default_value = "EUR")]
    pub currency: String,
    /// File of competitors for properties that have none declared: [{"id": "a", "name": "A", "page": {"url": "https://…"}}].
    #[arg(long, env = "BULRUSH_COMPETITORS_FILE", value_name = "FILE")]
    pub competitors_file: Option<PathBuf>,
}

/// What they come to.
#[derive(Clone)]
pub struct CompetitorSettings {
    /// How pages are fetched.
    pub fetch: FetchOptions,
    /// Pause between two requests to a site, if one is asked for.
    pub pause: Option<Duration>,
    /// Exchange rates.
    pub rates: Rates,
    /// Currency of properties that name none.
    pub currency: Currency,
    /// Competitors of properties that have none declared.
    pub fallback: Vec<Competitor>,
}

impl Default for CompetitorSettings {
    fn default() -> Self {
        Self {
            fetch: FetchOptions::default(),
            pause: None,
            rates: Rates::built_in(),
            currency: Currency::EUR,
            fallback: Vec::new(),
        }
    }
}

impl CompetitorArgs {
    /// Checks them and reads the files; nothing, if a problem was noted.
    pub fn settings(&self, problems: &mut Problems) -> Option<CompetitorSettings> {
        let mut is_good = true;
        if let Some(seen) = self.site_pause_ms.filter(|ms| *ms > PAUSE_MS_MAX) {
            problems.push("BULRUSH_SITE_PAUSE_MS", format!("is {seen}; at most {PAUSE_MS_MAX}"));
            is_good = false;
        }
        let mut fetch = FetchOptions::default();
        if let Some(text) = &self.user_agent {
            if (1..=200).contains(&text.len()) && text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
                fetch.user_agent.clone_from(text);
            } else {
                problems.push("BULRUSH_USER_AGENT", "must be 1 to 200 visible ASCII characters");
                is_good = false;
            }
        }
        let rates = match &self.rates_file {
            None => Some(Rates::built_in()),
            Some(path) => file("BULRUSH_RATES_FILE", path, problems)
                .and_then(|text| problems.keep("BULRUSH_RATES_FILE", Rates::from_json(&text))),
        };
        let currency = problems.keep("BULRUSH_CURRENCY", self.currency.parse::<Currency>());
        let fallback = match &self.competitors_file {
            None => Some(Vec::new()),
            Some(path) => file("BULRUSH_COMPETITORS_FILE", path, problems).and_then(|text| {
                problems.keep("BULRUSH_COMPETITORS_FILE", Competitor::list_from_json(&text))
            }),
        };
        let pause = self.site_pause_ms.map(Duration::from_millis);
        let (rates, currency, fallback) = (rates?, currency?, fallback?);
        is_good.then_some(CompetitorSettings { fetch, pause, rates, currency, fallback })
    }
}

/// The text of a file, or a problem noted.
fn file(name: &str, path: &Path, problems: &mut Problems) -> Option<String> {
    let text = std::fs::read_to_string(path);
    problems.keep(name, text.map_err(|error| format!("{} cannot be read: {error}", path.display())))
}
