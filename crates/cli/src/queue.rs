//! `bulrush queue`: what queues hold, and what an operator does to them.

use anyhow::bail;
use bulrush::model::{JobState, QueueName};
use bulrush::port::{AdminCommand, AdminReply, QueueInfo};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::engine::{Engine, EngineArguments};
use crate::table::table;
use crate::time::moment;

/// Jobs handled by one call of a long command.
const SLICE: usize = 1_000;

/// Arguments of `queue`.
#[derive(Debug, Args)]
pub struct QueueArguments {
    #[command(flatten)]
    engine: EngineArguments,
    #[command(subcommand)]
    command: QueueCommand,
}

#[derive(Debug, Subcommand)]
enum QueueCommand {
    /// List the queues and what they hold
    Ls,
    /// Show one queue: counts, limits in force, settings
    Stats {
        /// Name or alias
        queue: String,
    },
    /// Start nothing until resumed
    Pause {
        /// Name or alias
        queue: String,
    },
    /// Start jobs again
    Resume {
        /// Name or alias
        queue: String,
    },
    /// Remove finished jobs
    Clean {
        /// Name or alias
        queue: String,
        /// completed, failed or cancelled; waiting, delayed and waiting-children too
        #[arg(long, default_value = "completed")]
        state: JobState,
        /// Only jobs older than so many seconds
        #[arg(long, default_value_t = 0)]
        older: u64,
    },
    /// Remove all waiting jobs
    Drain {
        /// Name or alias
        queue: String,
        /// Delayed jobs too
        #[arg(long)]
        delayed: bool,
    },
    /// Remove every job of a queue
    Obliterate {
        /// Name or alias
        queue: String,
        /// Also jobs that run
        #[arg(long)]
        force: bool,
        /// Type the queue's name again to confirm
        #[arg(long, value_name = "QUEUE")]
        confirm: String,
    },
    /// Check the invariants of a queue
    Verify {
        /// Name or alias
        queue: String,
        /// Put right what can be put right
        #[arg(long)]
        repair: bool,
    },
}

/// Runs a command on queues.
pub async fn run(arguments: QueueArguments) -> anyhow::Result<()> {
    let engine = Engine::open(&arguments.engine).await?;
    let done = carry_out(&engine, &arguments).await;
    engine.close().await?;
    done
}

async fn carry_out(engine: &Engine, arguments: &QueueArguments) -> anyhow::Result<()> {
    let json = arguments.engine.json;
    match &arguments.command {
        QueueCommand::Ls => list(engine, json).await,
        QueueCommand::Stats { queue } => {
            let queue = engine.queue(queue).await?;
            stats(queue.name(), &queue.info().await?, json);
            Ok(())
        }
        QueueCommand::Pause { queue } => {
            let queue = engine.queue(queue).await?;
            queue.admin(AdminCommand::Pause).await?;
            say(json, queue.name(), "paused", 1);
            Ok(())
        }
        QueueCommand::Resume { queue } => {
            let queue = engine.queue(queue).await?;
            queue.admin(AdminCommand::Unpause).await?;
            say(json, queue.name(), "resumed", 1);
            Ok(())
        }
        QueueCommand::Clean { queue, state, older } => {
            let clean =
                || AdminCommand::Clean { state: *state, older_ms: older.saturating_mul(1_000), limit: SLICE };
            repeat(engine, queue, json, "removed", clean).await
        }
        QueueCommand::Drain { queue, delayed } => {
            let drain = || AdminCommand::Drain { delayed: *delayed, limit: SLICE };
            repeat(engine, queue, json, "removed", drain).await
        }
        QueueCommand::Obliterate { queue, force, confirm } => {
            if confirm != queue {
                bail!("--confirm {confirm} does not repeat the queue's name {queue}; nothing was removed");
            }
            let obliterate = || AdminCommand::Obliterate { force: *force, limit: SLICE };
            repeat(engine, queue, json, "removed", obliterate).await
        }
        QueueCommand::Verify { queue, repair } => verify(engine, queue, *repair, json).await,
    }
}

