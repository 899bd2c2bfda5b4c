//! `competitor/scrape-prices`: what a property's competitors ask for a stay.
//!
//! Every competitor's page is visited, several sites at once, and what was found is written together with the result in one
//! transaction behind the job's fence. What comes of a visit that failed:
//! - A site that asks for patience, or where it is somebody else's turn: the job gives its slot back and comes again when the
//!   wait is over (a snooze: no attempt is used, and jobs about other sites go on). What was read meanwhile is kept and not asked
//!   for again. For a long wait it comes again only if it has nothing else.
//! - A page that is down: the job is tried again, with its back-off, as long as it has attempts. Its site is not asked for its other pages
//!   in this run: they would make the job wait for the same nothing, one after the other. The next run begins with another of them, so
//!   that one page that always fails does not hide the rest.
//! - Anything else (a page that changed its shape, a robots.txt that forbids, an address that may not be called) stays as it is.
//!
//! So one bad competitor among several does not spoil the rest: when no attempt is left the result has what could be read, and
//! for each other one the reason. Only if none could be read the job fails: for good, if no retry can help.

mod error;
mod property;
mod summary;

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bulrush::{Context, JobResult};
use bulrush_catalog::competitor::{COMPETITORS_MAX, PriceFor};
use bulrush_catalog::jobs::{CompetitorOutcome, CompetitorStatus, ScrapePrices, ScrapePricesResult};
use bulrush_store::{CompetitorPrice, ShownPrice, Stay, StoreError};
use bulrush_upstream::fetch::FetchError;
use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::Dependencies;
use crate::competitor::{self, Competitor};
use crate::money::{self, Currency};
use crate::page::Found;
use crate::site::{How, Seen, VisitError};
pub(crate) use error::ScrapeError;
use property::Property;

/// How the result documents of these jobs are marked in the store.
pub const RESULT_KIND: &str = "competitor/scrape-prices";

/// Sites that a job visits at once.
const AT_ONCE: usize = 4;
/// Runs of a job, waits included, after which a site that still asks for patience counts as one that cannot be reached: one for
/// each page of a site whose pause is longer than a job waits, and some.
const RUNS_MAX: u32 = COMPETITORS_MAX as u32 + 20;
/// Longest wait before a job comes again.
const WAIT_MAX: Duration = Duration::from_hours(1);
/// Longest wait for the rest where something was read.
const WAIT_FOR_REST_MAX: Duration = Duration::from_mins(15);

/// Reads the competitors of a property.
pub(crate) async fn run(
    deps: Dependencies,
    payload: ScrapePrices,
    ctx: Context,
) -> JobResult<ScrapePricesResult> {
    let outcome = scrape(&deps, &payload, &ctx).await;
    outcome.map_err(|error| {
        match &error {
            ScrapeError::Stopped => {}
            ScrapeError::Wait { .. } => ctx.log(error.to_string()),
            error => {
                let cause = root_cause(error);
                tracing::warn!(job = %ctx.id(), attempt = ctx.attempt(), %error, cause, "no prices were read");
                ctx.log(format!("no prices: {error}"));
            }
        }
        error.into_failure()
    })
}

/// A competitor and what was seen of it.
struct Visited {
    competitor: Competitor,
    address: String,
    seen: Result<Seen, Missed>,
}

/// Why nothing was seen.
enum Missed {
    /// What is declared of it cannot be used.
    Misdeclared(String),
    Visit(VisitError),
}

async fn scrape(
    deps: &Dependencies,
    payload: &ScrapePrices,
    ctx: &Context,
) -> Result<ScrapePricesResult, ScrapeError> {
    // Dropped at its next await when somebody asks for it: until the write nothing is lost but time.
    let (property, visited, mut notes) = tokio::select! {
        biased;
        _ = ctx.stopped() => return Err(ScrapeError::Stopped),
        gathered = gather(deps, payload, ctx) => gathered?,
    };
    ctx.check().map_err(|_| ScrapeError::Stopped)?;
    decide(ctx, &visited)?;

    let seen_at_ms = deps.now_ms();
    let read: Vec<Read> =
        visited.into_iter().map(|visited| Read::of(deps, &property, payload, seen_at_ms, visited)).collect();
    if read.iter().all(|read| read.price.is_none()) {
        let reasons = read.iter().filter_map(|read| read.outcome.reason.clone());
        return Err(ScrapeError::nothing_read(reasons, None));
    }
    let result = summary::of(&property, payload, &read, std::mem::take(&mut notes), deps.rates.day());
    ctx.progress(90, format!("writing {}", competitors(read.len())));
    let prices: Vec<CompetitorPrice> = read.into_iter().filter_map(|read| read.price).collect();
    write(deps, ctx, &property, &prices, &result).await?;

    for note in &result.notes {
        ctx.log(note);
    }
    ctx.progress(100, format!("{} of {} have a price", result.priced, competitors(result.competitors.len())));
    tracing::info!(
        job = %ctx.id(), competitors = result.competitors.len(), priced = result.priced, rank = ?result.our_rank,
        "prices of competitors read"
    );
    Ok(result)
}

