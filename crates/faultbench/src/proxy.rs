//! A proxy between a client and the server that does to their connections what networks do.
//!
//! It listens on loopback and forwards to the server's unix socket. What is done to all connections is a [`Mode`]; what is done to one of
//! them, once, is asked for by [`Proxy::cut`] and [`Proxy::drop_reply`]. Bytes that a black hole has held back are delivered late when it
//! ends, as a network does that comes back: a call may then arrive long after its caller gave up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::schedule::Chance;

/// What is done to all connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nothing.
    Pass,
    /// Each way takes so long, and up to so much longer.
    Slow {
        /// At least, ms.
        latency_ms: u64,
        /// On top, ms.
        jitter_ms: u64,
    },
    /// Connections are accepted, and nothing is delivered.
    BlackHole,
    /// Connections are closed, and new ones refused.
    Refuse,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    Request,
    /// From the server to the client.
    Reply,
}

/// A proxy. Everything it holds is closed with it.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    server: PathBuf,
    mode: watch::Sender<Mode>,
    links: Mutex<Vec<Arc<Link>>>,
    chance: Mutex<Chance>,
    counts: Counts,
    end: CancellationToken,
}

/// What a proxy has done.
#[derive(Debug, Default)]
struct Counts {
    links: AtomicU64,
    pieces: AtomicU64,
    cut: AtomicU64,
    dropped: AtomicU64,
}

/// One connection.
#[derive(Debug)]
struct Link {
    /// Bytes that are still forwarded before it is cut, each way; negative where it is not to be cut.
    left: [AtomicI64; 2],
    /// What becomes of the next reply.
    reply: AtomicUsize,
    /// When it was last used, by a count of pieces.
    used: AtomicU64,
    end: CancellationToken,
}

/// So many of the connections that were used last are candidates for what is done to one.
const BUSY: usize = 4;
/// The next reply is delivered.
const DELIVER: usize = 0;
/// It is dropped, as soon as there has been a request; then the connection is closed.
const DROP_AND_CLOSE: usize = 1;
/// It is dropped, and the connection stays silent.
const DROP_AND_HOLD: usize = 2;
/// A request has been forwarded since the drop was asked for.
const ASKED: usize = 4;

impl Proxy {
    /// Starts a proxy for the server on a unix socket.
    pub async fn start(server: &Path, chance: Chance) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            mode: watch::Sender::new(Mode::Pass),
            links: Mutex::default(),
            chance: Mutex::new(chance),
            counts: Counts::default(),
            end: CancellationToken::new(),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { address, shared, accepting: Mutex::new(Some(accepting)) })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("redis://{}", self.address)
    }

    /// Does something to all connections, from now on.
    pub async fn set(&self, mode: Mode) -> Result<()> {
        let before = self.shared.mode.send_replace(mode);
        if mode == Mode::Refuse {
            let accepting = lock(&self.accepting).take();
            if let Some(accepting) = accepting {
                accepting.abort();
                // The listener is closed when its task is gone.
                let _ = accepting.await;
            }
            self.shared.links().iter().for_each(|link| link.end.cancel());
        } else if before == Mode::Refuse {
            let listener = TcpListener::bind(self.address).await?;
            *lock(&self.accepting) = Some(tokio::spawn(accept(listener, self.shared.clone())));
        }
        Ok(())
    }

    /// Cuts a connection after so many more bytes, most likely in the middle of a request or a reply. Says whether there is one.
    pub fn cut(&self, way: Way, after_bytes: u64) -> bool {
        self.pick().is_some_and(|link| {
            link.left[way as usize].store(after_bytes as i64, Ordering::Relaxed);
            true
        })
    }

    /// Forwards the next request of a connection, and drops the reply to it. The connection is closed, or, if it is to be held, stays open
    /// and silent. Says whether there is one.
    pub fn drop_reply(&self, hold: bool) -> bool {
        let drop = if hold { DROP_AND_HOLD } else { DROP_AND_CLOSE };
        self.pick().is_some_and(|link| {
            link.reply.compare_exchange(DELIVER, drop, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        })
    }

    /// Connections so far.
    pub fn links(&self) -> u64 {
        self.shared.counts.links.load(Ordering::Relaxed)
    }

    /// Connections that were cut.
    pub fn cuts(&self) -> u64 {
        self.shared.counts.cut.load(Ordering::Relaxed)
    }

    /// Replies that were dropped.
    pub fn dropped(&self) -> u64 {
        self.shared.counts.dropped.load(Ordering::Relaxed)
    }

    /// One of the connections that were used last and have nothing done to them yet: many are idle most of the time.
    fn pick(&self) -> Option<Arc<Link>> {
        let mut links = self.shared.links();
        links.retain(|link| !link.end.is_cancelled());
        let mut busy: Vec<&Arc<Link>> = links.iter().filter(|link| link.is_untouched()).collect();
        busy.sort_by_key(|link| std::cmp::Reverse(link.used.load(Ordering::Relaxed)));
        busy.truncate(BUSY);
        let at = lock(&self.shared.chance).index(busy.len());
        busy.get(at).map(|link| Arc::clone(link))
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.end.cancel();
        if let Some(accepting) = lock(&self.accepting).take() {
            accepting.abort();
        }
    }
}

