//! What a run has shown, for people and for programs.

use std::time::Duration;

use comfy_table::{Cell, CellAlignment, LineStyle, Table, TableStyle};
use serde::Serialize;

use crate::clock::ms_between;
use crate::field::{Field, Options, Phases, Scenario};
use crate::judge::Judgement;
use crate::ledger::{Answer, Class, Findings, Ledger};

/// A line under the header and none between rows, so that many rows stay readable.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
/// Findings of each class that are told; the rest is counted.
const TOLD_MAX: usize = 5;

/// What a run has shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// The seed that replays its faults.
    pub seed: u64,
    /// The class of durability.
    pub class: &'static str,
    /// Whether all that must hold did.
    pub passed: bool,
    /// Why it is known not to, where it is.
    pub open: Option<&'static str>,
    /// What did not hold.
    pub violations: Vec<String>,
    /// Adds sent.
    pub offered: usize,
    /// Of them acknowledged.
    pub acknowledged: usize,
    /// Refused.
    pub refused: usize,
    /// Without an answer.
    pub indeterminate: usize,
    /// Acknowledged, and lost although nothing allows it.
    pub lost: usize,
    /// Acknowledged, and forgotten within what the class of durability allows.
    pub forgotten: usize,
    /// Run again after a good end.
    pub duplicates_serial: usize,
    /// Run twice at once.
    pub duplicates_overlapping: usize,
    /// Run or stored although nobody asked for it.
    pub phantoms: usize,
    /// Not at its end.
    pub stuck: usize,
    /// Findings of the store's own check.
    pub ghosts: usize,
    /// Results that are not of the run that settled.
    pub wrong_results: usize,
    /// Faults injected.
    pub faults: usize,
    /// Runs in flight at them.
    pub in_flight: usize,
    /// Completions that came too late and were refused.
    pub refused_late: usize,
    /// From a fault to the next start of the jobs it interrupted, median, ms.
    pub recovery_p50_ms: Option<u64>,
    /// The longest.
    pub recovery_max_ms: Option<u64>,
    /// From the end of a fault to the next start by whoever was hit, the longest, ms.
    pub first_take_ms: Option<u64>,
    /// Jobs completed a second before the faults.
    pub rate_before: f64,
    /// While they went on.
    pub rate_during: f64,
    /// After them.
    pub rate_after: f64,
    /// From the end of the load until nothing was left to do, ms.
    pub rest_ms: u64,
    /// The whole run, ms.
    pub took_ms: u64,
    /// What else the scenario has seen.
    pub notes: Vec<String>,
    /// Findings by class, of each the first ones.
    pub findings: Findings,
}

impl Report {
    /// Puts a report together.
    #[expect(clippy::too_many_arguments, reason = "each is one part of the run, and this is where they meet")]
    pub fn new(
        scenario: &Scenario,
        options: &Options,
        field: &mut Field,
        ledger: &Ledger,
        mut findings: Findings,
        judgement: Judgement,
        phases: Phases,
        took: Duration,
    ) -> Self {
        let answers = || ledger.adds.values().map(|add| add.answer);
        let count = |class| findings.get(&class).map_or(0, Vec::len);
        let rate = |from: u64, to: u64| {
            let seconds = to.saturating_sub(from) as f64 / 1e6;
            if seconds > 0.0 {
                (ledger.completed(from, to) as f64 / seconds * 10.0).round() / 10.0
            } else {
                0.0
            }
        };
        let middle = judgement.recoveries.get(judgement.recoveries.len() / 2).copied();
        let report = Self {
            scenario: scenario.name,
            seed: options.seed,
            class: field.setup.server.flush.class(),
            passed: judgement.violations.is_empty(),
            open: scenario.open,
            offered: ledger.adds.len(),
            acknowledged: answers().filter(|answer| matches!(answer, Answer::Acknowledged(_))).count(),
            refused: answers().filter(|answer| matches!(answer, Answer::Refused { .. })).count(),
            indeterminate: answers().filter(|answer| *answer == Answer::Indeterminate).count(),
            lost: count(Class::Lost) + count(Class::Gone),
            forgotten: judgement.forgotten,
            duplicates_serial: count(Class::DuplicateSerial),
            duplicates_overlapping: count(Class::DuplicateOverlapping),
            phantoms: count(Class::Phantom),
            stuck: count(Class::Stuck),
            ghosts: count(Class::Ghost),
            wrong_results: count(Class::WrongResult)
                + count(Class::SettledTwice)
                + count(Class::TokenReissued),
            faults: field.faults.len(),
            in_flight: judgement.in_flight,
            refused_late: ledger.refused_late(),
            recovery_p50_ms: middle,
            recovery_max_ms: judgement.recoveries.last().copied(),
            first_take_ms: judgement.resumed.last().copied(),
            rate_before: rate(phases.begin, phases.faults),
            rate_during: rate(phases.faults, phases.healed),
            rate_after: rate(phases.healed, phases.end),
            rest_ms: ms_between(phases.end, phases.rest),
            took_ms: took.as_millis() as u64,
            notes: std::mem::take(&mut field.notes),
            violations: judgement.violations,
            findings: Findings::new(),
        };
        for texts in findings.values_mut() {
            texts.truncate(TOLD_MAX);
        }
        Self { findings, ..report }
    }

