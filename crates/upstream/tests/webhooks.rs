//! Webhooks against receivers of every kind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/raw.rs"]
mod raw;

use std::sync::Arc;
use std::time::Duration;

use bulrush_outbound::OutboundPolicy;
use bulrush_upstream::fetch::FetchOptions;
use bulrush_upstream::webhook::{
    HEADER_ID, HEADER_SIGNATURE, HEADER_TIMESTAMP, Message, Outcome, WebhookClient, WebhookSecret, verify,
};
use common::PATIENCE;
use raw::{Names, Raw, Say};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::TlsAcceptor;

const NOW: i64 = 1_700_000_000;

fn client(exceptions: &[String], change: impl FnOnce(&mut FetchOptions)) -> WebhookClient {
    let policy = exceptions.iter().fold(OutboundPolicy::default().https_only(), |policy, exception| {
        policy.with_exception(exception.parse().expect("an exception"))
    });
    let mut options = FetchOptions { total_timeout: PATIENCE, ..FetchOptions::default() };
    change(&mut options);
    WebhookClient::new(policy, options).expect("a client")
}

fn message() -> Message {
    Message { id: "del_1".to_owned(), timestamp_s: NOW, body: r#"{"type":"job.completed", "n": 1}"#.into() }
}

fn secret() -> WebhookSecret {
    WebhookSecret::generate().expect("a secret")
}

async fn send_to(server: &Raw) -> Outcome {
    client(&[server.address.to_string()], |_| {}).send(&server.url("/hook"), &[secret()], &message()).await
}

fn header(request: &str, name: &str) -> String {
    let prefix = format!("{name}: ");
    request.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn what_arrives_is_what_a_receiver_can_verify_byte_for_byte() {
    let server = Raw::start(|_| Say::answer(204, "", "")).await;
    let (old, new) = (secret(), secret());
    let client = client(&[server.address.to_string()], |_| {});
    let sent = client.send(&server.url("/hook?a=b"), &[new.clone(), old.clone()], &message()).await;
    assert_eq!(sent, Outcome::Delivered { status: 204 });
    let request = server.request(0);
    assert!(request.starts_with("POST /hook?a=b HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(&request, "content-type"), "application/json");
    assert!(header(&request, "user-agent").starts_with("bulrush/"));
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.as_bytes(), message().body);
    let (id, time, signature) =
        (header(&request, HEADER_ID), header(&request, HEADER_TIMESTAMP), header(&request, HEADER_SIGNATURE));
    assert_eq!((id.as_str(), time.as_str()), ("del_1", "1700000000"));
    for holder in [old, new] {
        assert_eq!(verify(&[holder], (&id, &time, &signature), body.as_bytes(), NOW + 3), Ok(()));
    }
}

#[tokio::test]
async fn e14_each_answer_says_whether_and_when_to_send_again() {
    for (status, headers, after) in [
        (500, "", None),
        (502, "Retry-After: 30\r\n", Some(30)),
        (429, "Retry-After: 3600\r\n", Some(3600)),
        (429, "Retry-After: -1\r\n", None),
        (503, "Retry-After: 1000000000000\r\n", Some(3600)),
        (504, "Retry-After: Fri, 06 Dec 2999 08:49:37 GMT\r\n", Some(3600)),
        (408, "", None),
    ] {
        let server = Raw::start(move |_| Say::answer(status, headers, "try\nlater")).await;
        match send_to(&server).await {
            Outcome::Retry { status: Some(seen), after: waits, reason } => {
                assert_eq!((seen, waits.map(|wait| wait.as_secs())), (status, after));
                assert!(reason.ends_with("try later"), "{reason}");
            }
            other => panic!("{status}: {other:?}"),
        }
    }
    let gone = Raw::start(|_| Say::answer(410, "", "never again")).await;
    assert_eq!(send_to(&gone).await, Outcome::Gone);
    let refused = Raw::start(|_| Say::answer(401, "", "")).await;
    assert!(matches!(send_to(&refused).await, Outcome::Failed { code: "refused", status: Some(401), .. }));
}

#[tokio::test]
async fn e08_redirects_are_never_followed() {
    let sink = Raw::start(|_| Say::answer(200, "", "")).await;
    for status in [301, 302, 303, 307, 308] {
        let headers = format!("Location: http://{}/\r\n", sink.address);
        let server = Raw::start(move |_| Say::answer(status, &headers, "")).await;
        let both = [server.address.to_string(), sink.address.to_string()];
        let sent = client(&both, |_| {}).send(&server.url("/"), &[secret()], &message()).await;
        assert!(matches!(sent, Outcome::Failed { code: "redirect", .. }), "{sent:?}");
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn blocked_addresses_are_told_and_get_no_packet() {
    let sink = Raw::start(|_| Say::answer(200, "", "")).await;
    let names = Names::of(&[("evil.example", &[&["127.0.0.1"]])]);
    let options = FetchOptions { lookup: names, ..FetchOptions::default() };
    let policy = OutboundPolicy::default().with_ports([sink.port()]);
    let client = WebhookClient::new(policy, options).unwrap();
    for (url, expected) in [
        (sink.url("/"), "blocked_address"),
        (format!("http://localhost:{}/", sink.port()), "blocked_address"),
        (format!("http://evil.example:{}/", sink.port()), "blocked_address"),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), "blocked_address"),
        ("https://good.example:6379/".to_owned(), "blocked_address"),
        ("file:///etc/passwd".to_owned(), "invalid_url"),
        ("http://a:b@good.example/".to_owned(), "invalid_url"),
    ] {
        match client.send(&url, &[secret()], &message()).await {
            Outcome::Failed { code, status: None, reason } => {
                assert_eq!(code, expected, "{url}");
                assert!(!reason.contains("meta-data") && !reason.contains("passwd"), "{reason}");
            }
            other => panic!("{url}: {other:?}"),
        }
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn e13_an_answer_that_never_ends_does_not_undo_the_delivery() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n";
    let endless = Raw::start(move |_| Say::ThenForEver(head.into(), vec![b'x'; 16 * 1024])).await;
    assert_eq!(send_to(&endless).await, Outcome::Delivered { status: 200 });
    let packed = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n";
    let bomb = Raw::start(move |_| Say::ThenForEver(packed.into(), vec![0; 16 * 1024])).await;
    assert_eq!(send_to(&bomb).await, Outcome::Delivered { status: 200 });
    let drips = Raw::start(move |_| Say::ThenDrip(head.into())).await;
    let short =
        client(&[drips.address.to_string()], |options| options.total_timeout = Duration::from_millis(300));
    let sent = short.send(&drips.url("/"), &[secret()], &message()).await;
    assert_eq!(sent, Outcome::Delivered { status: 200 });
}

#[tokio::test]
async fn e13_a_receiver_that_never_answers_is_tried_again_later() {
    let silent = Raw::start(|_| Say::ThenSilence(Vec::new())).await;
    let short =
        client(&[silent.address.to_string()], |options| options.total_timeout = Duration::from_millis(100));
    let sent = short.send(&silent.url("/"), &[secret()], &message()).await;
    assert!(matches!(sent, Outcome::Retry { status: None, after: None, .. }), "{sent:?}");
    let closes = Raw::start(|_| Say::text("")).await;
    assert!(matches!(send_to(&closes).await, Outcome::Retry { status: None, .. }));
}

#[tokio::test]
async fn nothing_is_sent_that_is_too_large_or_cannot_be_signed() {
    let server = Raw::start(|_| Say::answer(200, "", "")).await;
    let client = client(&[server.address.to_string()], |_| {});
    let large = Message { body: vec![b'x'; 256 * 1024 + 1].into(), ..message() };
    let sent = client.send(&server.url("/"), &[secret()], &large).await;
    assert!(matches!(sent, Outcome::Failed { code: "too_large", .. }), "{sent:?}");
    let sent = client.send(&server.url("/"), &[], &message()).await;
    assert!(matches!(sent, Outcome::Failed { code: "unsigned", .. }), "{sent:?}");
    let dotted = Message { id: "a.b".to_owned(), ..message() };
    let sent = client.send(&server.url("/"), &[secret()], &dotted).await;
    assert!(matches!(sent, Outcome::Failed { code: "unsigned", .. }), "{sent:?}");
    assert_eq!(server.connections(), 0);
}

/// An authority and what it signs.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A server's side of TLS, with a certificate for `name` that was valid in these years.
    fn acceptor(&self, name: &str, (from, to): (i32, i32)) -> TlsAcceptor {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(to, 1, 1));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

#[tokio::test]
async fn e14_certificates_that_are_expired_foreign_or_another_s_fail() {
    let (ours, foreign) = (Authority::new(), Authority::new());
    let good = (2020, 2100);
    for (acceptor, expected) in [
        (ours.acceptor("hook.example", good), None),
        (ours.acceptor("hook.example", (2020, 2021)), Some("xpired")),
        (ours.acceptor("other.example", good), Some("not valid for")),
        (foreign.acceptor("hook.example", good), Some("")),
    ] {
        let server = Raw::tls(acceptor, Say::answer(200, "", "")).await;
        let exception = format!("hook.example:{}", server.port());
        let client = client(std::slice::from_ref(&exception), |options| {
            options.authority_pem = Some(ours.0.pem().into_bytes());
            options.lookup = Names::of(&[("hook.example", &[&["127.0.0.1"]])]);
        });
        let sent = client.send(&format!("https://{exception}/"), &[secret()], &message()).await;
        match expected {
            None => assert_eq!(sent, Outcome::Delivered { status: 200 }),
            Some(words) => match &sent {
                Outcome::Failed { code: "tls", status: None, reason } => {
                    assert!(reason.contains(words), "{words:?} is not in {reason}");
                }
                other => panic!("{words}: {other:?}"),
            },
        }
        assert_eq!(server.requests.lock().unwrap().len(), usize::from(expected.is_none()));
    }
}
