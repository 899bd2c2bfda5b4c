//! A schedule as a client asks for it: read, checked as a whole with all that is wrong told at once, and made into what the engine keeps.

use bulrush::model::{
    Bounds, JobId, Millis, Missed, NewJob, Overlap, Recurrence, ScheduleError, ScheduleId, ScheduleSpec,
    ScheduleView,
};
use bulrush::port::Error as EngineError;
use bulrush_catalog::{PayloadProblems, Queue, nearest, nearest_zone, parse_span_ms};
use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::jobs::ask::Ask;
use crate::jobs::schema::{JobOptions, Moment};
use crate::state::{Deps, State};

/// How late a slot may fire where missed ones are skipped and nothing else is said, ms.
const GRACE_MS: u64 = 60_000;
/// Missed slots that fire where all are to and nothing else is said.
const ALL_MAX: u32 = 100;
/// What is shown in place of a secret.
const HIDDEN: &str = "***";
/// Most jobs that a schedule can be limited to.
const LIMIT_MAX: u64 = 1_000_000_000_000;

/// What a schedule says.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
pub struct ScheduleBody {
    /// One's own name for it, with which it is put once. It cannot be changed.
    #[schemars(length(min = 1, max = 100), regex(pattern = r"^[A-Za-z0-9._~-]+$"))]
    name: Option<String>,
    /// The queue of its jobs, or an alias. Required, and it cannot be changed.
    queue: Option<String>,
    /// The name of its jobs, where the queue runs several kinds.
    job_name: Option<String>,
    /// What its jobs work on.
    data: Option<Map<String, Value>>,
    /// How its jobs run. No `delay`, `runAt`, `jobId` and `dedup`: each job is due with its slot, and known by it.
    options: Option<JobOptions>,
    /// When: five fields (minute, hour, day of month, month, weekday), or six with seconds before them, or `@hourly`, `@daily`, `@weekly`,
    /// `@monthly`, `@yearly`. This, or `every`.
    #[schemars(length(max = 256))]
    cron: Option<String>,
    /// The time zone of `cron`, by its IANA name; UTC if left out.
    zone: Option<String>,
    /// A period: ms, or a text such as `15m`. This, or `cron`.
    every: Option<Span>,
    /// A moment from which whole periods are counted.
    anchor: Option<Moment>,
    /// No slot before.
    start: Option<Moment>,
    /// No slot after.
    end: Option<Moment>,
    /// Most jobs that it adds.
    #[schemars(range(min = 1))]
    limit: Option<u64>,
    /// Each job up to so much later than its slot: ms, or a text such as `30s`; at most a day.
    jitter: Option<Span>,
    /// What becomes of slots that nobody fired in time: `one` (the newest stands for all; what is done if nothing is said), `skip`, `all`, or
    /// `{"policy": "skip", "grace": ms}`, `{"policy": "all", "max": 1 to 1000}`.
    missed: Option<Value>,
    /// What becomes of a slot while the job before has not ended: `allow` if nothing is said.
    overlap: Option<OverlapWord>,
    /// Whether it fires. Left out, it does; in a change it stays as it is.
    enabled: Option<bool>,
}

/// A length of time.
#[derive(Debug, JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "it stands for the body in the document")]
enum Span {
    /// ms.
    Ms(u64),
    /// With a unit: `15m`.
    Text(String),
}

#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "lowercase")]
#[allow(dead_code, reason = "it stands for the body in the document")]
enum OverlapWord {
    Allow,
    Skip,
    Replace,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScheduleAsk<'a> {
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub queue: Option<String>,
    #[serde(default)]
    job_name: Option<Value>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    options: Option<Value>,
    #[serde(default)]
    cron: Option<Value>,
    #[serde(default)]
    zone: Option<Value>,
    #[serde(default)]
    every: Option<Value>,
    #[serde(default)]
    anchor: Option<Value>,
    #[serde(default)]
    start: Option<Value>,
    #[serde(default)]
    end: Option<Value>,
    #[serde(default)]
    limit: Option<Value>,
    #[serde(default)]
    jitter: Option<Value>,
    #[serde(default)]
    missed: Option<Value>,
    #[serde(default)]
    overlap: Option<Value>,
    #[serde(default)]
    enabled: Option<Value>,
}

/// Data without secrets that are to stay, where there are any, and those secrets as they are kept.
type Kept = (Option<Box<RawValue>>, Map<String, Value>);

/// Where a schedule is to be, and for whom it is checked.
pub struct Place<'a> {
    state: &'a State,
    deps: &'a Deps,
    principal: &'a Principal,
    queue: &'a Queue,
    /// How the client called the queue.
    called: &'a str,
    /// What may be in a call, and how close two slots may be.
    bounds: Bounds,
    now: Millis,
}

