//! robots.txt, by RFC 9309: read before any page, kept for hours, and believed.
//!
//! | answer | what is allowed |
//! |---|---|
//! | 2xx | what it says |
//! | 4xx, too many redirects | everything: the site has none |
//! | 429, 5xx, no answer | nothing: it may have one that forbids |
//!
//! One that could not be read is not asked for again for a while either ([`super::Manners::unread`], or what its site asks for): neither for
//! each page of a job nor by the jobs beside it.

use std::sync::Arc;
use std::time::Duration;

use bulrush::clock::Clock;
use bulrush_outbound::TargetUrl;
use bulrush_upstream::fetch::{FetchError, Fetcher, Get};
use moka::future::Cache;
use texting_robots::Robot;

/// What we are called in a robots.txt.
const AGENT: &str = "bulrush";
/// How much of a robots.txt is read, bytes: as much as the RFC asks for at least.
const BODY_MAX: usize = 500 * 1024;
/// Redirects that are followed, as the RFC asks for.
const REDIRECTS_MAX: usize = 5;
/// How long one is believed. The RFC allows a day.
const KEPT: Duration = Duration::from_hours(6);
/// Longest time for which one that could not be read is not asked for, whatever its site says.
const UNREAD_MAX: Duration = Duration::from_hours(1);
/// Sites whose robots.txt is kept.
const SITES_MAX: u64 = 1_000;
/// Longest pause that is kept between two requests; who asks for more does not mean programs like this one.
const DELAY_MAX: Duration = Duration::from_mins(10);

/// What a site allows.
pub(super) struct Rules {
    /// None: everything.
    robot: Option<Robot>,
    /// The pause between two requests that it asks for.
    pub delay: Duration,
}

/// A robots.txt that could not be read, so nothing may be.
#[derive(Debug, Clone)]
pub(super) struct Unread {
    pub reason: String,
    /// It may be there later.
    pub is_transient: bool,
    /// When, if the site says so.
    pub retry_after: Option<Duration>,
    /// How long it is not asked for.
    pub again_in: Duration,
}

/// What sites allow, as far as it was asked. Cheap to clone.
#[derive(Clone)]
pub(super) struct RobotsCache {
    /// By origin.
    rules: Cache<String, Arc<Rules>>,
    /// By origin: what could not be read, and when it may be asked for again, ms since 1970.
    unread: Cache<String, (Arc<Unread>, u64)>,
    clock: Arc<dyn Clock>,
    unread_for: Duration,
}

impl RobotsCache {
    /// Nothing is known yet. What cannot be read is not asked for again for `unread_for`.
    pub fn new(clock: Arc<dyn Clock>, unread_for: Duration) -> Self {
        Self {
            rules: Cache::builder().max_capacity(SITES_MAX).time_to_live(KEPT).build(),
            unread: Cache::builder().max_capacity(SITES_MAX).time_to_live(UNREAD_MAX).build(),
            clock,
            unread_for: unread_for.min(UNREAD_MAX),
        }
    }

    /// What the site of `target` allows; asked once for all who want to know at the same time.
    pub async fn of(&self, fetcher: &Fetcher, target: &TargetUrl) -> Result<Arc<Rules>, Unread> {
        let site = target.origin();
        if let Some((unread, until_ms)) = self.unread.get(&site).await {
            let left = Duration::from_millis(until_ms.saturating_sub(self.clock.now()));
            if !left.is_zero() {
                let retry_after = unread.retry_after.map(|_| left);
                return Err(Unread { again_in: left, retry_after, ..Unread::clone(&unread) });
            }
        }
        let read = self.rules.try_get_with(site.clone(), read(fetcher, target)).await;
        let unread = match read {
            Ok(rules) => return Ok(rules),
            Err(unread) => unread,
        };
        let again_in = unread.retry_after.map_or(self.unread_for, |after| after.min(UNREAD_MAX));
        if !again_in.is_zero() {
            let again_ms = u64::try_from(again_in.as_millis()).unwrap_or(u64::MAX);
            let until_ms = self.clock.now().saturating_add(again_ms);
            self.unread.insert(site, (unread.clone(), until_ms)).await;
        }
        Err(Unread { again_in, ..Unread::clone(&unread) })
    }
}

impl Rules {
    fn parse(text: &[u8]) -> Result<Self, Unread> {
        let robot = Robot::new(AGENT, text).map_err(|_| Unread {
            reason: "its rules cannot be understood".to_owned(),
            is_transient: false,
            retry_after: None,
            again_in: Duration::ZERO,
        })?;
        let delay = robot.delay.map(|seconds| Duration::try_from_secs_f32(seconds).unwrap_or(DELAY_MAX));
        Ok(Self { robot: Some(robot), delay: delay.unwrap_or_default().min(DELAY_MAX) })
    }

