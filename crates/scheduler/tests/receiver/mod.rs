//! A receiver of webhooks: keeps what it is sent, and answers as the test says.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What was sent.
#[derive(Debug, Clone)]
pub struct Message {
    pub path: String,
    headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Message {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }
}

/// How it answers.
#[derive(Clone)]
enum Answer {
    Text(String),
    WithoutEnd,
}

#[derive(Default)]
struct State {
    seen: Vec<Message>,
    answers: VecDeque<Answer>,
}

/// A server of one test.
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: AbortHandle,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, state) = (listener.local_addr().unwrap(), Arc::<Mutex<State>>::default());
        let server = tokio::spawn({
            let state = state.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    drop(tokio::spawn(serve(stream, state.clone())));
                }
            }
        });
        Self { address, state, server: server.abort_handle() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything that was sent, in its order.
    pub fn seen(&self) -> Vec<Message> {
        self.state.lock().unwrap().seen.clone()
    }

    /// The next message is answered so; the others with 204.
    pub fn answer(&self, text: &str) {
        self.state.lock().unwrap().answers.push_back(Answer::Text(text.to_owned()));
    }

    /// The next message is answered with 200 and a body that does not end.
    pub fn answer_without_end(&self) {
        self.state.lock().unwrap().answers.push_back(Answer::WithoutEnd);
    }
}

/// Serves a connection until its other side is gone.
async fn serve(stream: TcpStream, state: Arc<Mutex<State>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = HashMap::new();
        loop {
            line.clear();
            stream.read_line(&mut line).await?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let answer = {
            let mut state = state.lock().unwrap();
            state.seen.push(Message { path, headers, body });
            state.answers.pop_front()
        };
        match answer {
            None => stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await?,
            Some(Answer::Text(text)) => stream.write_all(text.as_bytes()).await?,
            Some(Answer::WithoutEnd) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n").await?;
                loop {
                    stream.write_all(&[b'x'; 8_192]).await?;
                }
            }
        }
    }
}
