//! Jobs that belong together, run for real: every template of the catalogue, and flows that fan out over properties and in again.

mod common;

use bulrush_catalog::templates;
use common::server::Server;
use common::{path, run, text};
use serde_json::{Map, Value, json};

/// The values of a template's placeholders, as its examples have them, for things of the test's own.
fn values(
    template: &templates::JobTemplate,
    [property, publisher, product]: [&str; 3],
) -> Map<String, Value> {
    let example = |one: &templates::Placeholder| {
        let value = match one.name {
            "propertyId" => json!(property),
            "publisherId" => json!(publisher),
            "productId" => json!(product),
            "startDate" => json!("2015-01-01"),
            "endDate" => json!("2015-12-31"),
            "countryCode" => json!("US"),
            _ => serde_json::from_str(one.example).expect("an example is JSON"),
        };
        (one.name.to_owned(), value)
    };
    // Rows of one's own are another way to be analysed; here the property's are.
    template.placeholders.iter().filter(|one| one.name != "data").map(example).collect()
}

#[test]
fn every_template_of_the_catalogue_runs_to_its_end_against_the_sandbox() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let (_, property) = server.upload();
    let traffic = server.upload_form(&[("kind", "publisher")], "date,clicks\n2015-06-01,7\n");
    let publisher = traffic["publisherId"].as_str().expect("an id");
    let days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].into_iter().zip(1..);
    let days = days.flat_map(|(days, month)| (1..=days).map(move |day| (month, day)));
    let sold = days.map(|(month, day)| format!("2015-{month:02}-{day:02},{}\n", 10 + (day * 7 + month) % 13));
    let csv: String = std::iter::once("date,demand\n".to_owned()).chain(sold).collect();
    let fields = [
        ("kind", "product"),
        ("unitCost", "2.5"),
        ("leadTimeDays", "14"),
        ("leadTimeSdDays", "2"),
        ("onHand", "80"),
    ];
    let demand = server.upload_form(&fields, &csv);
    let product = demand["productId"].as_str().expect("an id");
    let listed = server.get("/templates/catalog");
    let jobs: Vec<String> = templates::ALL
        .into_iter()
        .enumerate()
        .map(|(n, template)| {
            assert_eq!(listed["templates"][n]["id"], template.id());
            let body = json!({"values": values(template, [&property, publisher, product])});
            let added = server.post(&format!("/templates/{}/run", template.id()), &body);
            let job = added["data"]["jobId"].as_str().expect("an id").to_owned();
            // What others are about, it makes.
            if template.job == "enrich-property" {
                server.see_completed(std::slice::from_ref(&job));
            }
            job
        })
        .collect();
    server.see_completed(&jobs);
    assert!(server.stop());
}

#[test]
fn a_template_is_run_from_the_command_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let (_, property) = server.upload();
    assert!(server.stop());

    let list = text(&run(&["template", "ls"]).stdout);
    for template in templates::ALL {
        assert!(list.contains(&template.id()), "{list}");
    }
    let template = |more: &[&str]| {
        let mut arguments = vec!["template", "run", "enrichment.enrich-property", "--data", path(&data)];
        arguments.extend(more);
        run(&arguments)
    };
    let missing = template(&["--owner", "default/ada"]);
    let said = text(&missing.stderr);
    assert!(!missing.status.success());
    assert!(said.contains("values.propertyId: is required") && said.contains("values.location"), "{said}");
    let said = text(&template(&["--owner", "ada", "--set", "propertyId=x"]).stderr);
    assert!(said.contains("--owner acme/ada"), "{said}");
    let said = text(&run(&["template", "run", "enrichment.enrich-propertie", "--owner", "a/b"]).stderr);
    assert!(said.contains("did you mean enrichment.enrich-property?"), "{said}");

    let set = format!("propertyId={property}");
    let place = "location={\"latitude\": 47.45, \"longitude\": -122.31}";
    let arguments = ["--owner", "default/ada", "--set", &set, "--set", place, "--json", "--id", "enr-mine"];
    let added = template(&arguments);
    assert!(added.status.success(), "{}", text(&added.stderr));
    let again = text(&template(&arguments).stdout);
    assert_eq!(common::server::json(&again), json!({"id": "enr-mine", "new": false}));
    let server = Server::start(&data, &[]);
    server.see_completed(&["enr-mine".to_owned()]);
    assert!(server.stop());
}

/// An enrichment of a property as a job of a flow.
fn enrichment(property: &str, country: &str) -> Value {
    json!({
        "queue": "enrichment",
        "data": {
            "propertyId": property, "location": {"latitude": 47.45, "longitude": -122.31}, "countryCode": country,
        },
        "options": {"attempts": 1},
    })
}

/// An export of all features, after `children`.
fn export(children: &[Value]) -> Value {
    json!({
        "queue": "export", "data": {"entity": "features", "format": "ndjson"}, "children": children,
    })
}

#[test]
fn many_properties_are_enriched_and_exported_when_all_of_them_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let properties: Vec<String> = (0..3).map(|_| server.upload().1).collect();
    let children: Vec<Value> = properties.iter().map(|property| enrichment(property, "US")).collect();
    let flow = server.post("/flows", &export(&children));
    let parent = flow["data"]["jobId"].as_str().expect("an id").to_owned();
    assert_eq!(flow["data"]["children"].as_array().map(Vec::len), Some(3));
    server.see_completed(std::slice::from_ref(&parent));

    // The export began after the last of them: it has the days of all three.
    let result = server.get(&format!("/jobs/{parent}"))["job"]["result"].clone();
    let days = u64::try_from(3 * common::server::DAYS).expect("a number");
    assert_eq!(result["rows"], json!(days), "{result}");
    let children = server.get(&format!("/queues/export/jobs/{parent}/children"));
    let children = children["data"]["children"].as_array().expect("a list").clone();
    let enriched: Vec<&str> = children
        .iter()
        .map(|child| {
            assert_eq!(child["status"], "completed", "{child}");
            child["result"]["propertyId"].as_str().expect("an id")
        })
        .collect();
    assert_eq!(enriched.len(), 3);
    assert!(properties.iter().all(|property| enriched.contains(&property.as_str())));
    assert!(server.stop());
}

#[test]
fn what_a_failed_property_means_to_the_export_is_said_by_its_flow() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(&folder.path().join("data"), &[]);
    let (good, bad) = (server.upload().1, server.upload().1);
    // There is no such country, which the job finds out.
    let add = |on_failure: &str| {
        let mut failing = enrichment(&bad, "XX");
        failing["onFailure"] = json!(on_failure);
        let flow = server.post("/flows", &export(&[enrichment(&good, "US"), failing]));
        let id = |node: &Value| node["jobId"].as_str().expect("an id").to_owned();
        (id(&flow["data"]), id(&flow["data"]["children"][0]), id(&flow["data"]["children"][1]))
    };
    let (parent, sibling, failing) = add("fail");
    server.see(&parent, "failed");
    let job = server.get(&format!("/jobs/{parent}"))["job"].clone();
    let reason = job["failedReason"].as_str().expect("a reason");
    assert!(reason.contains(&failing) && reason.contains("is no country"), "{reason}");
    server.see(&failing, "failed");
    server.see(&sibling, "completed");

    // Whoever wants what there is says so.
    let (parent, ..) = add("ignore");
    server.see(&parent, "completed");
    let result = server.get(&format!("/jobs/{parent}"))["job"]["result"].clone();
    assert_eq!(result["rows"], json!(common::server::DAYS), "the days of the good one");
    assert!(server.stop());
}
