//! What was found, in words and as an exit code.

use std::process::ExitCode;

use bulrush::port::{Check, Verdict};

use crate::table::table;

/// All that was looked at.
#[derive(Debug)]
pub struct Report {
    /// What it is about, without secrets.
    subject: String,
    pub checks: Vec<Check>,
}

impl Report {
    pub fn new(subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), checks: Vec::new() }
    }

    /// A report of one thing.
    pub fn of(subject: impl Into<String>, check: Check) -> Self {
        Self { subject: subject.into(), checks: vec![check] }
    }

    /// Prints a table and, below it, what to do; or one JSON object a line.
    pub fn print(&self, as_json: bool) {
        if as_json {
            for check in &self.checks {
                println!("{}", serde_json::json!(check));
            }
            return;
        }
        println!("{}", self.subject);
        let mut rows = table(["", "check", "found"], 0..0);
        for check in &self.checks {
            let verdict = match check.verdict {
                Verdict::Ok => "ok",
                Verdict::Warning => "warning",
                Verdict::Broken => "BROKEN",
            };
            rows.add_row([verdict, check.what, &check.found]);
        }
        println!("{rows}");
        let cures: Vec<_> = self.checks.iter().filter_map(|it| Some((it.what, it.cure.as_ref()?))).collect();
        if cures.is_empty() {
            println!("\nnothing to put right");
            return;
        }
        println!("\nto put right:");
        for (check, cure) in &cures {
            println!("  {check}: {cure}");
        }
        if cures.iter().any(|(_, cure)| cure.contains("CONFIG SET")) {
            println!(
                "\nCONFIG SET lasts until the server restarts: CONFIG REWRITE, or the same line in redis.conf, makes it stay. Managed servers \
                 have these settings among their parameters."
            );
        }
    }

    /// 2 if something is broken, 1 if there are warnings and those count, else 0; of several reports the worst.
    pub fn exit_code_of(reports: &[Self], strict: bool) -> ExitCode {
        ExitCode::from(reports.iter().map(|report| report.code(strict)).max().unwrap_or(0))
    }

    fn code(&self, strict: bool) -> u8 {
        match self.checks.iter().map(|check| check.verdict).max() {
            Some(Verdict::Broken) => 2,
            Some(Verdict::Warning) if strict => 1,
            _ => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_finding_decides_and_warnings_count_when_asked() {
        let mut report = Report::of("x", Check::ok("a", "fine"));
        assert_eq!((report.code(false), report.code(true)), (0, 0));
        report.checks.push(Check::warning("b", "hm", "do"));
        assert_eq!((report.code(false), report.code(true)), (0, 1));
        report.checks.push(Check::broken("c", "no", "do"));
        assert_eq!((report.code(false), report.code(true)), (2, 2));
    }
}
