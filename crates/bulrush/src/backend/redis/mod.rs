//! Queues on a Redis server: one Lua script for each command of the port.
//!
//! The scripts (`lua/`) are the authority: each checks and changes in one step, on the server's clock. What stands here packs calls,
//! unpacks answers, and keeps connections. A call is checked against the settings that this process knows and tells their version; if they
//! have moved on, the script changes nothing and tells the new ones. The layout of the keys stands in `keys.rs`, that of a job's record in
//! `record.rs`, and why it is so in `docs/adr/0001-the-port-suits-redis.md`.
//!
//! Whatever fails leaves the queue as it was or as the call makes it, because a script is carried out whole; a caller that has no answer
//! repeats the call.

mod active;
mod add;
mod blocking;
mod connect;
mod enqueue;
mod events;
mod explain;
mod extras;
mod fault;
mod inspect;
mod keys;
mod maintain;
mod options;
mod outbox;
mod packed;
mod page;
mod record;
mod replicas;
mod reply;
mod rollups;
mod schedule;
mod script;
mod server;
mod settings;
mod step;
mod time;
mod verify;
mod work;

use std::sync::{Arc, PoisonError, RwLock};

use deadpool_redis::redis::{Cmd, Pipeline, RedisWrite, Value, cmd};
use hashbrown::HashMap;
use tokio_util::sync::{CancellationToken, DropGuard};

use self::blocking::Blocking;
use self::connect::{Failed, Line, Server, Wire};
use self::keys::Keys;
pub use self::options::RedisOptions;
use self::packed::Unpack;
use self::replicas::Confirm;
use self::reply::{Items, strange};
use self::script::{Script, Scripts};
use self::server::Watch;
pub use self::server::{Info as RedisInfo, SETTINGS as REDIS_SETTINGS};
use self::settings::{Known, Settings};
use self::time::{Heard, TestTime};
use crate::model::{Millis, QueueName};
use crate::port::{Backend, BoxFuture, Error, Result, ServerUsage};

/// Queues that this process remembers; beyond, it forgets all of them and learns anew, so that nobody fills its memory with names.
const QUEUES_MAX: usize = 4_096;
/// How often a call is checked anew because the settings have moved on.
const ROUNDS_MAX: usize = 5;

/// Queues on a Redis server.
pub struct Redis {
    namespace: String,
    server: Arc<Server>,
    scripts: Scripts,
    /// For threads that have no runtime.
    wire: Wire,
    blocking: Arc<Blocking>,
    queues: RwLock<HashMap<QueueName, Arc<At>>>,
    test_time: Option<TestTime>,
    /// Where writes must be confirmed by replicas.
    confirm: Option<Confirm>,
    /// What is known of the server.
    watch: Arc<Watch>,
    closed: CancellationToken,
    /// Whoever drops the backend without closing it ends the watch all the same.
    _watched: DropGuard,
}

/// A queue, as this process knows it.
struct At {
    name: QueueName,
    keys: Keys,
    settings: Known,
    heard: Heard,
    /// This process has put its name into the list of queues.
    listed: std::sync::atomic::AtomicBool,
    /// What goes in: adds, deliveries, writes of running jobs.
    feed: Line,
    /// What is worked on: steps and hellos.
    work: Line,
}

/// Which connection a call takes.
#[derive(Clone, Copy)]
enum Via<'a> {
    /// One that is held.
    Line(&'a Line),
    /// One of the pool.
    Pool,
}

/// What a script answers.
enum Answer {
    /// The moment, and the rest.
    Done(Millis, Items),
    /// A word instead, and what belongs to it; nothing was changed.
    Word(Vec<u8>, Items),
}

/// The client library's way to a server by its address: for whoever looks at it beside the engine. Connects to nothing yet.
///
/// # Errors
/// An address that is not understood.
#[doc(hidden)]
pub fn redis_client(url: &str) -> Result<deadpool_redis::redis::Client> {
    let (url, options) = RedisOptions::default().take_from(url)?;
    connect::client(&url, &options)
}

