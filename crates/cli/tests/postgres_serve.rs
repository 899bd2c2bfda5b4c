//! The whole platform with its data on a PostgreSQL server, and the commands that look after a database.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "../../store/tests/common/postgres.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test binary uses its own part of this")]
mod postgres;

use common::server::{DAYS, Server, json};
use common::{run, text};
use postgres::Postgres;

#[tokio::test]
async fn a_server_on_postgresql_takes_an_upload_through_to_its_result() {
    let (folder, database) = (tempfile::tempdir().unwrap(), Postgres::create().await);
    let server = Server::start(folder.path(), &["--database", &database.url]);
    let (file, property) = server.upload();
    let job = server.enrich(&file);
    server.see_completed(std::slice::from_ref(&job));
    let found = server.get(&format!("/jobs/{job}"));
    assert_eq!(found["job"]["result"]["daysEnriched"], DAYS, "{found}");
    let days = server.get(&format!("/properties/{property}/features?limit=1000"));
    assert_eq!(days["features"].as_array().map(Vec::len), Some(DAYS));
    assert!(!folder.path().join("bulrush.db").exists(), "nothing of the database is in the folder");
    assert!(server.stop(), "a server that is asked to stop ends well");
}

#[tokio::test]
async fn a_database_is_migrated_by_a_step_of_its_own_and_looked_at() {
    let database = Postgres::create().await;
    let doctor = |url: &str| run(&["doctor", "--json", "--database", url]);
    let before = doctor(&database.url);
    assert_eq!(before.status.code(), Some(2), "{}", text(&before.stdout));
    let tables = text(&before.stdout).lines().map(json).find(|check| check["check"] == "tables").unwrap();
    assert!(tables["cure"].as_str().unwrap().contains("bulrush migrate"), "{tables}");
    let migrated = run(&["migrate", "--database", &database.url]);
    assert!(migrated.status.success() && text(&migrated.stdout).contains("migrations"), "{migrated:?}");
    assert!(text(&run(&["migrate", "--database", &database.url]).stdout).contains("was up to date"));
    let after = doctor(&database.url);
    assert_eq!(after.status.code(), Some(0), "{}", text(&after.stdout));
    for check in ["version", "tables", "clock", "round-trip"] {
        assert!(text(&after.stdout).contains(check), "{check}: {}", text(&after.stdout));
    }
    let key = run(&["key", "create", "--database", &database.url, "--sub", "ada", "--name", "test"]);
    assert!(text(&key.stdout).contains("blr_"), "{key:?}");
}

#[tokio::test]
async fn what_keeps_a_database_from_being_reached_is_told_without_its_password() {
    let database = Postgres::create().await;
    let wrong = database.url.replacen("bulrush@", "nobody-here:hunter2@", 1);
    let absent = "postgres://u:hunter2@127.0.0.1:1/d?acquire_timeout_ms=300";
    for (url, words) in [(wrong.as_str(), "nobody-here"), (absent, "pg_isready")] {
        for command in ["doctor", "migrate"] {
            let told = run(&[command, "--database", url]);
            let said = format!("{}{}", text(&told.stdout), text(&told.stderr));
            assert!(!told.status.success() && !said.contains("hunter2"), "{said}");
            assert!(command == "migrate" || said.contains(words), "{said}");
        }
    }
}
