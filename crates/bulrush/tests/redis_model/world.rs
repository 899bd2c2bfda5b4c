//! The workers and clients around two queues, and what they do.

use std::sync::Arc;

use bulrush::core::{Command, Reply};
use bulrush::fires_of;
use bulrush::model::{
    Finished, JobState, Millis, NewJob, Outcome, Progress, QueueConfig, Rollup, Scope, Taken, WorkerId,
};
use bulrush::port::{
    AdminCommand, Delivery, Error, Fire, Renew, Resume, Step, StepReply, Update, UpdateChange,
};

use crate::happening::{Ask, End, Happening, Order, QUEUES, Setting, Whose, Write};
use crate::look::{Seen, agree_on_the_living};
use crate::made::{self, id, info, payload};
use crate::pair::{Checked, Mail, Pair, START};
use crate::schedules::{self, Act};
use crate::server::Server;

/// A worker's process.
#[derive(Debug)]
struct Hand {
    id: WorkerId,
    call: u64,
    last: Option<Step>,
    running: Vec<Arc<Taken>>,
}

pub struct World<'a> {
    pub pair: Pair,
    server: &'a mut Server,
    pub seen: Seen,
    hands: [[Hand; 3]; QUEUES],
    next_worker: u64,
    /// All that was ever taken.
    taken: [Vec<Arc<Taken>>; QUEUES],
    configs: [QueueConfig; QUEUES],
    /// Calls that fired slots.
    fired: [Vec<Vec<Fire>>; QUEUES],
    rollup_seq: u64,
}

impl<'a> World<'a> {
    pub fn new(pair: Pair, server: &'a mut Server) -> Self {
        let hand = |n| Hand { id: WorkerId(n), call: 0, last: None, running: Vec::new() };
        let hands = |from: u64| [hand(from), hand(from + 1), hand(u64::MAX - from)];
        Self {
            pair,
            server,
            seen: Seen::default(),
            hands: [hands(1), hands(1)],
            next_worker: 0x0a00_0a0d,
            taken: [Vec::new(), Vec::new()],
            fired: [Vec::new(), Vec::new()],
            configs: [QueueConfig::default(), QueueConfig::default()],
            rollup_seq: 0,
        }
    }

    /// Makes both queues, so that each notes the time, and lets the workers say hello.
    pub async fn begin(&mut self) -> Checked {
        for queue in 0..QUEUES {
            self.configs[queue].stalls_max = 1;
            // It stays: where fewer lines are to be kept than there are, each side lets the older ones go in its time.
            self.configs[queue].bounds.log_lines = 4;
            self.set(queue, Setting::Events(true)).await?;
            for worker in 0..3 {
                self.hello(queue, worker, None, None).await?;
            }
        }
        Ok(())
    }

    /// Makes the server full, or takes the limit away.
    pub async fn fill(&mut self, full: bool) -> Checked {
        self.pair.full = full;
        crate::fill(self.server, full).await;
        if full {
            let late = NewJob::new(id("late"), "work", "{}");
            self.seen.ids[0].insert(id("late"));
            if self.apply(0, Command::Add(vec![late])).await?.is_some() {
                return Err("a full server took a job in".into());
            }
        }
        Ok(())
    }

    async fn apply(&mut self, queue: usize, command: Command) -> Checked<Option<Result<Reply, Error>>> {
        self.pair.apply(queue, command).await
    }

