//! What the server asks of the kernel, as `strace` sees it: what it has written to its file, what of that was flushed, and when it answered.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;

use crate::field::Field;
use crate::process::{Process, Program};

/// The server's file that grows, in the lines of a trace.
const FILE: &str = ".incr.aof>";

/// A trace under way.
pub struct Trace {
    tracer: Process,
    path: PathBuf,
    base: u64,
}

/// What a trace has shown.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes written to the file.
    pub written: u64,
    /// Of these, flushed.
    pub durable: u64,
    /// Flushes.
    pub flushes: u64,
    /// Writes to connections.
    pub answers: u64,
    /// Writes to connections while something was written and not flushed.
    pub early: u64,
}

impl Trace {
    /// Follows the server from now on.
    pub async fn start(field: &Field, number: usize) -> Result<Self> {
        let pid = field.server.pid().context("the server is down")?;
        let path = field.folder().join(format!("trace-{number}"));
        let said = field.folder().join(format!("trace-{number}.log"));
        // While it stands still its file does not grow, so what the trace adds up begins at a length that is known.
        field.server.signal(Signal::STOP)?;
        let base = std::fs::metadata(field.server.growing_file()?)?.len();
        let words = ["-f", "-y", "-s", "0", "-e", "trace=write,writev,fdatasync", "-o"];
        let mut arguments: Vec<_> = words.iter().map(Into::into).collect();
        arguments.extend([path.clone().into(), "-p".into(), pid.to_string().into()]);
        let program = Program {
            guard: field.program(),
            run: "strace".into(),
            arguments,
            environment: Vec::new(),
            output: &said,
        };
        let mut tracer = Process::start(program)?;
        let attached = attached(&mut tracer, &said).await;
        field.server.signal(Signal::CONT)?;
        attached?;
        Ok(Self { tracer, path, base })
    }

    /// Lets the server go on without being followed, or reads what was seen of one that has died. Returns it, and the length of the file of
    /// which all is flushed.
    pub async fn end(mut self) -> Result<(Seen, u64)> {
        // It ends by itself with the server.
        if self.tracer.end_within(Duration::from_millis(500)).await?.is_none() {
            self.tracer.signal(Signal::INT)?;
            if self.tracer.end_within(Duration::from_secs(10)).await?.is_none() {
                bail!("strace did not end when asked to");
            }
        }
        let seen = read(&std::fs::read_to_string(&self.path)?);
        let durable = self.base + seen.durable;
        Ok((seen, durable))
    }
}

async fn attached(tracer: &mut Process, said: &Path) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = std::fs::read_to_string(said).unwrap_or_default();
        if text.contains("attached") {
            return Ok(());
        }
        if tracer.ended()?.is_some() || Instant::now() >= deadline {
            bail!("strace cannot follow the server; it said: {text}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Reads the lines of a trace.
fn read(text: &str) -> Seen {
    let mut seen = Seen::default();
    // The thread that carries out commands is the one that answers; flushes may come from another.
    let mut begun: Vec<(&str, u64)> = Vec::new();
    for line in text.lines() {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        let good = |call: &str| call.rsplit_once(" = ").and_then(|(_, n)| n.trim().parse::<u64>().ok());
        if call.starts_with("fdatasync(") && call.contains(FILE) {
            if call.contains("<unfinished") {
                begun.push((thread, seen.written));
            } else if good(call) == Some(0) {
                seen.flushed(seen.written);
            }
        } else if call.starts_with("<... fdatasync resumed>") {
            let Some(at) = begun.iter().position(|(other, _)| *other == thread) else { continue };
            let (_, written) = begun.swap_remove(at);
            if good(call) == Some(0) {
                seen.flushed(written);
            }
        } else if call.starts_with("write") && call.contains(FILE) {
            // One that was interrupted by the end of the process has no length, and does not count as written.
            seen.written += good(call).unwrap_or(0);
        } else if call.starts_with("write") && call.contains("<socket:") {
            seen.answers += 1;
            seen.early += u64::from(seen.durable < seen.written);
        }
    }
    seen
}

impl Seen {
    fn flushed(&mut self, written: u64) {
        self.flushes += 1;
        self.durable = self.durable.max(written);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE_7: &str = "7</x/appendonly.aof.1.incr.aof>";

    #[test]
    fn what_is_flushed_before_the_answer_is_durable() {
        let text = format!(
            "10  write({FILE_7}, \"\"..., 51) = 51\n10  fdatasync({FILE_7}) = 0\n10  write(8<socket:[1]>, \"\"..., 5) = 5\n"
        );
        assert_eq!(read(&text), Seen { written: 51, durable: 51, flushes: 1, answers: 1, early: 0 });
    }

    #[test]
    fn an_answer_before_the_flush_is_early() {
        let text = format!(
            "10  write({FILE_7}, \"\"..., 51) = 51\n10  write(8<socket:[1]>, \"\"..., 5) = 5\n10  fdatasync({FILE_7}) = 0\n"
        );
        assert_eq!(read(&text), Seen { written: 51, durable: 51, flushes: 1, answers: 1, early: 1 });
    }

    #[test]
    fn a_flush_beside_a_write_covers_what_was_written_when_it_began() {
        let text = format!(
            "10  write({FILE_7}, \"\"..., 30) = 30\n12  fdatasync({FILE_7} <unfinished ...>\n10  write({FILE_7}, \"\"..., 12) = 12\n\
             12  <... fdatasync resumed>)          = 0\n10  write({FILE_7}, \"\"..., 9 <unfinished ...>\n10  +++ killed by SIGKILL +++\n"
        );
        assert_eq!(read(&text), Seen { written: 42, durable: 30, flushes: 1, answers: 0, early: 0 });
    }

    #[test]
    fn a_flush_that_failed_or_never_ended_makes_nothing_durable() {
        let text = format!(
            "10  write({FILE_7}, \"\"..., 30) = 30\n10  fdatasync({FILE_7}) = -1 EIO (Input/output error)\n12  fdatasync({FILE_7} <unfinished ...>\n"
        );
        assert_eq!(read(&text), Seen { written: 30, durable: 0, flushes: 0, answers: 0, early: 0 });
    }
}
