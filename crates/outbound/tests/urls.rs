//! Every URL that must not be called, and those that may: the whole rule as tables.

use bulrush_outbound::{AddressKind, Exception, NameKind, OutboundPolicy, Refusal, TargetUrl};

fn open() -> OutboundPolicy {
    OutboundPolicy::default()
}

fn with(exceptions: &[&str]) -> OutboundPolicy {
    exceptions.iter().fold(open(), |policy, text| policy.with_exception(text.parse().expect("an exception")))
}

fn refusal(url: &str) -> Refusal {
    match TargetUrl::parse(url, &open()) {
        Ok(target) => panic!("{url} was accepted as {target:?}"),
        Err(refusal) => refusal,
    }
}

fn address_kind(url: &str) -> AddressKind {
    match refusal(url) {
        Refusal::Address { kind, .. } => kind,
        other => panic!("{url} was refused for another reason: {other:?}"),
    }
}

#[test]
fn urls_of_the_internet_pass_and_are_normalized() {
    for (text, sent, host, port) in [
        ("https://example.com", "https://example.com/", "example.com", 443),
        ("HTTPS://Example.COM:443/A?b=c#d", "https://example.com/A?b=c", "example.com", 443),
        ("http://example.com:8080/hook", "http://example.com:8080/hook", "example.com", 8080),
        ("https://good.example:8443/", "https://good.example:8443/", "good.example", 8443),
        ("https://example.com./x", "https://example.com./x", "example.com", 443),
        ("https://bücher.example/", "https://xn--bcher-kva.example/", "xn--bcher-kva.example", 443),
        ("https://ｅｘａｍｐｌｅ.com/", "https://example.com/", "example.com", 443),
        ("https://93.184.215.14/", "https://93.184.215.14/", "93.184.215.14", 443),
        ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/", "2606:4700::1111", 443),
        ("https://[64:ff9b::808:808]/", "https://[64:ff9b::808:808]/", "64:ff9b::808:808", 443),
        ("https://example.com/a@b?c=d@e", "https://example.com/a@b?c=d@e", "example.com", 443),
        ("https://1.2.3.4.example/", "https://1.2.3.4.example/", "1.2.3.4.example", 443),
    ] {
        let target = TargetUrl::parse(text, &open()).unwrap_or_else(|refusal| panic!("{text}: {refusal}"));
        assert_eq!(target.url().as_str(), sent);
        assert_eq!((target.host(), target.port()), (host, port), "{text}");
    }
}

#[test]
fn e01_loopback_is_refused() {
    assert_eq!(address_kind("http://127.0.0.1:6379/"), AddressKind::Loopback);
    assert_eq!(address_kind("http://[::1]:8080/"), AddressKind::Loopback);
    assert!(matches!(
        refusal("http://localhost:5432/"),
        Refusal::Name { kind: NameKind::Localhost, port: 5432, .. }
    ));
}

#[test]
fn e02_the_metadata_of_clouds_is_refused() {
    assert_eq!(address_kind("http://169.254.169.254/latest/meta-data/"), AddressKind::Metadata);
    assert_eq!(address_kind("http://[fd00:ec2::254]/"), AddressKind::Metadata);
    assert_eq!(address_kind("http://168.63.129.16/"), AddressKind::Metadata);
    for name in ["metadata.google.internal", "METADATA.google.internal.", "metadata.goog", "metadata"] {
        let refusal = refusal(&format!("http://{name}/"));
        assert!(matches!(refusal, Refusal::Name { kind: NameKind::Metadata, .. }), "{refusal:?}");
    }
}

#[test]
fn e03_private_and_special_addresses_are_refused() {
    use AddressKind::*;
    for (host, kind) in [
        ("10.0.0.5", Private),
        ("172.16.0.1", Private),
        ("192.168.1.1", Private),
        ("100.64.0.1", CarrierShared),
        ("198.18.0.1", Benchmark),
        ("224.0.0.1", Multicast),
        ("255.255.255.255", Broadcast),
        ("0.0.0.0", Unspecified),
        ("169.254.1.1", LinkLocal),
        ("192.0.2.1", Documentation),
        ("198.51.100.1", Documentation),
        ("203.0.113.1", Documentation),
        ("192.0.0.8", Reserved),
        ("240.0.0.1", Reserved),
        ("[::]", Unspecified),
        ("[fc00::1]", UniqueLocal),
        ("[fd12:3456::1]", UniqueLocal),
        ("[fe80::1]", LinkLocal),
        ("[fec0::1]", UniqueLocal),
        ("[ff02::1]", Multicast),
        ("[2001:db8::1]", Documentation),
        ("[4000::1]", Reserved),
    ] {
        assert_eq!(address_kind(&format!("http://{host}/")), kind, "{host}");
    }
}