async fn list(engine: &Engine, as_json: bool) -> anyhow::Result<()> {
    let header =
        ["queue", "waiting", "active", "delayed", "completed", "failed", "cancelled", "oldest waiting", ""];
    let mut table = table(header, 1..7);
    for name in engine.client.backend().queues().await? {
        let info = engine.client.backend().info(&name).await?;
        if as_json {
            println!("{}", summary(&name, &info));
            continue;
        }
        let counts = info.counts;
        table.add_row([
            name.to_string(),
            counts.waiting.to_string(),
            counts.active.to_string(),
            counts.delayed.to_string(),
            counts.completed.to_string(),
            counts.failed.to_string(),
            counts.cancelled.to_string(),
            moment(info.oldest_waiting),
            if info.paused { "paused".into() } else { String::new() },
        ]);
    }
    if !as_json {
        println!("{table}");
    }
    Ok(())
}

fn summary(name: &QueueName, info: &QueueInfo) -> serde_json::Value {
    json!({
        "queue": name, "counts": info.counts, "totals": info.totals, "paused": info.paused,
        "limitedUntil": info.limited_until, "oldestWaiting": info.oldest_waiting, "nextDue": info.next_due,
        "outbox": info.outbox,
    })
}

fn stats(name: &QueueName, info: &QueueInfo, as_json: bool) {
    if as_json {
        let mut summary = summary(name, info);
        summary["config"] = json!(info.config);
        println!("{summary}");
        return;
    }
    println!("{name}{}", if info.paused { " (paused)" } else { "" });
    for state in JobState::ALL {
        println!("  {:<17} {}", state.as_str(), info.counts.of(state));
    }
    let totals = info.totals;
    println!(
        "since it was made: {} added, {} completed, {} failed, {} retried, {} cancelled, {} stalled",
        totals.added, totals.completed, totals.failed, totals.retried, totals.cancelled, totals.stalled
    );
    for (what, at) in [
        ("oldest waiting", info.oldest_waiting),
        ("next due", info.next_due),
        ("limited until", info.limited_until),
    ] {
        if at.is_some() {
            println!("{what}: {} UTC", moment(at));
        }
    }
    if let Some(rate) = info.config.rate {
        println!("rate limit: {} starts in {} ms", rate.max, rate.per_ms);
    }
    if let Some(concurrency) = info.config.concurrency {
        println!("at most {concurrency} at once over all workers");
    }
}

/// Repeats a bounded command until nothing is left for it.
async fn repeat(
    engine: &Engine,
    queue: &str,
    as_json: bool,
    what: &str,
    command: impl Fn() -> AdminCommand,
) -> anyhow::Result<()> {
    let queue = engine.queue(queue).await?;
    let mut changed = 0;
    loop {
        let reply: AdminReply = queue.admin(command()).await?;
        changed += reply.changed;
        // A call may change nothing and still have come closer to what is left.
        if !reply.more {
            break;
        }
    }
    say(as_json, queue.name(), what, changed);
    Ok(())
}

fn say(as_json: bool, queue: &QueueName, what: &str, jobs: usize) {
    if as_json {
        println!("{}", json!({"queue": queue, "done": what, "changed": jobs}));
    } else if matches!(what, "paused" | "resumed") {
        println!("{queue} is {what}");
    } else {
        println!("{queue}: {what} {jobs} jobs");
    }
}

async fn verify(engine: &Engine, queue: &str, repair: bool, as_json: bool) -> anyhow::Result<()> {
    let queue = engine.queue(queue).await?;
    let (mut cursor, mut checked, mut broken) = (Some(0), 0, 0);
    while let Some(from) = cursor {
        let page = queue.backend().verify(queue.name(), from, repair).await?;
        checked += page.checked;
        for finding in &page.findings {
            broken += usize::from(!finding.repaired);
            let job = finding.job.as_ref().map(ToString::to_string);
            if as_json {
                let (invariant, text, repaired) = (finding.invariant, &finding.text, finding.repaired);
                println!(
                    "{}",
                    json!({"invariant": invariant, "job": job, "text": text, "repaired": repaired})
                );
            } else {
                let repaired = if finding.repaired { " (put right)" } else { "" };
                println!(
                    "invariant {}: {} {}{repaired}",
                    finding.invariant,
                    job.unwrap_or_default(),
                    finding.text
                );
            }
        }
        cursor = page.next;
    }
    if !as_json {
        println!("{}: {checked} jobs checked, {broken} findings", queue.name());
    }
    if broken > 0 {
        bail!(
            "{broken} invariants are broken; run it again with --repair, and please report how it came to this"
        );
    }
    Ok(())
}
