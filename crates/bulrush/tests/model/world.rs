//! A queue, the workers and clients around it, and the ledger that they keep of what they were promised.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bulrush::core::{Command, Core, Reply};
use bulrush::model::{
    Dedup, ErrorKind, Finished, JobError, JobId, JobState, JobView, Keep, Millis, NewJob, Outcome,
    PageRequest, Progress, QueueConfig, QueueName, RateLimit, Rollup, Taken, Token, When, WorkerId,
};
use bulrush::port::{
    AddOutcome, AdminCommand, AdminResult, Delivery, Error, OutboxEntry, Renew, Resume, Settled, Step,
    StepReply, Update, UpdateChange, WorkerInfo,
};
use bytes::Bytes;

use crate::command::{Ask, End, Happening, Order, RATE_PER_MS, Setting, Write};
use crate::facts::Store;
use crate::ledger::Ledger;

pub const START: Millis = 1_700_000_000_000;
/// Grace that a job with a time-out has before it is rescued, ms.
pub const MARGIN: u64 = 30_000;

/// A worker's process.
#[derive(Debug)]
struct Hand {
    id: WorkerId,
    call: u64,
    last: Option<(Step, StepReply)>,
    running: Vec<Arc<Taken>>,
}

pub struct World {
    pub core: Core,
    pub queue: QueueName,
    /// What the clock shows; the queue's own time never goes back.
    pub clock: Millis,
    pub store: Store,
    pub ledger: Ledger,
    hands: [Hand; 3],
    next_worker: u64,
    /// All that was ever taken.
    taken: Vec<Arc<Taken>>,
    /// Mail that was seen, and how often each was carried.
    mail: BTreeMap<u64, (OutboxEntry, u32)>,
    rollup_seq: u64,
    /// A worker that takes nothing and only lets the queue see the time.
    probe: Hand,
}

/// All jobs of a queue.
pub type Picture = BTreeMap<JobId, JobView>;

fn id(text: &str) -> JobId {
    JobId::new(text).expect("the model uses good ids")
}

fn job_id(n: u8) -> JobId {
    id(&format!("j{n}"))
}

fn info(worker: WorkerId) -> WorkerInfo {
    WorkerInfo { id: worker, name: "model".into(), slots: 9, version: "1".into(), started: START }
}

impl World {
    pub fn new() -> Self {
        let queue = QueueName::new("main").expect("a good name");
        // A rate of its own changes with the settings; stalls stay, as a lower bound would be no fault of anybody.
        let config = QueueConfig { stalls_max: 2, ..QueueConfig::default() };
        let mut core = Core::new(queue.clone(), QueueConfig::default(), START);
        core.note_changes();
        let hand = |n| Hand { id: WorkerId(n), call: 0, last: None, running: Vec::new() };
        let mut world = Self {
            core,
            queue,
            clock: START,
            store: Store::default(),
            ledger: Ledger::default(),
            hands: [hand(1), hand(2), hand(3)],
            next_worker: 10,
            taken: Vec::new(),
            mail: BTreeMap::new(),
            rollup_seq: 0,
            probe: hand(9),
        };
        world.apply(Command::Configure(Box::new(config))).expect("good settings");
        (0..3).for_each(|worker| world.hello(worker, None));
        world
    }

    pub fn apply(&mut self, command: Command) -> Result<Reply, Error> {
        let reply = self.core.apply(command, self.clock);
        self.ledger.sees_time(self.clock);
        let posted = match &reply {
            Ok(Reply::Add(reply)) => reply.outbox.as_slice(),
            Ok(Reply::Step(reply)) => &reply.outbox,
            Ok(Reply::Admin(reply)) => &reply.outbox,
            Ok(Reply::Deliver(outbox)) => outbox,
            Ok(Reply::Maintain(reply)) => &reply.outbox,
            Ok(Reply::Renew(reply)) => &reply.maintained.outbox,
            _ => &[],
        };
        for entry in posted {
            self.mail.entry(entry.seq).or_insert_with(|| (entry.clone(), 0));
        }
        reply
    }

    pub fn picture(&self) -> Picture {
        picture(&self.core)
    }