/// Everything but the write.
async fn gather(
    deps: &Dependencies,
    payload: &ScrapePrices,
    ctx: &Context,
) -> Result<(Property, Vec<Visited>, Vec<String>), ScrapeError> {
    ctx.progress(2, "reading what is declared of the property");
    let property = Property::read(deps, ctx, payload).await?;
    let (mut found, has_more) =
        competitor::of_property(&deps.store, &property.owner.clone().into(), &property.id).await?;
    let mut notes = property.notes.clone();
    if has_more {
        let most = COMPETITORS_MAX;
        notes.push(format!("The property has more than {most} competitors; the first {most} were read."));
    }
    if found.is_empty() {
        found = deps.fallback.to_vec();
    }
    if found.is_empty() {
        return Err(ScrapeError::NoCompetitors { id: property.id });
    }
    let all = found.len();
    ctx.progress(10, format!("visiting {}", competitors(all)));
    // One page after the other within a site, which would not answer two at once anyway; several sites at once.
    let mut sites: BTreeMap<String, Vec<(usize, Competitor, String)>> = BTreeMap::new();
    for (n, competitor) in found.into_iter().enumerate() {
        let stay = (payload.check_in, payload.check_out);
        let address =
            competitor.page.as_ref().map(|rules| rules.address(stay, payload.adults, &payload.location));
        let address = address.unwrap_or_default();
        // What may not be called is told so by its visit.
        let site = deps.sites.site_of(&address).unwrap_or_default();
        sites.entry(site).or_default().push((n, competitor, address));
    }
    let runs_before = usize::try_from(ctx.token().run.saturating_sub(1)).unwrap_or(0);
    for pages in sites.values_mut() {
        let first = runs_before % pages.len();
        pages.rotate_left(first);
    }
    let done = AtomicUsize::new(0);
    let visits = sites.into_iter().map(|(site, pages)| {
        let done = &done;
        async move {
            let (mut visited, mut is_down) = (Vec::new(), false);
            for (n, competitor, address) in pages {
                let one = visit(deps, ctx, competitor, address, is_down).await;
                is_down |= matches!(&one.seen, Err(Missed::Visit(error)) if error.down_site() == Some(site.as_str()));
                visited.push((n, one));
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                let percent = u8::try_from(10 + 75 * done / all).unwrap_or(85);
                ctx.progress(percent, format!("{done} of {} visited", competitors(all)));
            }
            visited
        }
    });
    let visited: Vec<Vec<_>> = stream::iter(visits).buffer_unordered(AT_ONCE).collect().await;
    let mut visited: Vec<(usize, Visited)> = visited.into_iter().flatten().collect();
    visited.sort_by_key(|(n, _)| *n);
    Ok((property, visited.into_iter().map(|(_, visited)| visited).collect(), notes))
}

async fn visit(
    deps: &Dependencies,
    ctx: &Context,
    competitor: Competitor,
    address: String,
    site_is_down: bool,
) -> Visited {
    let seen = match &competitor.page {
        Ok(rules) if site_is_down => deps.sites.recall(&address, rules).await.map_err(Missed::Visit),
        Ok(rules) => deps.sites.visit(&address, rules).await.map_err(Missed::Visit),
        Err(error) => Err(Missed::Misdeclared(error.to_string())),
    };
    match &seen {
        Ok(seen) => ctx.log(format!("{}: {}", competitor.name, words(seen))),
        Err(Missed::Misdeclared(reason)) => ctx.log(format!("{}: {reason}", competitor.name)),
        Err(Missed::Visit(error)) => ctx.log(format!("{}: {error}", competitor.name)),
    }
    Visited { competitor, address, seen }
}

