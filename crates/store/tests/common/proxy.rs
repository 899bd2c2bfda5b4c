//! A way to the tests' PostgreSQL server that can be broken.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::{Mutex, mpsc, watch};
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

/// What all connections are told.
#[derive(Clone)]
struct Told {
    mode: Mode,
    /// How often connections were cut.
    cuts: u64,
    /// Held by each connection that has heard this and nothing newer.
    heard: mpsc::Sender<()>,
}

/// A proxy before the server's socket. Dropping it ends it.
pub struct Proxy {
    address: SocketAddr,
    told: Arc<watch::Sender<Told>>,
    /// Ends when nobody acts on what was told last any more.
    acting: Mutex<mpsc::Receiver<()>>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (heard, acting) = mpsc::channel(1);
        let told = Arc::new(watch::Sender::new(Told { mode: Mode::Pass, cuts: 0, heard }));
        let (socket, news) = (socket_of_server(), told.clone());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, socket.clone(), news.subscribe()));
            }
        });
        Self { address, told, acting: Mutex::new(acting), task }
    }

    /// From when this returns.
    pub async fn set(&self, mode: Mode) {
        self.tell(|told| told.mode = mode).await;
    }

    /// Closes the connections that there are; new ones pass. They are closed when this returns.
    pub async fn cut(&self) {
        self.tell(|told| told.cuts += 1).await;
    }

    /// Tells all connections, and waits until each has heard it.
    async fn tell(&self, change: impl FnOnce(&mut Told)) {
        let (heard, acting) = mpsc::channel(1);
        self.told.send_modify(|told| {
            change(told);
            told.heard = heard;
        });
        let mut before = std::mem::replace(&mut *self.acting.lock().await, acting);
        assert_eq!(before.recv().await, None, "nothing is sent by this way");
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

async fn pass(mut client: TcpStream, socket: String, mut news: watch::Receiver<Told>) {
    let mut told = news.borrow_and_update().clone();
    let cuts = told.cuts;
    let mut server = UnixStream::connect(&socket).await.unwrap();
    while told.mode != Mode::Closed && told.cuts == cuts {
        let changed = tokio::select! {
            // Dropping the copy loses at most what it was about to pass on, and after a silence nothing is passed on any more.
            _ = copy_bidirectional(&mut client, &mut server), if told.mode == Mode::Pass => return,
            changed = news.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        // What was silent once has lost bytes, and stays so.
        if told.mode == Mode::Silent {
            drop(told);
            return std::future::pending().await;
        }
        told = news.borrow_and_update().clone();
    }
}

/// The path of the server's Unix socket.
fn socket_of_server() -> String {
    let (_, query) = super::postgres::server();
    let folder = query.split(['?', '&']).find_map(|pair| pair.strip_prefix("host="));
    let folder = folder.expect("the tests' server is named by its socket's folder: ?host=/folder");
    format!("{folder}/.s.PGSQL.5432")
}
