//! What really happened, as the journals tell it, held against what the store says in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bulrush::model::JobState;
use serde::Serialize;

use crate::clock::ms_between;
use crate::journal::{How, Line, What};

/// What must not happen, or only as often as a fault explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Acknowledged, and neither run to a good end nor in the store; or completed there although nobody ran it.
    Lost,
    /// Run to a good end, and its record is gone although nothing removes it.
    Gone,
    /// Run, or in the store, although nobody added it or the add was refused.
    Phantom,
    /// Not at its end long after the last fault.
    Stuck,
    /// Run again after a run that had ended well.
    DuplicateSerial,
    /// Run while another run of it went on.
    DuplicateOverlapping,
    /// The result in the store is not that of the run that the store settled it by.
    WrongResult,
    /// Accepted as completed from two runs.
    SettledTwice,
    /// The same token for two runs.
    TokenReissued,
    /// Ended as failed or cancelled although its handler does not fail.
    Failed,
    /// The store's own check found something, or a job is in two states.
    Ghost,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Lost,
        Self::Gone,
        Self::Phantom,
        Self::Stuck,
        Self::DuplicateSerial,
        Self::DuplicateOverlapping,
        Self::WrongResult,
        Self::SettledTwice,
        Self::TokenReissued,
        Self::Failed,
        Self::Ghost,
    ];
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::Gone => "gone",
            Self::Phantom => "phantom",
            Self::Stuck => "stuck",
            Self::DuplicateSerial => "duplicate, serial",
            Self::DuplicateOverlapping => "duplicate, overlapping",
            Self::WrongResult => "wrong result",
            Self::SettledTwice => "settled twice",
            Self::TokenReissued => "token issued twice",
            Self::Failed => "failed",
            Self::Ghost => "ghost",
        })
    }
}

/// An add, as its producer saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Add {
    /// When it was sent.
    pub sent: u64,
    /// What came back.
    pub answer: Answer,
}

/// What came back to an add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The store has it, since this moment at the latest.
    Acknowledged(u64),
    /// The store refused it; because of its memory or not.
    Refused {
        /// When.
        at: u64,
        /// Because its memory is full.
        memory: bool,
    },
    /// Nobody knows.
    Indeterminate,
}

/// A run of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The token of its take.
    pub token: String,
    /// In which process.
    pub pid: u32,
    /// When it began.
    pub begin: u64,
    /// When and how its handler ended, if it did.
    pub end: Option<(u64, How)>,
    /// What it did.
    pub effect: String,
    /// When the store answered to its settle, and whether it took it.
    pub settled: Option<(u64, bool)>,
}

impl Run {
    /// Whether its handler ended well.
    pub fn succeeded(&self) -> bool {
        matches!(self.end, Some((_, How::Done)))
    }

    /// When the store took its settle, if it did and the worker heard of it.
    pub fn accepted(&self) -> Option<u64> {
        self.settled.and_then(|(at, accepted)| accepted.then_some(at))
    }
}

/// A job, as the store says in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Where it is.
    pub state: JobState,
    /// Attempts that count.
    pub attempts: u32,
    /// Times it lost its worker.
    pub stalls: u32,
    /// What its handler returned.
    pub result: Option<String>,
    /// By which token it was settled.
    pub settled_by: Option<String>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// What the store says in the end.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Every job.
    pub jobs: BTreeMap<String, Stored>,
    /// What its own check found.
    pub findings: Vec<String>,
}

/// A fault that was injected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// What was done.
    pub what: String,
    /// From this moment on, µs.
    pub from: u64,
    /// Until this one.
    pub to: u64,
    /// To these processes, or to all.
    pub pids: Option<BTreeSet<u32>>,
    /// What was hit goes on afterwards: a worker that died does not.
    pub heals: bool,
}

impl Fault {
    fn hits(&self, pid: u32) -> bool {
        self.pids.as_ref().is_none_or(|pids| pids.contains(&pid))
    }
}

/// What the journals tell.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Adds, by job.
    pub adds: BTreeMap<String, Add>,
    /// Runs, by job, in the order in which they began.
    pub runs: BTreeMap<String, Vec<Run>>,
    /// When processes died.
    pub died: BTreeMap<u32, u64>,
    /// Tokens under which two runs began.
    reissued: Vec<String>,
}

