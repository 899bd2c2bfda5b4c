//! POST `/queues/{queue}/pause`, `/resume`, `/clean` and `/drain`.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{JobState, Scope};
use bulrush::port::{AdminCommand, AdminReply};
use bulrush_catalog::PayloadProblems;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::http::body::read_optional_json;
use crate::http::problem::Problem;
use crate::http::route::{Route, Who};
use crate::jobs::ask::parse;
use crate::jobs::lookup::find_queue;
use crate::jobs::manage::Said;
use crate::state::State;

/// Most jobs of one call.
const CALL_MAX: u64 = 1_000;
/// Oldest age that can be asked for: jobs are kept for at most a month.
const AGE_MAX_MS: u64 = 366 * 24 * 3_600 * 1_000;

pub fn routes() -> Vec<Route> {
    let control = |path, id, handler| {
        Route::new(Method::POST, path, Who::Admin, ("queues", id), handler)
            .fails(404, "unknown_queue")
            .fails(422, "invalid_queue_name")
    };
    vec![
        control("/queues/{queue}/pause", "pauseQueue", || web::post().to(pause))
            .says("Starts no job of the queue until it is resumed. What runs goes on; adds are taken.")
            .answers::<Said>(200, "It is paused."),
        control("/queues/{queue}/resume", "resumeQueue", || web::post().to(resume))
            .says("Starts jobs again.")
            .answers::<Said>(200, "It runs."),
        control("/queues/{queue}/clean", "cleanQueue", || web::post().to(clean))
            .says("Removes old jobs of a state, at most 1,000 a call; never one that runs.")
            .may_take::<Clean>()
            .answers::<Cleaned>(200, "They were removed.")
            .fails(409, "wrong_state"),
        control("/queues/{queue}/drain", "drainQueue", || web::post().to(drain))
            .says("Removes jobs that have not started, at most 1,000 a call.")
            .may_take::<Drain>()
            .answers::<Cleaned>(200, "They were removed."),
    ]
}

/// Which jobs to clean away.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct Clean {
    /// Only jobs that finished (or, if they have not, were added) longer ago than this, ms.
    #[schemars(range(min = 0, max = 31_622_400_000_u64))]
    grace: Option<u64>,
    /// The same in seconds; one of the two.
    #[schemars(range(min = 0, max = 31_622_400))]
    grace_period: Option<u64>,
    /// Most jobs of this call.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u64>,
    /// `completed` (the default), `failed`, `cancelled`, `delayed`, `waiting` (or `wait`) or `waiting-children`.
    #[schemars(rename = "type")]
    kind: Option<String>,
}

/// What to drain.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct Drain {
    /// Delayed jobs too.
    delayed: Option<bool>,
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u64>,
}

#[derive(Serialize, JsonSchema)]
struct Cleaned {
    success: bool,
    message: &'static str,
    data: Removed,
}

#[derive(Serialize, JsonSchema)]
struct Removed {
    /// Jobs that this call removed.
    removed: usize,
    /// Whether another call would find more.
    more: bool,
}

impl Cleaned {
    fn new(message: &'static str, reply: &AdminReply) -> Self {
        Self { success: true, message, data: Removed { removed: reply.changed, more: reply.more } }
    }
}

async fn pause(path: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    order(&state, &path, AdminCommand::Pause).await?;
    Ok(HttpResponse::Ok().json(Said::new("Queue paused successfully")))
}

async fn resume(path: web::Path<String>, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    order(&state, &path, AdminCommand::Unpause).await?;
    Ok(HttpResponse::Ok().json(Said::new("Queue resumed successfully")))
}

async fn order(state: &State, called: &str, command: AdminCommand) -> Result<AdminReply, Problem> {
    let queue = find_queue(state, called)?;
    let reply = state.deps()?.desk(queue).producer.admin(&Scope::All, command).await?;
    // The numbers are told anew: whoever has changed them looks next.
    state.forget_snapshot().await;
    Ok(reply)
}