    /// Whether a page may be read.
    pub fn allow(&self, target: &TargetUrl) -> bool {
        self.robot.as_ref().is_none_or(|robot| robot.allowed(target.url().as_str()))
    }
}

async fn read(fetcher: &Fetcher, target: &TargetUrl) -> Result<Arc<Rules>, Unread> {
    let everything = || Ok(Arc::new(Rules { robot: None, delay: Duration::ZERO }));
    let unread = |reason: String, is_transient, retry_after| Unread {
        reason,
        is_transient,
        retry_after,
        again_in: Duration::ZERO,
    };
    let url = target
        .join("/robots.txt", fetcher.policy())
        .map_err(|refusal| unread(refusal.to_string(), false, None))?;
    let get = Get { accept: "text/plain, */*;q=0.1", known: None, body_max: BODY_MAX };
    let fetched = match fetcher.get_following(&url, &get, REDIRECTS_MAX).await {
        Ok(fetched) => fetched,
        Err(FetchError::Redirects { .. }) => return everything(),
        Err(error) => return Err(unread(error.to_string(), error.is_transient(), None)),
    };
    match fetched.status {
        200..=299 => {
            let mut text = fetched.body;
            if fetched.cut {
                // Half a rule could allow what the whole one forbids.
                let whole = text.iter().rposition(|b| *b == b'\n').unwrap_or(0);
                text.truncate(whole);
            }
            // A hostile one may take a while.
            let parsed = tokio::task::spawn_blocking(move || Rules::parse(&text)).await;
            let unusable = |_| unread("its rules cannot be understood".to_owned(), false, None);
            parsed.map_err(unusable)?.map(Arc::new)
        }
        429 | 500..=599 => {
            let reason = format!("it was answered with status {}", fetched.status);
            Err(unread(reason, true, fetched.retry_after))
        }
        _ => everything(),
    }
}

#[cfg(test)]
mod tests {
    use bulrush_outbound::OutboundPolicy;

    use super::*;

    fn allows(robots: &str, path: &str) -> bool {
        let url = format!("https://hotel.example{path}");
        let target = TargetUrl::parse(&url, &OutboundPolicy::default()).unwrap();
        Rules::parse(robots.as_bytes()).unwrap().allow(&target)
    }

    #[test]
    fn rules_are_obeyed_ours_before_everybody_s_and_the_longest_first() {
        let robots =
            "User-agent: *\nDisallow: /private/\nAllow: /private/open\n\nUser-agent: other\nDisallow: /\n";
        assert!(allows(robots, "/rooms"));
        assert!(!allows(robots, "/private/rooms?x=y"));
        assert!(allows(robots, "/private/open/rooms"));
        let ours = format!("{robots}\nUser-agent: BULRUSH\nDisallow: /rooms$\nDisallow: /*.php\n");
        assert!(allows(&ours, "/private/x"), "what is for us is instead of what is for all");
        assert!(!allows(&ours, "/rooms") && allows(&ours, "/rooms/2"));
        assert!(!allows(&ours, "/a/b.php?c"));
        assert!(!allows("User-agent: *\nDisallow: /", "/"));
        assert!(allows("User-agent: *\nDisallow:", "/"));
        assert!(allows("", "/") && allows("<html>not found</html>", "/") && allows("\0\u{feff}::\n\n", "/"));
    }

    #[test]
    fn pauses_are_kept_within_reason() {
        let delay = |text: &str| {
            Rules::parse(format!("User-agent: *\nCrawl-delay: {text}").as_bytes()).unwrap().delay
        };
        assert_eq!(delay("2"), Duration::from_secs(2));
        assert_eq!(delay("0.5"), Duration::from_millis(500));
        assert_eq!(delay("86400"), DELAY_MAX);
        assert_eq!(delay("inf"), DELAY_MAX);
        assert_eq!(delay("1e30"), DELAY_MAX);
        for odd in ["-1", "soon", "", "nan"] {
            assert!(delay(odd) <= DELAY_MAX, "{odd}");
        }
    }

    #[test]
    fn a_hostile_file_is_read_or_refused() {
        let stars = format!("User-agent: *\nDisallow: /{}$\n", "*a".repeat(20_000));
        let _ = Rules::parse(stars.as_bytes());
        let many = format!("User-agent: *\n{}", "Disallow: /*x\n".repeat(30_000));
        let url = format!("https://hotel.example/{}", "y".repeat(1_900));
        let target = TargetUrl::parse(&url, &OutboundPolicy::default()).unwrap();
        assert!(Rules::parse(many.as_bytes()).unwrap().allow(&target));
    }
}