/// What was found, by class.
pub type Findings = BTreeMap<Class, Vec<String>>;

impl Ledger {
    /// Reads the lines of all journals, which must come by time.
    pub fn read(lines: Vec<Line>, died: BTreeMap<u32, u64>) -> Self {
        let mut ledger = Self { died, ..Self::default() };
        for line in lines {
            ledger.enter(line);
        }
        ledger
    }

    fn enter(&mut self, line: Line) {
        let Line { at, pid, what } = line;
        match what {
            What::Sent { job } => {
                self.adds.insert(job, Add { sent: at, answer: Answer::Indeterminate });
            }
            What::Acknowledged { job } => self.answer(&job, Answer::Acknowledged(at)),
            What::Refused { job, memory, .. } => self.answer(&job, Answer::Refused { at, memory }),
            What::Indeterminate { job, .. } => self.answer(&job, Answer::Indeterminate),
            What::Begin { job, token } => {
                let runs = self.runs.entry(job.clone()).or_default();
                if runs.iter().any(|run| run.token == token) {
                    self.reissued.push(format!("{job}: {token}"));
                }
                let (end, settled, effect) = (None, None, String::new());
                runs.push(Run { token, pid, begin: at, end, effect, settled });
            }
            What::End { job, token, how, effect } => {
                if let Some(run) = self.run(&job, &token, |run| run.end.is_none()) {
                    (run.end, run.effect) = (Some((at, how)), effect);
                }
            }
            What::Settle { job, token, completed: true, accepted } => {
                if let Some(run) = self.run(&job, &token, |run| run.settled.is_none()) {
                    run.settled = Some((at, accepted));
                }
            }
            What::Ready { .. } | What::Settle { .. } => {}
        }
    }

    fn answer(&mut self, job: &str, answer: Answer) {
        if let Some(add) = self.adds.get_mut(job) {
            add.answer = answer;
        }
    }

    fn run(&mut self, job: &str, token: &str, which: impl Fn(&Run) -> bool) -> Option<&mut Run> {
        self.runs.get_mut(job)?.iter_mut().find(|run| run.token == token && which(run))
    }

    /// When a run was over: when its handler ended or its process died; never, where neither is known.
    fn over(&self, run: &Run) -> u64 {
        let died = self.died.get(&run.pid).copied().unwrap_or(u64::MAX);
        run.end.map_or(died, |(at, _)| at.min(died))
    }

    /// Runs that a fault hit: begun before its end, and not settled, as far as their worker knew, before it came.
    pub fn in_flight<'a>(&'a self, fault: &'a Fault) -> impl Iterator<Item = (&'a String, &'a Run)> + 'a {
        let hit = |run: &Run| {
            let died = self.died.get(&run.pid).copied().unwrap_or(u64::MAX);
            let held_until = run.settled.map_or(died, |(at, _)| at);
            fault.hits(run.pid) && run.begin <= fault.to && held_until >= fault.from
        };
        let all = self.runs.iter().flat_map(|(job, runs)| runs.iter().map(move |run| (job, run)));
        all.filter(move |(_, run)| hit(run))
    }

    /// How long the jobs that a fault interrupted took until they began again, ms.
    pub fn recoveries(&self, fault: &Fault) -> Vec<u64> {
        let next = |(job, run): (&String, &Run)| {
            let runs = self.runs.get(job)?;
            let next = runs.iter().find(|next| next.begin > run.begin && next.begin >= fault.from)?;
            run.accepted().is_none().then(|| ms_between(fault.from, next.begin))
        };
        self.in_flight(fault).filter_map(next).collect()
    }

    /// How long after the end of a fault somebody who was hit took work again, ms; none if nobody did.
    pub fn resumed(&self, fault: &Fault) -> Option<u64> {
        let begins = self.runs.values().flatten().filter(|run| fault.hits(run.pid)).map(|run| run.begin);
        begins.filter(|begin| *begin >= fault.to).min().map(|begin| ms_between(fault.to, begin))
    }

    /// Jobs completed in a span, as the workers heard.
    pub fn completed(&self, from: u64, to: u64) -> usize {
        let accepted = self.runs.values().flatten().filter_map(Run::accepted);
        accepted.filter(|at| (from..to).contains(at)).count()
    }

