//! Every state meets every event: what comes of it is this table, and no move is made that [`JobState::can_become`] forbids.

use std::collections::BTreeSet;
use std::sync::Arc;

use bulrush::core::{Command, Core, Reply};
use bulrush::model::{
    Cause, ChildFailure, ChildState, ErrorKind, Finished, JobError, JobId, JobState, JobView, Keep, Millis,
    NewJob, Outcome, Parent, QueueConfig, QueueName, Taken, Token, When, WorkerId,
};
use bulrush::port::{AdminCommand, Delivery, OutboxEntry, Resume, Step, WorkerInfo};

const START: Millis = 1_700_000_000_000;
const WORKER: WorkerId = WorkerId(1);
const HOUR: u64 = 3_600_000;

/// What can happen to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    AddAgain,
    Take,
    TimeComes,
    Complete,
    Retry,
    RetryAtOnce,
    RetryTheLastTime,
    Fail,
    Snooze,
    SnoozeForNothing,
    RateLimited,
    Release,
    HandlerCancelled,
    LoseWorker,
    LoseWorkerTooOften,
    ForgottenByWorker,
    Cancel,
    CancelThenRetry,
    CancelThenComplete,
    CancelThenLoseWorker,
    CancelledWithItsParent,
    LastChildSettles,
    ChildFails,
    ChildFailsAndIsIgnored,
    ChildFailsAndParentGoesOn,
    RetryByHand,
    RetryAllFailed,
    Promote,
    RescheduleToLater,
    RescheduleToNow,
    SetPriority,
    SetData,
    Remove,
    Clean,
    Drain,
    ObliterateByForce,
    Trim,
}

use Event as E;

/// Event, what it causes, and what becomes of a job in each state: waiting, delayed, waiting for children, active, completed,
/// failed, cancelled. A dot changes nothing, a dash removes the job.
const TABLE: [(Event, &[Cause], &str); 37] = [
    (E::AddAgain, &[], "......."),
    (E::Take, &[Cause::Take], "a......"),
    (E::TimeComes, &[Cause::Due], ".w....."),
    (E::Complete, &[Cause::Complete], "...c..."),
    (E::Retry, &[Cause::Again], "...d..."),
    (E::RetryAtOnce, &[Cause::Again], "...w..."),
    (E::RetryTheLastTime, &[Cause::Fail], "...f..."),
    (E::Fail, &[Cause::Fail], "...f..."),
    (E::Snooze, &[Cause::Again], "...d..."),
    (E::SnoozeForNothing, &[Cause::Again], "...w..."),
    (E::RateLimited, &[Cause::Return], "...w..."),
    (E::Release, &[Cause::Return], "...w..."),
    (E::HandlerCancelled, &[Cause::Cancel], "...x..."),
    (E::LoseWorker, &[Cause::Return], "...w..."),
    (E::LoseWorkerTooOften, &[Cause::Fail], "...f..."),
    (E::ForgottenByWorker, &[Cause::Return], "...w..."),
    (E::Cancel, &[Cause::Cancel], "xxx...."),
    (E::CancelThenRetry, &[Cause::Cancel], "xxxx..."),
    (E::CancelThenComplete, &[Cause::Cancel, Cause::Complete], "xxxc..."),
    (E::CancelThenLoseWorker, &[Cause::Cancel], "xxxx..."),
    (E::CancelledWithItsParent, &[Cause::Cancel], "xxx...."),
    (E::LastChildSettles, &[Cause::ChildrenSettled], "..w...."),
    (E::ChildFails, &[Cause::ChildFailed], "..f...."),
    (E::ChildFailsAndIsIgnored, &[Cause::ChildrenSettled], "..w...."),
    (E::ChildFailsAndParentGoesOn, &[Cause::ChildrenSettled], "..w...."),
    (E::RetryByHand, &[Cause::Retry], ".....ww"),
    (E::RetryAllFailed, &[Cause::Retry], ".....w."),
    (E::Promote, &[Cause::Due], ".w....."),
    (E::RescheduleToLater, &[Cause::Reschedule], "dd....."),
    (E::RescheduleToNow, &[Cause::Reschedule], "ww....."),
    (E::SetPriority, &[Cause::Reschedule], "......."),
    (E::SetData, &[], "......."),
    (E::Remove, &[], "---.---"),
    (E::Clean, &[], "---.---"),
    (E::Drain, &[], "--....."),
    (E::ObliterateByForce, &[], "-------"),
    (E::Trim, &[], "....---"),
];

