//! Reading a page of somebody else's site, with manners.

use std::sync::Arc;
use std::time::Duration;

use bulrush::clock::Clock;
use bulrush_catalog::competitor::PageRules;
use bulrush_outbound::{Refusal, TargetUrl};
use bulrush_store::{CompetitorPage, Store, StoreError, Turn, derived_id};
use bulrush_upstream::fetch::{FetchError, Fetched, Fetcher, Get, Validators};
use tokio::sync::OwnedSemaphorePermit;

use super::gates::Gates;
use super::robots::{RobotsCache, Unread};
use crate::page::{Changed, Document, DocumentError, Found, read};

/// Redirects that are followed from a page. Each hop is checked, asked for in its site's robots.txt, and waits for its turn.
const REDIRECTS_MAX: usize = 3;

/// How sites are treated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manners {
    /// Pause between two requests to a site, if its robots.txt does not ask for a longer one. Default 2 s.
    pub pause: Duration,
    /// How long a job waits for its turn at a site before it gives its slot to others and comes back. Default 5 s.
    pub patience: Duration,
    /// How long what was read from a page is used again without asking. Default 10 min.
    pub fresh: Duration,
    /// How long a robots.txt that could not be read is not asked for again, an hour at most. Default 30 s; jobs that were told
    /// so come again after it.
    pub unread: Duration,
    /// Longest page, bytes. Default 2 MiB.
    pub body_max: usize,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(2),
            patience: Duration::from_secs(5),
            fresh: Duration::from_mins(10),
            unread: Duration::from_secs(30),
            body_max: 2 * 1024 * 1024,
        }
    }
}

/// What a page says.
#[derive(Debug)]
pub(crate) struct Seen {
    pub found: Found,
    /// How it is known, for the log.
    pub how: How,
}

/// How it is known what a page says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// It was read.
    Read,
    /// It was asked for and had not changed.
    Unchanged,
    /// It was asked for a moment ago.
    Fresh,
}

/// Why nothing is known of a page. `page` is its address without the query.
#[derive(Debug, thiserror::Error)]
pub(crate) enum VisitError {
    #[error(transparent)]
    Blocked(#[from] Refusal),
    #[error("the robots.txt of {origin} does not allow {page} to be read")]
    Disallowed { origin: String, page: String },
    #[error("the robots.txt of {origin} could not be read, so nothing there may be: {reason}")]
    RobotsUnread { origin: String, reason: String, is_transient: bool, again_in: Duration },
    /// Another page of it, or its robots.txt, was found down by the same job a moment ago.
    #[error("{site} is down, so this page was not asked for")]
    SiteDown { site: String },
    /// Not now: somebody else's turn, or the site asks for patience.
    #[error("{site} is to be left alone for {} s", after.as_secs_f64().ceil())]
    Wait { site: String, after: Duration },
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("{page} redirects more than {REDIRECTS_MAX} times; give the address where it leads")]
    Redirects { page: String },
    #[error("{page} failed with status {status}; try again later")]
    Down { site: String, page: String, status: u16 },
    #[error("{page} was answered with status {status}; correct the address of the page, or ask its owner")]
    Refused { page: String, status: u16 },
    #[error("{page} is no page of HTML but {kind:?}")]
    NotHtml { page: String, kind: String },
    #[error("{page} is longer than {max} bytes")]
    TooLong { page: String, max: usize },
    #[error("{page} cannot be taken apart: {source}")]
    Monstrous { page: String, source: DocumentError },
    #[error("{page} has changed its shape: {changed}; look at the page, then correct what is declared of it")]
    Changed { page: String, changed: Changed },
    #[error("the store could not do its part: {0}")]
    Store(#[from] StoreError),
    #[error("the page could not be read: the work on it broke off")]
    BrokeOff,
}

impl VisitError {
    /// The same visit may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Fetch(error) => error.is_transient(),
            Self::RobotsUnread { is_transient, .. } => *is_transient,
            Self::Wait { .. } | Self::Down { .. } | Self::SiteDown { .. } | Self::Store(_) => true,
            _ => false,
        }
    }

    /// The site that was found down, if that is what it is. It need not be the site of the page: that one may have led elsewhere.
    pub fn down_site(&self) -> Option<&str> {
        match self {
            Self::Down { site, .. } | Self::SiteDown { site } => Some(site),
            Self::RobotsUnread { origin, is_transient: true, .. }
            | Self::Fetch(FetchError::Unreachable { origin, .. } | FetchError::TimedOut { origin, .. }) => {
                Some(origin)
            }
            _ => None,
        }
    }

    /// How long asking again is in vain.
    pub fn again_in(&self) -> Duration {
        match self {
            Self::RobotsUnread { again_in, .. } => *again_in,
            _ => Duration::ZERO,
        }
    }
}