impl Redis {
    /// Opens the queues on a server by its address.
    ///
    /// # Errors
    /// An address or a namespace that is not understood, a server that cannot be reached or cannot serve.
    pub async fn open(url: &str, options: RedisOptions) -> Result<Self> {
        let (url, options) = options.take_from(url)?;
        let namespace = options.namespace.clone();
        if !keys::is_namespace(&namespace) {
            let reason = format!("namespace {namespace:?}: use 1 to 64 letters, digits, '.', '_' and '-'");
            return Err(Error::Url { url: super::open::redact(&url), reason });
        }
        let server = Arc::new(Server::new(&url, &options)?);
        let watch = Arc::new(Watch::open(server.clone(), options.clone()).await?);
        let confirm = Confirm::new(&options);
        if let Some(confirm) = &confirm {
            confirm.try_out(&server).await?;
        }
        let closed = CancellationToken::new();
        tokio::spawn(watch.clone().keep_looking(closed.clone()));
        Ok(Self {
            scripts: Scripts::new(options.clock.is_some()),
            wire: Wire::new(server.clone()),
            blocking: Arc::new(Blocking::new(server.clone())),
            queues: RwLock::default(),
            test_time: options.clock.map(|clock| TestTime::new(clock, &namespace)),
            confirm,
            watch,
            _watched: closed.clone().drop_guard(),
            closed,
            namespace,
            server,
        })
    }

    /// A queue, as this process knows it.
    fn at(&self, queue: &QueueName) -> Arc<At> {
        if let Some(at) = self.queues.read().unwrap_or_else(PoisonError::into_inner).get(queue) {
            return at.clone();
        }
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        if queues.len() >= QUEUES_MAX {
            queues.clear();
        }
        let new = || {
            Arc::new(At {
                name: queue.clone(),
                keys: Keys::new(&self.namespace, queue),
                settings: Known::default(),
                heard: Heard::default(),
                listed: std::sync::atomic::AtomicBool::default(),
                feed: Line::new(self.server.clone()),
                work: Line::new(self.server.clone()),
            })
        };
        queues.entry(queue.clone()).or_insert_with(new).clone()
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.is_cancelled() { Err(Error::Closed) } else { Ok(()) }
    }

    // ------------------------------------------------------------------ calls

    async fn send(&self, via: Via<'_>, cmd: &Cmd) -> Result<Value, Failed> {
        match via {
            Via::Line(line) => line.call(cmd, None).await,
            Via::Pool => self.server.call(cmd).await,
        }
    }

    /// Makes a call that is no script.
    async fn plain(&self, via: Via<'_>, cmd: &Cmd) -> Result<Value> {
        self.check_open()?;
        self.tell_time(via).await?;
        Ok(self.send(via, cmd).await?)
    }

    /// Makes many calls that are no scripts, in one go. Returns their answers in order.
    async fn plain_all(&self, calls: &Pipeline) -> Result<Items> {
        self.check_open()?;
        self.tell_time(Via::Pool).await?;
        let replies = if calls.is_empty() { Vec::new() } else { self.server.call_all(calls).await? };
        Items::of(Value::Array(replies))
    }

    /// Where a test moves the clock, the server is told before each call.
    async fn tell_time(&self, via: Via<'_>) -> Result<()> {
        if let Some(time) = &self.test_time
            && let Some((set, now)) = time.due()
        {
            self.send(via, &set).await?;
            time.wrote(now);
        }
        Ok(())
    }

    /// Lists a queue before the first call that may leave something in it.
    async fn list(&self, via: Via<'_>, at: &At) -> Result<()> {
        use std::sync::atomic::Ordering;
        if !at.listed.load(Ordering::Acquire) {
            self.check_open()?;
            match self.send(via, &self.listing(at)).await {
                Ok(_) => at.listed.store(true, Ordering::Release),
                // A full server takes no name, but it lets workers settle and take what is there; the call itself tells who may not.
                Err(Failed::Refused(error)) if fault::is_full(&error) => {}
                Err(failed) => return Err(failed.into()),
            }
        }
        Ok(())
    }

    fn listing(&self, at: &At) -> Cmd {
        let mut add = cmd("SADD");
        add.arg(keys::queues(&self.namespace)).arg(at.name.as_str());
        add
    }

    /// Calls a script; `arguments` appends what follows the keys.
    async fn script(
        &self,
        via: Via<'_>,
        script: Script,
        at: &At,
        arguments: impl FnOnce(&mut Cmd),
    ) -> Result<Items> {
        self.check_open()?;
        self.tell_time(via).await?;
        let hash = match self.scripts.hash(script) {
            Some(hash) => hash,
            None => self.load(via, script).await?,
        };
        let mut call = script::call(script, hash, &at.keys);
        arguments(&mut call);
        let reply = match self.send_script(via, script, &call).await {
            Err(Failed::Refused(error)) if fault::lacks_script(&error) => {
                self.load(via, script).await?;
                self.send_script(via, script, &call).await
            }
            other => other,
        };
        Items::of(reply?)
    }

