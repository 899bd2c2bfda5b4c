//! A server with TLS, vouched for by somebody whom only the test knows.
#![cfg(feature = "redis")]

mod private;

use std::path::Path;
use std::process::Command;

use bulrush::backend::connect;
use bulrush::model::{Finished, JobId, NewJob, Outcome, QueueName, WorkerId};
use bulrush::port::{Error, Renew, Resume, ServerFault, Settled, Step, WorkerInfo};
use private::{Private, free_port};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

/// A server with a certificate for `localhost`, and the port it is at.
async fn start(more: &[&str]) -> (Private, u16, TempDir) {
    // Its own folder, which outlives neither.
    let keys = tempfile::tempdir().expect("a temporary folder");
    make_certificates(keys.path());
    let file = |name: &str| keys.path().join(name).display().to_string();
    let port = free_port();
    let (port_text, cert, key, ca) =
        (port.to_string(), file("server.pem"), file("server.key"), file("ca.pem"));
    let mut settings = vec![
        "--tls-port",
        &port_text,
        "--bind",
        "127.0.0.1",
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
    ];
    settings.extend(if more.is_empty() { &["--tls-auth-clients", "no"] } else { more });
    (Private::start(&settings).await, port, keys)
}

/// Who vouches (`ca.pem`) and what is vouched for (`server.pem`), made for this test and for a day.
fn make_certificates(folder: &Path) {
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\n").expect("it can be written");
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let ask = |name: &str, out: [&str; 4]| -> Vec<String> {
        let subject = format!("/CN={name}");
        let words = ["req"].into_iter().chain(key).chain(["-subj", &subject]).chain(out);
        words.map(str::to_owned).collect()
    };
    let mut ca = ask("a test's own authority", ["-keyout", "ca.key", "-out", "ca.pem"]);
    ca.extend(["-x509", "-days", "1"].map(str::to_owned));
    let server = ask("localhost", ["-keyout", "server.key", "-out", "server.csr"]);
    let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -extfile names -out server.pem";
    for arguments in [ca, server, sign.split(' ').map(str::to_owned).collect()] {
        let ran = Command::new("openssl").args(&arguments).current_dir(folder).output();
        let ran = ran.expect("openssl can be run; scripts/test installs it");
        assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

fn info() -> WorkerInfo {
    WorkerInfo { id: WorkerId(1), name: "w".into(), slots: 1, version: "1".into(), started: 0 }
}

#[tokio::test]
async fn a_job_is_added_and_run_over_tls() {
    let (_server, port, keys) = start(&[]).await;
    let url = format!("rediss://localhost:{port}?ca={}", keys.path().join("ca.pem").display());
    let backend = connect(&url).await.expect("the server can be reached");
    let queue = QueueName::new("main").expect("a good name");
    let job = NewJob::new(JobId::new("a").expect("a good id"), "work", "{}");
    backend.add(&queue, vec![job]).await.expect("jobs can be added");
    let hello = Resume { info: info(), call: 0, running: Vec::new() };
    backend.resume(&queue, hello).await.expect("a worker can say hello");
    let taken = backend.step(&queue, Step::take(WorkerId(1), 1, 1)).await.expect("it can step").taken;
    // The blocking connection of the renewals, and one that waits.
    let renew = Renew { info: info(), rollup_seq: 0, rollups: Vec::new() };
    assert!(backend.renew(&queue, renew).expect("it can renew").known);
    let soon = backend.now().await.expect("it has a clock") + 1;
    backend.wait(&queue, soon).await.expect("it can wait");
    let outcome = Outcome::Complete { result: Some("[1]".into()), follow_ups: Vec::new() };
    let finished = vec![Finished { job: taken[0].clone(), outcome }];
    let settled = backend.step(&queue, Step::settle(WorkerId(1), 2, finished)).await.expect("it can step");
    assert_eq!(settled.settled, [Settled::Ok]);
    assert!(backend.condition().is_ready());
    backend.close().await.expect("it can be closed");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_names_the_cure() {
    let (server, port, keys) = start(&[]).await;
    let ca = keys.path().join("ca.pem").display().to_string();
    // Unknown here; and for another name than the one it was asked by.
    for url in [format!("rediss://localhost:{port}"), format!("rediss://127.0.0.1:{port}?ca={ca}")] {
        let error = connect(&url).await.map(drop).expect_err("it is not trusted");
        assert!(matches!(error, Error::Server { fault: ServerFault::Certificate, .. }), "{url}: {error:?}");
        let told = error.to_string();
        assert!(
            told.contains("?ca=PATH") && told.contains("SSL_CERT_FILE") && !error.is_transient(),
            "{told}"
        );
    }
    // TLS spoken to what answers without, and the other way round.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port can be had");
    let plain = listener.local_addr().expect("it has an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"-ERR Protocol error\r\n").await;
        }
    });
    let error = connect(&format!("rediss://localhost:{plain}")).await.map(drop).expect_err("no TLS there");
    assert!(matches!(error, Error::Server { fault: ServerFault::NotRedis, .. }), "{error:?}");
    assert!(error.to_string().contains("rediss://"), "{error}");
    connect(&format!("redis://localhost:{port}")).await.map(drop).expect_err("TLS there");
    server.tell(&["PING"]).await;
}

#[tokio::test]
async fn files_that_vouch_for_nobody_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let odd = folder.path().join("odd.pem");
    std::fs::write(&odd, "no certificate").expect("it can be written");
    let gone = folder.path().join("gone.pem");
    for (url, why) in [
        (format!("rediss://h?ca={}", odd.display()), "holds no certificate"),
        (format!("rediss://h?ca={}", gone.display()), "cannot be read"),
        (format!("redis://h?ca={}", odd.display()), "rediss://"),
    ] {
        let error = connect(&url).await.map(drop).expect_err("nothing is connected").to_string();
        assert!(error.contains(why), "{error}");
    }
}
