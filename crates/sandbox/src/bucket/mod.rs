//! A bucket that speaks as much of S3 as a client of files needs: put, multipart uploads, ranged reads, head, delete, list; path style.
//!
//! What makes an upload safe is in what can go wrong with it, so the bucket fails on request ([`BucketPlan`]) in ways that a web
//! framework would not allow: it cuts a connection before or after it has done what was asked, or in the middle of an answer. It is
//! therefore a small server of its own. It keeps everything in memory and looks at signatures without checking the sum: their form, the
//! access key, and that the body is the one that was signed.

mod http;
mod state;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use http::{Answer, Request};
pub use state::BucketCounts;
use state::State;

/// What a bucket is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BucketOperation {
    /// PutObject.
    Put,
    /// CreateMultipartUpload.
    Begin,
    /// UploadPart.
    Part,
    /// CompleteMultipartUpload.
    Complete,
    /// AbortMultipartUpload.
    Abort,
    /// GetObject.
    Get,
    /// HeadObject.
    Head,
    /// DeleteObject.
    Delete,
    /// ListObjectsV2.
    List,
}

/// A way in which a bucket fails.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BucketFault {
    /// It does nothing and answers with this status and code, such as 503 and `SlowDown`.
    Refuse {
        /// The HTTP status.
        status: u16,
        /// S3's code.
        code: &'static str,
    },
    /// It does nothing and closes the connection.
    Cut,
    /// It does what was asked and closes the connection without an answer.
    Lose,
    /// It does what was asked, sends half of the answer's body, and closes the connection.
    Break,
    /// It does nothing and never answers.
    Silence,
}

/// A fault for the next requests of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketPlan {
    /// Which requests.
    pub operation: BucketOperation,
    /// How many of them pass before.
    pub after: u32,
    /// How many fail then.
    pub count: u32,
    /// How.
    pub fault: BucketFault,
}

/// A running bucket. Dropping it stops it.
#[derive(Debug)]
pub struct Bucket {
    address: SocketAddr,
    state: Shared,
    task: JoinHandle<()>,
}

type Shared = Arc<Mutex<State>>;

impl Bucket {
    /// Starts an empty bucket `name` on a free port of loopback, for the holder of the access key `access_key`. To be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// What the operating system said.
    pub async fn start(name: &str, access_key: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::new(name, access_key)));
        let task = tokio::spawn(accept(listener, state.clone()));
        Ok(Self { address, state, task })
    }

    /// Where it is: the endpoint for a client that uses path-style addresses.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets requests fail.
    pub fn fail(&self, plan: BucketPlan) {
        self.lock().plans.push_back(plan);
    }

    /// Lets everything succeed again.
    pub fn heal(&self) {
        self.lock().plans.clear();
    }

    /// The keys of all objects, in order.
    pub fn keys(&self) -> Vec<String> {
        self.lock().objects.keys().cloned().collect()
    }

    /// The bytes of an object.
    pub fn object(&self, key: &str) -> Option<Bytes> {
        self.lock().objects.get(key).cloned()
    }

    /// How many uploads were begun and neither completed nor aborted: what they hold is paid for and seen by nobody.
    pub fn open_uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    /// What was asked so far.
    pub fn counts(&self) -> BucketCounts {
        self.lock().counts.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // The connections' tasks go with it.
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, state: Shared) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A client that is gone already is no reason to stop.
                if let Ok((stream, _)) = accepted {
                    connections.spawn(converse(stream, state.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Answers the requests of one connection until it ends, is broken, or is to be broken.
async fn converse(mut stream: TcpStream, state: Shared) {
    let mut left = Vec::new();
    while let Ok(Some(request)) = Request::read(&mut stream, &mut left).await {
        if !answer(&mut stream, &request, &state).await {
            return;
        }
    }
}

/// Answers a request; `false` if the connection is over.
async fn answer(stream: &mut TcpStream, request: &Request, state: &Shared) -> bool {
    let (answer, fault) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        let operation = State::operation(request);
        let fault = operation.and_then(|operation| state.count(operation, request));
        let answer = match (&fault, operation) {
            (Some(BucketFault::Refuse { status, code }), _) => Answer::error(*status, code),
            (Some(BucketFault::Cut), _) => return false,
            (Some(BucketFault::Silence), _) => Answer::empty(200),
            (_, Some(operation)) => state.carry_out(operation, request),
            (_, None) => Answer::error(405, "MethodNotAllowed"),
        };
        (answer, fault)
    };
    match fault {
        Some(BucketFault::Silence) => std::future::pending().await,
        Some(BucketFault::Lose) => false,
        Some(BucketFault::Break) => {
            // It is over in any case.
            let _ = answer.write(stream, answer.body.len() / 2, request.is_head()).await;
            false
        }
        _ => answer.write(stream, answer.body.len(), request.is_head()).await.is_ok(),
    }
}