#[test]
fn other_spellings_of_an_address_are_the_same_address() {
    for host in [
        "2130706433",
        "0x7f000001",
        "0x7F.0x0.0x0.0x1",
        "017700000001",
        "0177.0.0.1",
        "0177.0.0.01",
        "127.1",
        "127.0.1",
        "127.0.0.1.",
        "0x7f.1",
        "%31%32%37.0.0.1",
        "127%2E0.0.1",
        "１２７.０.０.１",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "127.255.255.254",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[0000:0000:0000:0000:0000:0000:0000:0001]",
    ] {
        assert_eq!(address_kind(&format!("http://{host}/")), AddressKind::Loopback, "{host}");
    }
    for host in ["[::127.0.0.1]", "[2002:7f00:1::]", "[2001:0:7f00:1::1]"] {
        assert_eq!(address_kind(&format!("http://{host}/")), AddressKind::Tunnel, "{host}");
    }
    for host in ["0", "0x0", "00", "0.0", "[::0.0.0.0]"] {
        assert_eq!(address_kind(&format!("http://{host}/")), AddressKind::Unspecified, "{host}");
    }
    assert_eq!(address_kind("http://2852039166/"), AddressKind::Metadata);
    assert_eq!(address_kind("http://0251.0376.0251.0376/"), AddressKind::Metadata);
    assert_eq!(address_kind("http://[::ffff:a9fe:a9fe]/"), AddressKind::Metadata);
}

#[test]
fn what_is_almost_an_address_is_unreadable() {
    for host in [
        "256.0.0.1",
        "127.0.0.1.1",
        "0x100000000",
        "1.2.3.0x1ffffffff",
        "[::1%25eth0]",
        "[fe80::1%eth0]",
        "[::1",
        "[v1.x]",
        "127.0.0.08",
    ] {
        let refusal = refusal(&format!("http://{host}/"));
        assert!(matches!(refusal, Refusal::Unreadable { .. }), "{host}: {refusal:?}");
    }
}

#[test]
fn names_of_this_machine_and_network_are_refused() {
    for (host, kind) in [
        ("localhost", NameKind::Localhost),
        ("LOCALHOST.", NameKind::Localhost),
        ("foo.localhost", NameKind::Localhost),
        ("ⓛocalhost", NameKind::Localhost),
        ("printer.local", NameKind::Local),
        ("vault.internal", NameKind::Local),
        ("redis.default.svc.cluster.local", NameKind::Local),
        ("host.docker.internal", NameKind::Local),
        ("router.lan", NameKind::Local),
        ("redis", NameKind::SingleLabel),
        ("postgres.", NameKind::SingleLabel),
        ("a..example.com", NameKind::Malformed),
        ("*.example.com", NameKind::Malformed),
        ("a$b.example.com", NameKind::Malformed),
    ] {
        match refusal(&format!("http://{host}/")) {
            Refusal::Name { kind: seen, .. } => assert_eq!(seen, kind, "{host}"),
            other => panic!("{host}: {other:?}"),
        }
    }
}

#[test]
fn e09_schemes_other_than_http_and_https_are_refused() {
    for url in [
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "ftp://example.com/",
        "data:text/html,hello",
        "javascript:alert(1)",
        "unix:/run/x.sock",
        "HTTPS+unix://%2Frun%2Fx.sock/",
        "http+unix://x/",
        "ws://example.com/",
        "blob:https://example.com/x",
        "view-source:https://example.com",
        "about:blank",
        "dict://example.com:11211/",
        "ldap://example.com/",
    ] {
        assert!(matches!(refusal(url), Refusal::Scheme { .. }), "{url}");
    }
}