    /// Sends the call of a script, and waits for replicas where its write is acknowledged and they are asked for.
    async fn send_script(&self, via: Via<'_>, script: Script, call: &Cmd) -> Result<Value, Failed> {
        let confirm = self.confirm.as_ref().filter(|_| script.is_acknowledged());
        match (via, confirm) {
            (Via::Line(line), confirm) => line.call(call, confirm).await,
            (Via::Pool, Some(confirm)) => self.server.call_confirmed(call, confirm).await,
            (Via::Pool, None) => self.server.call(call).await,
        }
    }

    /// Gives the server a script.
    async fn load(&self, via: Via<'_>, script: Script) -> Result<&str> {
        let mut load = cmd("SCRIPT");
        load.arg("LOAD").arg(self.scripts.text(script));
        match self.send(via, &load).await? {
            Value::BulkString(hash) => {
                let hash = String::from_utf8(hash).map_err(|_| strange("a hash"))?;
                Ok(self.scripts.learn(script, hash))
            }
            _ => Err(strange("a hash")),
        }
    }

    /// Calls a script that answers with the moment or with a word.
    async fn ask(
        &self,
        via: Via<'_>,
        script: Script,
        at: &At,
        arguments: impl FnOnce(&mut Cmd),
    ) -> Result<Answer> {
        Answer::of(self.script(via, script, at, arguments).await?, at)
    }

    /// As [`ask`](Self::ask), of a script that answers with the moment alone.
    async fn done(
        &self,
        via: Via<'_>,
        script: Script,
        at: &At,
        arguments: impl FnOnce(&mut Cmd),
    ) -> Result<(Millis, Items)> {
        match self.ask(via, script, at, arguments).await? {
            Answer::Done(now, items) => Ok((now, items)),
            Answer::Word(..) => Err(strange("a moment")),
        }
    }

    /// Calls a script with arguments that are checked against the queue's settings first.
    async fn checked(
        &self,
        via: Via<'_>,
        script: Script,
        at: &At,
        check: impl Fn(&Settings) -> Result<()>,
        arguments: impl Fn(&mut Cmd, &Settings),
    ) -> Result<Answer> {
        for _ in 0..ROUNDS_MAX {
            let settings = at.settings.get();
            if let Err(error) = check(&settings) {
                // What is known here may be old, and the queue may take by now what is refused here.
                if self.refresh(via, at).await? == settings.version {
                    return Err(error);
                }
                continue;
            }
            match self.ask(via, script, at, |cmd| arguments(cmd, &settings)).await? {
                Answer::Word(word, told) if word == b"cfg" => at.settings.learn(&at.name, told)?,
                answer => return Ok(answer),
            }
        }
        Err(Error::Unsettled)
    }

    /// Reads the settings. Returns their version.
    async fn refresh(&self, via: Via<'_>, at: &At) -> Result<u32> {
        let mut read = cmd("HMGET");
        read.arg(at.keys.meta()).arg("cfg").arg("config");
        let mut row = Items::of(self.plain(via, &read).await?)?;
        let version = match row.bytes_or_none()? {
            Some(packed) => {
                Unpack::new(&packed).u32().map_err(reply::unreadable("the version of settings"))?
            }
            None => 0,
        };
        let told = vec![row.next().unwrap_or(Value::Nil), Value::Int(i64::from(version))];
        at.settings.learn(&at.name, Items::of(Value::Array(told))?)?;
        Ok(version)
    }
}

impl Answer {
    fn of(mut items: Items, at: &At) -> Result<Self> {
        match items.next() {
            Some(Value::Int(now)) => {
                let now = Millis::try_from(now).unwrap_or(0);
                at.heard.set(now);
                Ok(Self::Done(now, items))
            }
            Some(Value::BulkString(word)) => Ok(Self::Word(word, items)),
            _ => Err(strange("a moment or a word")),
        }
    }
}

impl Backend for Redis {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn server_usage(&self) -> BoxFuture<'_, Result<Option<ServerUsage>>> {
        Box::pin(async {
            self.check_open()?;
            self.server.usage().await
        })
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            // Whoever waits is woken by this, and learns that it is closed.
            self.closed.cancel();
            self.blocking.close().await;
            let queues = std::mem::take(&mut *self.queues.write().unwrap_or_else(PoisonError::into_inner));
            queues.into_values().for_each(|at| {
                at.feed.close();
                at.work.close();
            });
            self.wire.close();
            self.server.close();
            Ok(())
        })
    }
}

/// Appends a number.
fn put_number(cmd: &mut Cmd, value: u64) {
    cmd.write_arg_fmt(reply::digits(value));
}
