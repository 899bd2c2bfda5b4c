//! Servers that say word for word what a test wants, over TCP or TLS, and count who called; and names that stand for them.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bulrush_upstream::fetch::{Looking, Lookup};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What a server does with a request.
#[derive(Debug, Clone)]
pub enum Say {
    /// These bytes, then the end of the connection.
    Bytes(Vec<u8>),
    /// These bytes, and then nothing, for ever.
    ThenSilence(Vec<u8>),
    /// These bytes, and then the second ones again and again, for as long as somebody reads.
    ThenForEver(Vec<u8>, Vec<u8>),
    /// These bytes, and then one byte after the other, a moment between them.
    ThenDrip(Vec<u8>),
}

impl Say {
    pub fn text(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }

    /// An answer with a status, headers (each line ended) and a body.
    pub fn answer(status: u16, headers: &str, body: &str) -> Self {
        let length = body.len();
        Self::Bytes(
            format!(
                "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            )
            .into(),
        )
    }
}

/// A server on loopback. It ends with the runtime of its test.
pub struct Raw {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// What was asked, head and body, in order.
    pub requests: Arc<Mutex<Vec<String>>>,
}

impl Raw {
    /// A server at `ip` that says the same to everybody.
    pub async fn at(ip: &str, port: u16, say: Say) -> Self {
        Self::serve(ip, port, None, move |_| say.clone()).await
    }

    /// A server that answers the n-th request, counted from 0, as `say` has it.
    pub async fn start(say: impl Fn(usize) -> Say + Send + Sync + 'static) -> Self {
        Self::serve("127.0.0.1", 0, None, say).await
    }

    /// The same over TLS.
    pub async fn tls(acceptor: TlsAcceptor, say: Say) -> Self {
        Self::serve("127.0.0.1", 0, Some(acceptor), move |_| say.clone()).await
    }

    async fn serve(
        ip: &str,
        port: u16,
        tls: Option<TlsAcceptor>,
        say: impl Fn(usize) -> Say + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((ip, port)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let (counted, seen, say) = (connections.clone(), requests.clone(), Arc::new(say));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let (seen, say, tls) = (seen.clone(), say.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => talk(stream, &seen, &*say).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                talk(stream, &seen, &*say).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, connections, requests }
    }

    /// Connections that were made to it.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn request(&self, n: usize) -> String {
        self.requests.lock().expect("no panic").get(n).cloned().unwrap_or_default()
    }
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Vec<String>>,
    say: &(dyn Fn(usize) -> Say + Send + Sync),
) {
    let Some(request) = read_request(&mut stream).await else { return };
    let n = {
        let mut seen = seen.lock().expect("no panic");
        seen.push(request);
        seen.len() - 1
    };
    // A client that hangs up ends each of these.
    match say(n) {
        Say::Bytes(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Say::ThenSilence(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.read_u8().await;
        }
        Say::ThenForEver(bytes, again) => {
            let _ = stream.write_all(&bytes).await;
            while stream.write_all(&again).await.is_ok() {}
        }
        Say::ThenDrip(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let mut pace = tokio::time::interval(std::time::Duration::from_millis(5));
            while stream.write_all(b".").await.is_ok() && stream.flush().await.is_ok() {
                pace.tick().await;
            }
        }
    }
}

/// Head and body, as far as its length is told.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
            });
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&chunk[..read]),
        }
    }
}

/// Names that stand for what a test says: each look-up of a name takes the next answer, the last one stays.
#[derive(Default)]
pub struct Names(Mutex<Vec<(String, VecDeque<Vec<IpAddr>>)>>);

impl Names {
    pub fn of(names: &[(&str, &[&[&str]])]) -> Arc<Self> {
        let addresses = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect();
        let answers = |answers: &[&[&str]]| answers.iter().map(|texts| addresses(texts)).collect();
        Arc::new(Self(Mutex::new(
            names.iter().map(|(name, given)| ((*name).to_owned(), answers(given))).collect(),
        )))
    }
}

impl Lookup for Names {
    fn lookup(&self, host: &str) -> Looking {
        let mut names = self.0.lock().expect("no panic");
        let answers = names.iter_mut().find(|(name, _)| name == host).map(|(_, answers)| answers);
        let found = match answers {
            Some(answers) if answers.len() > 1 => answers.pop_front(),
            Some(answers) => answers.front().cloned(),
            None => None,
        };
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("no such name")) })
    }
}