    /// Lets something happen. Panics when somebody is told what cannot be.
    pub fn happen(&mut self, happening: &Happening) {
        match happening {
            Happening::Add(asks) => self.add(asks),
            Happening::Step { worker, ends, want } => self.step(*worker, ends, *want),
            Happening::RepeatStep { worker } => self.repeat_step(*worker),
            Happening::LateStep { worker } => self.late_step(*worker),
            Happening::Hello { worker, every } => self.hello(*worker, *every),
            Happening::Crash { worker } => self.crash(*worker),
            Happening::Renew { worker, completed } => self.renew(*worker, *completed),
            Happening::Zombie { pick, end } => self.zombie(*pick, *end),
            Happening::Write { pick, old, what } => self.write(*pick, *old, *what),
            Happening::Maintain => drop(self.apply(Command::Maintain)),
            Happening::Pass(ms) => self.clock = self.clock.saturating_add_signed(*ms).max(START - 100_000),
            Happening::Serve { seconds } => self.serve(*seconds),
            Happening::Admin(order) => self.admin(order),
            Happening::Set(setting) => self.set(*setting),
            Happening::Carry { pick, twice } => self.carry(*pick, *twice),
            Happening::CarryAll => self.carry_all(),
        }
    }

    // ------------------------------------------------------------------ clients

    fn new_job(&self, ask: &Ask) -> NewJob {
        let mut job = NewJob::new(job_id(ask.id), "work", vec![b'x'; ask.size]).attempts(ask.attempts);
        job.spec.lifo = ask.lifo;
        job.spec.timeout_ms = ask.timeout;
        job.when = ask.delay.map_or(When::Now, When::After);
        if let Some(priority) = ask.priority {
            job = job.priority(priority);
        }
        if let Some(group) = ask.group {
            job = job.group(format!("g{group}"));
        }
        if let Some((key, ttl_ms, fingerprint)) = ask.key {
            job = job.dedup_with(Dedup { key: format!("key{key}").into(), ttl_ms, fingerprint });
        }
        if let Some(owner) = ask.owner {
            job = job.owner("tenant", format!("user{owner}"));
        }
        for (n, policy, nested) in &ask.children {
            let mut child = NewJob::new(id(&format!("k{n}")), "child", "{}");
            if *nested {
                let leaf = NewJob::new(id(&format!("l{n}")), "leaf", "{}");
                child = child.child(self.queue.clone(), leaf, *policy);
            }
            job = job.child(self.queue.clone(), child, *policy);
        }
        job
    }

    fn add(&mut self, asks: &[Ask]) {
        let jobs: Vec<NewJob> = asks.iter().map(|ask| self.new_job(ask)).collect();
        let before = self.picture();
        let twice = jobs.iter().any(|job| {
            let mut seen = HashSet::new();
            !job.children.iter().all(|child| seen.insert(&child.job.spec.id))
        });
        match self.apply(Command::Add(jobs.clone())) {
            Ok(Reply::Add(reply)) => {
                assert!(!twice, "a flow must not use an id twice");
                let config = self.core.config().clone();
                let expected = self.ledger.expected(&before, &jobs, &config);
                let seen: Vec<(JobId, AddOutcome)> =
                    reply.added.iter().map(|added| (added.id.clone(), added.outcome.clone())).collect();
                assert_eq!(seen, expected, "what became of an add");
                for (job, (_, outcome)) in jobs.iter().zip(seen) {
                    if outcome == AddOutcome::New {
                        self.ledger.added(job);
                    }
                }
            }
            Err(Error::Check(_)) => {
                assert!(twice, "only an id that stands twice is refused here");
                assert_eq!(self.picture(), before, "a refused call leaves no trace");
            }
            other => panic!("an add was answered by {other:?}"),
        }
    }

