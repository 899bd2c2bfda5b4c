//! Connections to the server, by what they are for.
//!
//! - Reading and administration borrow one from a pool, which checks it first: a round trip more, and none that is broken.
//! - What runs all the time holds a connection of its own ([`Line`]) and checks it by use: two for each queue, one to feed it and one to
//!   work on it, so that a large answer on one does not hold up the other.
//! - Renewals come from a thread without a runtime: [`Wire`] is a blocking connection.
//! - What waits on the server has a connection for each wait (`blocking.rs`).
//!
//! Every connection has a time-out for each answer. One that did not answer in time, was closed, or leads to a replica is never used
//! again: its late answer would be taken for that to another question. A call whose connection turns out to be closed is made anew once,
//! on a fresh one, which is harmless because every call may be repeated.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{
    AsyncConnectionConfig, Client, Cmd, Connection, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisError,
    RedisResult, TlsCertificates, Value,
};
use deadpool_redis::{Manager, Pool, Runtime};

use super::super::open::redact;
use super::replicas::{Answered, Confirm};
use super::server::{Info, text_of};
use super::{RedisOptions, fault};
use crate::port::{Error, Result, ServerFault, ServerUsage};

/// What a certificate in PEM begins with.
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";
/// Connections of the pool, at most.
const POOL_MAX: usize = 16;

/// The client library's way to a server; connects to nothing yet.
pub(super) fn client(url: &str, options: &RedisOptions) -> Result<Client> {
    let info = url.into_connection_info().map_err(|error| refused(url, &error))?;
    let with_tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
    if with_tls {
        // Only the first of a process is taken; whoever was first chose one that will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let client = match &options.ca {
        None => Client::open(info),
        Some(path) => {
            let odd = |reason: String| Error::Url { url: redact(url), reason };
            if !with_tls {
                return Err(odd("ca=PATH is for servers with TLS, rediss://".to_owned()));
            }
            let pem = std::fs::read(path)
                .map_err(|error| odd(format!("ca={} cannot be read: {error}", path.display())))?;
            // The library takes a file without any certificate for one, and then trusts nobody.
            if !pem.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
                return Err(odd(format!("ca={} holds no certificate in PEM", path.display())));
            }
            Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(pem) })
        }
    };
    client.map_err(|error| refused(url, &error))
}

fn refused(url: &str, error: &RedisError) -> Error {
    let reason = error.detail().map_or_else(|| error.to_string(), str::to_owned);
    Error::Url { url: redact(url), reason }
}

/// A server, and how to reach it.
pub(super) struct Server {
    client: Client,
    config: AsyncConnectionConfig,
    /// How long it may take to accept a connection.
    connect_within: Duration,
    /// How long it may take to answer a call that does not wait for anything but its replicas.
    pub answer_within: Duration,
    pool: Pool,
}

impl Server {
    /// Reads the address; connects to nothing yet.
    pub fn new(url: &str, options: &RedisOptions) -> Result<Self> {
        let client = client(url, options)?;
        let connect_within = options.connect_within;
        let replicas_within = if options.replicas == 0 { Duration::ZERO } else { options.replicas_within };
        let answer_within = options.answer_within + replicas_within;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(connect_within))
            .set_response_timeout(Some(answer_within));
        let manager = Manager::new_with_config(client.get_connection_info().clone(), config.clone())
            .map_err(|error| refused(url, &error))?;
        let pool = Pool::builder(manager)
            .max_size(POOL_MAX)
            .wait_timeout(Some(answer_within))
            .create_timeout(Some(connect_within))
            .recycle_timeout(Some(answer_within))
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| Error::Unreachable { reason: error.to_string() })?;
        Ok(Self { client, config, connect_within, answer_within, pool })
    }

    /// A connection of its own for whoever asks.
    pub async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        self.client.get_multiplexed_async_connection_with_config(&self.config).await
    }

    /// A blocking connection, for a thread without a runtime.
    fn connect_blocking(&self) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(self.connect_within)?;
        connection.set_read_timeout(Some(self.answer_within))?;
        connection.set_write_timeout(Some(self.answer_within))?;
        Ok(connection)
    }

    /// What the server has used since it started; none where this account may not ask or the server does not tell.
    pub async fn usage(&self) -> Result<Option<ServerUsage>> {
        let Some(text) = self.info().await? else { return Ok(None) };
        let info = Info::parse(&text);
        let field = |name| info.field(name)?.parse::<f64>().ok();
        let usage = || {
            let cpu_seconds = field("used_cpu_user_main_thread")? + field("used_cpu_sys_main_thread")?;
            let memory_bytes = field("used_memory")? as u64;
            Some(ServerUsage { cpu_us: (cpu_seconds * 1e6) as u64, memory_bytes })
        };
        Ok(usage())
    }

    /// What the server says of itself; none where this account may not ask.
    pub async fn info(&self) -> Result<Option<String>> {
        let mut info = Cmd::with_capacity(1, 8);
        info.arg("INFO");
        match self.call(&info).await {
            Ok(reply) => {
                let not_redis = || Error::Server { fault: ServerFault::NotRedis, said: String::new() };
                text_of(reply).ok_or_else(not_redis).map(Some)
            }
            Err(Failed::Refused(error)) if error.code() == Some("NOPERM") => Ok(None),
            Err(failed) => Err(failed.into()),
        }
    }

    /// Makes a call on a connection of the pool.
    pub async fn call(&self, cmd: &Cmd) -> Result<Value, Failed> {
        self.lend(async |connection: &mut MultiplexedConnection| cmd.query_async(connection).await).await
    }

    /// Makes a call on a connection of the pool that only the word of replicas makes good.
    pub async fn call_confirmed(&self, cmd: &Cmd, confirm: &Confirm) -> Result<Value, Failed> {
        let act = async |connection: &mut MultiplexedConnection| confirm.call(connection, cmd).await;
        self.lend(act).await?.confirmed(Some(confirm))
    }

    /// Makes many calls in one go on a connection of the pool. One that is refused fails all.
    pub async fn call_all(&self, calls: &Pipeline) -> Result<Vec<Value>, Failed> {
        self.lend(async |connection: &mut MultiplexedConnection| calls.query_async(connection).await).await
    }

    /// Does something with a connection of the pool, which goes back there if that was answered.
    async fn lend<T>(
        &self,
        act: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, Failed> {
        let mut lent =
            Lent(Some(self.pool.get().await.map_err(|error| Failed::Unheard(fault::of_pool(&error)))?));
        let Some(connection) = lent.0.as_mut() else { return Err(Failed::Unheard(Error::Closed)) };
        let reply = act(connection).await;
        if !reply.as_ref().is_err_and(fault::spoils)
            && let Some(connection) = lent.0.take()
        {
            drop(connection);
        }
        reply.map_err(Failed::Refused)
    }

    /// Lets go of all idle connections; later calls fail.
    pub fn close(&self) {
        self.pool.close();
    }
}