#[test]
fn e11_ports_of_other_services_are_refused() {
    for port in [22, 25, 6379, 0, 1, 21, 110, 3306, 5432, 9200, 11211, 27017, 65535] {
        let refusal = refusal(&format!("https://good.example:{port}/"));
        assert!(matches!(refusal, Refusal::Port { port: seen, .. } if seen == port), "{port}: {refusal:?}");
    }
    for port in ["65536", "99999999999", "-1", "80x"] {
        let refusal = refusal(&format!("https://good.example:{port}/"));
        assert!(matches!(refusal, Refusal::Unreadable { .. }), "{port}: {refusal:?}");
    }
    let narrow = open().with_ports([443, 0]);
    assert_eq!(narrow.ports(), [443]);
    assert!(TargetUrl::parse("http://good.example/", &narrow).is_err());
    assert!(TargetUrl::parse("https://good.example/", &narrow).is_ok());
}

#[test]
fn credentials_are_refused_and_never_repeated() {
    for url in [
        "https://user:hunter2@good.example/",
        "https://hunter2@good.example/",
        "https://:hunter2@good.example/",
        "https://good.example@127.0.0.1/hunter2",
        "https://hunter2%40good.example@evil.example/",
        "https://@good.example/hunter2",
        "https://:@good.example/hunter2",
        "https://a@b@good.example/hunter2",
    ] {
        let refusal = refusal(url);
        assert_eq!(refusal, Refusal::Credentials, "{url}");
        assert!(!format!("{refusal} {refusal:?}").contains("hunter2"), "{refusal:?}");
    }
}

#[test]
fn no_refusal_repeats_a_path_or_a_query() {
    for url in [
        "https://localhost/hunter2?hunter2",
        "https://127.0.0.1/hunter2",
        "https://good.example:22/hunter2",
        "ftp://good.example/hunter2",
        "https:///?hunter2",
        "https://good.example:x/hunter2",
        "https://good.example/ hunter2",
        "hunter2",
        "//good.example/hunter2",
    ] {
        let refusal = refusal(url);
        assert!(!format!("{refusal} {refusal:?}").contains("hunter2"), "{url}: {refusal:?}");
        assert!(refusal.to_string().len() < 300);
    }
    let target = TargetUrl::parse("https://good.example/hunter2?hunter2", &open()).unwrap();
    assert_eq!(
        format!("{target:?} {}", target.origin()),
        "TargetUrl(https://good.example/…) https://good.example"
    );
}

#[test]
fn texts_that_programs_read_differently_are_refused() {
    for url in [
        "http://good.example/\r\nX-Evil: 1",
        "http://good.example/\0",
        "http://127.0.0.1\t.good.example/",
        " http://good.example/",
        "http://good.example/ ",
        "http://good.example\\@127.0.0.1/",
        "http:\\\\good.example/",
        "http://good.example/\u{2028}",
        "http://good.example/\u{85}",
    ] {
        assert!(matches!(refusal(url), Refusal::Character { .. }), "{url:?}");
    }
    for url in [
        "",
        "http",
        "good.example",
        "http:good.example",
        "http:/good.example",
        "http://",
        "https:///",
        "https://?x",
        "https://:443/",
        "http://[]/",
    ] {
        let refusal = refusal(url);
        assert!(
            matches!(
                refusal,
                Refusal::Unreadable { .. }
                    | Refusal::Name { kind: NameKind::SingleLabel | NameKind::Malformed, .. }
            ),
            "{url:?}: {refusal:?}"
        );
    }
}

#[test]
fn long_urls_are_refused_by_their_length_as_sent() {
    let fits = format!("https://good.example/{}", "a".repeat(2048 - 21));
    assert!(TargetUrl::parse(&fits, &open()).is_ok());
    assert_eq!(refusal(&format!("{fits}a")), Refusal::TooLong { length: 2049, max: 2048 });
    // Each of these letters is written in six bytes.
    let grows = format!("https://good.example/{}", "é".repeat(1000));
    assert!(matches!(refusal(&grows), Refusal::TooLong { length: 6021, .. }));
    assert!(refusal(&format!("https://{}.example/", "a".repeat(2_000))).to_string().len() < 300);
}

#[test]
fn an_exception_opens_exactly_what_it_names() {
    let policy = with(&["127.0.0.1:8090", "localhost:9000", "10.1.0.0/16"]);
    for url in [
        "http://127.0.0.1:8090/x",
        "http://0x7f000001:8090/",
        "http://[::ffff:127.0.0.1]:8090/",
        "http://LOCALHOST.:9000/",
        "http://10.1.2.3/",
        "https://10.1.2.3:8443/",
    ] {
        assert!(TargetUrl::parse(url, &policy).is_ok(), "{url}");
    }
    for url in [
        "http://127.0.0.1:8091/",
        "http://127.0.0.1/",
        "http://127.0.0.2:8090/",
        "http://[::1]:8090/",
        "http://localhost:8090/",
        "http://a.localhost:9000/",
        "http://10.2.0.1/",
        "http://10.1.2.3:22/",
    ] {
        assert!(TargetUrl::parse(url, &policy).is_err(), "{url}");
    }
}

