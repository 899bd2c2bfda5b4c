//! `bulrush job`: single jobs.

use anyhow::{Context, bail};
use bulrush::Queue;
use bulrush::model::{JobId, JobState, JobView, PageRequest};
use bulrush::port::{AddOutcome, AdminCommand, AdminResult};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::engine::{Engine, EngineArguments};
use crate::time::moment;

/// Arguments of `job`.
#[derive(Debug, Args)]
pub struct JobArguments {
    #[command(flatten)]
    engine: EngineArguments,
    #[command(subcommand)]
    command: JobCommand,
}

#[derive(Debug, Subcommand)]
enum JobCommand {
    /// Add a job
    Add {
        /// Queue, by name or alias
        queue: String,
        /// The job's name
        name: String,
        /// Its data, JSON
        #[arg(default_value = "{}")]
        data: String,
        /// Smaller runs first, 0 to 2097152
        #[arg(long)]
        priority: Option<u32>,
        /// Seconds to wait before it may run
        #[arg(long)]
        delay: Option<u64>,
        /// An id of your own: adding it twice adds one job
        #[arg(long)]
        id: Option<JobId>,
    },
    /// Show a job
    Get {
        /// Queue, by name or alias
        queue: String,
        /// The job's id
        id: JobId,
    },
    /// List jobs of a state, newest first
    Ls {
        /// Queue, by name or alias
        queue: String,
        /// waiting, delayed, waiting-children, active, completed, failed or cancelled
        #[arg(long, default_value = "waiting")]
        state: JobState,
        /// Most jobs to show, up to 1000
        #[arg(long, default_value_t = 20)]
        limit: usize,
        /// Go on where the last page ended
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Tell why a job is not running
    Explain {
        /// Queue, by name or alias
        queue: String,
        /// The job's id
        id: JobId,
    },
    /// Show a job's log lines
    Logs {
        /// Queue, by name or alias
        queue: String,
        /// The job's id
        id: JobId,
    },
    /// Run a failed or cancelled job again
    Retry {
        /// Queue, by name or alias
        queue: String,
        /// The job's id
        id: JobId,
        /// Data to run it with instead of its own, JSON
        #[arg(long = "with", value_name = "DATA")]
        with: Option<String>,
    },
    /// Stop a job
    Cancel {
        /// Queue, by name or alias
        queue: String,
        /// The job's id
        id: JobId,
    },
    /// Remove a job that does not run
    Rm {
        /// Queue, by name or alias
        queue: String,
        /// The job's id
        id: JobId,
    },
}

/// Runs a command on jobs.
pub async fn run(arguments: JobArguments) -> anyhow::Result<()> {
    let engine = Engine::open(&arguments.engine).await?;
    let done = carry_out(&engine, &arguments).await;
    engine.close().await?;
    done
}

async fn carry_out(engine: &Engine, arguments: &JobArguments) -> anyhow::Result<()> {
    let as_json = arguments.engine.json;
    match &arguments.command {
        JobCommand::Add { queue, name, data, priority, delay, id } => {
            let queue = engine.queue(queue).await?;
            let id = id.clone().unwrap_or_else(|| queue.new_id());
            let mut job = queue.job_with_id(id, name.as_str(), json_text(data)?.to_owned());
            if let Some(priority) = priority {
                job = job.priority(*priority);
            }
            if let Some(delay) = delay {
                job = job.delay_ms(delay.saturating_mul(1_000));
            }
            let added = queue.add(job).await?;
            let new = match added.outcome {
                AddOutcome::New => "added",
                AddOutcome::SameId { .. } => "was there already",
                AddOutcome::Full { depth_max } => {
                    bail!("{} is at its depth limit of {depth_max}; nothing was added", queue.name())
                }
                AddOutcome::SameKey | AddOutcome::KeyConflict => "holds its key",
            };
            if as_json {
                println!("{}", json!({"id": added.id, "new": added.is_new()}));
            } else {
                println!("{} {new}", added.id);
            }
            Ok(())
        }
        JobCommand::Get { queue, id } => {
            let queue = engine.queue(queue).await?;
            let job = queue.get(id).await?.with_context(|| unknown(&queue, id))?;
            show(&job, as_json);
            Ok(())
        }
        JobCommand::Ls { queue, state, limit, cursor } => {
            let queue = engine.queue(queue).await?;
            let request = PageRequest {
                state: Some(*state),
                limit: *limit,
                cursor: cursor.clone(),
                ..PageRequest::default()
            };
            let page = queue.backend().page(queue.name(), request).await?;
            for job in &page.jobs {
                line(job, as_json);
            }
            if let Some(next) = page.next
                && page.jobs.len() >= *limit
                && !as_json
            {
                println!("more: --cursor {next}");
            }
            Ok(())
        }
        JobCommand::Explain { queue, id } => {
            let queue = engine.queue(queue).await?;
            let told =
                queue.backend().explain(queue.name(), id).await?.with_context(|| unknown(&queue, id))?;
            let reasons: Vec<String> = told.reasons.iter().map(ToString::to_string).collect();
            if as_json {
                println!("{}", json!({"state": told.state, "reasons": reasons}));
            } else if reasons.is_empty() {
                println!("{id} is {}; nothing keeps it from running", told.state);
            } else {
                println!("{id} is {}: {}", told.state, reasons.join("; "));
            }
            Ok(())
        }
        JobCommand::Logs { queue, id } => {
            let queue = engine.queue(queue).await?;
            queue.get(id).await?.with_context(|| unknown(&queue, id))?;
            let lines = queue.backend().logs(queue.name(), id, 0, usize::MAX).await?;
            for (number, text) in lines {
                if as_json {
                    println!("{}", json!({"line": number, "text": text}));
                } else {
                    println!("{text}");
                }
            }
            Ok(())
        }
        JobCommand::Retry { queue, id, with } => {
            let data = with.as_deref().map(json_text).transpose()?.map(|text| text.to_owned().into());
            let command = AdminCommand::Retry { ids: vec![id.clone()], data };
            one(engine, queue, id, command, "will run again", as_json).await
        }
        JobCommand::Cancel { queue, id } => {
            one(engine, queue, id, AdminCommand::Cancel(vec![id.clone()]), "is cancelled", as_json).await
        }
        JobCommand::Rm { queue, id } => {
            one(engine, queue, id, AdminCommand::Remove(vec![id.clone()]), "is removed", as_json).await
        }
    }
}

async fn one(
    engine: &Engine,
    queue: &str,
    id: &JobId,
    command: AdminCommand,
    done: &str,
    as_json: bool,
) -> anyhow::Result<()> {
    let queue = engine.queue(queue).await?;
    let reply = queue.admin(command).await?;
    let text = match reply.results.first() {
        Some(AdminResult::Done) => done.to_owned(),
        Some(AdminResult::Requested) => "runs, and was asked to stop".to_owned(),
        Some(AdminResult::WrongState(state)) => bail!("{id} is {state}; nothing was changed"),
        Some(AdminResult::Unknown) | None => bail!(unknown(&queue, id)),
    };
    if as_json {
        println!("{}", json!({"id": id, "done": text}));
    } else {
        println!("{id} {text}");
    }
    Ok(())
}

fn unknown(queue: &Queue, id: &JobId) -> String {
    format!("{} has no job {id}; it may have been trimmed or removed", queue.name())
}

fn json_text(text: &str) -> anyhow::Result<&str> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .with_context(|| format!("the data is not JSON: {text}"))?;
    Ok(text)
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

fn describe(job: &JobView) -> Value {
    let (spec, status) = (&job.spec, &job.status);
    json!({
        "id": spec.id, "queue": job.queue, "name": &*spec.name, "state": status.state, "data": value(&spec.data),
        "priority": spec.priority, "attemptsMade": status.attempts_made, "attempts": spec.attempts,
        "stalls": status.stalls, "createdAt": status.created_at, "runAt": status.run_at,
        "processedOn": status.processed_on, "finishedOn": status.finished_on, "progress": status.progress,
        "result": status.result.as_deref().map(value), "errors": status.errors, "owner": spec.owner,
        "group": spec.group, "tags": spec.tags,
    })
}

fn show(job: &JobView, as_json: bool) {
    if as_json {
        println!("{}", describe(job));
        return;
    }
    let (spec, status) = (&job.spec, &job.status);
    println!("{} ({} on {}): {}", spec.id, spec.name, job.queue, status.state);
    println!("  attempts   {} of {}, {} stalls", status.attempts_made, spec.attempts, status.stalls);
    let run_at = Some(status.run_at).filter(|at| *at > status.created_at);
    for (what, at) in [
        ("added", Some(status.created_at)),
        ("due", run_at),
        ("started", status.processed_on),
        ("finished", status.finished_on),
    ] {
        if at.is_some() {
            println!("  {what:<10} {} UTC", moment(at));
        }
    }
    if let Some(progress) = &status.progress {
        println!("  progress   {}% {}", progress.percent, progress.message.as_deref().unwrap_or_default());
    }
    println!("  data       {}", value(&spec.data));
    if let Some(result) = &status.result {
        println!("  result     {}", value(result));
    }
    for attempt in &status.errors {
        println!(
            "  attempt {} failed at {} UTC: {}",
            attempt.attempt,
            moment(Some(attempt.ended)),
            attempt.error.message
        );
    }
}

fn line(job: &JobView, as_json: bool) {
    if as_json {
        println!("{}", describe(job));
    } else {
        let at = job.status.finished_on.or(job.status.processed_on).unwrap_or(job.status.created_at);
        let reason = job.failed_reason().unwrap_or_default();
        println!("{}  {}  {}  {reason}", job.spec.id, moment(Some(at)), job.spec.name);
    }
}
