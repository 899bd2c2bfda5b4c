//! The same queues twice: as cores, and on the server. Every command goes to both, and the answers are compared.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use bulrush::clock::ManualClock;
use bulrush::core::{Command, Core, Reply};
use bulrush::model::{Millis, QueueConfig, QueueName, Scope};
use bulrush::port::{AdminCommand, Backend, Error, OutboxEntry, ServerFault};

use crate::happening::QUEUES;
use crate::reach::{self, Reached};

/// Moment at which every history begins.
pub const START: Millis = 1_700_000_000_000;

/// Characters of a command and its answer that are shown.
const SHOWN: usize = 1_200;

/// What differs.
pub type Checked<T = ()> = Result<T, String>;

/// Fails with both values unless they are equal.
pub fn same<T: PartialEq + Debug>(what: &str, core: &T, redis: &T) -> Checked {
    if core == redis { Ok(()) } else { Err(format!("{what}\n   core: {core:?}\n  redis: {redis:?}")) }
}

/// An entry of an outbox, as each side has it.
#[derive(Debug, Clone)]
pub struct Mail {
    pub core: OutboxEntry,
    pub redis: OutboxEntry,
}

pub struct Pair {
    pub names: [QueueName; QUEUES],
    pub cores: [Core; QUEUES],
    /// Two processes that use the same server.
    pub processes: [Arc<dyn Backend>; 2],
    pub process: usize,
    clock: ManualClock,
    /// The latest moment that the clock has shown: the time of a queue, which never goes back.
    pub time: Millis,
    /// The longest lease that a queue was set to, ms.
    pub lease_ms: u64,
    /// What was posted and not acknowledged, by queue and number on the core's side.
    pub mail: BTreeMap<(usize, u64), Mail>,
    /// The server takes no more memory.
    pub full: bool,
    /// What it has come to.
    pub reached: Reached,
    /// What was sent and answered, where it is to be shown.
    pub trace: Option<Vec<String>>,
}

impl Pair {
    pub fn new(processes: [Arc<dyn Backend>; 2], clock: ManualClock) -> Self {
        let names = ["mail", "report"].map(|name| QueueName::new(name).expect("a good name"));
        let cores = names.clone().map(|name| Core::new(name, QueueConfig::default(), START));
        Self {
            names,
            cores,
            processes,
            process: 0,
            clock,
            time: START,
            lease_ms: QueueConfig::default().lease_ms,
            mail: BTreeMap::new(),
            full: false,
            reached: Reached::new(),
            trace: None,
        }
    }

    pub fn backend(&self) -> Arc<dyn Backend> {
        self.processes[self.process].clone()
    }

    pub fn now(&self) -> Millis {
        use bulrush::clock::Clock;
        self.clock.now()
    }

    /// Sets the clock, backwards too.
    pub fn set_clock(&mut self, now: Millis) {
        self.clock.set(now);
        self.time = self.time.max(now);
    }

    /// Carries out a command on both sides. Nothing if the server was full and refused it, as it may.
    ///
    /// # Errors
    /// The answers differ.
    pub async fn apply(&mut self, queue: usize, command: Command) -> Checked<Option<Result<Reply, Error>>> {
        self.apply_both(queue, command.clone(), command).await
    }

    /// As [`apply`](Self::apply), where the sides have numbers of their own.
    pub async fn apply_both(
        &mut self,
        queue: usize,
        core: Command,
        redis: Command,
    ) -> Checked<Option<Result<Reply, Error>>> {
        let shown = self.trace.is_some().then(|| format!("{core:?}"));
        let told = self.ask_redis(queue, redis).await;
        if self.full
            && let Err(Error::Server { fault: ServerFault::Memory, .. }) = &told
        {
            // What brings nothing new in must go on, or a full queue could never be emptied.
            if !matches!(
                core,
                Command::Add(_) | Command::Configure(_) | Command::PutSchedule(..) | Command::Fire(_)
            ) {
                return Err(format!("a full server refuses {core:?}"));
            }
            return Ok(None);
        }
        reach::note(&mut self.reached, &core, &told);
        let any_order = matches!(core, Command::Admin(AdminCommand::Obliterate { .. }));
        let now = self.now();
        let mut expected = self.cores[queue].apply(core, now);
        if let Some(shown) = shown {
            let line =
                format!("{:>10} {}: {shown}\n      -> {told:?}", now.abs_diff(START), self.names[queue]);
            self.trace.as_mut().expect("just seen").push(line.chars().take(SHOWN).collect());
        }
        let mut seen = told.clone();
        match (&mut expected, &mut seen) {
            (Ok(expected), Ok(seen)) => {
                level(expected);
                level(seen);
                let (core, redis) = (take_outbox(expected), take_outbox(seen));
                self.post(queue, core, redis, any_order)?;
                same("the answer", expected, seen)?;
            }
            (expected, seen) => same(
                "the answer",
                &expected.as_ref().map_err(|error| format!("{error:?}")),
                &seen.as_ref().map_err(|error| format!("{error:?}")),
            )?,
        }
        Ok(Some(told))
    }

