//! What must hold: the bounds of a scenario, and which of them a run has violated.

use std::collections::BTreeSet;

use crate::ledger::{Answer, Class, Fault, Findings, Kept, Ledger};

/// How many duplicates the faults explain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// None.
    None,
    /// As many as jobs were in flight at the faults.
    InFlight,
}

/// The bounds of a scenario.
#[derive(Debug, Clone)]
pub struct Rules {
    /// How many duplicates are allowed.
    pub duplicates: Duplicates,
    /// Spans whose acknowledgements the store may have forgotten, from and to, µs: a power cut takes what was not flushed.
    pub forgets: Vec<(u64, u64)>,
    /// An interrupted job begins again within, ms.
    pub rescue_ms: Option<u64>,
    /// Whoever was hit takes work again within, ms, after the end of a fault.
    pub resume_ms: Option<u64>,
    /// Retention may have taken finished jobs.
    pub trims: bool,
    /// The store may refuse adds because its memory is full, and must have refused some.
    pub fills_up: bool,
    /// Adds may be left without an answer.
    pub indeterminate: bool,
    /// The faults are done to others than those who run jobs.
    pub spares_workers: bool,
    /// No attempt may be burnt, and no job lose its worker.
    pub untouched: bool,
    /// These jobs end as crashed, and no others fail.
    pub crash: BTreeSet<String>,
    /// All workers end by themselves when asked to.
    pub clean_end: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            duplicates: Duplicates::None,
            forgets: Vec::new(),
            rescue_ms: None,
            resume_ms: Some(5_000),
            trims: false,
            fills_up: false,
            indeterminate: false,
            spares_workers: false,
            untouched: false,
            crash: BTreeSet::new(),
            clean_end: true,
        }
    }
}

/// Numbers that a judgement is made of, and its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    /// Runs in flight at the faults, each counted once for each fault.
    pub in_flight: usize,
    /// What the store forgot and was allowed to.
    pub forgotten: usize,
    /// Times from a fault to the next start of the jobs that it interrupted, ms, sorted.
    pub recoveries: Vec<u64>,
    /// Times from the end of a fault to the next start by whoever was hit, ms, sorted.
    pub resumed: Vec<u64>,
    /// The bounds that do not hold, in words.
    pub violations: Vec<String>,
}

/// Judges a run. `findings` keeps what is neither explained nor allowed.
pub fn judge(
    rules: &Rules,
    ledger: &Ledger,
    kept: &Kept,
    faults: &[Fault],
    findings: &mut Findings,
) -> Judgement {
    let mut judgement = Judgement::default();
    forgive(rules, ledger, kept, findings, &mut judgement);
    let count = |class| findings.get(&class).map_or(0, Vec::len);
    let first = |class| findings.get(&class).and_then(|texts: &Vec<String>| texts.first()).cloned();
    let mut violations = Vec::new();
    for class in Class::ALL {
        let is_duplicate = matches!(class, Class::DuplicateSerial | Class::DuplicateOverlapping);
        if !is_duplicate && let Some(first) = first(class) {
            violations.push(format!("{} {class}, 0 are allowed (the first: {first})", count(class)));
        }
    }

    judgement.in_flight = faults.iter().map(|fault| ledger.in_flight(fault).count()).sum();
    if !faults.is_empty() && judgement.in_flight == 0 && !rules.spares_workers {
        violations.push("no job was under way at any fault: the run shows nothing".to_owned());
    }
    let duplicates = count(Class::DuplicateSerial) + count(Class::DuplicateOverlapping);
    let allowed = match rules.duplicates {
        Duplicates::None => 0,
        Duplicates::InFlight => judgement.in_flight + forgotten_settles(rules, ledger),
    };
    if duplicates > allowed {
        let example = first(Class::DuplicateSerial).or_else(|| first(Class::DuplicateOverlapping));
        let example = example.unwrap_or_default();
        violations
            .push(format!("{duplicates} duplicates, {allowed} are explained by faults (one: {example})"));
    }

    judgement.recoveries = faults.iter().flat_map(|fault| ledger.recoveries(fault)).collect();
    judgement.recoveries.sort_unstable();
    if let (Some(bound), Some(longest)) = (rules.rescue_ms, judgement.recoveries.last())
        && *longest > bound
    {
        violations.push(format!("an interrupted job began again after {longest} ms, {bound} ms are allowed"));
    }
    let healed = faults.iter().filter(|fault| fault.heals);
    for fault in healed {
        match (ledger.resumed(fault), rules.resume_ms) {
            (Some(ms), bound) => {
                judgement.resumed.push(ms);
                if let Some(bound) = bound.filter(|bound| ms > *bound) {
                    violations.push(format!(
                        "{}: work went on {ms} ms after its end, {bound} ms are allowed",
                        fault.what
                    ));
                }
            }
            (None, Some(_)) => violations.push(format!("{}: nobody who was hit took work again", fault.what)),
            (None, None) => {}
        }
    }
    judgement.resumed.sort_unstable();
    judge_adds(rules, ledger, &mut violations);
    judge_attempts(rules, kept, &mut violations);
    judgement.violations = violations;
    judgement
}

