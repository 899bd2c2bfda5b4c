//! Calls that wait on the server: for work, and for events.
//!
//! Each has a connection to itself while it waits, because the server answers nothing else there. A caller who gives up leaves a call
//! behind that the server has not answered, and which may yet be answered with a wake-up that nobody would hear. So the call is ended at
//! the server ([`End`]), its connection is kept for the next wait, and what it was still given is handed on. Where that does not work, say
//! because the account may not unblock or the server is full, the connection is closed instead.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{Cmd, Pipeline, RedisResult, Value, cmd};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connect::{Failed, Server};
use crate::port::{Error, Result};

/// Idle connections that are kept.
const IDLE_MAX: usize = 16;
/// How long a call that was ended may take to say so.
const UNBLOCK: Duration = Duration::from_secs(1);
/// How long the element that ends a call is kept where that call had ended by itself, ms.
const BELL_MS: u64 = 10_000;

/// How a call that waits is ended before its time.
pub(super) enum End {
    /// By CLIENT UNBLOCK: only for calls that change nothing. Redis 7.0 aborts when a call is unblocked that it holds up because of a
    /// CLIENT PAUSE WRITE, which an orderly failover makes, and so holds up only those that write.
    Unblock,
    /// By an element in a list that no other call waits for.
    Bell(String),
}

/// A connection, and the name by which the server knows it.
struct Seat {
    connection: MultiplexedConnection,
    client: Option<i64>,
}

/// The waits of one backend.
pub(super) struct Blocking {
    server: Arc<Server>,
    idle: Mutex<Vec<Seat>>,
    tasks: TaskTracker,
}

impl Blocking {
    /// Nobody waits yet.
    pub fn new(server: Arc<Server>) -> Self {
        Self { server, idle: Mutex::default(), tasks: TaskTracker::new() }
    }

    /// Makes a call that may take `limit` besides the usual time. `hand_on` makes of an answer that came too late for its caller the call
    /// that gives it to the next one.
    pub async fn call(
        self: &Arc<Self>,
        call: Cmd,
        end: End,
        limit: Duration,
        hand_on: fn(&Value) -> Option<Cmd>,
    ) -> Result<Value> {
        let seat = self.take_seat().await.map_err(|error| super::fault::of(&error))?;
        let (tell, told) = oneshot::channel();
        let given_up = CancellationToken::new();
        let waits = Waits { blocking: self.clone(), told, hand_on, given_up: given_up.clone() };
        let blocking = self.clone();
        let task = self.tasks.track_future(async move {
            let wait = Wait { call, end, limit, given_up, hand_on };
            blocking.carry_out(seat, wait, tell).await;
        });
        tokio::spawn(task);
        waits.answer().await
    }

    async fn take_seat(&self) -> RedisResult<Seat> {
        if let Some(seat) = self.idle().pop() {
            return Ok(seat);
        }
        let mut connection = self.server.connect().await?;
        // Whoever may not ask for its own name can still wait.
        let client = cmd("CLIENT").arg("ID").query_async(&mut connection).await.ok();
        Ok(Seat { connection, client })
    }

    async fn carry_out(
        self: Arc<Self>,
        mut seat: Seat,
        wait: Wait,
        tell: oneshot::Sender<RedisResult<Value>>,
    ) {
        let Wait { call, end, limit, given_up, hand_on } = wait;
        seat.connection.set_response_timeout(limit + self.server.answer_within);
        let reply = {
            let mut under_way = std::pin::pin!(call.query_async::<Value>(&mut seat.connection));
            tokio::select! {
                biased;
                reply = &mut under_way => reply,
                () = given_up.cancelled() => {
                    if !self.end(seat.client, &end).await {
                        return;
                    }
                    let Ok(reply) = tokio::time::timeout(UNBLOCK, under_way).await else { return };
                    reply
                }
            }
        };
        // Before the answer, so that whoever waits again at once finds this connection.
        if reply.is_ok() {
            self.keep(seat);
        }
        if let Err(Ok(unheard)) = tell.send(reply) {
            self.pass_on(&unheard, hand_on).await;
        }
    }

    /// Ends a call that waits. Says whether the server did it.
    async fn end(&self, client: Option<i64>, end: &End) -> bool {
        match (end, client) {
            (End::Unblock, None) => false,
            (End::Unblock, Some(client)) => {
                let mut unblock = cmd("CLIENT");
                unblock.arg("UNBLOCK").arg(client);
                self.server.call(&unblock).await.is_ok()
            }
            (End::Bell(list), _) => {
                let mut ring = Pipeline::with_capacity(2);
                // Both or none: without an end of its own it would stay for ever where nobody pops it.
                ring.atomic();
                ring.cmd("LPUSH").arg(list).arg(1);
                ring.cmd("PEXPIRE").arg(list).arg(BELL_MS);
                self.server.call_all(&ring).await.is_ok()
            }
        }
    }

    async fn pass_on(&self, unheard: &Value, hand_on: fn(&Value) -> Option<Cmd>) {
        if let Some(call) = hand_on(unheard)
            && let Err(failed) = self.server.call(&call).await
        {
            let error: Error = failed.into();
            tracing::warn!(%error, "a wake-up came too late for its worker and could not be given to another");
        }
    }

    fn keep(&self, seat: Seat) {
        let mut idle = self.idle();
        if idle.len() < IDLE_MAX && !self.tasks.is_closed() {
            idle.push(seat);
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Seat>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for those whose callers have gone, and lets go of the connections.
    pub async fn close(&self) {
        self.tasks.close();
        // What does not end goes down with its connection.
        let _ = tokio::time::timeout(2 * UNBLOCK, self.tasks.wait()).await;
        self.idle().clear();
    }
}

/// A call that waits.
struct Wait {
    call: Cmd,
    end: End,
    limit: Duration,
    given_up: CancellationToken,
    hand_on: fn(&Value) -> Option<Cmd>,
}

/// A caller who waits. Dropped, it gives up.
struct Waits {
    blocking: Arc<Blocking>,
    told: oneshot::Receiver<RedisResult<Value>>,
    hand_on: fn(&Value) -> Option<Cmd>,
    given_up: CancellationToken,
}

impl Waits {
    async fn answer(mut self) -> Result<Value> {
        match (&mut self.told).await {
            Ok(reply) => reply.map_err(|error| Failed::Refused(error).into()),
            Err(_) => Err(Error::Unreachable {
                reason: "the runtime that carried the wait has shut down".to_owned(),
            }),
        }
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.given_up.cancel();
        self.told.close();
        // The answer may have come, and nobody has looked.
        if let Ok(Ok(unheard)) = self.told.try_recv()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let (blocking, hand_on) = (self.blocking.clone(), self.hand_on);
            let tasks = blocking.tasks.clone();
            runtime.spawn(tasks.track_future(async move { blocking.pass_on(&unheard, hand_on).await }));
        }
    }
}
