//! GET `/jobs`: the caller's jobs over all queues, newest first.
//!
//! A page is merged from one page of each queue and state that is asked about. The cursor holds where each of them stopped, and is
//! signed for the caller and the question: one that was changed, or issued to somebody else, is refused.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{JobFilter, JobState, JobView, PageRequest};
use bulrush_catalog::{PayloadProblems, Queue};
use bulrush_service::Role;
use jiff::Timestamp;
use ring::hmac;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::jobs::view::{Summary, summary};
use crate::state::{Deps, State};

const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;
/// How far `total` counts; beyond, it is a lower bound and says so.
const TOTAL_MAX: usize = 1_000;
/// Jobs looked at for `total`: a viewer's tenant may have few among many.
const LOOK_MAX: usize = 10_000;
/// Longest cursor that is looked at, bytes: one of all queues and states has about 2 KiB.
const CURSOR_MAX: usize = 6 << 10;

/// Longest text of a filter, bytes.
const TEXT_MAX: usize = 200;

pub fn routes() -> [Route; 1] {
    [page_params(
        Route::new(Method::GET, "/jobs", Who::Reader, ("jobs", "listJobs"), || web::get().to(list))
            .says("The caller's jobs over all queues, newest first.")
            .param("status", json!({"type": "string"}), "Jobs in this state.")
            .answers::<JobList<'_>>(200, "A page of jobs."),
    )]
}

/// The parameters of lists of jobs.
pub fn page_params(route: Route) -> Route {
    filter_params(route)
        .param(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
            "Most jobs of a page.",
        )
        .param("cursor", json!({"type": "string"}), "Where the last page ended (next).")
        .fails(400, "invalid_cursor")
}

/// The parameters that say which jobs.
pub fn filter_params(route: Route) -> Route {
    let text = || json!({"type": "string", "minLength": 1, "maxLength": TEXT_MAX});
    route
        .param("queue", text(), "Jobs of this queue; an alias will do.")
        .param("name", text(), "Jobs of this name.")
        .param("tag", text(), "Jobs with this tag.")
        .param("q", text(), "Jobs whose id or data contains this text.")
        .param(
            "since",
            json!({"type": "string"}),
            "Jobs added at this moment or later: ms since 1970, or RFC 3339.",
        )
        .fails(400, "invalid_query")
        .fails(422, "invalid_fields")
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct JobList<'a> {
    success: bool,
    jobs: Vec<Summary<'a>>,
    #[serde(flatten)]
    end: PageEnd,
}

/// What follows the jobs of a page.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PageEnd {
    /// How many there are; a lower bound if `totalIsExact` is false.
    total: usize,
    total_is_exact: bool,
    /// The cursor of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// What a list is about.
pub struct Question<'s> {
    sources: Vec<Source<'s>>,
    filter: JobFilter,
}

/// One stream of jobs: a queue, in one state or in any.
struct Source<'s> {
    queue: &'s Queue,
    state: Option<JobState>,
}

impl Source<'_> {
    /// Its name in a cursor.
    fn key(&self) -> String {
        format!("{}/{}", self.queue.entry().prefix, self.state.map_or("", JobState::as_str))
    }
}

/// Where a source goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Position {
    Start,
    At(String),
    End,
}

async fn list(
    principal: Principal,
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let flavor = Flavor::of(&request);
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let states = match query.one("status", &mut problems).map(str::parse::<JobState>) {
        None => vec![None],
        // What reads `failed` there is found under that word there.
        Some(Ok(JobState::Failed)) if flavor == Flavor::Seed => {
            vec![Some(JobState::Failed), Some(JobState::Cancelled)]
        }
        Some(Ok(state)) => vec![Some(state)],
        Some(Err(error)) => {
            problems.push("status", error.to_string());
            Vec::new()
        }
    };
    let question = Question::read(&state, &query, &states, &mut problems);
    let (jobs, end) = answer(&state, &principal, &query, question, problems).await?;
    let jobs = jobs.iter().map(|job| summary(job, flavor)).collect();
    Ok(HttpResponse::Ok().json(JobList { success: true, jobs, end }))
}

/// A page of what is asked for.
pub async fn answer(
    state: &State,
    principal: &Principal,
    query: &Query,
    question: Question<'_>,
    mut problems: PayloadProblems,
) -> Result<(Vec<JobView>, PageEnd), Problem> {
    let deps = state.deps()?;
    let limit = query.number("limit", (1, LIMIT_MAX), LIMIT_DEFAULT, &mut problems);
    let cursor = query.one("cursor", &mut problems).map(str::to_owned);
    problems.into_result()?;
    let signed_for = question.text(principal);
    let positions = match &cursor {
        Some(text) => open_cursor(state, &signed_for, text)?,
        None => BTreeMap::new(),
    };
    let (jobs, next) = page(deps, principal, &question, positions, limit).await?;
    let (total, total_is_exact) = total(deps, principal, &question).await?;
    let next = next.map(|next| seal_cursor(state, &signed_for, &next));
    Ok((jobs, PageEnd { total, total_is_exact, next }))
}