impl Shared {
    fn links(&self) -> MutexGuard<'_, Vec<Arc<Link>>> {
        lock(&self.links)
    }

    /// How long something that comes now is on its way.
    fn delay(&self) -> Duration {
        match *self.mode.borrow() {
            Mode::Slow { latency_ms, jitter_ms } => {
                lock(&self.chance).pause_ms(latency_ms..=latency_ms + jitter_ms)
            }
            Mode::Pass | Mode::BlackHole | Mode::Refuse => Duration::ZERO,
        }
    }

    /// Resolves when things are delivered.
    async fn passes(&self) {
        let mut mode = self.mode.subscribe();
        // The sender is ours and lives as long.
        let _ = mode.wait_for(|mode| *mode != Mode::BlackHole).await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        shared.counts.links.fetch_add(1, Ordering::Relaxed);
        let link = Arc::new(Link {
            left: [AtomicI64::new(-1), AtomicI64::new(-1)],
            reply: AtomicUsize::new(DELIVER),
            used: AtomicU64::new(0),
            end: shared.end.child_token(),
        });
        let mut links = shared.links();
        links.retain(|link| !link.end.is_cancelled());
        links.push(link.clone());
        drop(links);
        tokio::spawn(serve(client, link, shared.clone()));
    }
}

/// Forwards a connection both ways until it ends.
async fn serve(client: TcpStream, link: Arc<Link>, shared: Arc<Shared>) {
    let carry = async {
        let server = UnixStream::connect(&shared.server).await?;
        client.set_nodelay(true)?;
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        // Whoever ends first ends both.
        tokio::select! {
            done = pump(Way::Request, from_client, to_server, &link, &shared) => done,
            done = pump(Way::Reply, from_server, to_client, &link, &shared) => done,
        }
    };
    tokio::select! {
        // Connections end in many ways, all of them are what this is for.
        _ = carry => {}
        () = link.end.cancelled() => {}
    }
    link.end.cancel();
}