    /// Lets something happen on both sides, and compares them.
    pub async fn happen(&mut self, happening: &Happening) -> Checked {
        match happening {
            Happening::Add { queue, asks } => self.add(*queue, asks).await?,
            Happening::Step { queue, worker, ends, want } => {
                self.step(*queue, *worker, ends, *want).await?;
            }
            Happening::RepeatStep { queue, worker } => {
                if let Some(step) = self.hands[*queue][*worker].last.clone() {
                    self.send(*queue, *worker, step).await?;
                }
            }
            Happening::LateStep { queue, worker } => {
                let hand = &self.hands[*queue][*worker];
                let call = hand.call.saturating_sub(2);
                let step = Step { worker: hand.id, call, finished: Vec::new(), want: 3 };
                self.apply(*queue, Command::Step(step)).await?;
            }
            Happening::Hello { queue, worker, every, old } => {
                self.hello(*queue, *worker, *every, *old).await?;
            }
            Happening::Crash { queue, worker } => {
                self.next_worker += 1;
                let id = WorkerId(self.next_worker);
                self.hands[*queue][*worker] = Hand { id, call: 0, last: None, running: Vec::new() };
                self.hello(*queue, *worker, None, None).await?;
            }
            Happening::Renew { queue, worker, completed, repeat } => {
                self.renew(*queue, *worker, *completed, *repeat).await?;
            }
            Happening::Stop { queue, worker, pick } => {
                let running = &self.hands[*queue][*worker].running;
                if let Some(job) = running.get(pick % running.len().max(1)) {
                    let stop = AdminCommand::Cancel(vec![job.spec.id.clone()]);
                    self.apply(*queue, Command::Admin(stop)).await?;
                }
            }
            Happening::Write { queue, writes } => self.write(*queue, writes).await?,
            Happening::Maintain { queue } => self.maintain(*queue).await?,
            Happening::Pass(ms) => self.pass(*ms).await?,
            Happening::Serve { queue, seconds } => {
                for _ in 0..*seconds {
                    self.pass(1_000).await?;
                    self.maintain(*queue).await?;
                }
            }
            Happening::Admin { queue, order } => self.admin(*queue, order).await?,
            Happening::Schedule { queue, act } => self.schedule(*queue, act).await?,
            Happening::Set { queue, setting } => self.set(*queue, *setting).await?,
            Happening::Carry { picks, times, acknowledge } => {
                self.carry(picks, *times, *acknowledge).await?;
            }
            Happening::CarryAll => self.carry_all().await?,
            Happening::FlushScripts => {
                if self.server.private {
                    self.server.tell(&["SCRIPT", "FLUSH"]).await;
                }
            }
            Happening::DropConnections => {
                if self.server.private {
                    self.server.tell(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]).await;
                }
            }
            // What the other process knows of the test's clock may be old, and a full server does not let it be written.
            Happening::OtherProcess if self.pair.full => {}
            Happening::OtherProcess => self.pair.process = 1 - self.pair.process,
            Happening::Look => self.look().await?,
        }
        for queue in 0..QUEUES {
            self.seen.glance(&self.pair, queue).await?;
        }
        Ok(())
    }

    /// Compares everything that can be read.
    pub async fn look(&mut self) -> Checked {
        for queue in 0..QUEUES {
            self.seen.everything(&mut self.pair, queue).await?;
            self.apply(queue, Command::ListSchedules(None, 1_000)).await?;
            self.apply(queue, Command::DueSchedules(None, 1_000)).await?;
        }
        Ok(())
    }

    // ------------------------------------------------------------------ clients

    async fn add(&mut self, queue: usize, asks: &[Ask]) -> Checked {
        // An id that stands twice stands for the same job: the adapter sends the second one later, which shows where the first is refused
        // for a key and the second, without it, is not.
        let first = |ask: &Ask| asks.iter().find(|other| other.id == ask.id).cloned();
        let asks: Vec<Ask> = asks.iter().filter_map(first).collect();
        let jobs = asks.iter().map(|ask| made::job(&self.pair, &mut self.seen, queue, ask)).collect();
        self.apply(queue, Command::Add(jobs)).await.map(drop)
    }

    async fn admin(&mut self, queue: usize, order: &Order) -> Checked {
        let command = made::command(&self.pair, order);
        let all_at_once = matches!(command, AdminCommand::Obliterate { .. });
        self.apply(queue, Command::Admin(command)).await?;
        if all_at_once {
            // Nor in what order that is told, so it is carried before anything asks for it in that order.
            self.carry_all().await?;
        }
        Ok(())
    }

    async fn set(&mut self, queue: usize, setting: Setting) -> Checked {
        let mut config = self.configs[queue].clone();
        if let Setting::Lease(ms) = setting {
            self.pair.lease_ms = self.pair.lease_ms.max(ms);
        }
        made::change(&mut config, setting);
        let done = self.apply(queue, Command::Configure(Box::new(config.clone()))).await?;
        if done.is_some() {
            self.configs[queue] = config;
        }
        Ok(())
    }

    async fn schedule(&mut self, queue: usize, act: &Act) -> Checked {
        let now = self.pair.cores[queue].latest(self.pair.now());
        let view = |pair: &Pair, n: u8| pair.cores[queue].schedule(&Scope::All, &schedules::id(n));
        match act {
            Act::Put { ask, once } => {
                let put = schedules::put(schedules::spec(ask, now, START), *once, now);
                self.apply(queue, put).await?;
            }
            Act::PutAll { asks, once } => {
                let specs = asks.iter().map(|ask| schedules::spec(ask, now, START)).collect();
                self.apply(queue, schedules::put_all(specs, *once, now)).await?;
            }
            Act::Change { n, what } => {
                let first = view(&self.pair, *n).and_then(|view| view.slot_after(now).ok().flatten());
                let change =
                    Command::ChangeSchedules(vec![schedules::id(*n)], schedules::change(*what), first);
                self.apply(queue, change).await?;
            }
            Act::Tick { limit } => {
                let mut after = None;
                loop {
                    let answer = self.apply(queue, Command::DueSchedules(after, *limit)).await?;
                    let Some(Ok(Reply::DueSchedules(due))) = answer else { return Ok(()) };
                    let fires = due.due.iter().flat_map(|view| fires_of(view, due.now).unwrap_or_default());
                    self.fire(queue, fires.collect()).await?;
                    after = due.more;
                    if after.is_none() {
                        break;
                    }
                }
            }
            Act::Again { pick } => {
                let fired = &self.fired[queue];
                if let Some(fires) = fired.get(pick % fired.len().max(1)).cloned() {
                    self.fire(queue, fires).await?;
                }
            }
            Act::Forge { n, .. } => {
                let forged = view(&self.pair, *n).and_then(|view| schedules::forged(&view, act));
                if let Some(fire) = forged {
                    self.fire(queue, vec![fire]).await?;
                }
            }
        }
        Ok(())
    }

    async fn fire(&mut self, queue: usize, fires: Vec<Fire>) -> Checked {
        let ids = fires.iter().filter_map(|fire| Some(fire.spec.job_id(fire.fires?)));
        self.seen.ids[queue].extend(ids);
        self.fired[queue].push(fires.clone());
        self.apply(queue, Command::Fire(fires)).await.map(drop)
    }

    // ------------------------------------------------------------------ workers

    async fn step(
        &mut self,
        queue: usize,
        worker: usize,
        ends: &[(Whose, usize, End)],
        want: usize,
    ) -> Checked {
        let mut finished = Vec::new();
        for (whose, pick, end) in ends {
            let hands = &mut self.hands[queue];
            let job = match whose {
                Whose::Own | Whose::OwnTwice => {
                    let running = &mut hands[worker].running;
                    (!running.is_empty()).then(|| running.swap_remove(pick % running.len()))
                }
                Whose::Others => {
                    let running = &hands[(worker + 1) % 3].running;
                    running.get(pick % running.len().max(1)).cloned()
                }
                Whose::Old => self.taken[queue].get(pick % self.taken[queue].len().max(1)).cloned(),
            };
            let Some(job) = job else { continue };
            let outcome = made::outcome(&self.pair, &mut self.seen, *end, &job);
            if *whose == Whose::OwnTwice {
                let outcome = Outcome::Snooze { after_ms: 10 };
                finished.push(Finished { outcome, job: job.clone() });
            }
            finished.push(Finished { outcome, job });
        }
        let hand = &mut self.hands[queue][worker];
        hand.call += 1;
        let step = Step { worker: hand.id, call: hand.call, finished, want };
        self.send(queue, worker, step).await
    }

    async fn send(&mut self, queue: usize, worker: usize, step: Step) -> Checked {
        let answer = self.apply(queue, Command::Step(step.clone())).await?;
        let Some(Ok(Reply::Step(StepReply { taken, known, .. }))) = answer else { return Ok(()) };
        let hand = &mut self.hands[queue][worker];
        for job in taken {
            // The answer to a repeat brings what is known already.
            if !hand.running.iter().any(|other| other.token == job.token && other.spec.id == job.spec.id) {
                hand.running.push(job.clone());
            }
            self.taken[queue].push(job);
        }
        if known {
            hand.last = Some(step);
            return Ok(());
        }
        // As a worker does: what it still runs may be lost, and it says hello.
        self.hello(queue, worker, Some(1), None).await
    }

    async fn hello(
        &mut self,
        queue: usize,
        worker: usize,
        every: Option<usize>,
        old: Option<usize>,
    ) -> Checked {
        let hand = &mut self.hands[queue][worker];
        hand.call += 1;
        hand.last = None;
        match every {
            Some(every) => {
                let mut n = 0;
                hand.running.retain(|_| {
                    n += 1;
                    n % every == 0
                });
            }
            None => hand.running.clear(),
        }
        let mut running: Vec<_> = hand.running.iter().map(|job| (job.spec.id.clone(), job.token)).collect();
        let taken = &self.taken[queue];
        if let Some(job) = old.and_then(|old| taken.get(old % taken.len().max(1))) {
            running.push((job.spec.id.clone(), job.token));
        }
        let resume = Resume { info: info(hand.id), call: hand.call, running };
        let answer = self.apply(queue, Command::Resume(resume)).await?;
        if let Some(Ok(Reply::Resume(reply))) = answer {
            self.hands[queue][worker].running.retain(|job| !reply.lost.contains(&job.spec.id));
        }
        Ok(())
    }

    async fn renew(&mut self, queue: usize, worker: usize, completed: u64, repeat: bool) -> Checked {
        agree_on_the_living(&mut self.pair, queue).await?;
        self.rollup_seq += u64::from(!repeat);
        let now = self.pair.now();
        let rollup = Rollup { at: now - now % 60_000, completed, ..Rollup::default() };
        let info = info(self.hands[queue][worker].id);
        let renew = Renew { info, rollup_seq: self.rollup_seq, rollups: vec![rollup] };
        self.apply(queue, Command::Renew(renew)).await.map(drop)
    }

    async fn write(&mut self, queue: usize, writes: &[(bool, usize, Write)]) -> Checked {
        let mut updates = Vec::new();
        for (old, pick, write) in writes {
            let jobs: Vec<&Arc<Taken>> = if *old {
                self.taken[queue].iter().collect()
            } else {
                self.hands[queue].iter().flat_map(|hand| &hand.running).collect()
            };
            let Some(job) = jobs.get(pick % jobs.len().max(1)) else { continue };
            let change = match write {
                Write::Progress(percent) => UpdateChange::Progress(Progress {
                    percent: *percent,
                    message: (percent % 3 > 0).then(|| "half\u{0} wäy ".repeat(usize::from(*percent))),
                    data: (percent % 2 > 0).then(|| payload(usize::from(*percent), 1)),
                }),
                Write::Log { from, lines } => {
                    let lines = (0..*lines).map(|n| format!("line {n}\n\u{0}ü at {}", self.pair.now()));
                    UpdateChange::Log { from: *from, lines: lines.collect() }
                }
                Write::Data(size) => UpdateChange::Data(payload(*size, 77)),
            };
            updates.push(Update { id: job.spec.id.clone(), token: job.token, change });
        }
        self.apply(queue, Command::Update(updates)).await.map(drop)
    }

    // ------------------------------------------------------------------ time and mail

    async fn maintain(&mut self, queue: usize) -> Checked {
        agree_on_the_living(&mut self.pair, queue).await?;
        self.apply(queue, Command::Maintain).await.map(drop)
    }

    async fn pass(&mut self, ms: i64) -> Checked {
        // A test's clock is a key, which a full server does not let it write.
        if self.pair.full {
            return Ok(());
        }
        if ms < 0 {
            // A call that changes nothing need not note the time; before the clock goes back it is made sure that somebody did.
            for queue in 0..QUEUES {
                self.maintain(queue).await?;
            }
            for queue in 0..QUEUES {
                self.apply(queue, Command::Maintain).await?;
            }
        }
        let now: Millis = self.pair.now().saturating_add_signed(ms);
        self.pair.set_clock(now.max(START - 100_000));
        Ok(())
    }

    async fn carry(&mut self, picks: &[usize], times: usize, acknowledge: bool) -> Checked {
        let mut posted: Vec<((usize, u64), Mail)> = Vec::new();
        for pick in picks {
            let Some((place, mail)) = self.pair.mail.iter().nth(pick % self.pair.mail.len().max(1)) else {
                return Ok(());
            };
            // What goes in one call comes from one queue and goes to one.
            let fits = posted
                .first()
                .is_none_or(|((queue, _), first)| place.0 == *queue && mail.core.target == first.core.target);
            if fits {
                posted.push((*place, mail.clone()));
            }
        }
        for _ in 0..times {
            self.hand_over(&posted).await?;
        }
        if acknowledge {
            self.acknowledge(&posted).await?;
        }
        Ok(())
    }

    async fn carry_all(&mut self) -> Checked {
        for _ in 0..1_000 {
            let Some((place, mail)) = self.pair.mail.iter().next() else { return Ok(()) };
            let posted = [(*place, mail.clone())];
            self.hand_over(&posted).await?;
            self.acknowledge(&posted).await?;
        }
        Err("mail makes mail without end".into())
    }

    async fn hand_over(&mut self, posted: &[((usize, u64), Mail)]) -> Checked {
        let Some(((source, _), first)) = posted.first() else { return Ok(()) };
        let target = self.pair.names.iter().position(|name| *name == first.core.target);
        let target = target.expect("there are no other queues");
        for (_, mail) in posted {
            if let Delivery::Add(job) = &mail.core.delivery {
                self.seen.ids[target].insert(job.spec.id.clone());
            }
        }
        let source = self.pair.names[*source].clone();
        let core = posted.iter().map(|(_, mail)| mail.core.clone()).collect();
        let redis = posted.iter().map(|(_, mail)| mail.redis.clone()).collect();
        let (core, redis) = (Command::Deliver(source.clone(), core), Command::Deliver(source, redis));
        self.pair.apply_both(target, core, redis).await.map(drop)
    }

    async fn acknowledge(&mut self, posted: &[((usize, u64), Mail)]) -> Checked {
        let Some(((source, _), _)) = posted.first() else { return Ok(()) };
        let core = posted.iter().map(|(_, mail)| mail.core.seq).collect();
        let redis = posted.iter().map(|(_, mail)| mail.redis.seq).collect();
        self.pair.apply_both(*source, Command::Acknowledge(core), Command::Acknowledge(redis)).await?;
        for (place, _) in posted {
            self.pair.mail.remove(place);
        }
        Ok(())
    }

    // ------------------------------------------------------------------ the end

    /// Works with no limit until nothing is left to do, and compares what that left.
    pub async fn finish(&mut self) -> Checked {
        for queue in 0..QUEUES {
            let bounds = self.configs[queue].bounds;
            self.configs[queue] = QueueConfig { lease_ms: 3_600_000, bounds, ..QueueConfig::default() };
            self.pair.lease_ms = 3_600_000;
            self.set(queue, Setting::Events(true)).await?;
            self.apply(queue, Command::Admin(AdminCommand::Unpause)).await?;
        }
        for _ in 0..60 {
            self.pass(60_000).await?;
            self.carry_all().await?;
            let mut left = 0;
            for queue in 0..QUEUES {
                self.maintain(queue).await?;
                for worker in 0..3 {
                    let ends = [(Whose::Own, 0, End::Complete); 50];
                    self.step(queue, worker, &ends, 9).await?;
                }
                let counts = self.pair.cores[queue].info(self.pair.now()).counts;
                left +=
                    counts.of(JobState::Waiting) + counts.of(JobState::Delayed) + counts.of(JobState::Active);
                self.seen.glance(&self.pair, queue).await?;
            }
            if left == 0 && self.pair.mail.is_empty() {
                break;
            }
        }
        self.look().await
    }
}