/// Takes away what was allowed: what the store may have forgotten, and jobs that had to fail.
fn forgive(rules: &Rules, ledger: &Ledger, kept: &Kept, findings: &mut Findings, judgement: &mut Judgement) {
    let in_span = |at: u64| rules.forgets.iter().any(|(from, to)| (*from..=*to).contains(&at));
    let job_of = |text: &str| text.split_once(": ").map_or(text, |(job, _)| job).to_owned();
    let add_forgotten = |text: &String| {
        let add = ledger.adds.get(&job_of(text));
        matches!(add.map(|add| add.answer), Some(Answer::Acknowledged(at)) if in_span(at))
    };
    let settle_forgotten = |text: &String| {
        let runs = ledger.runs.get(&job_of(text));
        runs.is_some_and(|runs| runs.iter().any(|run| run.accepted().is_some_and(in_span)))
    };
    for class in [Class::Lost, Class::Gone] {
        if let Some(texts) = findings.get_mut(&class) {
            let before = texts.len();
            texts.retain(|text| !add_forgotten(text));
            judgement.forgotten += before - texts.len();
        }
    }
    if let Some(texts) = findings.get_mut(&Class::SettledTwice) {
        texts.retain(|text| !settle_forgotten(text));
    }
    if let Some(texts) = findings.get_mut(&Class::Failed) {
        let crashed = |text: &String| {
            let job = job_of(text);
            let stored = kept.jobs.get(&job).and_then(|stored| stored.error.as_deref());
            rules.crash.contains(&job) && stored.is_some_and(|error| error.starts_with("crashed"))
        };
        texts.retain(|text| !crashed(text));
    }
    findings.retain(|_, texts| !texts.is_empty());
}

/// Settles that the store may have forgotten: their jobs run again.
fn forgotten_settles(rules: &Rules, ledger: &Ledger) -> usize {
    rules.forgets.iter().map(|(from, to)| ledger.completed(*from, *to)).sum()
}

fn judge_adds(rules: &Rules, ledger: &Ledger, violations: &mut Vec<String>) {
    let answers = || ledger.adds.values().map(|add| add.answer);
    let refused = answers().filter(|answer| matches!(answer, Answer::Refused { .. })).count();
    let for_memory =
        answers().filter(|answer| matches!(answer, Answer::Refused { memory: true, .. })).count();
    if rules.fills_up && for_memory == 0 {
        violations.push("the store never said that its memory is full".to_owned());
    }
    let explained = if rules.fills_up { for_memory } else { 0 };
    if refused > explained {
        violations.push(format!("{refused} adds were refused, {explained} for a reason"));
    }
    let unknown = answers().filter(|answer| *answer == Answer::Indeterminate).count();
    if !rules.indeterminate && unknown > 0 {
        violations.push(format!("{unknown} adds were left without an answer"));
    }
}

fn judge_attempts(rules: &Rules, kept: &Kept, violations: &mut Vec<String>) {
    if !rules.untouched {
        return;
    }
    let burnt = kept.jobs.values().filter(|job| job.attempts > 1).count();
    if burnt > 0 {
        violations.push(format!("{burnt} jobs needed more than one attempt, none should have"));
    }
    let stalled = kept.jobs.values().filter(|job| job.stalls > 0).count();
    if stalled > 0 {
        violations.push(format!("{stalled} jobs lost their worker, none should have"));
    }
}