    fn admin(&mut self, order: &Order) {
        let command = match order {
            Order::Pause => AdminCommand::Pause,
            Order::Unpause => AdminCommand::Unpause,
            Order::Cancel(n) => AdminCommand::Cancel(vec![job_id(*n), id("nobody")]),
            Order::Remove(n) => AdminCommand::Remove(vec![job_id(*n), id("nobody")]),
            Order::Retry(n, data) => AdminCommand::Retry {
                ids: vec![job_id(*n), id("nobody")],
                data: data.then(|| Bytes::from_static(b"[\"again\"]")),
            },
            Order::RetryFailed(limit) => AdminCommand::RetryFailed { limit: *limit },
            Order::Promote(n) => AdminCommand::Promote(vec![job_id(*n), id("nobody")]),
            Order::Reschedule(n, ms) => {
                AdminCommand::Reschedule { id: job_id(*n), when: ms.map_or(When::Now, When::After) }
            }
            Order::SetPriority(n, priority) => {
                AdminCommand::SetPriority { id: job_id(*n), priority: *priority }
            }
            Order::SetData(n) => AdminCommand::SetData { id: job_id(*n), data: "[\"set\"]".into() },
            Order::Clean(state, older_ms, limit) => {
                AdminCommand::Clean { state: *state, older_ms: *older_ms, limit: *limit }
            }
            Order::Drain(delayed, limit) => AdminCommand::Drain { delayed: *delayed, limit: *limit },
            Order::Obliterate(force, limit) => AdminCommand::Obliterate { force: *force, limit: *limit },
        };
        let before = self.picture();
        self.ledger.is_ordered(order, &before);
        let reply = match self.apply(Command::Admin(command.clone())) {
            Ok(Reply::Admin(reply)) => reply,
            Err(Error::WrongState { .. } | Error::Busy { .. } | Error::Check(_)) => {
                assert_eq!(self.picture(), before, "a refused command leaves no trace");
                return;
            }
            other => panic!("{command:?} was answered by {other:?}"),
        };
        let after = self.picture();
        if let [result, rest @ ..] = reply.results.as_slice() {
            assert!(rest.iter().all(|result| *result == AdminResult::Unknown));
            let known = match order {
                Order::Cancel(n)
                | Order::Remove(n)
                | Order::Retry(n, _)
                | Order::Promote(n)
                | Order::Reschedule(n, _)
                | Order::SetPriority(n, _)
                | Order::SetData(n) => before.contains_key(&job_id(*n)),
                _ => true,
            };
            assert_eq!(*result == AdminResult::Unknown, !known, "{command:?}");
            if matches!(result, AdminResult::Unknown | AdminResult::WrongState(_)) {
                assert_eq!(after, before, "{command:?} was answered by {result:?} and changed something");
            }
        }
        if matches!(order, Order::Clean(..) | Order::Drain(..) | Order::Obliterate(..)) {
            let lost: Vec<_> = before.iter().filter(|(id, _)| !after.contains_key(*id)).collect();
            assert_eq!(lost.len(), reply.changed, "{command:?}");
            let spared =
                |job: &&JobView| job.state() != JobState::Active || matches!(order, Order::Obliterate(..));
            assert!(lost.iter().all(|(_, job)| spared(job)), "{command:?} took a running job");
        }
        if let Order::Obliterate(force, limit) = order
            && after.is_empty()
        {
            // Keys go after the jobs, at most as many a call; who has begun goes on.
            let rest = AdminCommand::Obliterate { force: *force, limit: 1.max(*limit) };
            let mut more = reply.more;
            while more {
                match self.apply(Command::Admin(rest.clone())) {
                    Ok(Reply::Admin(reply)) => more = reply.more,
                    other => panic!("{rest:?} was answered by {other:?}"),
                }
            }
            self.ledger.forgets_keys();
        }
    }

    fn set(&mut self, setting: Setting) {
        let mut config = (**self.core.config()).clone();
        match setting {
            Setting::Rate(rate) => {
                config.rate = rate.map(|max| RateLimit { max, per_ms: RATE_PER_MS });
                self.ledger.forgets_starts();
            }
            Setting::Concurrency(cap) => config.concurrency = cap,
            Setting::GroupConcurrency(cap) => config.group_default.concurrency = cap,
            Setting::Weight(group, weight) => {
                let name = format!("g{group}");
                let concurrency = config.group_default.concurrency;
                config.groups.insert(name, bulrush::model::GroupConfig { weight, concurrency });
            }
            Setting::Depth(depth) => config.depth_max = depth,
            Setting::Keep(age_ms, count) => config.retention.completed = Keep { age_ms, count },
            Setting::Events(max) => config.events_max = max,
        }
        self.apply(Command::Configure(Box::new(config))).expect("good settings");
    }

    // ------------------------------------------------------------------ workers

    fn step(&mut self, worker: usize, ends: &[(usize, End)], want: usize) {
        let mut finished = Vec::new();
        let hand = &mut self.hands[worker];
        for (pick, end) in ends {
            if hand.running.is_empty() {
                break;
            }
            let job = hand.running.swap_remove(pick % hand.running.len());
            finished.push(Finished { outcome: outcome(*end, &self.queue, &job), job });
        }
        hand.call += 1;
        let step = Step { worker: hand.id, call: hand.call, finished, want };
        self.send(worker, step);
    }