/// A connection of the pool that does not go back there unless its call has been answered: whoever gives up on a call drops this.
struct Lent(Option<deadpool_redis::Connection>);

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(deadpool_redis::Connection::take(connection));
        }
    }
}

/// Why a call has no answer.
pub(super) enum Failed {
    /// The server or the connection to it said no.
    Refused(RedisError),
    /// It was never asked.
    Unheard(Error),
}

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Refused(error) => fault::of(&error),
            Failed::Unheard(error) => error,
        }
    }
}

/// A connection that is held, and replaced when it breaks. Calls of many callers share it: the answers come in the order of the calls, and
/// that to a caller who has gone is dropped.
pub(super) struct Line {
    server: Arc<Server>,
    /// The connection, with a number that tells it from the ones before it.
    held: Mutex<(u64, Option<MultiplexedConnection>)>,
    /// Held by who connects, so that the others wait for that one.
    connecting: tokio::sync::Mutex<()>,
}

impl Line {
    /// A line to a server, not connected yet.
    pub fn new(server: Arc<Server>) -> Self {
        Self { server, held: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// Makes a call, one that only the word of replicas makes good where `confirm` says so.
    pub async fn call(&self, cmd: &Cmd, confirm: Option<&Confirm>) -> Result<Value, Failed> {
        let mut fresh_only = false;
        loop {
            let (number, mut connection, used) = self.connection().await.map_err(Failed::Refused)?;
            let answer = match confirm {
                None => cmd.query_async::<Value>(&mut connection).await.map(Answered::plain),
                Some(confirm) => confirm.call(&mut connection, cmd).await,
            };
            let error = match answer {
                Ok(answered) => return answered.confirmed(confirm),
                Err(error) => error,
            };
            if fault::spoils(&error) {
                self.drop_connection(number);
            }
            if !used || fresh_only || !fault::was_closed(&error) {
                return Err(Failed::Refused(error));
            }
            fresh_only = true;
        }
    }

    /// The connection, its number, and whether it had been used before.
    async fn connection(&self) -> RedisResult<(u64, MultiplexedConnection, bool)> {
        if let Some((number, connection)) = self.current() {
            return Ok((number, connection, true));
        }
        let _connecting = self.connecting.lock().await;
        if let Some((number, connection)) = self.current() {
            return Ok((number, connection, true));
        }
        let connection = self.server.connect().await?;
        let mut held = self.held();
        held.0 += 1;
        held.1 = Some(connection.clone());
        Ok((held.0, connection, false))
    }

    fn current(&self) -> Option<(u64, MultiplexedConnection)> {
        let held = self.held();
        held.1.clone().map(|connection| (held.0, connection))
    }

    fn drop_connection(&self, number: u64) {
        let mut held = self.held();
        if held.0 == number {
            held.1 = None;
        }
    }

    /// Lets go of the connection.
    pub fn close(&self) {
        self.held().1 = None;
    }

    fn held(&self) -> std::sync::MutexGuard<'_, (u64, Option<MultiplexedConnection>)> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocking connections for threads that have no runtime. One that has failed in any way is not used again.
pub(super) struct Wire {
    server: Arc<Server>,
    idle: Mutex<Vec<Connection>>,
}

impl Wire {
    /// No connection yet.
    pub fn new(server: Arc<Server>) -> Self {
        Self { server, idle: Mutex::default() }
    }

    /// Does something with a connection that nobody else uses meanwhile; once more on a fresh one if it turns out to be closed.
    pub fn with<T>(&self, act: impl Fn(&mut Connection) -> RedisResult<T>) -> RedisResult<T> {
        let idle = self.idle().pop();
        let used = idle.is_some();
        match self.try_with(idle, &act) {
            Err(error) if used && fault::was_closed(&error) => self.try_with(None, &act),
            done => done,
        }
    }

    fn try_with<T>(
        &self,
        idle: Option<Connection>,
        act: &impl Fn(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let mut connection = idle.map_or_else(|| self.server.connect_blocking(), Ok)?;
        let done = act(&mut connection)?;
        self.idle().push(connection);
        Ok(done)
    }

    /// Lets go of idle connections.
    pub fn close(&self) {
        self.idle().clear();
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