impl<'a> Place<'a> {
    pub async fn new(
        state: &'a State,
        deps: &'a Deps,
        principal: &'a Principal,
        queue: &'a Queue,
        called: &'a str,
    ) -> Result<Self, Problem> {
        let mut bounds = Bounds::default();
        let least = u64::try_from(state.config.schedule_interval.as_millis()).unwrap_or(u64::MAX);
        bounds.schedule_interval_ms = bounds.schedule_interval_ms.max(least);
        let place = Self { state, deps, principal, queue, called, bounds, now: deps.inspect.now().await? };
        Ok(place.free_for(principal))
    }

    /// Whoever runs the platform may fire as often as the engine does, for others, too.
    pub fn free_for(mut self, principal: &Principal) -> Self {
        if principal.is_admin() {
            self.bounds.schedule_interval_ms = Bounds::default().schedule_interval_ms;
        }
        self
    }
}

impl ScheduleAsk<'_> {
    /// Checks everything. `old` is the schedule that it is to replace.
    pub async fn spec(
        &self,
        place: &Place<'_>,
        id: ScheduleId,
        old: Option<&ScheduleView>,
    ) -> Result<ScheduleSpec, Problem> {
        let mut problems = PayloadProblems::default();
        let job = self.job(place, old, &mut problems).await?;
        let recurrence = self.recurrence(&place.bounds, &mut problems);
        let start = moment("start", self.start.as_ref(), &mut problems);
        let end = moment("end", self.end.as_ref(), &mut problems);
        if let (Some(start), Some(end)) = (start, end)
            && start > end
        {
            problems.push("end", "must not be before start");
        }
        let limit = self.limit.as_ref().and_then(|value| {
            let number = value.as_u64().filter(|limit| (1..=LIMIT_MAX).contains(limit));
            if number.is_none() {
                problems.push("limit", format!("must be a whole number from 1 to {LIMIT_MAX}"));
            }
            number
        });
        let jitter = span("jitter", self.jitter.as_ref(), &mut problems).unwrap_or(0);
        if jitter > ScheduleSpec::JITTER_MAX_MS {
            problems.push("jitter", "must be at most a day (24h)");
        }
        let missed = missed(self.missed.as_ref(), &mut problems);
        let overlap = overlap(self.overlap.as_ref(), &mut problems);
        let enabled = match &self.enabled {
            None => old.is_none_or(|old| old.spec.enabled),
            Some(Value::Bool(enabled)) => *enabled,
            Some(_) => {
                problems.push("enabled", "must be true or false");
                true
            }
        };
        problems.into_result()?;
        let (Some(job), Some(recurrence)) = (job, recurrence) else {
            return Err(Problem::field("jobName", "is not a job of this queue"));
        };
        let mut spec = ScheduleSpec::new(id, recurrence, &job).map_err(|error| self.problem(&error))?;
        (spec.start, spec.end, spec.limit) = (start, end, limit);
        (spec.jitter_ms, spec.missed, spec.overlap, spec.enabled) = (jitter, missed, overlap, enabled);
        if let Some(old) = old {
            // Whoever changes it, it stays whose it is.
            spec.owner.clone_from(&old.spec.owner);
        }
        spec.check(&place.bounds).map_err(|error| self.problem(&error))?;
        if spec.first_slot(place.now).map_err(|error| self.problem(&error))?.is_none() {
            let open = ScheduleSpec { end: None, ..spec.clone() };
            let would = open.first_slot(place.now).ok().flatten().is_some();
            let error = ScheduleError::Never { from: place.now };
            return Err(if would {
                Problem::field("end", "comes before the first slot, so the schedule would never fire")
            } else {
                self.problem(&error)
            });
        }
        Ok(spec)
    }

    /// The job that it stands for, checked as an add of it would be.
    async fn job(
        &self,
        place: &Place<'_>,
        old: Option<&ScheduleView>,
        problems: &mut PayloadProblems,
    ) -> Result<Option<NewJob>, Problem> {
        let mut options = self.options.clone();
        if let Some(Value::Object(map)) = &mut options {
            for name in ["delay", "runAt", "jobId", "dedup"] {
                if map.remove(name).is_some() {
                    problems.push(
                        format!("options.{name}"),
                        "cannot be given: each job of a schedule is due with its slot, and known by it",
                    );
                }
            }
        }
        let (data, kept) = self.with_kept_secrets(place.queue, old)?;
        let data = data.as_deref().or(self.data);
        let ask = Ask { name: None, job_name: self.job_name.clone(), data, options };
        let mut own = PayloadProblems::default();
        let where_to = (place.state, place.deps);
        let checked = ask.check(where_to, place.principal, place.queue, place.called, &mut own).await?;
        for problem in own.0 {
            // There, the job's name is the only one.
            let field = if problem.field == "name" { "jobName".to_owned() } else { problem.field };
            problems.push(field, problem.message);
        }
        let Some(mut checked) = checked else { return Ok(None) };
        if !kept.is_empty() {
            let mut map: Map<String, Value> =
                serde_json::from_slice(&checked.data).map_err(|error| Problem::internal(&error))?;
            map.extend(kept);
            checked.data = Bytes::from(Value::Object(map).to_string());
        }
        checked.into_job(place.principal, None, None).map(Some)
    }

    /// The data without the secrets that are to stay as they are, and those as they are kept: who changes a schedule has never seen them.
    fn with_kept_secrets(&self, queue: &Queue, old: Option<&ScheduleView>) -> Result<Kept, Problem> {
        let mut kept = Map::new();
        let (Some(old), Some(data)) = (old.filter(|_| queue.has_secrets()), self.data) else {
            return Ok((None, kept));
        };
        let Ok(Value::Object(mut map)) = serde_json::from_str(data.get()) else { return Ok((None, kept)) };
        let there: Map<String, Value> = serde_json::from_slice(&old.spec.job.data).unwrap_or_default();
        for name in queue.entry().jobs.iter().flat_map(|kind| kind.hidden) {
            if map.get(*name).and_then(Value::as_str) == Some(HIDDEN)
                && let Some(secret) = there.get(*name)
            {
                map.remove(*name);
                kept.insert((*name).to_owned(), secret.clone());
            }
        }
        if kept.is_empty() {
            return Ok((None, kept));
        }
        let text = Value::Object(map).to_string();
        RawValue::from_string(text).map(|raw| (Some(raw), kept)).map_err(|error| Problem::internal(&error))
    }

    fn recurrence(&self, bounds: &Bounds, problems: &mut PayloadProblems) -> Option<Recurrence> {
        match (&self.cron, &self.every) {
            (Some(_), Some(_)) => {
                problems.push("every", "cannot be given together with cron; keep one of them");
                None
            }
            (None, None) => {
                problems.push("cron", "is required, such as \"30 2 * * *\"; or give every, such as \"15m\"");
                None
            }
            (Some(cron), None) => self.wall_clock(cron, bounds, problems),
            (None, Some(every)) => {
                if self.zone.is_some() {
                    problems.push("zone", "goes with cron only: a period knows no clock on a wall");
                }
                let anchor = moment("anchor", self.anchor.as_ref(), problems);
                let ms = span("every", Some(every), problems)?;
                let recurrence = Recurrence::Every { ms, anchor };
                tried(&recurrence, bounds).map_or_else(
                    |error| {
                        problems.push("every", error.to_string());
                        None
                    },
                    |()| Some(recurrence),
                )
            }
        }
    }

    fn wall_clock(
        &self,
        cron: &Value,
        bounds: &Bounds,
        problems: &mut PayloadProblems,
    ) -> Option<Recurrence> {
        if self.anchor.is_some() {
            problems.push("anchor", "goes with every only");
        }
        let zone = match &self.zone {
            None => Some("UTC"),
            Some(value) => value.as_str(),
        };
        let trial = |expression: &str, zone: &str| {
            let recurrence = Recurrence::Cron { expression: expression.to_owned(), zone: zone.to_owned() };
            tried(&recurrence, bounds).map(|()| recurrence)
        };
        match zone {
            None => problems.push("zone", "must be a text: the IANA name of a time zone"),
            Some(zone) => {
                if let Err(error) = trial("@daily", zone) {
                    let near = nearest_zone(zone);
                    let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
                    problems.push("zone", format!("{error}{hint}"));
                }
            }
        }
        let Some(expression) = cron.as_str() else {
            problems.push("cron", "must be a text, such as \"30 2 * * *\"");
            return None;
        };
        match trial(expression, "UTC") {
            Ok(_) => trial(expression, zone?).ok(),
            Err(error) => {
                problems.push("cron", error.to_string());
                None
            }
        }
    }

    /// What the engine finds wrong, at the field that it is about.
    fn problem(&self, error: &ScheduleError) -> Problem {
        problem_at(error, if self.every.is_some() { "every" } else { "cron" })
    }
}