    fn send(&mut self, worker: usize, step: Step) {
        let before = self.picture();
        let paused = self.core.info(self.clock).paused;
        let Ok(Reply::Step(reply)) = self.apply(Command::Step(step.clone())) else {
            panic!("{step:?} must be carried out")
        };
        assert!(reply.taken.len() <= step.want);
        assert!(reply.taken.is_empty() || reply.known, "who is not known takes nothing");
        assert!(reply.taken.is_empty() || !paused, "a paused queue starts nothing");
        let after = self.picture();
        for (finished, settled) in step.finished.iter().zip(&reply.settled) {
            self.ledger.settled(finished, *settled, &before, &after);
        }
        let config = self.core.config().clone();
        self.ledger.took(&reply, &before, &after, &config);
        self.taken.extend(reply.taken.iter().cloned());
        let hand = &mut self.hands[worker];
        hand.running.extend(reply.taken.iter().cloned());
        if reply.known {
            hand.last = Some((step, reply));
        } else {
            // As a worker does: what it still runs may be lost, and it says hello.
            self.hello(worker, Some(1));
        }
    }

    /// The answer got lost, and the worker asks again.
    fn repeat_step(&mut self, worker: usize) {
        let Some((step, first)) = self.hands[worker].last.clone() else { return };
        if step.call != self.hands[worker].call {
            return;
        }
        self.look();
        let before = self.picture();
        let repeat = self.apply(Command::Step(step.clone()));
        let Ok(Reply::Step(repeat)) = repeat else { panic!("a repeat is no error: {repeat:?}") };
        if !repeat.known {
            // It was given up meanwhile; the repeat settled what its tokens still allowed.
            self.hello(worker, Some(1));
            return;
        }
        assert_eq!(self.picture(), before, "a repeat changes nothing");
        assert_eq!(repeat.settled, first.settled);
        let told: HashSet<&Token> = first.taken.iter().map(|job| &job.token).collect();
        assert!(repeat.taken.iter().all(|job| told.contains(&job.token)), "a repeat takes nothing more");
    }

    fn late_step(&mut self, worker: usize) {
        let hand = &self.hands[worker];
        if hand.call < 2 {
            return;
        }
        let step = Step { worker: hand.id, call: hand.call - 1, finished: Vec::new(), want: 5 };
        self.look();
        let before = self.picture();
        match self.apply(Command::Step(step)) {
            Err(Error::StaleCall { .. }) => {}
            Ok(Reply::Step(reply)) => {
                assert!(!reply.known && reply.taken.is_empty(), "a late step took jobs");
            }
            other => panic!("a late step was answered by {other:?}"),
        }
        assert_eq!(self.picture(), before, "a late step changes nothing");
    }

    fn hello(&mut self, worker: usize, every: Option<usize>) {
        let hand = &mut self.hands[worker];
        hand.call += 1;
        hand.last = None;
        let mut place = 0;
        hand.running.retain(|_| {
            place += 1;
            every.is_some_and(|every| place % every == 0)
        });
        let running = hand.running.iter().map(|job| (job.spec.id.clone(), job.token)).collect();
        let resume = Resume { info: info(hand.id), call: hand.call, running };
        let reply = self.apply(Command::Resume(resume));
        let Ok(Reply::Resume(reply)) = reply else { panic!("a hello was answered by {reply:?}") };
        let hand = &mut self.hands[worker];
        hand.running.retain(|job| !reply.lost.contains(&job.spec.id));
        let held: HashSet<Token> = hand.running.iter().map(|job| job.token).collect();
        for job in self.picture().values() {
            if let Some(active) = job.active
                && active.token.worker == self.hands[worker].id
            {
                assert!(held.contains(&active.token), "{} is held by nobody", job.id());
            }
        }
    }

    fn crash(&mut self, worker: usize) {
        self.next_worker += 1;
        let id = WorkerId(self.next_worker);
        self.hands[worker] = Hand { id, call: 0, last: None, running: Vec::new() };
        self.hello(worker, None);
    }