impl<'s> Question<'s> {
    /// Every queue, or one, in each of the states, filtered as the query says.
    pub fn read(
        state: &'s State,
        query: &Query,
        states: &[Option<JobState>],
        problems: &mut PayloadProblems,
    ) -> Self {
        let catalog = &state.shared.catalog;
        let queues: Vec<&Queue> = match query.one("queue", problems) {
            None => catalog.queues().iter().collect(),
            Some(name) => match catalog.find(name) {
                Ok(queue) => vec![queue],
                Err(unknown) => {
                    problems.push("queue", unknown.to_string());
                    Vec::new()
                }
            },
        };
        let of_queue = |queue| states.iter().map(move |state| Source { queue, state: *state });
        let sources = queues.into_iter().flat_map(of_queue).collect();
        let mut text = |name: &str| -> Option<String> {
            let text = query.one(name, problems)?;
            if !(1..=TEXT_MAX).contains(&text.len()) || text.chars().any(char::is_control) {
                problems.push(
                    name,
                    format!("must be a text of 1 to {TEXT_MAX} bytes without control characters"),
                );
                return None;
            }
            Some(text.to_owned())
        };
        let (name, tag, q) = (text("name"), text("tag"), text("q"));
        let since = query.one("since", problems).map(str::to_owned).and_then(|text| {
            let ms = text.parse().ok();
            let at = ms.or_else(|| {
                text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok())
            });
            if at.is_none() {
                problems.push("since", "must be ms since 1970, or RFC 3339 (2026-01-31T08:00:00Z)");
            }
            at
        });
        Self { sources, filter: JobFilter { name, tag, text: q, since, tenant: None } }
    }

    /// Who asks and what about: a cursor is good for that alone.
    fn text(&self, principal: &Principal) -> String {
        let sources: Vec<String> = self.sources.iter().map(Source::key).collect();
        let JobFilter { name, tag, text, since, .. } = &self.filter;
        let owner = &principal.owner;
        json!([owner.tenant, owner.user, principal.role.as_str(), sources, name, tag, text, since])
            .to_string()
    }

    /// Goes through all of it, newest first, queue by queue, until `each` has had enough.
    pub async fn walk(
        &self,
        deps: &Deps,
        principal: &Principal,
        mut each: impl FnMut(&'s Queue, JobView) -> bool,
    ) -> Result<(), Problem> {
        for source in &self.sources {
            let mut position = Position::Start;
            while position != Position::End {
                let page = fetch(deps, principal, source, &self.filter, &position, TOTAL_MAX).await?;
                for job in page.jobs {
                    if !each(source.queue, job) {
                        return Ok(());
                    }
                }
                position = page.next;
            }
        }
        Ok(())
    }
}

/// What a caller's page of a source holds.
struct Fetched {
    jobs: Vec<JobView>,
    /// How many records were looked at for it.
    looked_at: usize,
    next: Position,
}

async fn fetch(
    deps: &Deps,
    principal: &Principal,
    source: &Source<'_>,
    filter: &JobFilter,
    position: &Position,
    limit: usize,
) -> Result<Fetched, Problem> {
    let cursor = match position {
        Position::Start => None,
        Position::At(cursor) => Some(cursor.clone()),
        Position::End => return Ok(Fetched { jobs: Vec::new(), looked_at: 0, next: Position::End }),
    };
    // The engine reads an owner's jobs by their index, and looks a tenant's up among all.
    let owner = (principal.role == Role::User).then(|| principal.owner.clone());
    let tenant = (principal.role == Role::Viewer).then(|| principal.owner.tenant.clone());
    let filter = JobFilter { tenant, ..filter.clone() };
    let request = PageRequest { state: source.state, owner, filter, cursor, limit };
    let page = deps.inspect.page(source.queue.name(), request).await?;
    Ok(Fetched {
        looked_at: page.scanned,
        jobs: page.jobs,
        next: page.next.map_or(Position::End, Position::At),
    })
}