    /// Completions that the store refused: they came too late.
    pub fn refused_late(&self) -> usize {
        let settled = self.runs.values().flatten().filter_map(|run| run.settled);
        settled.filter(|(_, accepted)| !accepted).count()
    }

    /// Puts every job of the ledger and of the store into its classes.
    pub fn classify(&self, kept: &Kept, trims: bool) -> Findings {
        let mut findings = Findings::new();
        let mut found = |class, text: String| findings.entry(class).or_default().push(text);
        for (job, add) in &self.adds {
            let stored = kept.jobs.get(job);
            let ran = self.runs.get(job);
            let succeeded = ran.is_some_and(|runs| runs.iter().any(Run::succeeded));
            match add.answer {
                Answer::Acknowledged(_) => match stored {
                    None if !succeeded => found(Class::Lost, format!("{job}: the store does not have it")),
                    None if !trims => found(Class::Gone, format!("{job}: its record is gone")),
                    _ => {}
                },
                Answer::Refused { .. } if stored.is_some() || ran.is_some() => {
                    found(Class::Phantom, format!("{job}: it was refused"));
                }
                Answer::Refused { .. } | Answer::Indeterminate => {}
            }
            if stored.is_some_and(|stored| stored.state == JobState::Completed) && !succeeded {
                found(Class::Lost, format!("{job}: completed, and nobody ran it to its end"));
            }
        }
        for (job, stored) in &kept.jobs {
            if !self.adds.contains_key(job) {
                found(Class::Phantom, format!("{job}: {}, and nobody added it", stored.state));
            }
            match stored.state {
                JobState::Completed => {
                    if let Some(text) = self.wrong_result(job, stored) {
                        found(Class::WrongResult, format!("{job}: {text}"));
                    }
                }
                JobState::Failed | JobState::Cancelled => {
                    let why = stored.error.as_deref().unwrap_or("no error is kept");
                    found(Class::Failed, format!("{job}: {}: {why}", stored.state));
                }
                state => found(Class::Stuck, format!("{job}: {state}")),
            }
        }
        for (job, runs) in &self.runs {
            if !self.adds.contains_key(job) && !kept.jobs.contains_key(job) {
                found(Class::Phantom, format!("{job}: it ran, and nobody added it"));
            }
            self.classify_runs(job, runs, &mut found);
        }
        for token in &self.reissued {
            found(Class::TokenReissued, token.clone());
        }
        for finding in &kept.findings {
            found(Class::Ghost, finding.clone());
        }
        findings
    }

    fn classify_runs(&self, job: &str, runs: &[Run], found: &mut impl FnMut(Class, String)) {
        for (n, run) in runs.iter().enumerate() {
            let earlier = &runs[..n];
            let after_success =
                earlier.iter().find(|other| other.succeeded() && self.over(other) <= run.begin);
            if let Some(other) = after_success {
                found(Class::DuplicateSerial, format!("{job}: {} after {}", run.token, other.token));
            } else if let Some(other) = earlier.iter().find(|other| self.over(other) > run.begin) {
                found(Class::DuplicateOverlapping, format!("{job}: {} beside {}", run.token, other.token));
            }
        }
        let accepted = runs.iter().filter(|run| run.accepted().is_some());
        let tokens: BTreeSet<&str> = accepted.map(|run| run.token.as_str()).collect();
        if tokens.len() > 1 {
            found(Class::SettledTwice, format!("{job}: {tokens:?}"));
        }
    }

    /// What is wrong with the result of a completed job, if anything is. One that nobody ran is a lost one.
    fn wrong_result(&self, job: &str, stored: &Stored) -> Option<String> {
        let runs = self.runs.get(job)?;
        if !runs.iter().any(Run::succeeded) {
            return None;
        }
        let by = stored.settled_by.as_deref().unwrap_or_default();
        let Some(run) = runs.iter().find(|run| run.token == by && run.succeeded()) else {
            return Some(format!("settled by {by:?}, which is no run of it that ended well"));
        };
        let result = stored.result.as_deref().unwrap_or_default();
        (result != run.effect).then(|| format!("its result is {result}, the run's effect was {}", run.effect))
    }
}

#[cfg(test)]
mod tests;