/// Forwards one way, each piece when its time has come and in the order in which they came.
async fn pump(
    way: Way,
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    link: &Link,
    shared: &Shared,
) -> std::io::Result<()> {
    let (send, mut pieces) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let read = async {
        let mut buffer = vec![0; 64 << 10];
        let mut last = Instant::now();
        loop {
            let n = from.read(&mut buffer).await?;
            if n == 0 {
                return Ok::<(), std::io::Error>(());
            }
            last = last.max(Instant::now() + shared.delay());
            let _ = send.send((last, buffer[..n].to_vec()));
        }
    };
    let write = async {
        while let Some((due, piece)) = pieces.recv().await {
            if due > Instant::now() {
                tokio::time::sleep_until(due).await;
            }
            shared.passes().await;
            link.used.store(shared.counts.pieces.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
            if !link.admits(way, shared) {
                continue;
            }
            let left = link.left[way as usize].load(Ordering::Relaxed);
            if left >= 0 && (left as usize) < piece.len() {
                to.write_all(&piece[..left as usize]).await?;
                to.flush().await?;
                shared.counts.cut.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            if left >= 0 {
                link.left[way as usize].fetch_sub(piece.len() as i64, Ordering::Relaxed);
            }
            to.write_all(&piece).await?;
        }
        Ok(())
    };
    tokio::select! {
        done = read => done,
        done = write => done,
    }
}

impl Link {
    fn is_untouched(&self) -> bool {
        let left = self.left.iter().all(|left| left.load(Ordering::Relaxed) < 0);
        left && self.reply.load(Ordering::Relaxed) == DELIVER
    }

    /// Whether a piece is delivered. Drops replies that are to be dropped, and closes the connection after one where that was asked for.
    fn admits(&self, way: Way, shared: &Shared) -> bool {
        let drop = self.reply.load(Ordering::Relaxed);
        if drop == DELIVER {
            return true;
        }
        match way {
            Way::Request => {
                self.reply.fetch_or(ASKED, Ordering::Relaxed);
                true
            }
            // A reply to what was asked before.
            Way::Reply if drop & ASKED == 0 => true,
            Way::Reply => {
                if drop & DROP_AND_CLOSE != 0 {
                    self.end.cancel();
                }
                // Those after the first one are silence, not further faults.
                if self.left[Way::Reply as usize].swap(i64::MAX, Ordering::Relaxed) != i64::MAX {
                    shared.counts.dropped.fetch_add(1, Ordering::Relaxed);
                }
                false
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::UnixListener;
    use tokio::time::timeout;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    /// A server that answers each piece with the same piece, behind a proxy.
    async fn echo() -> (tempfile::TempDir, Proxy) {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("echo.sock");
        let listener = UnixListener::bind(&socket).expect("a socket");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        let proxy = Proxy::start(&socket, Chance::new(1)).await.expect("it starts");
        (folder, proxy)
    }

    async fn connect(proxy: &Proxy) -> TcpStream {
        TcpStream::connect(proxy.address).await.expect("it accepts")
    }

    async fn say(stream: &mut TcpStream, text: &[u8]) {
        stream.write_all(text).await.expect("it takes bytes");
    }

    /// Reads so many bytes, or what there is before the end.
    async fn hear(stream: &mut TcpStream, n: usize) -> Vec<u8> {
        let mut heard = vec![0; n];
        let mut at = 0;
        while at < n {
            let read = timeout(DEADLINE, stream.read(&mut heard[at..])).await.expect("an answer or an end");
            match read {
                Ok(0) => break,
                Ok(read) => at += read,
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{error}"),
            }
        }
        heard.truncate(at);
        heard
    }

    #[tokio::test]
    async fn what_passes_is_forwarded_whole_and_in_order() {
        let (_folder, proxy) = echo().await;
        let mut stream = connect(&proxy).await;
        proxy.set(Mode::Slow { latency_ms: 1, jitter_ms: 5 }).await.expect("it can be set");
        let text: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
        let (mut from, mut to) = stream.split();
        let mut heard = vec![0; text.len()];
        let (said, read) = tokio::join!(to.write_all(&text), timeout(DEADLINE, from.read_exact(&mut heard)));
        said.expect("it takes bytes");
        read.expect("in time").expect("all of it");
        assert!(heard == text);
    }

    #[tokio::test]
    async fn a_cut_ends_the_connection_in_the_middle_of_a_piece() {
        let (_folder, proxy) = echo().await;
        let mut stream = connect(&proxy).await;
        say(&mut stream, b"first").await;
        assert_eq!(hear(&mut stream, 5).await, b"first");
        assert!(proxy.cut(Way::Reply, 8));
        say(&mut stream, b"second").await;
        assert_eq!(hear(&mut stream, 6).await, b"second");
        say(&mut stream, b"third").await;
        assert_eq!(hear(&mut stream, 5).await, b"th");
        assert_eq!(proxy.cuts(), 1);
    }

    #[tokio::test]
    async fn a_dropped_reply_is_that_to_the_next_request_and_the_request_arrives() {
        let (_folder, proxy) = echo().await;
        let mut stream = connect(&proxy).await;
        say(&mut stream, b"one").await;
        assert_eq!(hear(&mut stream, 3).await, b"one");
        assert!(proxy.drop_reply(false));
        say(&mut stream, b"two").await;
        assert_eq!(hear(&mut stream, 3).await, b"", "the connection is closed in place of an answer");
        assert_eq!(proxy.dropped(), 1);
        assert!(!proxy.drop_reply(false), "there is no connection any more");
    }

    #[tokio::test]
    async fn a_black_hole_delivers_late_what_it_held_back() {
        let (_folder, proxy) = echo().await;
        let mut stream = connect(&proxy).await;
        proxy.set(Mode::BlackHole).await.expect("it can be set");
        say(&mut stream, b"held").await;
        let mut other = connect(&proxy).await;
        say(&mut other, b"too").await;
        let mut byte = [0];
        let silence = timeout(Duration::from_millis(50), stream.read(&mut byte)).await;
        assert!(silence.is_err(), "nothing comes through");
        proxy.set(Mode::Pass).await.expect("it can be set");
        assert_eq!(hear(&mut stream, 4).await, b"held");
        assert_eq!(hear(&mut other, 3).await, b"too");
    }

    #[tokio::test]
    async fn who_is_refused_can_connect_again_later() {
        let (_folder, proxy) = echo().await;
        let mut stream = connect(&proxy).await;
        say(&mut stream, b"x").await;
        assert_eq!(hear(&mut stream, 1).await, b"x");
        proxy.set(Mode::Refuse).await.expect("it can be set");
        assert_eq!(hear(&mut stream, 1).await, b"", "what was open is closed");
        let refused = TcpStream::connect(proxy.address).await.expect_err("it is refused");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        proxy.set(Mode::Pass).await.expect("it can be set");
        let mut stream = connect(&proxy).await;
        say(&mut stream, b"y").await;
        assert_eq!(hear(&mut stream, 1).await, b"y");
    }
}
