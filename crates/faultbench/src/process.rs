//! Processes of a run: every one is started here, and only these are ever signalled.
//!
//! A process dies with its handle, and, should this process be killed itself, by a signal that the kernel sends when its parent is gone:
//! each is started through the hidden command `guarded`, which asks the kernel for that and then becomes the program.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use tokio::process::{Child, Command};

/// A program to start.
pub struct Program<'a> {
    /// This program: it guards the other one.
    pub guard: &'a Path,
    /// What to run, by name or path.
    pub run: OsString,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// What its environment has besides ours.
    pub environment: Vec<(String, OsString)>,
    /// Where what it says is appended.
    pub output: &'a Path,
}

/// A process that is ours.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: u32,
}

impl Process {
    /// Starts a program. It has no input, and a process group of its own: a Ctrl-C at the terminal reaches only this process, which then
    /// ends the others in its own way.
    pub fn start(program: Program<'_>) -> Result<Self> {
        let output = File::options().create(true).append(true).open(program.output);
        let output = output.with_context(|| format!("{} cannot be written", program.output.display()))?;
        let mut command = Command::new(program.guard);
        command.arg("guarded").arg(std::process::id().to_string()).arg("--").arg(&program.run);
        command.args(program.arguments).envs(program.environment);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        command.process_group(0).kill_on_drop(true);
        let child =
            command.spawn().with_context(|| format!("{} cannot be started", program.run.display()))?;
        let pid = child.id().context("the process ended before it had a number")?;
        Ok(Self { child, pid })
    }

    /// Its number. It is the program's, too: the guard becomes the program.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal. One that has ended already and was waited for gets none: its number may be somebody else's by now.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.child.id().and_then(|pid| Pid::from_raw(pid as i32)) else { return Ok(()) };
        kill_process(pid, signal).with_context(|| format!("process {} cannot be signalled", self.pid))
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end, at most so long.
    pub async fn end_within(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => Ok(Some(status?)),
            Err(_) => Ok(None),
        }
    }

    /// Asks it to end, and ends it the hard way if it has not within the limit. Says whether it ended by itself, and well.
    pub async fn stop(&mut self, limit: Duration) -> Result<bool> {
        self.signal(Signal::TERM)?;
        if let Some(status) = self.end_within(limit).await? {
            return Ok(status.success());
        }
        self.kill().await?;
        Ok(false)
    }

    /// Kills it, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<()> {
        self.signal(Signal::KILL)?;
        if self.end_within(Duration::from_secs(10)).await?.is_none() {
            bail!("process {} did not die within 10 s of SIGKILL", self.pid);
        }
        Ok(())
    }
}

/// Becomes a program that dies when `parent` does. Returns only if that failed.
pub fn become_guarded(parent: u32, program: &[OsString]) -> Result<()> {
    let (run, arguments) = program.split_first().context("no program is named")?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before the kernel was asked.
    if getppid().map(|pid| pid.as_raw_nonzero().get() as u32) != Some(parent) {
        bail!("the process that asked for {} is gone", run.display());
    }
    let error = std::process::Command::new(run).args(arguments).exec();
    Err(error).with_context(|| format!("{} cannot be started", run.display()))
}

/// Whether a program of this name can be found.
pub fn is_installed(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