/// A page as it was last read, and what that means.
type Known = (CompetitorPage, Found);

/// What came of asking for a page.
enum Answer {
    /// It need not be asked for.
    Fresh(Found),
    /// What was known of it, what its site answered, and the gate that is closed to others meanwhile.
    Fetched(Option<Known>, Box<Fetched>, OwnedSemaphorePermit),
}

/// The way to all sites, shared by the jobs of a process.
#[derive(Clone)]
pub(crate) struct Sites {
    store: Store,
    fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    manners: Manners,
    robots: RobotsCache,
    gates: Arc<Gates>,
}

impl Sites {
    pub fn new(store: Store, fetcher: Fetcher, clock: Arc<dyn Clock>, manners: Manners) -> Self {
        let robots = RobotsCache::new(clock.clone(), manners.unread);
        Self { store, fetcher, clock, manners, robots, gates: Arc::default() }
    }

    /// The site of a page, as errors name it.
    pub fn site_of(&self, address: &str) -> Result<String, VisitError> {
        Ok(self.fetcher.target(address)?.origin())
    }

    /// What is known of the page at `address` without asking its site, which is down: what was read a moment ago.
    pub async fn recall(&self, address: &str, rules: &Arc<PageRules>) -> Result<Seen, VisitError> {
        let target = self.fetcher.target(address)?;
        match self.known(&key_of(&target, rules)).await? {
            Some((page, found)) if self.is_fresh(&page) => Ok(Seen { found, how: How::Fresh }),
            _ => Err(VisitError::SiteDown { site: target.origin() }),
        }
    }

    /// What the page at `address` says, read by `rules`.
    pub async fn visit(&self, address: &str, rules: &Arc<PageRules>) -> Result<Seen, VisitError> {
        let mut target = self.fetcher.target(address)?;
        let key = key_of(&target, rules);
        if let Some((page, found)) = self.known(&key).await?
            && self.is_fresh(&page)
        {
            return Ok(Seen { found, how: How::Fresh });
        }
        for _ in 0..=REDIRECTS_MAX {
            let (known, fetched, within) = match self.fetch(&target, &key).await? {
                Answer::Fresh(found) => return Ok(Seen { found, how: How::Fresh }),
                Answer::Fetched(known, fetched, within) => (known, fetched, within),
            };
            if let Some(location) = &fetched.location {
                // The next hop may be at the same site, whose gate is to be open then.
                drop(within);
                target = location.clone()?;
                continue;
            }
            let seen = self.judge(&key, rules, known, *fetched).await;
            // Only now does whoever wants the same page find it read.
            drop(within);
            return seen;
        }
        Err(VisitError::Redirects { page: page_of(&target) })
    }

    /// What is known of a page and can still be understood.
    async fn known(&self, key: &str) -> Result<Option<Known>, VisitError> {
        let page = self.store.competitor_pages().get(key).await?;
        Ok(page.and_then(|page| {
            let found = serde_json::from_value(page.document.clone()).ok()?;
            Some((page, found))
        }))
    }

    fn is_fresh(&self, page: &CompetitorPage) -> bool {
        self.now_ms().saturating_sub(page.fetched_at_ms) < millis(self.manners.fresh)
    }