    fn renew(&mut self, worker: usize, completed: u64) {
        self.rollup_seq += 1;
        let at = self.clock - self.clock % 60_000;
        let rollup = Rollup { at, completed, ..Rollup::default() };
        let info = info(self.hands[worker].id);
        let renew = Renew { info, rollup_seq: self.rollup_seq, rollups: vec![rollup] };
        self.apply(Command::Renew(renew)).expect("a worker can renew");
    }

    /// Whoever no longer holds a job must not change anything.
    fn zombie(&mut self, pick: usize, end: End) {
        let Some(job) = self.taken.get(pick % self.taken.len().max(1)).cloned() else { return };
        self.look();
        let before = self.picture();
        let current = before.get(&job.spec.id).and_then(|found| found.active).map(|active| active.token);
        if current == Some(job.token) {
            return;
        }
        let finished = Finished { outcome: outcome(end, &self.queue, &job), job: job.clone() };
        let outbox = self.core.info(self.clock).outbox;
        self.next_worker += 1;
        let step = Step { worker: WorkerId(self.next_worker), call: 1, finished: vec![finished], want: 0 };
        let Ok(Reply::Step(reply)) = self.apply(Command::Step(step)) else { panic!("a zombie is answered") };
        let expected = match before.get(&job.spec.id) {
            None => Settled::Unknown,
            Some(found) if found.status.settled_by == Some(job.token) => Settled::Ok,
            Some(_) => Settled::Stale,
        };
        assert_eq!(reply.settled, [expected]);
        assert_eq!(self.picture(), before, "a zombie changed something");
        assert_eq!(self.core.info(self.clock).outbox, outbox, "a zombie posted something");
    }

    fn write(&mut self, pick: usize, old: bool, what: Write) {
        let running: Vec<Arc<Taken>> = if old {
            self.taken.clone()
        } else {
            self.hands.iter().flat_map(|hand| hand.running.clone()).collect()
        };
        let Some(job) = running.get(pick % running.len().max(1)) else { return };
        let change = match what {
            Write::Progress(percent) => {
                UpdateChange::Progress(Progress { percent, message: Some("on it".into()), data: None })
            }
            Write::Log(n) => UpdateChange::Log { from: u32::from(n) % 4, lines: vec![format!("line {n}")] },
            Write::Data(n) => UpdateChange::Data(vec![n; 3].into()),
        };
        let before = self.picture();
        let update = Update { id: job.spec.id.clone(), token: job.token, change };
        let Ok(Reply::Update(settled)) = self.apply(Command::Update(vec![update])) else {
            panic!("an update is answered")
        };
        let current = before.get(&job.spec.id).map(|found| found.active.map(|active| active.token));
        let expected = match current {
            None => Settled::Unknown,
            Some(token) if token == Some(job.token) => Settled::Ok,
            Some(_) => Settled::Stale,
        };
        assert_eq!(settled, [expected]);
        if expected != Settled::Ok {
            assert_eq!(self.picture(), before, "a write with an old token changed something");
        }
    }

    // ------------------------------------------------------------------ time and mail