/// The newest of all sources, and where each goes on; none at the end.
async fn page(
    deps: &Deps,
    principal: &Principal,
    question: &Question<'_>,
    mut positions: BTreeMap<String, Position>,
    limit: usize,
) -> Result<(Vec<JobView>, Option<BTreeMap<String, Position>>), Problem> {
    let Question { sources, filter } = question;
    let starts: Vec<Position> =
        sources.iter().map(|source| positions.remove(&source.key()).unwrap_or(Position::Start)).collect();
    let fetches =
        sources.iter().zip(&starts).map(|(source, at)| fetch(deps, principal, source, filter, at, limit));
    let fetched = futures_util::future::try_join_all(fetches).await?;
    let mut taken = vec![0_usize; sources.len()];
    let mut order = Vec::with_capacity(limit);
    while order.len() < limit {
        // Each source is in its own order already; among their heads the newest goes next.
        let heads = fetched.iter().enumerate().filter_map(|(n, page)| Some((n, page.jobs.get(taken[n])?)));
        let newest = heads.min_by_key(|(n, job)| (Reverse(job.status.created_at), *n));
        let Some((n, _)) = newest else { break };
        order.push((n, taken[n]));
        taken[n] += 1;
    }
    let mut next = BTreeMap::new();
    for (n, source) in sources.iter().enumerate() {
        let page = &fetched[n];
        let position = if taken[n] == page.jobs.len() {
            page.next.clone()
        } else if taken[n] == 0 {
            starts[n].clone()
        } else {
            // The engine's cursors stand at ends of pages, so the part that was used is asked for again as a page. If the queue has
            // changed in between, the source goes on from where this page began: a job may be shown twice, none is left out.
            let part = fetch(deps, principal, source, filter, &starts[n], taken[n]).await?;
            let mut pairs = part.jobs.iter().zip(&page.jobs);
            let same = part.jobs.len() == taken[n] && pairs.all(|(a, b)| a.id() == b.id());
            if same { part.next } else { starts[n].clone() }
        };
        next.insert(source.key(), position);
    }
    let mut pages: Vec<Vec<Option<JobView>>> =
        fetched.into_iter().map(|page| page.jobs.into_iter().map(Some).collect()).collect();
    let jobs = order.into_iter().filter_map(|(n, at)| pages[n][at].take()).collect();
    let is_end = next.values().all(|position| *position == Position::End);
    Ok((jobs, (!is_end).then_some(next)))
}

/// How many there are, counted up to [`TOTAL_MAX`], and whether that is all.
async fn total(
    deps: &Deps,
    principal: &Principal,
    question: &Question<'_>,
) -> Result<(usize, bool), Problem> {
    let Question { sources, filter } = question;
    if principal.is_admin() && filter.is_empty() {
        let mut total = 0;
        for source in sources {
            let counts = deps.inspect.info(source.queue.name()).await?.counts;
            total += source.state.map_or(counts.total(), |state| counts.of(state));
        }
        return Ok((usize::try_from(total).unwrap_or(usize::MAX), true));
    }
    let (mut total, mut looked_at) = (0, 0);
    for source in sources {
        let mut position = Position::Start;
        while position != Position::End {
            // One beyond the bound tells whether there are more.
            if total > TOTAL_MAX || looked_at > LOOK_MAX {
                return Ok((total.min(TOTAL_MAX), false));
            }
            let page = fetch(deps, principal, source, filter, &position, TOTAL_MAX).await?;
            total += page.jobs.len();
            looked_at += page.looked_at;
            position = page.next;
        }
    }
    Ok((total.min(TOTAL_MAX), total <= TOTAL_MAX))
}

fn sign(state: &State, question: &str, text: &str) -> hmac::Tag {
    hmac::sign(&state.cursor_key, format!("{}:{question}{text}", question.len()).as_bytes())
}

/// `<text>.<signature>` in hexadecimal digits; the text is JSON: each source that has begun, with its position or null at its end.
fn seal_cursor(state: &State, question: &str, positions: &BTreeMap<String, Position>) -> String {
    let begun: BTreeMap<&str, Option<&str>> = positions
        .iter()
        .filter_map(|(key, position)| match position {
            Position::Start => None,
            Position::At(cursor) => Some((key.as_str(), Some(cursor.as_str()))),
            Position::End => Some((key.as_str(), None)),
        })
        .collect();
    let text = to_hex(json!(begun).to_string().as_bytes());
    let tag = sign(state, question, &text);
    format!("{text}.{}", to_hex(&tag.as_ref()[..16]))
}

fn open_cursor(state: &State, question: &str, cursor: &str) -> Result<BTreeMap<String, Position>, Problem> {
    let invalid = || {
        Problem::bad_request(
            "invalid_cursor",
            "The cursor was not issued for this list; start again without one.",
        )
    };
    if cursor.len() > CURSOR_MAX {
        return Err(invalid());
    }
    let (text, tag) = cursor.split_once('.').ok_or_else(invalid)?;
    let given = from_hex(tag).ok_or_else(invalid)?;
    // What is compared is public, and a signature that is wrong at any place is refused alike.
    if given != sign(state, question, text).as_ref()[..16] {
        return Err(invalid());
    }
    let bytes = from_hex(text).ok_or_else(invalid)?;
    let begun: BTreeMap<String, Option<String>> = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
    Ok(begun.into_iter().map(|(key, at)| (key, at.map_or(Position::End, Position::At))).collect())
}

fn to_hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
