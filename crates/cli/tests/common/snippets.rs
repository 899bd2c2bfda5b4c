//! The calls of the documents that the platform comes from, run as a shell runs them. What is answered must have what the document's answer
//! has: the same names, types and nesting. More may stand beside it.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::collections::HashMap;
use std::process::Command;

use serde_json::Value;

use super::text;

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
pub fn missing(place: &str, wanted: &Value, found: &Value, all: &mut Vec<String>) {
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

/// Runs a document's calls in their order, with these variables in the environment (`BASE`, `TOKEN`, `ADMIN`, `PRICES`, `DIR`); what one call
/// makes is known to the next. Returns what is not as the document shows it.
pub fn play(file: &str, mut variables: HashMap<String, String>) -> Vec<String> {
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
    wrong
}
