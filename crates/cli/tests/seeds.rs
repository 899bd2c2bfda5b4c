//! The calls that the documents show from which the platform comes, run as a shell runs them against `bulrush serve`. What is answered must
//! have what the document's answer has: the same names, types and nesting. More may stand beside it.

mod common;

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Command;

use common::{Serve, path, run, text};
use serde_json::Value;

/// A call and the answer that the document shows.
struct Snippet {
    name: String,
    command: String,
    answer: Value,
}

fn snippets(file: &str) -> Vec<Snippet> {
    let blocks = file.split("\n### ").skip(1);
    blocks
        .map(|block| {
            let (head, answer) =
                block.split_once("\n---\n").unwrap_or_else(|| panic!("no answer in {block}"));
            let (name, command) = head.split_once('\n').expect("a name and a command");
            let answer = serde_json::from_str(answer).unwrap_or_else(|error| panic!("{name}: {error}"));
            Snippet { name: name.to_owned(), command: command.to_owned(), answer }
        })
        .collect()
}

/// What the document's answer has and this one has not.
fn missing(place: &str, wanted: &Value, found: &Value, all: &mut Vec<String>) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (name, wanted) in wanted {
                match found.get(name) {
                    Some(found) => missing(&format!("{place}.{name}"), wanted, found, all),
                    None => all.push(format!("{place}.{name} is missing")),
                }
            }
        }
        (Value::Array(wanted), Value::Array(found)) => match (wanted.first(), found.first()) {
            (Some(wanted), Some(found)) => missing(&format!("{place}[0]"), wanted, found, all),
            (Some(_), None) => all.push(format!("{place} is empty")),
            (None, _) => {}
        },
        // Constant words are compared, as clients look for them.
        (Value::Bool(wanted), Value::Bool(found)) if wanted == found => {}
        (Value::Bool(wanted), other) => all.push(format!("{place} is {other}, not {wanted}")),
        (Value::String(wanted), Value::String(found)) => {
            let is_message = ["message", ".status"].iter().any(|end| place.ends_with(end))
                && place.matches('.').count() == 1;
            if is_message && wanted.contains(' ') && wanted != found {
                all.push(format!("{place} is {found:?}, not {wanted:?}"));
            }
        }
        (Value::Number(_), Value::Number(_)) | (Value::Null, Value::Null | Value::Number(_)) => {}
        (wanted, found) => all.push(format!("{place} is {found}, and the document shows {wanted}")),
    }
}

fn check(file: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Serve::start(&data, &[]);
    let token = |role: &str| {
        let made = run(&["token", "new", "--data", path(&data), "--role", role, "--sub", "ada"]);
        text(&made.stdout).trim().to_owned()
    };
    let prices = PathBuf::from(folder.path()).join("prices.csv");
    std::fs::write(&prices, "date,price\n2024-01-01,120\n2024-01-02,130\n").expect("it can be written");
    let mut variables = HashMap::from([
        ("BASE".to_owned(), format!("http://{}", server.address)),
        ("TOKEN".to_owned(), token("user")),
        ("ADMIN".to_owned(), token("admin")),
        ("PRICES".to_owned(), path(&prices).to_owned()),
        ("DIR".to_owned(), path(folder.path()).to_owned()),
    ]);
    let mut wrong = Vec::new();
    for snippet in snippets(file) {
        // Loops in a snippet wait for what must happen; what never does ends here.
        let mut shell = Command::new("timeout");
        let done = shell
            .args(["60", "bash", "-c", &snippet.command])
            .envs(&variables)
            .output()
            .expect("bash can be run");
        let said = text(&done.stdout);
        let found: Value = serde_json::from_str(&said)
            .unwrap_or_else(|error| panic!("{}: {error}: {said:?} {}", snippet.name, text(&done.stderr)));
        let mut all = Vec::new();
        missing("", &snippet.answer, &found, &mut all);
        wrong.extend(all.into_iter().map(|what| format!("{}: {what}", snippet.name)));
        let job = found["data"]["jobId"].as_str().or(found["jobId"].as_str());
        for (name, value) in
            [("JOB", job), ("FILE", found["fileId"].as_str()), ("PROPERTY", found["propertyId"].as_str())]
        {
            if let Some(value) = value {
                variables.insert(name.to_owned(), value.to_owned());
            }
        }
    }
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
