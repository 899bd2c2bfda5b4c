//! The guarded fetcher against servers that lie, lead astray and never end.

mod common;
#[path = "common/raw.rs"]
mod raw;

use std::sync::Arc;
use std::time::Duration;

use bulrush_outbound::{AddressKind, OutboundPolicy, Refusal};
use bulrush_upstream::fetch::{FetchError, FetchOptions, Fetched, Fetcher, Get, Validators};
use common::PATIENCE;
use raw::{Names, Raw, Say};

const GET: Get<'static> = Get { accept: "text/html", known: None, body_max: 64 * 1024 };

fn options() -> FetchOptions {
    FetchOptions {
        connect_timeout: PATIENCE,
        idle_timeout: PATIENCE,
        total_timeout: PATIENCE,
        ..FetchOptions::default()
    }
}

fn fetcher(exceptions: &[String], change: impl FnOnce(&mut FetchOptions)) -> Fetcher {
    let policy = exceptions.iter().fold(OutboundPolicy::default(), |policy, exception| {
        policy.with_exception(exception.parse().expect("an exception"))
    });
    let mut options = options();
    change(&mut options);
    Fetcher::new(policy, options).expect("a fetcher")
}

/// A fetcher that may call this server and nothing else within.
fn for_server(server: &Raw) -> Fetcher {
    fetcher(&[server.address.to_string()], |_| {})
}

async fn get(fetcher: &Fetcher, url: &str) -> Result<Fetched, FetchError> {
    fetcher.get(&fetcher.target(url)?, &GET).await
}

async fn follow(fetcher: &Fetcher, url: &str) -> Result<Fetched, FetchError> {
    fetcher.get_following(&fetcher.target(url)?, &GET, 5).await
}

fn refused_kind(result: Result<Fetched, FetchError>) -> AddressKind {
    match result {
        Err(FetchError::Refused(Refusal::Address { kind, .. })) => kind,
        other => panic!("not refused for its address: {other:?}"),
    }
}