/// A queue with one job, in the state asked for.
struct Stage {
    core: Core,
    now: Millis,
    /// Entries brought so far.
    mail: u64,
    call: u64,
    policy: ChildFailure,
    /// The job as it was last taken, or a token nobody issued.
    taken: Arc<Taken>,
}

fn id() -> JobId {
    JobId::new("job").expect("a good id")
}

fn queue() -> QueueName {
    QueueName::new("main").expect("a good name")
}

fn own(text: &str) -> JobId {
    JobId::new(text).expect("a good id")
}

impl Stage {
    fn set(state: JobState, event: Event) -> Self {
        let policy = match event {
            Event::ChildFailsAndIsIgnored => ChildFailure::Ignore,
            Event::ChildFailsAndParentGoesOn => ChildFailure::Continue,
            _ => ChildFailure::Fail,
        };
        let attempts = if event == Event::RetryTheLastTime { 1 } else { 3 };
        let config = QueueConfig {
            stalls_max: if event == Event::LoseWorkerTooOften { 0 } else { 3 },
            ..QueueConfig::default()
        };
        let mut job = NewJob::new(id(), "work", "{}").attempts(attempts);
        job.spec.parent =
            Some(Arc::new(Parent { queue: queue(), id: own("parent"), on_failure: ChildFailure::Fail }));
        let mut stage = Self {
            core: Core::new(queue(), config, START),
            now: START,
            mail: 0,
            call: 0,
            policy,
            taken: Arc::new(Taken {
                spec: Arc::new(job.spec.clone()),
                token: Token { run: 1, worker: WORKER, take: 999 },
                attempt: 1,
                stalls: 0,
                created_at: START,
                run_at: START,
                started: START,
                errors: Vec::new(),
                is_parent: false,
            }),
        };
        stage.hello(&[]);
        match state {
            JobState::Delayed => job = job.delay_ms(HOUR),
            JobState::WaitingChildren => {
                job = job.child(queue(), NewJob::new(own("child"), "work", "{}"), policy);
            }
            _ => {}
        }
        stage.apply(Command::Add(vec![job]));
        match state {
            JobState::Active => stage.take(),
            JobState::Completed => stage.take_and(complete()),
            JobState::Failed => stage.take_and(Outcome::Fail { error: error() }),
            JobState::Cancelled => {
                stage.apply(Command::Admin(AdminCommand::Cancel(vec![id()])));
            }
            _ => {}
        }
        assert_eq!(stage.state(), Some(state));
        stage
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.core.apply(command, self.now).expect("the command can be carried out")
    }

    fn admin(&mut self, command: AdminCommand) {
        self.apply(Command::Admin(command));
    }

    fn hello(&mut self, running: &[(JobId, Token)]) {
        self.call += 1;
        let info =
            WorkerInfo { id: WORKER, name: "worker".into(), slots: 1, version: "1".into(), started: START };
        self.apply(Command::Resume(Resume { info, call: self.call, running: running.to_vec() }));
    }

    fn step(&mut self, finished: Vec<Finished>, want: usize) {
        self.call += 1;
        let step = Step { worker: WORKER, call: self.call, finished, want };
        let Reply::Step(reply) = self.apply(Command::Step(step)) else {
            panic!("a step is answered by a step")
        };
        if let Some(taken) = reply.taken.first() {
            self.taken = taken.clone();
        }
    }

    fn take(&mut self) {
        self.step(Vec::new(), 1);
    }

    fn settle(&mut self, outcome: Outcome) {
        self.step(vec![Finished { job: self.taken.clone(), outcome }], 0);
    }

    fn take_and(&mut self, outcome: Outcome) {
        self.take();
        self.settle(outcome);
    }