fn words(seen: &Seen) -> String {
    let how = match seen.how {
        How::Read => "read",
        How::Unchanged => "unchanged since it was last read",
        How::Fresh => "read a moment ago",
    };
    match &seen.found {
        Found::Price { micros, currency: Some(currency), .. } => {
            format!("{}, {how}", money::shown(*micros, *currency))
        }
        Found::Price { micros, currency: None, .. } => format!("{:.2}, {how}", money::units(*micros)),
        Found::SoldOut => format!("nothing free, {how}"),
    }
}

/// Goes on with what there is, or comes again for the rest.
fn decide(ctx: &Context, visited: &[Visited]) -> Result<(), ScrapeError> {
    let missed = || {
        visited.iter().filter_map(|visited| match &visited.seen {
            Err(Missed::Visit(error)) => Some(error),
            _ => None,
        })
    };
    if let Some(VisitError::Store(_)) = missed().find(|error| matches!(error, VisitError::Store(_))) {
        // Moved out below would need the whole list; the text says what there is to know.
        return Err(ScrapeError::StoreAway);
    }
    let has_any = visited.iter().any(|visited| visited.seen.is_ok());
    let waits = missed().filter_map(|error| match error {
        VisitError::Wait { after, .. } => Some(*after),
        _ => None,
    });
    if let Some(after) = waits.max()
        && ctx.token().run < RUNS_MAX
        && !(has_any && after > WAIT_FOR_REST_MAX)
    {
        // What was found down in this run is looked at again then, too.
        return Err(ScrapeError::Wait { after: after.clamp(Duration::from_secs(1), WAIT_MAX) });
    }
    let reasons = || visited.iter().filter_map(reason_of);
    let is_down = |error: &VisitError| error.is_transient() && !matches!(error, VisitError::Wait { .. });
    let is_last = ctx.attempt() >= ctx.spec().attempts;
    let is_transient = match (has_any, missed().any(is_down)) {
        (true, false) => return Ok(()),
        (true, true) if is_last => return Ok(()),
        (true, true) => true,
        (false, _) => missed().any(VisitError::is_transient),
    };
    let again_in = missed().map(VisitError::again_in).max().unwrap_or_default();
    Err(ScrapeError::nothing_read(reasons(), is_transient.then(|| later_than_backoff(ctx, again_in))))
}

/// When to come again, if the job's own back-off is over too soon for it.
fn later_than_backoff(ctx: &Context, again_in: Duration) -> Option<Duration> {
    let pause_ms = ctx.spec().backoff.as_ref().map_or(0, |backoff| backoff.delay_ms(ctx.attempt(), 0));
    (again_in > Duration::from_millis(pause_ms)).then_some(again_in)
}

fn reason_of(visited: &Visited) -> Option<String> {
    let reason = match &visited.seen {
        Ok(_) => return None,
        Err(Missed::Misdeclared(reason)) => reason.clone(),
        Err(Missed::Visit(error)) => error.to_string(),
    };
    Some(format!("{}: {reason}", visited.competitor.name))
}

/// A competitor as the result and the history have it.
pub(crate) struct Read {
    pub outcome: CompetitorOutcome,
    /// None, if nothing is known.
    pub price: Option<CompetitorPrice>,
}

impl Read {
    fn of(
        deps: &Dependencies,
        property: &Property,
        payload: &ScrapePrices,
        seen_at_ms: i64,
        visited: Visited,
    ) -> Self {
        let Visited { competitor, address, seen } = visited;
        let mut outcome = CompetitorOutcome {
            id: competitor.id.clone(),
            name: competitor.name.clone(),
            status: CompetitorStatus::Priced,
            price: None,
            shown: None,
            room: None,
            reason: None,
        };
        let without = |mut outcome: CompetitorOutcome, status, reason: String| {
            outcome.status = status;
            outcome.reason = Some(reason);
            Self { outcome, price: None }
        };
        let seen = match seen {
            Ok(seen) => seen,
            Err(Missed::Misdeclared(reason)) => {
                return without(outcome, CompetitorStatus::Misdeclared, reason);
            }
            Err(Missed::Visit(error)) => return without(outcome, status_of(&error), error.to_string()),
        };
        let (price, room) = match seen.found {
            Found::SoldOut => {
                outcome.status = CompetitorStatus::SoldOut;
                (None, None)
            }
            Found::Price { micros, currency, room } => {
                let price_for = competitor.page.as_ref().map(|rules| rules.price_for).unwrap_or_default();
                let nights =
                    i64::from(payload.check_in.until(payload.check_out).map_or(1, |span| span.get_days()));
                match in_ours(deps, property, (micros, currency), price_for, nights) {
                    Ok((shown, currency)) => {
                        outcome.price = Some(rounded(shown.price_micros));
                        outcome.shown = Some(money::shown(micros, currency));
                        (Some(shown), room)
                    }
                    Err(reason) => return without(outcome, CompetitorStatus::Misdeclared, reason),
                }
            }
        };
        outcome.room.clone_from(&room);
        let price = CompetitorPrice {
            competitor: competitor.id,
            name: competitor.name,
            url: address,
            stay: Stay { check_in: payload.check_in, check_out: payload.check_out, adults: payload.adults },
            seen_on: day_of(seen_at_ms),
            seen_at_ms,
            currency: property.currency.as_str().to_owned(),
            price,
            room,
        };
        Self { outcome, price: Some(price) }
    }
}