    async fn ask_redis(&self, queue: usize, command: Command) -> Result<Reply, Error> {
        let again = command.clone();
        match self.ask_once(queue, command).await {
            // A connection that was closed meanwhile; every call may be repeated.
            Err(Error::Unreachable { .. }) => self.ask_once(queue, again).await,
            answer => answer,
        }
    }

    async fn ask_once(&self, queue: usize, command: Command) -> Result<Reply, Error> {
        let (backend, name) = (self.backend(), &self.names[queue]);
        Ok(match command {
            Command::Add(jobs) => Reply::Add(backend.add(name, jobs).await?),
            Command::Step(step) => Reply::Step(backend.step(name, step).await?),
            Command::Resume(resume) => Reply::Resume(backend.resume(name, resume).await?),
            Command::Renew(renew) => Reply::Renew(backend.renew(name, renew)?),
            Command::Update(updates) => Reply::Update(backend.update(name, updates).await?),
            Command::Maintain => Reply::Maintain(backend.maintain(name).await?),
            Command::Configure(config) => {
                backend.configure(name, *config).await?;
                Reply::Done
            }
            Command::Admin(command) => Reply::Admin(backend.admin(name, command).await?),
            Command::Deliver(source, entries) => {
                Reply::Deliver(backend.deliver(name, &source, entries).await?)
            }
            Command::Acknowledge(entries) => {
                backend.acknowledge(name, entries).await?;
                Reply::Done
            }
            Command::Get(ids) => Reply::Get(backend.get(name, &ids).await?),
            Command::Page(request) => Reply::Page(backend.page(name, request).await?),
            // The backend finds out by itself which slot comes first.
            Command::PutSchedule(spec, _, put) => {
                Reply::PutSchedule(Box::new(backend.put_schedule(name, &Scope::All, *spec, put).await?))
            }
            Command::ChangeSchedules(ids, change, _) => {
                Reply::ChangeSchedules(backend.change_schedules(name, &Scope::All, ids, change).await?)
            }
            Command::Fire(fires) => Reply::Fire(backend.fire(name, fires).await?),
            Command::PutSchedules(asked, put) => {
                let specs = asked.into_iter().map(|(spec, _)| spec).collect();
                Reply::PutSchedules(backend.put_schedules(name, &Scope::All, specs, put).await?)
            }
            Command::DueSchedules(after, limit) => {
                Reply::DueSchedules(backend.due_schedules_after(name, after, limit).await?)
            }
            Command::ListSchedules(after, limit) => {
                Reply::ListSchedules(backend.list_schedules(name, &Scope::All, after, limit).await?)
            }
        })
    }

    /// Compares what was posted, and keeps it until it is carried. Numbers are each side's own: what is removed at once is told of in any
    /// order.
    fn post(
        &mut self,
        queue: usize,
        mut core: Vec<OutboxEntry>,
        mut redis: Vec<OutboxEntry>,
        any_order: bool,
    ) -> Checked {
        let bare = |entry: &OutboxEntry| format!("{:?}", OutboxEntry { seq: 0, ..entry.clone() });
        if any_order {
            core.sort_by_key(&bare);
            redis.sort_by_key(&bare);
        }
        let texts = |entries: &[OutboxEntry]| entries.iter().map(&bare).collect::<Vec<_>>();
        same("what is posted", &texts(&core), &texts(&redis))?;
        for (core, redis) in core.into_iter().zip(redis) {
            let mail =
                self.mail.entry((queue, core.seq)).or_insert_with(|| Mail { core, redis: redis.clone() });
            same("the number of what is posted again", &mail.redis.seq, &redis.seq)?;
        }
        Ok(())
    }
}

/// What stands in no order of its own.
fn level(reply: &mut Reply) {
    match reply {
        Reply::Step(reply) => reply.cancel.sort(),
        Reply::Renew(reply) => reply.cancel.sort_by(|a, b| a.0.cmp(&b.0)),
        _ => {}
    }
}

fn take_outbox(reply: &mut Reply) -> Vec<OutboxEntry> {
    match reply {
        Reply::Add(reply) => std::mem::take(&mut reply.outbox),
        Reply::Step(reply) => std::mem::take(&mut reply.outbox),
        Reply::Renew(reply) => std::mem::take(&mut reply.maintained.outbox),
        Reply::Maintain(reply) => std::mem::take(&mut reply.outbox),
        Reply::Admin(reply) => std::mem::take(&mut reply.outbox),
        Reply::Deliver(entries) => std::mem::take(entries),
        Reply::Fire(reply) => std::mem::take(&mut reply.outbox),
        _ => Vec::new(),
    }
}
