//! GET `/sse`, and POST `/stream-tickets` for browsers, which cannot send a header with it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::Owner;
use bulrush_catalog::PayloadProblems;
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::time::{Instant, MissedTickBehavior};

use crate::http::auth::{Principal, identify};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::jobs::lookup::{find_anywhere, find_queue};
use crate::live::hub::{Hub, Listening, Wanted};
use crate::live::tickets;
use crate::state::State;

/// Events are written together up to about so many bytes.
const WRITE: usize = 16 << 10;
/// How long a ticket is good for.
const TICKET: Duration = Duration::from_mins(1);

pub fn routes() -> [Route; 2] {
    let text = || json!({"type": "string", "maxLength": 200});
    [
        Route::new(Method::GET, "/sse", Who::Configured, ("live", "streamEvents"), || web::get().to(stream_events))
            .says("Events as they happen: those of the caller's jobs, of a tenant's for a viewer, of all for administrators.")
            .param("ticket", text(), "A ticket in place of a bearer token (POST /stream-tickets).")
            .param("queue", text(), "Events of this queue only.")
            .param("job", text(), "Events of this job only.")
            .answers_as::<String>(
                200,
                "text/event-stream",
                "job:progress, job:complete, job:failed and the rest; `reset` when events were missed. Last-Event-ID goes on from there.",
            )
            .fails(400, "invalid_query")
            .fails(400, "invalid_event_id")
            .fails(401, "missing_token")
            .fails(401, "invalid_token")
            .fails(401, "expired_token")
            .fails(401, "invalid_ticket")
            .fails(404, "unknown_job")
            .fails(404, "unknown_queue")
            .fails(422, "invalid_fields")
            .fails(422, "invalid_queue_name")
            .fails(429, "rate_limited")
            .fails(429, "too_many_streams"),
        Route::new(Method::POST, "/stream-tickets", Who::Reader, ("live", "makeStreamTicket"), || {
            web::post().to(make_ticket)
        })
        .says("Makes a ticket for one stream, good for a minute and once.")
        .answers::<TicketAnswer>(201, "The ticket."),
    ]
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TicketAnswer {
    success: bool,
    ticket: String,
    /// s.
    expires_in: u64,
}

/// How many streams each user has open.
#[derive(Default)]
pub struct Streams(Arc<Mutex<HashMap<Owner, usize>>>);

/// One of a user's streams.
struct OpenStream {
    streams: Arc<Mutex<HashMap<Owner, usize>>>,
    owner: Owner,
}

impl Streams {
    fn open(&self, owner: &Owner, max: usize) -> Result<OpenStream, Problem> {
        let mut streams = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = streams.entry(owner.clone()).or_default();
        if *count >= max {
            return Err(Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_streams",
                format!("You have {max} streams open, as many as you may; close one, or share it."),
            )
            .retry_after(5));
        }
        *count += 1;
        Ok(OpenStream { streams: self.0.clone(), owner: owner.clone() })
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = streams.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                streams.remove(&self.owner);
            }
        }
    }
}

async fn make_ticket(principal: Principal, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    if principal.key.is_some() {
        return Err(Problem::forbidden(
            "Tickets are for browsers with a token; send the API key in the header of GET /sse.",
        ));
    }
    let ticket = tickets::issue(&state, &principal, TICKET).await?;
    Ok(HttpResponse::Created().json(TicketAnswer { success: true, ticket, expires_in: TICKET.as_secs() }))
}

async fn stream_events(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let ticket = query.one("ticket", &mut problems);
    let principal = match ticket {
        Some(ticket) => tickets::redeem(&state, ticket).await?,
        None => identify(&request, &state).await?,
    };
    state.limits.admit(&principal)?;
    let deps = state.deps()?;
    let mut wanted = Wanted::default();
    if let Some(name) = query.one("queue", &mut problems) {
        let queue = find_queue(&state, name)?;
        wanted.queue = state.shared.catalog.queues().iter().position(|known| known.name() == queue.name());
    }
    if let Some(id) = query.one("job", &mut problems) {
        let found = find_anywhere(&state, deps, &principal, id).await?;
        let (_, job) = found.ok_or_else(|| Problem::unknown_job(id))?;
        wanted.job = Some(job.id().clone());
    }
    problems.into_result()?;
    let hub = state.hub(deps);
    let invalid = || {
        Problem::bad_request(
            "invalid_event_id",
            "The Last-Event-ID was not issued here; open the stream without one, and read anew what you show.",
        )
    };
    let since = match request.headers().get("last-event-id") {
        None => None,
        Some(id) if id.is_empty() => None,
        Some(id) => Some(id.to_str().ok().and_then(|id| hub.position(id)).ok_or_else(invalid)?),
    };
    if hub.streams() >= state.config.streams_max {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "This server has as many streams open as it may; try again in a moment.",
        )
        .retry_after(5));
    }
    let open = state.streams.open(&principal.owner, state.config.streams_user)?;
    let scope = principal.jobs();
    let listening = hub.listen(scope.clone(), &principal.owner, wanted.clone()).await?;
    let mut before = VecDeque::from([Bytes::from_static(b"retry: 2000\n\n")]);
    if let Some(since) = since {
        let missed = hub.missed(&listening, &since, (&scope, &principal.owner, &wanted)).await?;
        let reset = || Bytes::from_static(b"event: reset\ndata: {}\n\n");
        before.extend(missed.into_iter().map(|frame| frame.unwrap_or_else(reset)));
    }
    let pause = state.config.heartbeat;
    let mut heartbeat = tokio::time::interval_at(Instant::now() + pause, pause);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let stream =
        Stream { before, listening, heartbeat, state, principal, over: false, _open: open, _hub: hub };
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // A proxy that gathers what it passes on would hold events back.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(stream::unfold(stream, Stream::next)))
}

/// An open stream.
struct Stream {
    before: VecDeque<Bytes>,
    listening: Listening,
    heartbeat: tokio::time::Interval,
    state: web::Data<State>,
    principal: Principal,
    over: bool,
    _open: OpenStream,
    _hub: Arc<Hub>,
}

impl Stream {
    /// A frame and those that wait behind it: one write for all of them.
    fn with_more(&mut self, first: Bytes) -> Bytes {
        let Ok(second) = self.listening.events.try_recv() else { return first };
        let mut together = BytesMut::with_capacity(WRITE);
        together.extend_from_slice(&first);
        together.extend_from_slice(&second);
        while together.len() < WRITE
            && let Ok(frame) = self.listening.events.try_recv()
        {
            together.extend_from_slice(&frame);
        }
        together.freeze()
    }

    async fn next(mut self) -> Option<(Result<Bytes, actix_web::Error>, Self)> {
        if let Some(frame) = self.before.pop_front() {
            return Some((Ok(frame), self));
        }
        if self.over {
            return None;
        }
        let stopped = self.state.shared.shutdown.begun();
        let frame = tokio::select! {
            biased;
            () = stopped => None,
            frame = self.listening.events.recv() => frame.map(|frame| self.with_more(frame)),
            _ = self.heartbeat.tick() => {
                self.principal.is_valid(&self.state).await.then(|| Bytes::from_static(b":\n\n"))
            }
        };
        // The end of it tells the client to come back; it says where it was.
        let frame = frame.unwrap_or_else(|| {
            self.over = true;
            Bytes::from_static(b"retry: 1000\n\n")
        });
        Some((Ok(frame), self))
    }
}