/// A price of a page per night and in the property's currency.
fn in_ours(
    deps: &Dependencies,
    property: &Property,
    (micros, currency): (i64, Option<Currency>),
    price_for: PriceFor,
    nights: i64,
) -> Result<(ShownPrice, Currency), String> {
    let currency = currency.ok_or("the page names no currency; declare page.currency")?;
    let night = match price_for {
        PriceFor::Night => micros,
        PriceFor::Stay => (micros / nights.max(1)).max(1),
    };
    let plain = |price_micros, rate, rates_day| ShownPrice {
        price_micros,
        shown_micros: micros,
        currency: currency.as_str().to_owned(),
        rate,
        rates_day,
    };
    if currency == property.currency {
        return Ok((plain(night, None, None), currency));
    }
    let (changed, rate) = deps.rates.change(night, currency, property.currency).ok_or_else(|| {
        let ours = property.currency;
        format!("the rates of {} cannot change {currency} into {ours}; give newer rates", deps.rates.day())
    })?;
    Ok((plain(changed, Some(rate), Some(deps.rates.day())), currency))
}

fn status_of(error: &VisitError) -> CompetitorStatus {
    match error {
        VisitError::Blocked(_)
        | VisitError::Disallowed { .. }
        | VisitError::Fetch(FetchError::Refused(_)) => CompetitorStatus::Blocked,
        VisitError::Changed { .. }
        | VisitError::NotHtml { .. }
        | VisitError::TooLong { .. }
        | VisitError::Monstrous { .. } => CompetitorStatus::Changed,
        VisitError::Refused { .. } | VisitError::Redirects { .. } => CompetitorStatus::Refused,
        VisitError::RobotsUnread { .. }
        | VisitError::SiteDown { .. }
        | VisitError::Wait { .. }
        | VisitError::Fetch(_)
        | VisitError::Down { .. }
        | VisitError::Store(_)
        | VisitError::BrokeOff => CompetitorStatus::Unreachable,
    }
}

/// Writes the prices and the result, all of it or nothing, unless another run of the job has written since.
async fn write(
    deps: &Dependencies,
    ctx: &Context,
    property: &Property,
    prices: &[CompetitorPrice],
    result: &ScrapePricesResult,
) -> Result<(), ScrapeError> {
    let document = serde_json::to_value(result)?;
    let (store, token) = (&deps.store, ctx.token());
    let mut tx = store.begin_fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce()).await?;
    store.competitor_prices().put(&mut tx, &property.id, prices).await.map_err(|error| match error {
        StoreError::MissingReference(_) => ScrapeError::DeletedMeanwhile { id: property.id.clone() },
        error => error.into(),
    })?;
    store.results().put(&mut tx, &property.owner, RESULT_KIND, &document).await?;
    tx.commit().await?;
    Ok(())
}

/// Units with two digits after the point.
fn rounded(micros: i64) -> f64 {
    (money::units(micros) * 100.0).round() / 100.0
}

fn day_of(ms: i64) -> jiff::civil::Date {
    let instant = Timestamp::from_millisecond(ms).unwrap_or_default();
    TimeZone::UTC.to_datetime(instant).date()
}

/// So many competitors, in words.
fn competitors(count: usize) -> String {
    format!("{count} competitor{}", if count == 1 { "" } else { "s" })
}

/// The innermost cause of an error, for the log of the operators.
fn root_cause(error: &ScrapeError) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    cause.map(ToString::to_string).unwrap_or_default()
}