    /// One request, when it may be made; none, if somebody else has read the page under `key` meanwhile.
    async fn fetch(&self, target: &TargetUrl, key: &str) -> Result<Answer, VisitError> {
        let site = target.origin();
        let wait = |after| VisitError::Wait { site: site.clone(), after };
        let rules = match self.robots.of(&self.fetcher, target).await {
            Ok(rules) => rules,
            Err(unread) => {
                if let Some(after) = unread.retry_after {
                    self.hold(&site, after).await?;
                    return Err(wait(after));
                }
                let Unread { reason, is_transient, again_in, .. } = unread;
                return Err(VisitError::RobotsUnread { origin: site, reason, is_transient, again_in });
            }
        };
        if !rules.allow(target) {
            return Err(VisitError::Disallowed { page: page_of(target), origin: site });
        }

        let pause = self.manners.pause.max(rules.delay);
        // Within this process one after the other; between processes by turns, which are a pause apart.
        let Some(within) = self.gates.enter(&site, self.manners.patience).await else {
            return Err(wait(pause.max(Duration::from_secs(1))));
        };
        let now_ms = self.now_ms();
        let turn =
            self.store.site_turns().take(&site, now_ms, millis(pause), millis(self.manners.patience)).await?;
        match turn {
            Turn::At(at_ms) => tokio::time::sleep(until(now_ms, at_ms)).await,
            Turn::NotBefore(at_ms) => return Err(wait(until(now_ms, at_ms))),
        }
        // Whoever had the turn before may have read the same page.
        let known = self.known(key).await?;
        if let Some((page, found)) = &known
            && self.is_fresh(page)
        {
            return Ok(Answer::Fresh(found.clone()));
        }
        let validators = known.as_ref().map(|(page, _)| Validators {
            etag: page.etag.clone(),
            last_modified: page.last_modified.clone(),
        });
        let get = Get {
            accept: "text/html, application/xhtml+xml",
            known: validators.as_ref(),
            body_max: self.manners.body_max,
        };
        let fetched = self.fetcher.get(target, &get).await;
        // The pause begins when the answer is there, however long it took.
        let asked_for = fetched.as_ref().ok().and_then(|fetched| fetched.retry_after);
        self.hold(&site, asked_for.unwrap_or(pause)).await?;
        match asked_for {
            Some(after) => Err(wait(after)),
            None => Ok(Answer::Fetched(known, Box::new(fetched?), within)),
        }
    }

    /// What an answer means.
    async fn judge(
        &self,
        key: &str,
        rules: &Arc<PageRules>,
        known: Option<Known>,
        fetched: Fetched,
    ) -> Result<Seen, VisitError> {
        let page = page_of(&fetched.url);
        let fetched_at_ms = self.now_ms();
        match fetched.status {
            200..=299 => {}
            304 => {
                let Some((kept, found)) = known else {
                    return Err(VisitError::Refused { page, status: 304 });
                };
                self.keep(key, &CompetitorPage { fetched_at_ms, ..kept }).await?;
                return Ok(Seen { found, how: How::Unchanged });
            }
            status @ (408 | 425 | 429 | 500..=599) => {
                return Err(VisitError::Down { site: fetched.url.origin(), page, status });
            }
            status => return Err(VisitError::Refused { page, status }),
        }
        let kind = fetched.content_type.as_deref().unwrap_or("text/html");
        if !matches!(kind, "text/html" | "application/xhtml+xml") {
            return Err(VisitError::NotHtml { page, kind: kind.chars().take(64).collect() });
        }
        if fetched.cut {
            return Err(VisitError::TooLong { page, max: self.manners.body_max });
        }
        let (body, charset, by) = (fetched.body, fetched.charset, rules.clone());
        // A large page keeps a thread busy for a moment, and its tree cannot leave that thread.
        let parsed = tokio::task::spawn_blocking(move || {
            Document::parse(&body, charset.as_deref()).map(|document| read(&document, &by))
        });
        let found = match parsed.await.map_err(|_| VisitError::BrokeOff)? {
            Ok(Ok(found)) => found,
            Ok(Err(changed)) => return Err(VisitError::Changed { page, changed }),
            Err(source) => return Err(VisitError::Monstrous { page, source }),
        };
        // A value of ours, which JSON can say.
        let document = serde_json::to_value(&found).unwrap_or_default();
        let Validators { etag, last_modified } = fetched.validators;
        self.keep(key, &CompetitorPage { etag, last_modified, document, fetched_at_ms }).await?;
        Ok(Seen { found, how: How::Read })
    }

    async fn keep(&self, key: &str, page: &CompetitorPage) -> Result<(), StoreError> {
        self.store.write(async |tx| self.store.competitor_pages().put(tx, key, page).await).await
    }

    async fn hold(&self, site: &str, after: Duration) -> Result<(), StoreError> {
        let now_ms = self.now_ms();
        self.store.site_turns().hold(site, now_ms, now_ms.saturating_add(millis(after))).await
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now()).unwrap_or(i64::MAX)
    }
}

/// Under which a page is kept: it is another one for other rules.
fn key_of(target: &TargetUrl, rules: &PageRules) -> String {
    derived_id(&["competitor-page", target.url().as_str(), rules.fingerprint()])
}

/// An address for texts: a query may hold what its owner wants to keep.
fn page_of(target: &TargetUrl) -> String {
    format!("{}{}", target.origin(), target.url().path())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn until(now_ms: i64, at_ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0))
}