    /// Lets the worker's lease run out while maintenance goes on.
    fn lose_worker(&mut self) {
        for _ in 0..25 {
            self.now += 1_000;
            self.apply(Command::Maintain);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let source = self.core.queue().clone();
        self.mail += 1;
        let entry = OutboxEntry { seq: self.mail, at: self.now, target: source.clone(), delivery };
        self.apply(Command::Deliver(source, vec![entry]));
    }

    fn child(&mut self, state: ChildState) {
        let news = Delivery::ChildSettled { parent: id(), child: own("child"), state };
        self.deliver(news);
    }

    fn state(&self) -> Option<JobState> {
        self.core.get(&[id()])[0].as_ref().map(JobView::state)
    }

    fn happen(&mut self, event: Event) {
        let (later, failed) = (60_000, ChildState::Failed { reason: "broken".into() });
        match event {
            Event::AddAgain => drop(self.apply(Command::Add(vec![NewJob::new(id(), "work", "[]")]))),
            Event::Take => self.take(),
            Event::TimeComes => {
                self.now += HOUR;
                // The first pass after a gap rescues nobody.
                self.apply(Command::Maintain);
            }
            Event::Complete => self.settle(complete()),
            Event::Retry | Event::RetryTheLastTime => {
                self.settle(Outcome::Retry { after_ms: later, error: error() });
            }
            Event::RetryAtOnce => self.settle(Outcome::Retry { after_ms: 0, error: error() }),
            Event::Fail => self.settle(Outcome::Fail { error: error() }),
            Event::Snooze => self.settle(Outcome::Snooze { after_ms: later }),
            Event::SnoozeForNothing => self.settle(Outcome::Snooze { after_ms: 0 }),
            Event::RateLimited => self.settle(Outcome::RateLimited { retry_after_ms: later }),
            Event::Release => self.settle(Outcome::Release),
            Event::HandlerCancelled => self.settle(Outcome::Cancelled),
            Event::LoseWorker | Event::LoseWorkerTooOften => self.lose_worker(),
            Event::ForgottenByWorker => self.hello(&[]),
            Event::Cancel => self.admin(AdminCommand::Cancel(vec![id()])),
            Event::CancelThenRetry => {
                self.happen(Event::Cancel);
                self.happen(Event::Retry);
            }
            Event::CancelThenComplete => {
                self.happen(Event::Cancel);
                self.happen(Event::Complete);
            }
            Event::CancelThenLoseWorker => {
                self.happen(Event::Cancel);
                self.happen(Event::LoseWorker);
            }
            Event::CancelledWithItsParent => {
                let cancel = Delivery::CancelChild { child: id(), parent: own("parent") };
                self.deliver(cancel);
            }
            Event::LastChildSettles => self.child(ChildState::Completed { result: None }),
            Event::ChildFails | Event::ChildFailsAndIsIgnored | Event::ChildFailsAndParentGoesOn => {
                assert_eq!(self.policy == ChildFailure::Fail, event == Event::ChildFails);
                self.child(failed);
            }
            Event::RetryByHand => self.admin(AdminCommand::Retry { ids: vec![id()], data: None }),
            Event::RetryAllFailed => self.admin(AdminCommand::RetryFailed { limit: 10 }),
            Event::Promote => self.admin(AdminCommand::Promote(vec![id()])),
            Event::RescheduleToLater => {
                self.admin(AdminCommand::Reschedule { id: id(), when: When::After(later) });
            }
            Event::RescheduleToNow => self.admin(AdminCommand::Reschedule { id: id(), when: When::Now }),
            Event::SetPriority => self.admin(AdminCommand::SetPriority { id: id(), priority: 1 }),
            Event::SetData => self.admin(AdminCommand::SetData { id: id(), data: "[1]".into() }),
            Event::Remove => self.admin(AdminCommand::Remove(vec![id()])),
            Event::Clean => {
                // The state it is in; cleaning what runs is refused.
                let state = self.state().unwrap_or(JobState::Waiting);
                let clean = AdminCommand::Clean { state, older_ms: 0, limit: 10 };
                let _ = self.core.apply(Command::Admin(clean), self.now);
            }
            Event::Drain => self.admin(AdminCommand::Drain { delayed: true, limit: 10 }),
            Event::ObliterateByForce => self.admin(AdminCommand::Obliterate { force: true, limit: 10 }),
            Event::Trim => {
                let mut config = (**self.core.config()).clone();
                config.retention.completed = Keep::NOTHING;
                config.retention.failed = Keep::NOTHING;
                config.retention.cancelled = Keep::NOTHING;
                self.apply(Command::Configure(Box::new(config)));
                self.apply(Command::Maintain);
            }
        }
    }
}

fn complete() -> Outcome {
    Outcome::Complete { result: None, follow_ups: Vec::new() }
}

fn error() -> JobError {
    JobError { kind: ErrorKind::Retryable, message: "broken".into() }
}

/// What the table says: the state afterwards, none if the job is gone.
fn expected(state: JobState, code: u8) -> Option<JobState> {
    match code {
        b'.' => Some(state),
        b'-' => None,
        b'w' => Some(JobState::Waiting),
        b'd' => Some(JobState::Delayed),
        b'a' => Some(JobState::Active),
        b'c' => Some(JobState::Completed),
        b'f' => Some(JobState::Failed),
        b'x' => Some(JobState::Cancelled),
        other => panic!("{} stands for no state", other as char),
    }
}

#[test]
fn every_event_does_to_every_state_what_the_table_says() {
    for (event, causes, row) in TABLE {
        for (state, code) in JobState::ALL.into_iter().zip(row.bytes()) {
            let mut stage = Stage::set(state, event);
            stage.happen(event);
            let after = stage.state();
            assert_eq!(after, expected(state, code), "{event:?} on a {state} job");
            if let Some(after) = after.filter(|after| *after != state) {
                let legal = causes.iter().any(|cause| state.can_become(after, *cause));
                assert!(legal, "{event:?}: {state} became {after}, which the model's table forbids");
            }
            let findings = stage.core.verify(0, false).findings;
            assert_eq!(findings, [], "{event:?} on a {state} job");
        }
    }
}

#[test]
fn every_event_stands_in_the_table_once() {
    let events: BTreeSet<String> = TABLE.iter().map(|(event, ..)| format!("{event:?}")).collect();
    assert_eq!(events.len(), TABLE.len());
    assert_eq!(TABLE.len(), Event::Trim as usize + 1, "an event is missing");
}

/// Moves that the model allows and nothing here makes would be dead words.
#[test]
fn every_legal_move_is_made_by_some_event() {
    let causes = [
        Cause::Take,
        Cause::Due,
        Cause::ChildrenSettled,
        Cause::ChildFailed,
        Cause::Complete,
        Cause::Fail,
        Cause::Again,
        Cause::Return,
        Cause::Cancel,
        Cause::Retry,
        Cause::Reschedule,
    ];
    for cause in causes {
        for (at, from) in JobState::ALL.into_iter().enumerate() {
            for to in JobState::ALL.into_iter().filter(|to| *to != from && from.can_become(*to, cause)) {
                // A parent with a time of its own becomes delayed; see the flows of the suite.
                if (from, to) == (JobState::WaitingChildren, JobState::Delayed) {
                    continue;
                }
                let made = TABLE.iter().any(|(_, causes, row)| {
                    causes.contains(&cause) && expected(from, row.as_bytes()[at]) == Some(to)
                });
                assert!(made, "nothing makes {from} become {to} by {cause:?}");
            }
        }
    }
}

/// The other way round: whatever is not in the model's table is refused by it.
#[test]
fn ended_jobs_leave_their_state_by_a_retry_alone() {
    for from in JobState::ALL.into_iter().filter(|state| state.is_terminal()) {
        for to in JobState::ALL {
            for cause in [Cause::Take, Cause::Due, Cause::Complete, Cause::Fail, Cause::Again, Cause::Return]
            {
                assert!(!from.can_become(to, cause), "{from} must not become {to} by {cause:?}");
            }
        }
        let retried = from.can_become(JobState::Waiting, Cause::Retry);
        assert_eq!(retried, from != JobState::Completed);
    }
}
