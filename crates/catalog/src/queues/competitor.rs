//! The queue that reads other people's pages.

use super::DEFAULT;
use crate::entry::{Access, Binary, Growth, Limits, QueueEntry, SeedVariables};
use crate::jobs::scrape_prices;

pub(super) static COMPETITOR: QueueEntry = QueueEntry {
    name: "competitor",
    prefix: "com",
    aliases: &[],
    binary: Binary::Competitor,
    purpose: "Reads competitors' prices from their pages, politely, site by site.",
    jobs: &[scrape_prices::KIND],
    limits: Limits { concurrency: 2, backoff: Growth::OUTSIDE, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &["COMPETITOR_WORKER_CONCURRENCY"], timeout: &[] },
};
