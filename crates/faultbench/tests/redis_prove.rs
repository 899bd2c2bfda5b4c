//! The ledger must catch each seeded bug before its zeros count; and nothing that a run has started may outlive it.
#![cfg(target_os = "linux")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bulrush_faultbench::field::Options;
use bulrush_faultbench::prove::{self, Proof};
use bulrush_faultbench::schedule::fresh_seed;

/// Far more than a loaded machine needs.
const DEADLINE: Duration = Duration::from_mins(1);

fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_faultbench"))
}

async fn is_caught(name: &str) {
    let proof: &Proof = prove::ALL.iter().find(|proof| proof.name() == name).expect("it is one of them");
    let options = Options { program: program(), seed: fresh_seed(), bug: None, keep_folder: false };
    let report = prove::run(proof, &options).await.expect("it can be run");
    assert!(
        proof.is_caught(&report),
        "{name} must be caught as {}; seed {}: {}",
        proof.class_names(),
        report.seed,
        report.json()
    );
}

macro_rules! caught {
    ($($test:ident: $name:literal,)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                is_caught($name).await;
            }
        )+

        #[test]
        fn every_seeded_bug_has_a_test() {
            let tested = [$($name),+];
            let missing: Vec<String> =
                prove::ALL.iter().map(Proof::name).filter(|name| !tested.contains(&name.as_str())).collect();
            assert!(missing.is_empty(), "{missing:?}");
        }
    };
}

caught! {
    a_run_without_a_bug_is_clean: "no bug",
    a_success_that_is_forgotten_is_caught: "forget-success",
    a_job_that_is_let_go_while_it_runs_is_caught: "let-go",
    a_job_that_is_completed_without_a_run_is_caught: "skip-run",
    an_add_that_is_swallowed_is_caught: "swallow-add",
    a_job_that_nobody_added_is_caught: "add-another",
    a_settle_that_is_never_sent_is_caught: "never-settle",
    results_that_are_swapped_are_caught: "swap-results",
    a_token_that_is_handed_out_twice_is_caught: "hand-twice",
    an_attempt_that_is_burnt_is_caught: "burn-attempt",
    a_record_that_is_deleted_is_caught: "delete-record",
    a_job_in_two_lists_is_caught: "two-lists",
    a_slot_that_fires_twice_is_caught: "fire-twice",
    a_slot_that_is_lost_is_caught: "lose-slot",
}

/// Processes whose command line names a folder.
fn processes_of(folder: &Path) -> usize {
    let folder = folder.to_str().expect("a plain path");
    let entries = std::fs::read_dir("/proc").expect("Linux").flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| String::from_utf8_lossy(line).contains(folder)).count()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not happen");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn under_way(folder: &Path) -> Child {
    let run = Command::new(program())
        .args(["run", "K1"])
        .env("TMPDIR", folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("it can be started");
    // The server and at least one worker.
    wait_for("the start of a server and workers", || processes_of(folder) >= 2);
    run
}

fn signal(run: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &run.id().to_string()]).status().expect("kill is there");
    assert!(sent.success());
}

#[test]
fn a_run_that_is_interrupted_ends_all_it_has_started_and_leaves_no_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut run = under_way(folder.path());
    signal(&run, "-INT");
    assert!(!run.wait().expect("it ends").success());
    wait_for("the end of all processes", || processes_of(folder.path()) == 0);
    let left = std::fs::read_dir(folder.path()).expect("it is there").count();
    assert_eq!(left, 0, "the folder of the run is removed");
}

#[test]
fn what_a_killed_run_has_started_dies_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut run = under_way(folder.path());
    signal(&run, "-KILL");
    run.wait().expect("it is gone");
    wait_for("the end of all processes", || processes_of(folder.path()) == 0);
}