/// Whether a recurrence can be, whatever it is of.
fn tried(recurrence: &Recurrence, bounds: &Bounds) -> Result<(), ScheduleError> {
    let job = NewJob::new(JobId::generate("x", 0, 0), "x", "{}");
    let id = ScheduleId::new("x").unwrap_or_else(|error| unreachable!("it is one: {error}"));
    ScheduleSpec::new(id, recurrence.clone(), &job)?.check(bounds)
}

fn problem_at(error: &ScheduleError, timing: &str) -> Problem {
    let field = match error {
        ScheduleError::Zone { .. } => "zone",
        ScheduleError::Moment { what, .. } => what,
        ScheduleError::Reversed { .. } => "end",
        ScheduleError::NoJobs | ScheduleError::Spent { .. } => "limit",
        ScheduleError::Jitter { .. } => "jitter",
        ScheduleError::Missed { .. } => "missed",
        ScheduleError::Template { .. } => "options",
        ScheduleError::Job(check) => return EngineError::Check(*check).into(),
        _ => timing,
    };
    Problem::field(field, error.to_string())
}

/// What the engine refuses when a schedule is put.
pub fn refused(error: EngineError) -> Problem {
    match &error {
        EngineError::Schedule(schedule) => problem_at(schedule, "cron"),
        _ => error.into(),
    }
}

