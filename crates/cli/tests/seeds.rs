//! The calls that the documents show from which the platform comes, against `bulrush serve`; `postgres_up.rs` has them against separate programs.

mod common;

use std::collections::HashMap;

use common::snippets::{missing, play};
use common::{Serve, path, run, text};

fn check(file: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Serve::start(&data, &[]);
    let token = |role: &str| {
        let made = run(&["token", "new", "--data", path(&data), "--role", role, "--sub", "ada"]);
        text(&made.stdout).trim().to_owned()
    };
    let prices = folder.path().join("prices.csv");
    std::fs::write(&prices, "date,price\n2024-01-01,120\n2024-01-02,130\n").expect("it can be written");
    let variables = HashMap::from([
        ("BASE".to_owned(), format!("http://{}", server.address)),
        ("TOKEN".to_owned(), token("user")),
        ("ADMIN".to_owned(), token("admin")),
        ("PRICES".to_owned(), path(&prices).to_owned()),
        ("DIR".to_owned(), path(folder.path()).to_owned()),
    ]);
    let wrong = play(file, variables);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(server.stop(), "it stops well");
}

#[test]
fn the_publisher_s_calls_are_answered_as_its_document_shows() {
    check(include_str!("seeds/002.txt"));
}

#[test]
fn the_hotel_s_calls_are_answered_as_its_document_shows() {
    check(include_str!("seeds/003.txt"));
}

#[test]
fn the_planner_s_calls_are_answered_as_its_document_shows() {
    check(include_str!("seeds/004.txt"));
}

#[test]
fn an_answer_that_lacks_something_or_has_another_type_is_noticed() {
    let wanted =
        serde_json::json!({"success": true, "data": {"waiting": 5, "list": [{"id": "a"}], "at": null}});
    for (found, problems) in [
        (
            serde_json::json!({"success": true, "data": {"waiting": 0, "list": [{"id": "b", "more": 1}], "at": 7}}),
            0,
        ),
        (serde_json::json!({"success": false, "data": {"waiting": "0", "list": [], "at": "x"}}), 4),
        (serde_json::json!({"data": {}}), 4),
    ] {
        let mut all = Vec::new();
        missing("", &wanted, &found, &mut all);
        assert_eq!(all.len(), problems, "{all:?}");
    }
}
