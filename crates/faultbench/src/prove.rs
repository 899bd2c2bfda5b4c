//! What the ledger's zeros are worth: each seeded bug must be caught, and under the class that it belongs to.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::field::{self, Field, Options, Scenario, Setup};
use crate::judge::Rules;
use crate::ledger::Class;
use crate::producer::Load;
use crate::report::Report;
use crate::scenario::tick;
use crate::server::command;
use crate::wrong::Bug;

/// A bug, or none, and what the ledger has to say of it.
#[derive(Debug, Clone, Copy)]
pub struct Proof {
    /// The bug; none shows that a run without one is clean.
    pub bug: Option<Bug>,
    /// Classes of which each must be found.
    pub classes: &'static [Class],
    /// A word of the violation, where the bug belongs to no class.
    pub word: Option<&'static str>,
}

/// All of them.
pub const ALL: &[Proof] = &[
    Proof { bug: None, classes: &[], word: None },
    Proof { bug: Some(Bug::ForgetSuccess), classes: &[Class::DuplicateSerial], word: None },
    Proof { bug: Some(Bug::LetGo), classes: &[Class::DuplicateOverlapping], word: None },
    Proof { bug: Some(Bug::SkipRun), classes: &[Class::Lost], word: None },
    Proof { bug: Some(Bug::SwallowAdd), classes: &[Class::Lost], word: None },
    Proof { bug: Some(Bug::AddAnother), classes: &[Class::Phantom], word: None },
    Proof { bug: Some(Bug::NeverSettle), classes: &[Class::Stuck], word: None },
    Proof { bug: Some(Bug::SwapResults), classes: &[Class::WrongResult], word: None },
    Proof { bug: Some(Bug::HandTwice), classes: &[Class::TokenReissued], word: None },
    Proof { bug: Some(Bug::BurnAttempt), classes: &[], word: Some("more than one attempt") },
    Proof { bug: Some(Bug::DeleteRecord), classes: &[Class::Lost, Class::Ghost], word: None },
    Proof { bug: Some(Bug::TwoLists), classes: &[Class::Ghost], word: None },
    Proof { bug: Some(Bug::FireTwice), classes: &[], word: Some("fired 2 times") },
    Proof { bug: Some(Bug::LoseSlot), classes: &[], word: Some("never fired") },
];

impl Proof {
    /// The bug's name.
    pub fn name(&self) -> String {
        self.bug.map_or_else(|| "no bug".to_owned(), Bug::name)
    }

    /// What it must be caught as, in words.
    pub fn class_names(&self) -> String {
        let mut names: Vec<String> = self.classes.iter().map(ToString::to_string).collect();
        names.extend(self.word.map(str::to_owned));
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    }

    /// Whether a run with the bug has failed for the right reason, or one without a bug has not failed.
    pub fn is_caught(&self, report: &Report) -> bool {
        let Some(_) = self.bug else { return report.passed && report.findings.is_empty() };
        let found = self.classes.iter().all(|class| report.findings.contains_key(class));
        let told = self.word.is_none_or(|word| report.violations.iter().any(|text| text.contains(word)));
        !report.passed && found && told
    }
}

/// A run without faults, in which nothing may be out of order.
const QUIET: Scenario = Scenario {
    name: "quiet",
    what: "nothing, but for the bug",
    holds: "everything",
    smoke: false,
    open: None,
    needs: &[],
    setup: || Setup {
        workers: 2,
        load: Load::even(200, 5..=50),
        warm: Duration::from_secs(2),
        after: Duration::from_secs(1),
        // A bug may leave jobs that never come to rest.
        rest_within: Duration::from_secs(4),
        ..Setup::default()
    },
    rules: |_| Rules { untouched: true, ..Rules::default() },
    faults: |_| Box::pin(async { Ok(()) }),
};

/// Runs it.
pub async fn run(proof: &Proof, options: &Options) -> Result<Report> {
    let options = Options { bug: proof.bug, ..options.clone() };
    let faults: field::Faults = match proof.bug {
        Some(Bug::DeleteRecord) => |field| Box::pin(delete_record(field)),
        Some(Bug::TwoLists) => |field| Box::pin(put_in_two_lists(field)),
        Some(Bug::FireTwice | Bug::LoseSlot) => |field| Box::pin(tick::quiet(field)),
        _ => QUIET.faults,
    };
    field::run(&Scenario { faults, ..QUIET }, &options).await
}

/// Keys of the queue.
fn key(name: &str) -> String {
    format!("bulrush:{{{}}}:{name}", crate::worker::QUEUE)
}

/// Deletes the record of a job that waits, behind the queue's back.
async fn delete_record(field: &mut Field) -> Result<()> {
    use bulrush::model::{JobState, PageRequest};
    use bulrush::port::AdminCommand;
    // While nothing starts, some wait.
    field.queue.admin(AdminCommand::Pause).await?;
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let id = loop {
        let request = PageRequest { state: Some(JobState::Waiting), limit: 1, ..PageRequest::default() };
        let page = field.queue.backend().page(field.queue.name(), request).await?;
        if let Some(job) = page.jobs.first() {
            break job.id().to_string();
        }
        anyhow::ensure!(std::time::Instant::now() < deadline, "no job came to wait");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let deleted: u64 = field.server.ask(&command(&["HDEL", &key("jobs"), &id])).await?;
    anyhow::ensure!(deleted == 1, "no record was deleted");
    field.queue.admin(AdminCommand::Unpause).await?;
    Ok(())
}

/// Puts a completed job among the failed ones as well.
async fn put_in_two_lists(field: &mut Field) -> Result<()> {
    use bulrush::model::{JobState, PageRequest};
    let request = PageRequest { state: Some(JobState::Completed), limit: 1, ..PageRequest::default() };
    let page = field.queue.backend().page(field.queue.name(), request).await?;
    let id = page.jobs.first().context("no job is completed yet")?.id().to_string();
    let added: u64 = field.server.ask(&command(&["ZADD", &key("fail"), "1", &id])).await?;
    anyhow::ensure!(added == 1, "nothing was put there");
    Ok(())
}
