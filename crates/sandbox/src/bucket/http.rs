//! As much of HTTP/1.1 as clients of S3 use: bodies of a known length, connections that are used again.

use std::collections::HashMap;
use std::io;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Longest head of a request, bytes.
const HEAD_MAX: usize = 64 << 10;
/// Longest body, bytes: a part of an upload.
const BODY_MAX: usize = 256 << 20;

/// A request, read whole.
#[derive(Debug)]
pub(crate) struct Request {
    pub method: String,
    /// Percent-decoded, without the query.
    pub path: String,
    /// Percent-decoded; a parameter without a value has an empty one.
    pub query: HashMap<String, String>,
    /// By their names in lower case.
    pub headers: HashMap<String, String>,
    pub body: Bytes,
}

impl Request {
    /// The next request of a connection; none after its last. `left` holds what was read beyond the one before.
    pub async fn read(stream: &mut TcpStream, left: &mut Vec<u8>) -> io::Result<Option<Self>> {
        let invalid = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
        let head_end = loop {
            if let Some(at) = left.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if left.len() > HEAD_MAX {
                return Err(invalid("the head is too long"));
            }
            if stream.read_buf(left).await? == 0 {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&left[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let method = first.next().unwrap_or_default().to_owned();
        let target = first.next().ok_or_else(|| invalid("no target"))?;
        let headers: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length: usize = match headers.get("content-length") {
            Some(length) => length.parse().map_err(|_| invalid("no length"))?,
            None => 0,
        };
        if length > BODY_MAX || headers.contains_key("transfer-encoding") {
            return Err(invalid("a body of this kind is not taken"));
        }
        let end = head_end + 4 + length;
        while left.len() < end {
            if stream.read_buf(left).await? == 0 {
                return Ok(None);
            }
        }
        let body = Bytes::copy_from_slice(&left[head_end + 4..end]);
        left.drain(..end);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        Ok(Some(Self { method, path: decode(path), query, headers, body }))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        let byte = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        decoded.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

impl Answer {
    pub fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    pub fn xml(text: String) -> Self {
        let headers = vec![("content-type", "application/xml".to_owned())];
        Self { status: 200, headers, body: text.into() }
    }

    /// S3's form of an error.
    pub fn error(status: u16, code: &str) -> Self {
        let text = format!("<Error><Code>{code}</Code><Message>made by the sandbox</Message></Error>");
        Self { status, ..Self::xml(text) }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Writes head and the first `bytes` bytes of the body, none of which an answer to HEAD has.
    pub async fn write(&self, stream: &mut TcpStream, bytes: usize, is_head: bool) -> io::Result<()> {
        use std::fmt::Write as _;

        // Nobody reads the words after the number.
        let mut head = format!("HTTP/1.1 {} -\r\n", self.status);
        for (name, value) in &self.headers {
            // Writing to a string cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !self.headers.iter().any(|(name, _)| *name == "content-length") && self.status != 204 {
            let _ = write!(head, "content-length: {}\r\n", self.body.len());
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await?;
        if !is_head {
            stream.write_all(&self.body[..bytes]).await?;
        }
        stream.flush().await
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn percent_signs_are_decoded_and_stray_ones_stay() {
        for (text, decoded) in [
            ("a%2Fb%20c", "a/b c"),
            ("%", "%"),
            ("%2", "%2"),
            ("%zz%41", "%zzA"),
            ("%C3%A9", "é"),
            ("%é", "%é"),
        ] {
            assert_eq!(decode(text), decoded);
        }
    }
}