fn moment(name: &str, value: Option<&Value>, problems: &mut PayloadProblems) -> Option<Millis> {
    let value = value?;
    let ms = match value {
        Value::String(text) => {
            text.parse::<Timestamp>().ok().and_then(|at| u64::try_from(at.as_millisecond()).ok())
        }
        other => other.as_u64(),
    };
    let at = ms.filter(|at| *at <= ScheduleSpec::MOMENT_MAX);
    if at.is_none() {
        problems.push(
            name,
            "must be a moment from 1970 to 9999: ms since 1970, or RFC 3339 (2026-01-31T08:00:00Z)",
        );
    }
    at
}

/// ms, or a text with a unit.
fn span(name: &str, value: Option<&Value>, problems: &mut PayloadProblems) -> Option<u64> {
    let value = value?;
    let ms = match value {
        Value::String(text) => parse_span_ms(text).ok(),
        other => other.as_u64(),
    };
    if ms.is_none() {
        problems.push(name, "must be a whole number of ms, or a text with a unit: 30s, 15m, 2h, 1d");
    }
    ms
}

fn missed(value: Option<&Value>, problems: &mut PayloadProblems) -> Missed {
    const ACCEPTED: &str = "must be one, skip or all, or {\"policy\": \"skip\", \"grace\": ms} or {\"policy\": \"all\", \"max\": 100}";
    let no_more = Map::new();
    let (policy, map) = match value {
        None => return Missed::default(),
        Some(Value::String(policy)) => (policy.as_str(), &no_more),
        Some(Value::Object(map)) => (map.get("policy").and_then(Value::as_str).unwrap_or_default(), map),
        Some(_) => ("", &no_more),
    };
    let takes: &[&str] = match policy {
        "skip" => &["policy", "grace"],
        "all" => &["policy", "max"],
        _ => &["policy"],
    };
    for name in map.keys().filter(|name| !takes.contains(&name.as_str())).take(10) {
        let name: String = name.chars().take(64).collect();
        problems.push(format!("missed.{name}"), format!("is not known here; known are {}", takes.join(", ")));
    }
    match policy {
        "one" => Missed::One,
        "skip" => {
            let grace_ms = span("missed.grace", map.get("grace"), problems);
            let given = map.contains_key("grace");
            Missed::Skip { grace_ms: grace_ms.unwrap_or(if given { 0 } else { GRACE_MS }) }
        }
        "all" => {
            let Some(max) = map.get("max") else { return Missed::All { max: ALL_MAX } };
            let number = max.as_u64().and_then(|max| u32::try_from(max).ok());
            if let Some(max) = number.filter(|max| (1..=ScheduleSpec::MISSED_MAX).contains(max)) {
                return Missed::All { max };
            }
            let most = ScheduleSpec::MISSED_MAX;
            problems.push("missed.max", format!("must be a whole number from 1 to {most}"));
            Missed::default()
        }
        _ => {
            problems.push("missed", ACCEPTED);
            Missed::default()
        }
    }
}

fn overlap(value: Option<&Value>, problems: &mut PayloadProblems) -> Overlap {
    const KNOWN: [(&str, Overlap); 3] =
        [("allow", Overlap::Allow), ("skip", Overlap::Skip), ("replace", Overlap::Replace)];
    let Some(value) = value else { return Overlap::default() };
    let word = value.as_str().unwrap_or_default();
    if let Some((_, overlap)) = KNOWN.iter().find(|(known, _)| *known == word) {
        return *overlap;
    }
    let near = nearest(word, KNOWN.iter().map(|(known, _)| *known));
    let hint = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    problems.push("overlap", format!("must be allow, skip or replace{hint}"));
    Overlap::default()
}
