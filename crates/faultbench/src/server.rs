//! The private Redis server of a run: on a unix socket in the run's folder, with an append-only file there.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use deadpool_redis::redis::{AsyncConnectionConfig, Client, Cmd, FromRedisValue};
use rustix::process::Signal;

use crate::clock::now_us;
use crate::process::{Process, Program};

/// When the server flushes what it has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Before each acknowledgement: the class `durable`.
    Always,
    /// Once a second: the class `standard`.
    EverySecond,
}

impl Flush {
    /// The server's word for it.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::EverySecond => "everysec",
        }
    }

    /// The class of durability.
    pub fn class(self) -> &'static str {
        match self {
            Self::Always => "durable",
            Self::EverySecond => "standard",
        }
    }
}

/// How the server is started.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// When it flushes.
    pub flush: Flush,
    /// Settings besides, as on its command line without the dashes.
    pub settings: Vec<(&'static str, String)>,
    /// What its environment has besides ours; [`FOLDER`] in it stands for the folder of the run.
    pub environment: Vec<(String, OsString)>,
}

/// What stands for the folder of the run.
pub const FOLDER: &str = "{folder}";
/// The file in it that says by how much the clock of a server is wrong that looks there.
pub const CLOCK: &str = "clock";

impl Default for ServerOptions {
    fn default() -> Self {
        Self { flush: Flush::Always, settings: Vec::new(), environment: Vec::new() }
    }
}

/// How long a server may take to come up: it may have to read its file on a machine that is busy.
const UP_WITHIN: Duration = Duration::from_secs(30);
/// How often it is asked whether it is up.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A server.
pub struct Server {
    guard: PathBuf,
    folder: PathBuf,
    options: ServerOptions,
    process: Option<Process>,
}

impl Server {
    /// Starts one, with its data in a folder. Returns when it answers.
    pub async fn start(guard: &Path, folder: &Path, options: ServerOptions) -> Result<Self> {
        std::fs::create_dir_all(folder.join("data"))?;
        std::fs::write(folder.join(CLOCK), "+0\n")?;
        let mut server = Self { guard: guard.to_owned(), folder: folder.to_owned(), options, process: None };
        server.up().await?;
        Ok(server)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    /// Its address for whoever does not go through a proxy.
    pub fn address(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// The part of the append-only file that grows: the one that was begun last.
    pub fn growing_file(&self) -> Result<PathBuf> {
        let mut last: Option<(u64, PathBuf)> = None;
        for entry in std::fs::read_dir(self.folder.join("data/appendonlydir"))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number = name.strip_prefix("appendonly.aof.").and_then(|rest| rest.strip_suffix(".incr.aof"));
            if let Some(number) = number.and_then(|number| number.parse().ok())
                && last.as_ref().is_none_or(|(other, _)| number > *other)
            {
                last = Some((number, path));
            }
        }
        last.map(|(_, path)| path).context("the server has no append-only file")
    }

    /// Starts it again if it has ended. Says whether it had.
    pub async fn up_if_ended(&mut self) -> Result<bool> {
        let ended = match &mut self.process {
            Some(process) => process.ended()?.is_some(),
            None => true,
        };
        if ended {
            self.up().await?;
        }
        Ok(ended)
    }

    /// Has the append-only file written anew, and waits until it is.
    pub async fn rewrite(&self) -> Result<()> {
        let _: String = self.ask(&command(&["BGREWRITEAOF"])).await?;
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            let info: String = self.ask(&command(&["INFO", "persistence"])).await?;
            let is = |line: &str| info.lines().any(|other| other.trim() == line);
            if is("aof_rewrite_in_progress:0") && is("aof_rewrite_scheduled:0") {
                anyhow::ensure!(
                    is("aof_last_bgrewrite_status:ok"),
                    "the append-only file could not be written anew"
                );
                return Ok(());
            }
            anyhow::ensure!(Instant::now() < deadline, "the append-only file was not written anew in time");
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Where what it says goes.
    pub fn output(&self) -> PathBuf {
        self.folder.join("redis.log")
    }

    /// Its process's number.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Starts it again. Returns the moment at which it answered.
    pub async fn up(&mut self) -> Result<u64> {
        self.launch()?;
        self.answers().await
    }

    /// Starts it without waiting for it.
    fn launch(&mut self) -> Result<()> {
        let mut arguments: Vec<OsString> = Vec::new();
        let fixed = [
            ("port", "0".to_owned()),
            ("unixsocket", self.socket().display().to_string()),
            ("dir", self.folder.join("data").display().to_string()),
            ("appendonly", "yes".to_owned()),
            ("appendfsync", self.options.flush.setting().to_owned()),
            // A rewrite would put the truth into another file in the middle of a scenario.
            ("auto-aof-rewrite-percentage", "0".to_owned()),
            ("aof-load-truncated", "yes".to_owned()),
            ("save", String::new()),
            ("maxmemory-policy", "noeviction".to_owned()),
            ("enable-debug-command", "local".to_owned()),
            ("daemonize", "no".to_owned()),
        ];
        for (name, value) in fixed.into_iter().chain(self.options.settings.iter().cloned()) {
            arguments.push(format!("--{name}").into());
            arguments.push(value.into());
        }
        let output = self.output();
        let folder = self.folder.display().to_string();
        let here = |(name, value): &(String, OsString)| {
            (name.clone(), value.to_string_lossy().replace(FOLDER, &folder).into())
        };
        let program = Program {
            guard: &self.guard,
            run: "redis-server".into(),
            arguments,
            environment: self.options.environment.iter().map(here).collect(),
            output: &output,
        };
        self.process = Some(Process::start(program)?);
        Ok(())
    }

    /// Waits until it answers. Returns the moment.
    pub async fn answers(&mut self) -> Result<u64> {
        let deadline = Instant::now() + UP_WITHIN;
        loop {
            if self.ask::<String>(Cmd::new().arg("PING")).await.is_ok_and(|pong| pong == "PONG") {
                return Ok(now_us());
            }
            let ended = match &mut self.process {
                Some(process) => process.ended()?,
                None => bail!("the server was not started"),
            };
            if ended.is_some() || Instant::now() >= deadline {
                let said = std::fs::read_to_string(self.output()).unwrap_or_default();
                let tail: Vec<&str> = said.lines().rev().take(8).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                bail!("the server did not come up ({ended:?}); it said:\n{}", tail.join("\n"));
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    /// Asks it something, on a connection of its own.
    pub async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        self.ask_within(command, Duration::from_secs(5)).await
    }

    /// As [`ask`](Self::ask), with a limit.
    pub async fn ask_within<T: FromRedisValue>(&self, command: &Cmd, limit: Duration) -> Result<T> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(limit))
            .set_response_timeout(Some(limit));
        let client = Client::open(self.address())?;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(command.query_async(&mut connection).await?)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.process.as_ref().context("the server is down")?.signal(signal)
    }

    /// Asks it to end, as a machine that is shut down does.
    pub async fn down(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take()
            && !process.stop(UP_WITHIN).await?
        {
            bail!("the server did not end well when asked to");
        }
        Ok(())
    }

    /// Kills it.
    pub async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Removes all that it has on disk. It must be down.
    pub fn wipe(&self) -> Result<()> {
        std::fs::remove_dir_all(self.folder.join("data"))?;
        Ok(std::fs::create_dir_all(self.folder.join("data"))?)
    }
}

/// A command from its words.
pub fn command(words: &[&str]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command
}