#[tokio::test]
async fn a_page_comes_with_what_is_known_of_it() {
    let headers = "Content-Type: text/HTML; charset=ISO-8859-1\r\nETag: \"v1\"\r\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let server = Raw::start(move |_| Say::answer(200, headers, "hello")).await;
    let fetched = get(&for_server(&server), &server.url("/rooms?a=b#c")).await.unwrap();
    assert_eq!((fetched.status, &fetched.body[..], fetched.cut), (200, &b"hello"[..], false));
    assert_eq!(fetched.content_type.as_deref(), Some("text/html"));
    assert_eq!(fetched.charset.as_deref(), Some("iso-8859-1"));
    let known = fetched.validators;
    assert_eq!(known.etag.as_deref(), Some("\"v1\""));
    let request = server.request(0);
    assert!(request.starts_with("GET /rooms?a=b HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("user-agent: bulrush/"), "{request}");
    assert!(!request.contains("accept-encoding"), "{request}");

    let fetcher = for_server(&server);
    let again = Get { known: Some(&known), ..GET };
    fetcher.get(&fetcher.target(&server.url("/")).unwrap(), &again).await.unwrap();
    let request = server.request(1);
    assert!(request.contains("if-none-match: \"v1\"\r\n"), "{request}");
    assert!(request.contains("if-modified-since: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{request}");
}

#[tokio::test]
async fn validators_that_are_no_headers_are_left_out() {
    let server = Raw::start(|_| Say::answer(200, "", "")).await;
    let fetcher = for_server(&server);
    let known = Validators { etag: Some("a\r\nX-Evil: 1".to_owned()), last_modified: None };
    let get = Get { known: Some(&known), ..GET };
    fetcher.get(&fetcher.target(&server.url("/")).unwrap(), &get).await.unwrap();
    assert!(!server.request(0).contains("vil"), "{}", server.request(0));
}

#[tokio::test]
async fn e01_nothing_reaches_a_server_on_loopback_by_any_name() {
    let sink = Raw::start(|_| Say::answer(200, "", "secret")).await;
    let port = sink.port();
    // The port may be called, so that only the address speaks against it.
    let policy = OutboundPolicy::default().with_ports([port]);
    let names = Names::of(&[
        ("evil.example", &[&["127.0.0.1"]]),
        ("mapped.example", &[&["::ffff:127.0.0.1"]]),
        ("six.example", &[&["::1"]]),
        ("any.example", &[&["0.0.0.0"]]),
        ("metadata.example", &[&["169.254.169.254"]]),
        ("private.example", &[&["10.0.0.5"]]),
    ]);
    let fetcher = Fetcher::new(policy, FetchOptions { lookup: names, ..options() }).unwrap();
    for (host, kind) in [
        ("127.0.0.1", AddressKind::Loopback),
        ("0x7f.1", AddressKind::Loopback),
        ("2130706433", AddressKind::Loopback),
        ("[::ffff:127.0.0.1]", AddressKind::Loopback),
        ("[::1]", AddressKind::Loopback),
        ("0.0.0.0", AddressKind::Unspecified),
        ("evil.example", AddressKind::Loopback),
        ("EVIL.example", AddressKind::Loopback),
        ("mapped.example", AddressKind::Loopback),
        ("six.example", AddressKind::Loopback),
        ("any.example", AddressKind::Unspecified),
        ("metadata.example", AddressKind::Metadata),
        ("private.example", AddressKind::Private),
    ] {
        assert_eq!(refused_kind(get(&fetcher, &format!("http://{host}:{port}/")).await), kind, "{host}");
    }
    assert!(matches!(
        get(&fetcher, &format!("http://localhost:{port}/")).await,
        Err(FetchError::Refused(Refusal::Name { .. }))
    ));
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn one_forbidden_address_among_good_ones_closes_a_name() {
    let good = Raw::at("127.0.0.2", 0, Say::answer(200, "", "good")).await;
    let sink = Raw::at("127.0.0.1", good.port(), Say::answer(200, "", "secret")).await;
    let names =
        Names::of(&[("both.example", &[&["127.0.0.2", "127.0.0.1"]]), ("one.example", &[&["127.0.0.2"]])]);
    let fetcher = fetcher(&[good.address.to_string()], |options| options.lookup = names);
    let url = |host: &str| format!("http://{host}:{}/", good.port());
    // A name is at a port of its own, so the address's exception is not enough for the URL; the resolver has the last word.
    let policy = fetcher.policy().clone().with_ports([good.port()]);
    let names =
        Names::of(&[("both.example", &[&["127.0.0.2", "127.0.0.1"]]), ("one.example", &[&["127.0.0.2"]])]);
    let open = Fetcher::new(policy, FetchOptions { lookup: names, ..options() }).unwrap();
    assert!(matches!(
        get(&fetcher, &url("one.example")).await,
        Err(FetchError::Refused(Refusal::Port { .. }))
    ));
    assert_eq!(get(&open, &url("one.example")).await.unwrap().body, "good");
    assert_eq!(refused_kind(get(&open, &url("both.example")).await), AddressKind::Loopback);
    assert_eq!((good.connections(), sink.connections()), (1, 0));
}

#[tokio::test]
async fn a_name_that_changes_its_address_after_it_was_checked_is_checked_again() {
    let good = Raw::at("127.0.0.2", 0, Say::answer(200, "", "good")).await;
    let sink = Raw::at("127.0.0.1", good.port(), Say::answer(200, "", "secret")).await;
    let names = Names::of(&[("rebind.example", &[&["127.0.0.2"], &["127.0.0.1"]])]);
    let policy = OutboundPolicy::default()
        .with_ports([good.port()])
        .with_exception(good.address.to_string().parse().unwrap());
    let fetcher = Fetcher::new(policy, FetchOptions { lookup: names, ..options() }).unwrap();
    let url = format!("http://rebind.example:{}/", good.port());
    assert_eq!(get(&fetcher, &url).await.unwrap().body, "good");
    for _ in 0..3 {
        assert_eq!(refused_kind(get(&fetcher, &url).await), AddressKind::Loopback);
    }
    assert_eq!((good.connections(), sink.connections()), (1, 0));
}

#[tokio::test]
async fn e08_redirects_into_the_own_network_are_refused_and_nothing_reaches_it() {
    let sink = Raw::start(|_| Say::answer(200, "", "secret")).await;
    for location in [
        format!("http://{}/", sink.address),
        format!("//{}/", sink.address),
        format!("http://localhost:{}/", sink.port()),
        format!("http://0x7f000001:{}/", sink.port()),
        "file:///etc/passwd".to_owned(),
        "gopher://127.0.0.1:6379/_FLUSHALL".to_owned(),
        "https://good.example:22/".to_owned(),
        "http://user:secret@good.example/".to_owned(),
        "http://[::1".to_owned(),
        "http://%00/".to_owned(),
    ] {
        for status in [301, 302, 303, 307, 308] {
            let headers = format!("Location: {location}\r\n");
            let server = Raw::start(move |_| Say::answer(status, &headers, "")).await;
            let fetcher = for_server(&server);
            let error = follow(&fetcher, &server.url("/")).await.unwrap_err();
            assert!(matches!(error, FetchError::Refused(_)), "{status} to {location:?}: {error:?}");
            assert!(!error.is_transient());
            let fetched = get(&fetcher, &server.url("/")).await.unwrap();
            assert!(matches!(fetched.location, Some(Err(_))), "{location:?}");
        }
    }
    assert_eq!(sink.connections(), 0);
}

#[tokio::test]
async fn e08_redirects_that_may_be_followed_are_but_not_for_ever() {
    let server = Raw::start(|n| match n {
        0 => Say::answer(302, "Location: /a/b\r\n", ""),
        1 => Say::answer(308, "Location: c?d\r\n", ""),
        _ => Say::answer(200, "", "there"),
    })
    .await;
    let fetched = follow(&for_server(&server), &server.url("/")).await.unwrap();
    assert_eq!((fetched.url.url().path(), &fetched.body[..]), ("/a/c", &b"there"[..]));

    let itself = Raw::start(|_| Say::answer(301, "Location: /\r\n", "")).await;
    let error = follow(&for_server(&itself), &itself.url("/")).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirects { max: 5, .. }), "{error:?}");
    assert_eq!(itself.connections(), 6);
}

#[tokio::test]
async fn a_redirect_to_nowhere_is_an_answer() {
    let server = Raw::start(|_| Say::answer(302, "", "gone")).await;
    let fetched = follow(&for_server(&server), &server.url("/")).await.unwrap();
    assert_eq!((fetched.status, fetched.location.is_none()), (302, true));
}

#[tokio::test]
async fn e13_a_body_without_end_is_cut() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n";
    let server = Raw::start(move |_| Say::ThenForEver(head.into(), vec![b'x'; 16 * 1024])).await;
    let fetched = get(&for_server(&server), &server.url("/")).await.unwrap();
    assert_eq!((fetched.body.len(), fetched.cut), (GET.body_max, true));
}

#[tokio::test]
async fn e13_chunks_without_end_are_cut() {
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let server = Raw::start(move |_| Say::ThenForEver(head.into(), b"4\r\nabcd\r\n".to_vec())).await;
    let fetched = get(&for_server(&server), &server.url("/")).await.unwrap();
    assert_eq!((fetched.body.len(), fetched.cut), (GET.body_max, true));
}

#[tokio::test]
async fn a_body_of_exactly_the_bound_is_whole() {
    let body = "x".repeat(GET.body_max);
    let server = Raw::start(move |_| Say::answer(200, "", &body)).await;
    let fetched = get(&for_server(&server), &server.url("/")).await.unwrap();
    assert_eq!((fetched.body.len(), fetched.cut), (GET.body_max, false));
}

#[tokio::test]
async fn e13_byte_after_byte_ends_with_the_total_time() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
    let server = Raw::start(move |_| Say::ThenDrip(head.into())).await;
    let fetcher =
        fetcher(&[server.address.to_string()], |options| options.total_timeout = Duration::from_millis(300));
    let error = get(&fetcher, &server.url("/")).await.unwrap_err();
    assert!(matches!(error, FetchError::TimedOut { limit_ms: 300, .. }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn e13_silence_ends_before_the_total_time() {
    for head in ["", "HTTP/1.1 200 OK\r\nContent-", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"] {
        let server = Raw::start(move |_| Say::ThenSilence(head.into())).await;
        let fetcher = fetcher(&[server.address.to_string()], |options| {
            options.idle_timeout = Duration::from_millis(100);
        });
        let error = get(&fetcher, &server.url("/")).await.unwrap_err();
        assert!(matches!(error, FetchError::TimedOut { .. }), "{head:?}: {error:?}");
    }
}

#[tokio::test]
async fn e13_headers_without_end_are_refused() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Y: z\r\n".repeat(10_000));
    for say in [
        Say::Bytes(many.into()),
        Say::ThenForEver("HTTP/1.1 200 OK\r\n".into(), b"X-Y: z\r\n".to_vec()),
        Say::ThenForEver("HTTP/1.1 200 OK\r\nX-Y: ".into(), vec![b'z'; 16 * 1024]),
        Say::ThenForEver(Vec::new(), b"HTTP/1.1 200 OK".to_vec()),
    ] {
        let server = Raw::at("127.0.0.1", 0, say).await;
        let error = get(&for_server(&server), &server.url("/")).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn e13_packed_answers_are_refused_unread() {
    for encoding in ["gzip", "br", "zstd", "deflate, gzip", "GZIP"] {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {encoding}\r\n\r\n");
        let server = Raw::at("127.0.0.1", 0, Say::ThenForEver(head.into(), vec![0; 16 * 1024])).await;
        let error = get(&for_server(&server), &server.url("/")).await.unwrap_err();
        assert!(matches!(error, FetchError::Encoded { .. }), "{encoding}: {error:?}");
        assert!(!error.is_transient());
    }
    let server = Raw::start(|_| Say::answer(200, "Content-Encoding: identity\r\n", "plain")).await;
    assert_eq!(get(&for_server(&server), &server.url("/")).await.unwrap().body, "plain");
}

#[tokio::test]
async fn broken_answers_are_told_apart_from_whole_ones() {
    for text in [
        "",
        "nonsense",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ] {
        let server = Raw::at("127.0.0.1", 0, Say::text(text)).await;
        let error = get(&for_server(&server), &server.url("/")).await.unwrap_err();
        assert!(matches!(error, FetchError::Unreachable { .. }), "{text:?}: {error:?}");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn a_name_that_nobody_knows_and_a_port_that_nobody_has_are_troubles_of_the_moment() {
    let names = Names::of(&[("empty.example", &[&[]])]);
    let fetcher = fetcher(&["127.0.0.1:1".to_owned()], |options| options.lookup = names);
    for url in
        ["http://unknown.example/hunter2", "http://empty.example/hunter2", "http://127.0.0.1:1/hunter2"]
    {
        let error = get(&fetcher, url).await.unwrap_err();
        assert!(error.is_transient() && error.code() == "unreachable", "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn slow_down_is_told_with_its_time() {
    for (status, header, expected) in [
        (429, "Retry-After: 120\r\n", Some(120)),
        (429, "", Some(60)),
        (429, "Retry-After: 1000000000000\r\n", Some(3600)),
        (503, "Retry-After: 7\r\n", Some(7)),
        (503, "", None),
        (500, "Retry-After: 7\r\n", None),
    ] {
        let server = Raw::start(move |_| Say::answer(status, header, "")).await;
        let fetched = get(&for_server(&server), &server.url("/")).await.unwrap();
        assert_eq!(fetched.retry_after.map(|wait| wait.as_secs()), expected, "{status} {header}");
    }
}

#[tokio::test]
async fn a_dropped_call_hangs_up() {
    let server = Arc::new(Raw::start(|_| Say::ThenSilence(Vec::new())).await);
    let fetcher = for_server(&server);
    let url = server.url("/");
    let call = tokio::spawn(async move { get(&fetcher, &url).await.map(|_| ()) });
    while server.requests.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
}

/// Set for the child of the test below: the server that it asks.
const ASKED: &str = "BULRUSH_TEST_ASKED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_of_the_environment_gets_nothing() {
    if let Ok(address) = std::env::var(ASKED) {
        let fetched =
            get(&fetcher(std::slice::from_ref(&address), |_| {}), &format!("http://{address}/")).await;
        assert_eq!(fetched.expect("the server answers").body, "direct");
        return;
    }
    let server = Raw::start(|_| Say::answer(200, "", "direct")).await;
    let proxy = Raw::start(|_| Say::answer(200, "", "by proxy")).await;
    // The environment is read when a client is made, so it takes a process of its own.
    let mut child = tokio::process::Command::new(std::env::current_exe().expect("this program"));
    child.args(["--exact", "a_proxy_of_the_environment_gets_nothing"]).env(ASKED, server.address.to_string());
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        child.env(name, proxy.url(""));
    }
    let child = child.env_remove("NO_PROXY").env_remove("no_proxy").output().await.expect("it can be run");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert_eq!((server.connections(), proxy.connections()), (1, 0));
}