async fn clean(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let asked =
        object(&request, payload, &state, "{\"grace\": 3600000, \"limit\": 1000, \"type\": \"completed\"}");
    let asked = asked.await?;
    let mut problems = PayloadProblems::default();
    let mut read = Fields { asked: &asked, problems: &mut problems };
    read.only(&["grace", "gracePeriod", "limit", "type"]);
    let grace = read.whole("grace", 0, AGE_MAX_MS);
    let period = read.whole("gracePeriod", 0, AGE_MAX_MS / 1_000);
    if asked.contains_key("grace") && asked.contains_key("gracePeriod") {
        read.problems.push("gracePeriod", "cannot be given together with grace; keep one of them");
    }
    let limit = read.whole("limit", 1, CALL_MAX).unwrap_or(CALL_MAX);
    let state_asked = match asked.get("type").map(Value::as_str) {
        None => Some(JobState::Completed),
        Some(Some("wait")) => Some(JobState::Waiting),
        Some(word) => {
            let known = word.and_then(|word| word.parse::<JobState>().ok());
            if known.is_none() {
                read.problems.push(
                    "type",
                    "must be completed, failed, cancelled, delayed, waiting or waiting-children",
                );
            }
            known
        }
    };
    if state_asked == Some(JobState::Active) {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "wrong_state",
            "Active jobs are not cleaned away: their workers hold them. Stalled ones are rescued by themselves; cancel those that should stop.",
        ));
    }
    problems.into_result()?;
    let state_asked = state_asked.unwrap_or(JobState::Completed);
    let older_ms = grace.or(period.map(|seconds| seconds * 1_000)).unwrap_or(0);
    let command = AdminCommand::Clean { state: state_asked, older_ms, limit: limit as usize };
    let reply = order(&state, &path, command).await?;
    Ok(HttpResponse::Ok().json(Cleaned::new("Queue cleaned successfully", &reply)))
}

async fn drain(
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let asked = object(&request, payload, &state, "{\"delayed\": true}").await?;
    let mut problems = PayloadProblems::default();
    let mut read = Fields { asked: &asked, problems: &mut problems };
    read.only(&["delayed", "limit"]);
    let limit = read.whole("limit", 1, CALL_MAX).unwrap_or(CALL_MAX);
    let delayed = match asked.get("delayed") {
        None => false,
        Some(Value::Bool(delayed)) => *delayed,
        Some(_) => {
            problems.push("delayed", "must be true or false");
            false
        }
    };
    problems.into_result()?;
    let reply = order(&state, &path, AdminCommand::Drain { delayed, limit: limit as usize }).await?;
    Ok(HttpResponse::Ok().json(Cleaned::new("Queue drained successfully", &reply)))
}

/// The object of a body that may be left out.
async fn object(
    request: &HttpRequest,
    payload: web::Payload,
    state: &State,
    shape: &str,
) -> Result<Map<String, Value>, Problem> {
    let body = read_optional_json(request, payload, state).await?;
    if body.is_blank() { Ok(Map::new()) } else { parse(&body, shape) }
}

struct Fields<'a> {
    asked: &'a Map<String, Value>,
    problems: &'a mut PayloadProblems,
}

impl Fields<'_> {
    fn only(&mut self, known: &[&str]) {
        for name in self.asked.keys().filter(|name| !known.contains(&name.as_str())).take(10) {
            let name: String = name.chars().take(64).collect();
            self.problems.push(name, format!("is not known; known are {}", known.join(", ")));
        }
    }

    fn whole(&mut self, name: &str, min: u64, max: u64) -> Option<u64> {
        match self.asked.get(name)?.as_u64() {
            Some(number) if (min..=max).contains(&number) => Some(number),
            _ => {
                self.problems.push(name, format!("must be a whole number from {min} to {max}"));
                None
            }
        }
    }
}
