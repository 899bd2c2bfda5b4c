//! A way to the tests' PostgreSQL server that can be broken.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::postgres::Postgres;

/// What a proxy does with its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Lets everything pass.
    Pass,
    /// Takes connections, keeps those that there are, and lets nothing pass.
    Silent,
    /// Closes all connections, and new ones at once.
    Closed,
}

/// A proxy before the server's socket. Dropping it ends it.
pub struct Proxy {
    address: SocketAddr,
    mode: Arc<watch::Sender<(Mode, u64)>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mode = Arc::new(watch::Sender::new((Mode::Pass, 0)));
        let (socket, modes) = (socket_of_server(), mode.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, socket.clone(), modes.subscribe()));
            }
        });
        Self { address, mode, task }
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_modify(|(current, _)| *current = mode);
    }

    /// Closes the connections that there are; new ones pass.
    pub fn cut(&self) {
        self.mode.send_modify(|(_, cuts)| *cuts += 1);
    }

    /// The URL of a database by way of the proxy.
    pub fn url(&self, database: &Postgres, parameters: &str) -> String {
        let user = database.url.split_once("://").unwrap().1.split_once('@').unwrap().0;
        format!("postgres://{user}@{}/{}?sslmode=disable&{parameters}", self.address, database.name)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut client: TcpStream, socket: String, mut modes: watch::Receiver<(Mode, u64)>) {
    let cuts = modes.borrow().1;
    let mut server = UnixStream::connect(&socket).await.unwrap();
    loop {
        let (mode, now) = *modes.borrow_and_update();
        if mode == Mode::Closed || now != cuts {
            return;
        }
        tokio::select! {
            // Dropping the copy loses at most what it was about to pass on, and after a silence nothing is passed on any more.
            _ = copy_bidirectional(&mut client, &mut server), if mode == Mode::Pass => return,
            changed = modes.changed() => {
                if changed.is_err() {
                    return;
                }
                // What was silent once has lost bytes, and stays so.
                if mode == Mode::Silent {
                    return std::future::pending().await;
                }
            }
        }
    }
}

/// The path of the server's Unix socket.
fn socket_of_server() -> String {
    let (_, query) = super::postgres::server();
    let folder = query.split(['?', '&']).find_map(|pair| pair.strip_prefix("host="));
    let folder = folder.expect("the tests' server is named by its socket's folder: ?host=/folder");
    format!("{folder}/.s.PGSQL.5432")
}
