//! `bulrush serve` tells a receiver what happened to a job, with nothing but curl and a token.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use bulrush_upstream::webhook::{WebhookSecret, verify};
use common::{DEADLINE, Serve, path, run, text};
use serde_json::{Value, json};

fn curl(token: &str, url: &str, body: &Value) -> Value {
    let authorization = format!("authorization: Bearer {token}");
    let answer = Command::new("curl")
        .args([
            "-sS",
            "-H",
            &authorization,
            "-H",
            "content-type: application/json",
            "--data",
            &body.to_string(),
            url,
        ])
        .output()
        .expect("curl can be run");
    serde_json::from_slice(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

/// A message: its headers, and its body byte for byte.
fn receive(stream: TcpStream) -> (Vec<(String, String)>, Vec<u8>) {
    stream.set_read_timeout(Some(DEADLINE)).expect("it can be set");
    let mut stream = BufReader::new(stream);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("a line of the head");
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            headers.push((name.to_lowercase(), value.to_owned()));
        }
    }
    let length = headers.iter().find(|(name, _)| name == "content-length").expect("a length").1.parse();
    let mut body = vec![0; length.expect("a number")];
    stream.read_exact(&mut body).expect("the body");
    let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
    stream.get_mut().write_all(answer).expect("it can be answered");
    (headers, body)
}

#[test]
fn a_webhook_made_with_curl_is_told_that_an_export_is_done() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Serve::start(&data, &["--outbound-allow", &address]);
    let made = run(&["token", "new", "--data", path(&data), "--role", "user", "--sub", "ada"]);
    let token = text(&made.stdout).trim().to_owned();
    let api = format!("http://{}/api/v1", server.address);

    let refused = curl(&token, &format!("{api}/webhooks"), &json!({"url": "http://127.0.0.1:1/"}));
    assert_eq!(refused["code"], "invalid_fields", "{refused}");
    let hook = curl(&token, &format!("{api}/webhooks"), &json!({"url": format!("http://{address}/hook")}));
    let secret: WebhookSecret =
        hook["webhook"]["secret"].as_str().unwrap_or_else(|| panic!("{hook}")).parse().expect("a secret");
    let export = curl(&token, &format!("{api}/exports"), &json!({"format": "csv"}));

    // The test's own deadline is that of the runner: a listener has none.
    let (stream, _) = listener.accept().expect("a message");
    let (headers, body) = receive(stream);
    let header = |name: &str| {
        headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let signed = (header("webhook-id"), header("webhook-timestamp"), header("webhook-signature"));
    verify(&[secret], signed, &body, i64::try_from(now_s).expect("a time")).expect("it is signed");
    let told: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(
        (&told["type"], &told["data"]["jobId"]),
        (&json!("job.completed"), &export["jobId"]),
        "{told}"
    );
    assert_eq!(told["data"]["result"]["exportId"], export["jobId"]);
    assert!(server.stop());
}
