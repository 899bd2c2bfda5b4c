//! The API's document as a page: plain HTML without scripts, written from the document itself.

use std::fmt::Write as _;

use serde_json::Value;

/// How the page looks.
pub const STYLE: &str = "\
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); }
details { border: 1px solid var(--line); border-radius: .4rem; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; }
code { font: .9em ui-monospace, monospace; }
.method { display: inline-block; min-width: 4.5em; font-weight: 600; }
.who { opacity: .7; font-size: .85em; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0; }
td, th { text-align: left; vertical-align: top; padding: .25rem .6rem .25rem 0; border-top: 1px solid var(--soft); }
";

/// The page of a document.
pub fn page(document: &Value) -> String {
    let mut out = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>bulrush API</title><link rel=\"stylesheet\" href=\"docs.css\"></head><body>",
    );
    let info = &document["info"];
    let _ = write!(
        out,
        "<h1>{} API {}</h1><p>{}</p><p>For programs: <a href=\"openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>",
        text(&info["title"]),
        text(&info["version"]),
        text(&info["description"])
    );
    let mut tags: Vec<&str> = Vec::new();
    let operations = operations(document);
    for (_, _, operation) in &operations {
        let tag = operation["tags"][0].as_str().unwrap_or_default();
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    // What every client needs comes first, and what only machines ask for last.
    tags.sort_by_key(|tag| match *tag {
        "jobs" => 0,
        "operation" => 2,
        _ => 1,
    });
    for tag in tags {
        let _ = write!(out, "<h2>{}</h2>", escape(tag));
        for (path, method, operation) in operations.iter().filter(|(_, _, op)| op["tags"][0] == tag) {
            section(&mut out, document, path, method, operation);
        }
    }
    out.push_str("</body></html>");
    out
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().into_iter().flatten();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        })
        .collect()
}

fn section(out: &mut String, document: &Value, path: &str, method: &str, operation: &Value) {
    let _ = write!(
        out,
        "<details id=\"{}\"><summary><code><span class=\"method\">{}</span> {}</code> <span class=\"who\">{}</span><br>{}</summary>",
        text(&operation["operationId"]),
        escape(&method.to_uppercase()),
        escape(path),
        text(&operation["x-who"]),
        text(&operation["summary"]),
    );
    let parameters = operation["parameters"].as_array();
    if let Some(parameters) = parameters {
        out.push_str("<table><tr><th>Parameter</th><th>In</th><th></th></tr>");
        for parameter in parameters {
            let _ = write!(
                out,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                text(&parameter["description"])
            );
        }
        out.push_str("</table>");
    }
    if let Some(content) = operation["requestBody"]["content"].as_object() {
        for (kind, media) in content {
            let _ = write!(out, "<p>Body: <code>{}</code></p>", escape(kind));
            members(out, document, &media["schema"]);
        }
    }
    out.push_str("<table><tr><th>Answer</th><th></th></tr>");
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let _ =
            write!(out, "<tr><td>{}</td><td>{}</td></tr>", escape(status), text(&response["description"]));
    }
    out.push_str("</table></details>");
}

/// The members of a schema, one level deep.
fn members(out: &mut String, document: &Value, schema: &Value) {
    let schema = match schema["$ref"].as_str().and_then(|place| place.strip_prefix('#')) {
        Some(place) => document.pointer(place).unwrap_or(schema),
        None => schema,
    };
    let Some(properties) = schema["properties"].as_object() else { return };
    out.push_str("<table>");
    for (name, member) in properties {
        let _ = write!(
            out,
            "<tr><td><code>{}</code></td><td>{}</td></tr>",
            escape(name),
            text(&member["description"])
        );
    }
    out.push_str("</table>");
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
