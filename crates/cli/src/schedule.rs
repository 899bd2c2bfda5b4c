//! `bulrush schedule`: jobs that are added again and again by the clock.

use anyhow::{Context, bail};
use bulrush::Queue;
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::{
    Bounds, JobId, Millis, Missed, NewJob, Overlap, Owner, Recurrence, ScheduleError, ScheduleId,
    ScheduleSpec, ScheduleView,
};
use bulrush::port::{PutOutcome, ScheduleResult};
use bulrush_catalog::schedules::{name_of, named_id};
use bulrush_catalog::{nearest_zone, parse_span_ms};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::engine::{Engine, EngineArguments};
use crate::table::table;
use crate::time::moment;

/// Schedules of one page.
const PAGE: usize = 500;
/// Most slots that are told.
const NEXT_MAX: usize = 1_000;

/// Arguments of `schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArguments {
    #[command(flatten)]
    engine: EngineArguments,
    #[command(subcommand)]
    command: ScheduleCommand,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "one is made for each run of the program")]
enum ScheduleCommand {
    /// List schedules: of one queue, or of all
    Ls {
        /// Queue, by name or alias
        queue: Option<String>,
    },
    /// Show a schedule
    Get(Which),
    /// Put a schedule: make it, or make it be so if it is there
    Set(Set),
    /// Remove a schedule; jobs that it has added stay
    Rm(Which),
    /// Add a job of a schedule now; its slots stay as they are
    Run(Which),
    /// Let a schedule fire from now on
    Enable(Which),
    /// Let a schedule fire no more
    Disable(Which),
    /// Tell when a schedule fires next; with --cron or --every, without a store, when one would
    Next {
        /// Queue, by name or alias
        #[arg(requires = "id", conflicts_with_all = ["cron", "every"])]
        queue: Option<String>,
        /// The schedule's id
        id: Option<String>,
        /// Whose it is, as for set
        #[arg(long, value_name = "TENANT/USER", requires = "id")]
        owner: Option<String>,
        #[command(flatten)]
        timing: Timing,
        /// How many slots
        #[arg(long, default_value_t = 5)]
        count: usize,
    },
}

/// Which schedule.
#[derive(Debug, Args)]
struct Which {
    /// Queue, by name or alias
    queue: String,
    /// The schedule's id in the queue
    id: String,
    /// Whose it is: then the id is what they call it
    #[arg(long, value_name = "TENANT/USER")]
    owner: Option<String>,
}

/// When.
#[derive(Debug, Args)]
struct Timing {
    /// A cron expression: minute hour day-of-month month weekday, with seconds before them, or @daily and the like
    #[arg(long, value_name = "EXPRESSION", conflicts_with = "every")]
    cron: Option<String>,
    /// The time zone of --cron, by its IANA name (UTC)
    #[arg(long, value_name = "ZONE", requires = "cron")]
    zone: Option<String>,
    /// A period: 30s, 15m, 2h, 1d
    #[arg(long, value_name = "SPAN")]
    every: Option<String>,
    /// A moment from which whole periods are counted: 2026-01-31T08:00:00Z
    #[arg(long, value_name = "MOMENT", requires = "every")]
    anchor: Option<String>,
}