    /// The report as one JSON object on one line.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("numbers and text can be written as JSON")
    }

    /// The verdict in a word.
    pub fn verdict(&self) -> &'static str {
        match (self.passed, self.open) {
            (true, _) => "ok",
            (false, Some(_)) => "OPEN",
            (false, None) => "FAILED",
        }
    }

    /// Whether something did not hold that is not known not to.
    pub fn fails(&self) -> bool {
        !self.passed && self.open.is_none()
    }

    /// In words, after the table: what did not hold, and what else was seen.
    pub fn words(&self) -> String {
        let mut lines = Vec::new();
        for note in &self.notes {
            lines.push(format!("  {}: {note}", self.scenario));
        }
        for violation in &self.violations {
            let word = self.verdict();
            lines.push(format!("  {} (seed {}) {word}: {violation}", self.scenario, self.seed));
        }
        match self.open {
            Some(_) if self.passed => {
                lines.push(format!("  {}: held this time, though it is known not to", self.scenario));
            }
            Some(why) => lines.push(format!("  {}: known: {why}", self.scenario)),
            None => {}
        }
        lines.join("\n")
    }
}

/// Reports side by side.
pub fn table(reports: &[Report]) -> String {
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_header([
        "scenario",
        "seed",
        "class",
        "offered",
        "acked",
        "refused",
        "unknown",
        "lost",
        "forgotten",
        "dup ser",
        "dup ovl",
        "in flight",
        "late refused",
        "faults",
        "stuck",
        "ghosts",
        "wrong",
        "recovery p50/max",
        "take after",
        "jobs/s before/during/after",
        "took",
        "verdict",
    ]);
    let ms = |ms: Option<u64>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{:.1} s", ms as f64 / 1e3));
    for report in reports {
        let mut cells: Vec<Cell> =
            [report.scenario.to_owned(), report.seed.to_string(), report.class.to_owned()]
                .into_iter()
                .map(Cell::new)
                .collect();
        let numbers = [
            report.offered,
            report.acknowledged,
            report.refused,
            report.indeterminate,
            report.lost,
            report.forgotten,
            report.duplicates_serial,
            report.duplicates_overlapping,
            report.in_flight,
            report.refused_late,
            report.faults,
            report.stuck,
            report.ghosts,
            report.wrong_results + report.phantoms,
        ];
        cells.extend(numbers.map(|n| Cell::new(n).set_alignment(CellAlignment::Right)));
        let rates =
            format!("{:.0} / {:.0} / {:.0}", report.rate_before, report.rate_during, report.rate_after);
        let words = [
            format!("{} / {}", ms(report.recovery_p50_ms), ms(report.recovery_max_ms)),
            ms(report.first_take_ms),
            rates,
            ms(Some(report.took_ms)),
            report.verdict().to_owned(),
        ];
        cells.extend(words.map(Cell::new));
        table.add_row(cells);
    }
    table.to_string()
}

/// All in one sentence.
pub fn headline(reports: &[Report]) -> String {
    let sum = |number: fn(&Report) -> usize| reports.iter().map(number).sum::<usize>();
    let standard = |report: &Report| if report.class == "standard" { report.forgotten } else { 0 };
    let durable = |report: &Report| if report.class == "durable" { report.lost } else { 0 };
    let duplicates = sum(|report| report.duplicates_serial + report.duplicates_overlapping);
    let worst = reports.iter().filter_map(|report| report.recovery_max_ms).max().unwrap_or(0);
    let held = reports.iter().filter(|report| report.passed).count();
    let open = reports.iter().filter(|report| !report.passed && report.open.is_some()).count();
    let open = if open > 0 { format!(", {open} known not to") } else { String::new() };
    format!(
        "{} jobs, {} faults: lost {} (durable {}), forgotten within the class {} (standard {}), duplicates {duplicates} of {} in \
         flight, worst recovery {:.1} s; {held} of {} scenarios hold{open}",
        sum(|report| report.offered),
        sum(|report| report.faults),
        sum(|report| report.lost),
        sum(durable),
        sum(|report| report.forgotten),
        sum(standard),
        sum(|report| report.in_flight),
        worst as f64 / 1e3,
        reports.len(),
    )
}