    fn serve(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.clock += 1_000;
            self.apply(Command::Maintain).expect("a queue can be maintained");
        }
    }

    /// Lets the queue see what time it is, and nothing else.
    pub fn look(&mut self) {
        self.probe.call += 1;
        let (worker, call) = (self.probe.id, self.probe.call);
        self.apply(Command::Step(Step { worker, call, finished: Vec::new(), want: 0 }))
            .expect("a probe is answered");
    }

    fn carry(&mut self, pick: usize, twice: bool) {
        let Some(seq) = self.mail.keys().nth(pick % self.mail.len().max(1)).copied() else { return };
        let entry = self.mail[&seq].0.clone();
        for _ in 0..=usize::from(twice) {
            self.hand_over(&entry);
        }
        let carried = self.mail.get_mut(&seq).map_or(0, |(_, carried)| {
            *carried += 1;
            *carried
        });
        // The first acknowledgement of every other entry is lost.
        if carried > 1 || seq % 2 == 0 {
            self.apply(Command::Acknowledge(vec![seq])).expect("mail can be acknowledged");
            self.mail.remove(&seq);
        }
    }

    pub fn carry_all(&mut self) {
        while let Some((seq, (entry, _))) = self.mail.pop_first() {
            self.hand_over(&entry);
            self.apply(Command::Acknowledge(vec![seq])).expect("mail can be acknowledged");
        }
    }

    fn hand_over(&mut self, entry: &OutboxEntry) {
        let before = self.picture();
        if let Delivery::Add(job) = &entry.delivery {
            self.ledger.delivers(&before, job);
        }
        self.apply(Command::Deliver(self.queue.clone(), vec![entry.clone()])).expect("mail can be delivered");
    }

    // ------------------------------------------------------------------ the end

    /// Takes all limits away and works until nothing is left to do: whoever then is not at its end was forgotten.
    pub fn finish(&mut self) {
        let free = QueueConfig { lease_ms: 3_600_000, ..QueueConfig::default() };
        self.ledger.forgets_starts();
        self.apply(Command::Configure(Box::new(free))).expect("good settings");
        self.apply(Command::Admin(AdminCommand::Unpause)).expect("a queue can be resumed");
        (0..3).for_each(|worker| self.crash(worker));
        for _ in 0..200 {
            // Longer than any delay or pause, and short of any lease.
            self.serve(60);
            self.carry_all();
            self.step(0, &[(0, End::Complete); 100], 100);
            let counts = self.core.info(self.clock).counts;
            let idle = counts.depth() + counts.active == 0 && self.core.info(self.clock).outbox == 0;
            if idle && self.mail.is_empty() {
                return;
            }
        }
        let stuck: Vec<_> = self
            .picture()
            .into_values()
            .filter(|job| !job.state().is_terminal())
            .map(|job| (job.id().clone(), job.state(), self.core.explain(job.id(), self.clock)))
            .collect();
        panic!("still there after all this: {stuck:#?}");
    }

    /// A worker's step as the rebuilt queue would answer it, for comparison: the worker has said hello to it.
    pub fn rehearse(&self, shadow: &mut Core, happening: &Happening) -> Option<StepReply> {
        let Happening::Step { worker, ends, want } = happening else { return None };
        let hand = &self.hands[*worker];
        let mut running = hand.running.clone();
        let mut finished = Vec::new();
        for (pick, end) in ends {
            if running.is_empty() {
                break;
            }
            let job = running.swap_remove(pick % running.len());
            finished.push(Finished { outcome: outcome(*end, &self.queue, &job), job });
        }
        let mine = self.picture().into_values().filter_map(|job| {
            let active = job.active.filter(|active| active.token.worker == hand.id)?;
            Some((job.spec.id.clone(), active.token))
        });
        let resume = Resume { info: info(hand.id), call: hand.call, running: mine.collect() };
        shadow.resume(&resume, self.clock).expect("a worker can say hello");
        let step = Step { worker: hand.id, call: hand.call + 1, finished, want: *want };
        Some(shadow.step(step, self.clock).expect("the step can be carried out"))
    }

    /// What the last step of a worker was answered.
    pub fn last_reply(&self, worker: usize) -> Option<&StepReply> {
        self.hands[worker].last.as_ref().map(|(_, reply)| reply)
    }
}

/// All jobs of a queue.
pub fn picture(core: &Core) -> Picture {
    let request = PageRequest { limit: 1_000, ..PageRequest::default() };
    let page = core.page(&request).expect("a queue can be read");
    page.jobs.into_iter().map(|job| (job.id().clone(), job)).collect()
}

/// What a worker reports.
fn outcome(end: End, queue: &QueueName, job: &Taken) -> Outcome {
    let error = |message: &str| JobError { kind: ErrorKind::Retryable, message: message.into() };
    match end {
        End::Complete => {
            Outcome::Complete { result: Some(job.token.to_string().into()), follow_ups: Vec::new() }
        }
        End::CompleteAndFollow(n) => {
            let follow_up = NewJob::new(id(&format!("f{n}")), "follow", "{}");
            Outcome::Complete {
                result: Some(job.token.to_string().into()),
                follow_ups: vec![(queue.clone(), follow_up)],
            }
        }
        End::Retry(after_ms) => Outcome::Retry { after_ms, error: error("again") },
        End::Fail => Outcome::Fail { error: error("for good") },
        End::Snooze(after_ms) => Outcome::Snooze { after_ms },
        End::RateLimited(retry_after_ms) => Outcome::RateLimited { retry_after_ms },
        End::Release => Outcome::Release,
        End::Cancelled => Outcome::Cancelled,
    }
}

/// Jobs by what somebody knows of them.
pub type ById<T> = HashMap<JobId, T>;