/// What is put.
#[derive(Debug, Args)]
struct Set {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    timing: Timing,
    /// The name of its jobs; may be left out where the queue runs one kind
    #[arg(long)]
    job: Option<String>,
    /// The data of its jobs, JSON
    #[arg(long = "with", value_name = "DATA", default_value = "{}")]
    with: String,
    /// Smaller runs first, 0 to 2097152
    #[arg(long)]
    priority: Option<u32>,
    /// Total tries of a job
    #[arg(long)]
    attempts: Option<u32>,
    /// No slot before: 2026-01-31T08:00:00Z
    #[arg(long, value_name = "MOMENT")]
    start: Option<String>,
    /// No slot after
    #[arg(long, value_name = "MOMENT")]
    end: Option<String>,
    /// Most jobs that it adds
    #[arg(long)]
    limit: Option<u64>,
    /// Each job up to so much later than its slot
    #[arg(long, value_name = "SPAN")]
    jitter: Option<String>,
    /// What becomes of slots that nobody fired in time
    #[arg(long, value_enum, default_value_t = MissedWord::One)]
    missed: MissedWord,
    /// With --missed skip: how late a slot may fire (1m). With --missed all: no meaning
    #[arg(long, value_name = "SPAN")]
    grace: Option<String>,
    /// With --missed all: the newest so many, 1 to 1000
    #[arg(long, default_value_t = 100)]
    missed_max: u32,
    /// What becomes of a slot while the job before has not ended
    #[arg(long, value_enum, default_value_t = OverlapWord::Allow)]
    overlap: OverlapWord,
    /// It does not fire until it is enabled
    #[arg(long)]
    disabled: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum MissedWord {
    /// The newest fires and stands for all
    One,
    /// None fires
    Skip,
    /// All fire, oldest first
    All,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OverlapWord {
    /// Its job is added all the same
    Allow,
    /// It fires no job
    Skip,
    /// The job before is cancelled
    Replace,
}

/// Runs a command on schedules.
pub async fn run(arguments: ScheduleArguments) -> anyhow::Result<()> {
    if let ScheduleCommand::Next { id: None, timing, count, .. } = &arguments.command {
        return preview(timing, *count, arguments.engine.json);
    }
    let engine = Engine::open(&arguments.engine).await?;
    let done = carry_out(&engine, &arguments).await;
    engine.close().await?;
    done
}

async fn carry_out(engine: &Engine, arguments: &ScheduleArguments) -> anyhow::Result<()> {
    let as_json = arguments.engine.json;
    match &arguments.command {
        ScheduleCommand::Ls { queue } => list(engine, queue.as_deref(), as_json).await,
        ScheduleCommand::Get(which) => {
            let (_, view) = find(engine, which).await?;
            show(&view, as_json);
            Ok(())
        }
        ScheduleCommand::Set(set) => put(engine, set, as_json).await,
        ScheduleCommand::Rm(which) => {
            let (queue, id) = place(engine, which).await?;
            if !queue.schedules().remove(id.as_str()).await? {
                bail!(unknown(&queue, &which.id));
            }
            say(&which.id, "is removed", as_json);
            Ok(())
        }
        ScheduleCommand::Run(which) => {
            let (queue, id) = place(engine, which).await?;
            let added = queue.schedules().run_now(id.as_str()).await?;
            let added = added.with_context(|| unknown(&queue, &which.id))?;
            if as_json {
                println!("{}", json!({"id": added.id, "new": added.is_new()}));
            } else if added.is_new() {
                println!("{} added", added.id);
            } else {
                bail!("{} takes no more jobs now; nothing was added", queue.name());
            }
            Ok(())
        }
        ScheduleCommand::Enable(which) => {
            let (queue, id) = place(engine, which).await?;
            let done = queue.schedules().enable(id.as_str()).await?;
            changed(&queue, &which.id, done, "is enabled", as_json)
        }
        ScheduleCommand::Disable(which) => {
            let (queue, id) = place(engine, which).await?;
            let done = queue.schedules().disable(id.as_str()).await?;
            changed(&queue, &which.id, done, "is disabled", as_json)
        }
        ScheduleCommand::Next { queue, id, owner, count, .. } => {
            let (Some(queue), Some(id)) = (queue.clone(), id.clone()) else { return Ok(()) };
            let (_, view) = find(engine, &Which { queue, id, owner: owner.clone() }).await?;
            let slots = view.upcoming(bounded(*count)?)?;
            if slots.is_empty() && !as_json {
                let why = if view.spec.enabled { "it is over" } else { "it is disabled" };
                println!("{} does not fire again: {why}", view.id());
            }
            tell_slots(&slots, zone_of(&view.spec), as_json);
            Ok(())
        }
    }
}

/// A queue and the id of a schedule in it.
async fn place(engine: &Engine, which: &Which) -> anyhow::Result<(Queue, ScheduleId)> {
    let queue = engine.queue(&which.queue).await?;
    let id = match &which.owner {
        Some(owner) => named_id(&owner_of(owner)?, &which.id)?,
        None => ScheduleId::new(&which.id)?,
    };
    Ok((queue, id))
}

async fn find(engine: &Engine, which: &Which) -> anyhow::Result<(Queue, ScheduleView)> {
    let (queue, id) = place(engine, which).await?;
    let view = queue.schedules().get(id.as_str()).await?;
    let view = view.with_context(|| unknown(&queue, &which.id))?;
    Ok((queue, view))
}

fn unknown(queue: &Queue, id: &str) -> String {
    format!(
        "{} has no schedule {id}; `bulrush schedule ls {0}` lists those it has, and one of an owner needs --owner TENANT/USER",
        queue.name()
    )
}

fn owner_of(text: &str) -> anyhow::Result<Owner> {
    match text.split_once('/') {
        Some((tenant, user)) if !tenant.is_empty() && !user.is_empty() => {
            Ok(Owner { tenant: tenant.to_owned(), user: user.to_owned() })
        }
        _ => bail!("--owner {text} is no owner; write TENANT/USER, as tokens name them"),
    }
}

fn changed(queue: &Queue, id: &str, done: ScheduleResult, what: &str, as_json: bool) -> anyhow::Result<()> {
    match done {
        ScheduleResult::Done => say(id, what, as_json),
        ScheduleResult::Same => say(id, &format!("{what} already"), as_json),
        ScheduleResult::Over => {
            bail!("{id} would never fire again: its end or its limit is reached; put it anew with another")
        }
        ScheduleResult::Unknown => bail!(unknown(queue, id)),
    }
    Ok(())
}

fn say(id: &str, what: &str, as_json: bool) {
    if as_json {
        println!("{}", json!({"id": id, "done": what}));
    } else {
        println!("{id} {what}");
    }
}

async fn list(engine: &Engine, only: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let queues = match only {
        Some(name) => vec![engine.queue(name).await?.name().clone()],
        None => engine.client.backend().queues().await?,
    };
    let mut table = table(["queue", "schedule", "when", "next (UTC)", "fired", "missed", "owner", ""], 4..6);
    for queue in queues {
        let mut after = None;
        loop {
            let page = engine
                .client
                .backend()
                .list_schedules(&queue, &bulrush::model::Scope::All, after, PAGE)
                .await?;
            for view in &page.schedules {
                if as_json {
                    println!("{}", describe(view));
                    continue;
                }
                let owner = view.spec.owner.as_deref();
                table.add_row([
                    queue.to_string(),
                    name_of(view.id(), owner).unwrap_or(view.id().as_str()).to_owned(),
                    when(&view.spec),
                    moment(view.state.next),
                    view.state.fired.to_string(),
                    view.state.missed.to_string(),
                    owner.map_or_else(String::new, |owner| format!("{}/{}", owner.tenant, owner.user)),
                    stands(view).to_owned(),
                ]);
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    if !as_json {
        println!("{table}");
    }
    Ok(())
}

fn stands(view: &ScheduleView) -> &'static str {
    match (view.spec.enabled, view.is_over()) {
        (false, _) => "disabled",
        (true, true) => "over",
        (true, false) => "",
    }
}

async fn put(engine: &Engine, set: &Set, as_json: bool) -> anyhow::Result<()> {
    let (queue, id) = place(engine, &set.which).await?;
    let data: serde_json::Map<String, Value> = serde_json::from_str(&set.with)
        .with_context(|| format!("the data is not a JSON object: {}", set.with))?;
    let name = match engine.catalog.find(&set.which.queue) {
        Ok(known) => {
            known
                .job(set.job.as_deref(), &set.which.queue)
                .map_err(|error| anyhow::anyhow!("the job's name (--job) {error}"))?
                .0
        }
        Err(_) => set.job.as_deref().context("which job? give its name with --job")?,
    };
    let mut job = queue.job(name, Value::Object(data).to_string());
    if let Some(priority) = set.priority {
        job = job.priority(priority);
    }
    if let Some(attempts) = set.attempts {
        job = job.attempts(attempts);
    }
    let spec = ScheduleSpec::new(id, recurrence(&set.timing)?, &job)?;
    let spec = ScheduleSpec {
        start: at("--start", set.start.as_deref())?,
        end: at("--end", set.end.as_deref())?,
        limit: set.limit,
        jitter_ms: span("--jitter", set.jitter.as_deref())?.unwrap_or(0),
        missed: match set.missed {
            MissedWord::One => Missed::One,
            MissedWord::Skip => {
                Missed::Skip { grace_ms: span("--grace", set.grace.as_deref())?.unwrap_or(60_000) }
            }
            MissedWord::All => Missed::All { max: set.missed_max },
        },
        overlap: match set.overlap {
            OverlapWord::Allow => Overlap::Allow,
            OverlapWord::Skip => Overlap::Skip,
            OverlapWord::Replace => Overlap::Replace,
        },
        enabled: !set.disabled,
        owner: set.which.owner.as_deref().map(owner_of).transpose()?.map(std::sync::Arc::new),
        ..spec
    };
    spec.check(&Bounds::default()).map_err(|error| told(&error))?;
    let reply = queue.schedules().put(spec).await?;
    let done = match reply.outcome {
        PutOutcome::New => "is made",
        PutOutcome::Changed => "is changed",
        _ => "is so already",
    };
    if as_json {
        let view = reply.schedule.as_ref().map_or(Value::Null, describe);
        println!("{}", json!({"id": set.which.id, "done": done, "schedule": view}));
    } else {
        println!("{} {done}", set.which.id);
        let next = reply.schedule.and_then(|view| view.state.next);
        if next.is_some() {
            println!("  next       {} UTC", moment(next));
        }
    }
    Ok(())
}

fn recurrence(timing: &Timing) -> anyhow::Result<Recurrence> {
    match (&timing.cron, &timing.every) {
        (Some(expression), _) => {
            let zone = timing.zone.clone().unwrap_or_else(|| "UTC".to_owned());
            Ok(Recurrence::Cron { expression: expression.clone(), zone })
        }
        (None, Some(every)) => {
            let ms = span("--every", Some(every))?.unwrap_or_default();
            Ok(Recurrence::Every { ms, anchor: at("--anchor", timing.anchor.as_deref())? })
        }
        (None, None) => bail!(
            "when? give --cron '30 2 * * *' (with --zone Europe/Berlin, if not UTC) or --every 15m, or the queue and the id of a schedule"
        ),
    }
}

fn span(name: &str, text: Option<&str>) -> anyhow::Result<Option<u64>> {
    text.map(|text| parse_span_ms(text).with_context(|| format!("{name} cannot be used"))).transpose()
}

fn at(name: &str, text: Option<&str>) -> anyhow::Result<Option<Millis>> {
    let Some(text) = text else { return Ok(None) };
    let ms = text.parse::<Timestamp>().ok().and_then(|at| Millis::try_from(at.as_millisecond()).ok());
    match ms {
        Some(ms) => Ok(Some(ms)),
        None => bail!("{name} {text} is no moment; write it as 2026-01-31T08:00:00Z"),
    }
}

/// What is wrong, with the zone that was probably meant.
fn told(error: &ScheduleError) -> anyhow::Error {
    let near = match error {
        ScheduleError::Zone { zone } => nearest_zone(zone),
        _ => None,
    };
    match near {
        Some(near) => anyhow::anyhow!("{error}; did you mean {near}?"),
        None => anyhow::anyhow!("{error}"),
    }
}

fn bounded(count: usize) -> anyhow::Result<usize> {
    if !(1..=NEXT_MAX).contains(&count) {
        bail!("--count {count} is not 1 to {NEXT_MAX}");
    }
    Ok(count)
}

/// When a schedule would fire that is not there.
fn preview(timing: &Timing, count: usize, as_json: bool) -> anyhow::Result<()> {
    let count = bounded(count)?;
    let job = NewJob::new(JobId::generate("x", 0, 0), "x", "{}");
    let spec = ScheduleSpec::new(ScheduleId::new("x")?, recurrence(timing)?, &job)?;
    spec.check(&Bounds::default()).map_err(|error| told(&error))?;
    let now = SystemClock.now();
    let slots = spec.preview(now, count)?;
    if slots.is_empty() {
        return Err(told(&ScheduleError::Never { from: now }));
    }
    tell_slots(&slots, zone_of(&spec), as_json);
    Ok(())
}

fn zone_of(spec: &ScheduleSpec) -> &str {
    match &spec.recurrence {
        Recurrence::Cron { zone, .. } => zone,
        Recurrence::Every { .. } => "UTC",
    }
}

/// Slots as clocks show them in a place, and in UTC.
fn tell_slots(slots: &[Millis], zone: &str, as_json: bool) {
    let clock = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    for slot in slots {
        let Some(at) = i64::try_from(*slot).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()) else {
            continue;
        };
        let local = at.to_zoned(clock.clone());
        if as_json {
            let text = local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
            println!("{}", json!({"at": at.to_string(), "local": text, "zone": zone}));
        } else if zone == "UTC" {
            println!("{} UTC", moment(Some(*slot)));
        } else {
            let text = local.strftime("%a %Y-%m-%d %H:%M:%S %Z");
            println!("{text}  ({} UTC)", moment(Some(*slot)));
        }
    }
}

/// When, in few words.
fn when(spec: &ScheduleSpec) -> String {
    match &spec.recurrence {
        Recurrence::Cron { expression, zone } if zone == "UTC" => expression.clone(),
        Recurrence::Cron { expression, zone } => format!("{expression} {zone}"),
        Recurrence::Every { ms, .. } => format!("every {}", length(*ms)),
    }
}

/// A length of time in the largest unit that says it exactly.
fn length(ms: u64) -> String {
    for (unit, of) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)] {
        if ms.is_multiple_of(of) {
            return format!("{}{unit}", ms / of);
        }
    }
    format!("{ms}ms")
}

fn value(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
}

fn describe(view: &ScheduleView) -> Value {
    let (spec, state) = (&view.spec, &view.state);
    let owner = spec.owner.as_deref();
    json!({
        "id": spec.id, "name": name_of(&spec.id, owner), "queue": view.queue, "job": &*spec.job.name,
        "data": value(&spec.job.data), "recurrence": spec.recurrence, "start": spec.start, "end": spec.end,
        "limit": spec.limit, "jitterMs": spec.jitter_ms, "missed": spec.missed, "overlap": spec.overlap,
        "enabled": spec.enabled, "owner": spec.owner, "revision": state.revision, "next": state.next,
        "over": view.is_over(), "fired": state.fired, "skipped": state.skipped, "missedSlots": state.missed,
        "lastSlot": state.last_slot, "lastJob": state.last_job, "createdAt": state.created_at,
        "updatedAt": state.updated_at,
    })
}

fn show(view: &ScheduleView, as_json: bool) {
    if as_json {
        println!("{}", describe(view));
        return;
    }
    let (spec, state) = (&view.spec, &view.state);
    println!("{} of {} adds {}: {} {}", spec.id, view.queue, spec.job.name, when(spec), stands(view));
    for (what, at) in
        [("next", state.next), ("last", state.last_slot), ("start", spec.start), ("end", spec.end)]
    {
        if at.is_some() {
            println!("  {what:<10} {} UTC", moment(at));
        }
    }
    if let Some(job) = &state.last_job {
        println!("  last job   {job}");
    }
    println!("  slots      {} fired, {} skipped, {} missed", state.fired, state.skipped, state.missed);
    if let Some(limit) = spec.limit {
        println!("  limit      {limit} jobs");
    }
    println!("  data       {}", value(&spec.job.data));
}
