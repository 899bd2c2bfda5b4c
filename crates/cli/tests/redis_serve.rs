//! `bulrush serve --redis` and the other commands on a Redis, as a user runs them.

mod common;

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::path::Path;

use common::server::{DAYS, Server, json};
use common::{run, text};

/// Jobs of one round: more than run at once.
const JOBS: usize = 6;
/// A kill that came when all jobs had ended is tried again so often.
const ROUNDS: usize = 5;

/// The server that the tests are given, with a namespace that nobody has used.
fn address() -> String {
    let address = std::env::var("BULRUSH_TEST_REDIS").expect(
        "BULRUSH_TEST_REDIS names no server: run scripts/test, which starts one of its own, or set it to redis://HOST:PORT or \
         unix:///PATH of a server that may be filled with anything",
    );
    let address = if address.starts_with('/') { format!("unix://{address}") } else { address };
    let mark = if address.contains('?') { '&' } else { '?' };
    format!("{address}{mark}namespace=c{:016x}", RandomState::new().build_hasher().finish())
}

fn start(data: &Path, redis: &str) -> Server {
    Server::start(data, &["--redis", redis])
}

/// Jobs of the enrichment queue that have not ended, as the command line tells.
fn unfinished(redis: &str) -> u64 {
    let told = run(&["queue", "stats", "enrichment", "--json", "--engine", redis]);
    assert!(told.status.success(), "{}", text(&told.stderr));
    let counts = &json(&text(&told.stdout))["counts"];
    ["waiting", "active", "delayed"].iter().map(|state| counts[state].as_u64().expect("a count")).sum()
}

#[test]
fn a_server_on_redis_takes_an_upload_through_to_its_result() {
    let (folder, redis) = (tempfile::tempdir().expect("a temporary folder"), address());
    let server = start(folder.path(), &redis);
    let (file, property) = server.upload();
    let job = server.enrich(&file);
    server.see_completed(std::slice::from_ref(&job));
    let found = server.get(&format!("/jobs/{job}"));
    assert_eq!(found["job"]["result"]["daysEnriched"], DAYS, "{found}");
    let days = server.get(&format!("/properties/{property}/features?limit=1000"));
    assert_eq!(days["features"].as_array().map(Vec::len), Some(DAYS));
    assert!(!folder.path().join("engine").exists(), "nothing of the engine is in the folder");
    assert!(server.stop(), "a server that is asked to stop ends well");
}

#[test]
fn jobs_of_a_server_killed_in_the_middle_complete_after_its_restart() {
    let (folder, redis) = (tempfile::tempdir().expect("a temporary folder"), address());
    let mut server = start(folder.path(), &redis);
    for round in 1.. {
        let files: Vec<_> = (0..JOBS).map(|_| server.upload().0).collect();
        let jobs: Vec<_> = files.iter().map(|file| server.enrich(file)).collect();
        server.kill();
        let left = unfinished(&redis);
        server = start(folder.path(), &redis);
        server.see_completed(&jobs);
        if left > 0 {
            break;
        }
        assert!(round < ROUNDS, "every kill came when all jobs had ended");
    }
    let verified = run(&["queue", "verify", "enrichment", "--engine", &redis]);
    assert!(verified.status.success() && text(&verified.stdout).contains(" 0 findings"), "{verified:?}");
    assert!(server.stop());
}

#[test]
fn two_servers_on_one_redis_share_the_work_and_one_goes_on_when_the_other_is_killed() {
    let (folder, redis) = (tempfile::tempdir().expect("a temporary folder"), address());
    let (one, two) = (start(folder.path(), &redis), start(folder.path(), &redis));
    let files: Vec<_> = (0..JOBS).map(|n| if n % 2 == 0 { one.upload().0 } else { two.upload().0 }).collect();
    let jobs: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(n, file)| if n % 2 == 0 { two.enrich(file) } else { one.enrich(file) })
        .collect();
    one.kill();
    two.see_completed(&jobs);
    assert_eq!(unfinished(&redis), 0);
    assert!(two.stop());
}

#[test]
fn demo_and_bench_run_on_redis() {
    let redis = address();
    let demo = run(&["demo", "--once", "--redis", &redis]);
    let said = text(&demo.stdout);
    assert!(demo.status.success() && said.contains("365 enriched days"), "{said}\n{}", text(&demo.stderr));
    let bench = run(&[
        "bench",
        "--backend",
        &redis,
        "--scenario",
        "add-bulk,process,bytes",
        "--jobs",
        "200",
        "--batch",
        "20",
        "--json",
    ]);
    assert!(bench.status.success(), "{}", text(&bench.stderr));
    assert_eq!(text(&bench.stdout).lines().count(), 3, "{}", text(&bench.stdout));
}