#[test]
fn addresses_of_names_are_judged_with_name_and_port() {
    let check = |policy: &OutboundPolicy, host: &str, address: &str, port| {
        policy.check_address(host, address.parse().unwrap(), port)
    };
    assert_eq!(check(&open(), "good.example", "93.184.215.14", 443), Ok(()));
    let refusal = check(&open(), "rebind.example", "127.0.0.1", 80).unwrap_err();
    assert_eq!(refusal.code(), "blocked_address");
    assert_eq!(
        refusal.to_string(),
        "rebind.example (127.0.0.1) may not be called: it is a loopback address; an operator can allow it by the exception \
         \"rebind.example:80\""
    );
    assert!(matches!(check(&open(), "good.example", "93.184.215.14", 22), Err(Refusal::Port { .. })));
    let named = with(&["hooks.internal:8000"]);
    assert_eq!(check(&named, "hooks.internal", "10.0.0.7", 8000), Ok(()), "a trusted name");
    assert!(check(&named, "hooks.internal", "10.0.0.7", 80).is_err());
    assert!(check(&named, "other.example", "10.0.0.7", 8000).is_err());
    let place = with(&["127.0.0.1:8090"]);
    assert_eq!(
        check(&place, "sandbox.example", "127.0.0.1", 8090),
        Ok(()),
        "an allowed place under another name"
    );
    assert!(check(&place, "sandbox.example", "127.0.0.1", 80).is_err());
}

#[test]
fn https_alone_can_be_asked_for_and_exceptions_still_pass() {
    let policy = with(&["127.0.0.1:8090"]).https_only();
    assert!(TargetUrl::parse("https://good.example/", &policy).is_ok());
    assert!(TargetUrl::parse("http://127.0.0.1:8090/", &policy).is_ok());
    let refusal = TargetUrl::parse("http://good.example/", &policy).unwrap_err();
    assert_eq!(refusal.to_string(), "the URL has the scheme \"http\"; only https is accepted");
    assert_eq!(refusal.code(), "invalid_url");
}

#[test]
fn e08_redirects_are_checked_like_urls() {
    let from = TargetUrl::parse("https://good.example/a/b?c", &open()).unwrap();
    let to = |location: &str| from.join(location, &open()).map(|target| target.url().to_string());
    assert_eq!(to("d"), Ok("https://good.example/a/d".to_owned()));
    assert_eq!(to("/d?e#f"), Ok("https://good.example/d?e".to_owned()));
    assert_eq!(to("//other.example/x"), Ok("https://other.example/x".to_owned()));
    assert!(matches!(to("http://127.0.0.1/"), Err(Refusal::Address { .. })));
    assert!(matches!(to("//0x7f.1/"), Err(Refusal::Address { .. })));
    assert!(matches!(to("http://localhost/"), Err(Refusal::Name { .. })));
    assert!(matches!(to("file:///etc/passwd"), Err(Refusal::Scheme { .. })));
    assert!(matches!(to("data:,x"), Err(Refusal::Scheme { .. })));
    assert!(matches!(to("//user:hunter2@good.example/"), Err(Refusal::Credentials)));
    assert!(matches!(to("https://good.example:22/"), Err(Refusal::Port { .. })));
    assert!(matches!(to("/\\evil.example"), Err(Refusal::Character { .. })));
}

#[test]
fn a_refusal_says_how_to_allow_what_can_be_allowed() {
    assert_eq!(
        refusal("http://127.0.0.1:8090/").to_string(),
        "127.0.0.1 may not be called: it is a loopback address; an operator can allow it by the exception \"127.0.0.1:8090\""
    );
    for url in ["http://[::1]:8090/", "http://localhost:8090/", "https://good.example:22/"] {
        let text = refusal(url).to_string();
        let exception = text.split('"').rfind(|part| part.parse::<Exception>().is_ok());
        let exception = exception.unwrap_or_else(|| panic!("{text} names no exception"));
        assert!(TargetUrl::parse(url, &with(&[exception])).is_ok(), "{exception} does not allow {url}");
    }
    assert!(!refusal("https://good.example:0/").to_string().contains("exception"));
}
