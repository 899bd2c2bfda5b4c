//! Why something may not be called.

use std::net::IpAddr;

use crate::address::AddressKind;
use crate::name::NameKind;

/// Longest part of a text from outside that an error repeats, in characters.
const ECHO_MAX: usize = 80;

/// Why something may not be called, and how to allow it where that can be. Texts repeat at most a host, a scheme or a port:
/// credentials, paths and queries never get in, and neither do control characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Longer than anybody needs.
    #[error("the URL has {length} bytes; at most {max} are accepted")]
    TooLong {
        /// Bytes seen.
        length: usize,
        /// Bytes accepted.
        max: usize,
    },
    /// Blanks, control characters or backslashes, which programs read in different ways.
    #[error(
        "the URL has an unusable character at byte {position}; write blanks, backslashes and control characters \
         percent-encoded"
    )]
    Character {
        /// Where the first one stands, counted from 0.
        position: usize,
    },
    /// Not a whole URL.
    #[error("the URL cannot be read ({reason}); give one such as https://example.com/path")]
    Unreadable {
        /// What the parser says; holds nothing of the URL.
        reason: String,
    },
    /// Something other than a web address.
    #[error("the URL has the scheme {scheme:?}; only {accepted} accepted")]
    Scheme {
        /// Start of what was seen.
        scheme: String,
        /// "https is" or "http and https are".
        accepted: &'static str,
    },
    /// A user's name or password before the host.
    #[error("the URL has credentials before its host; leave them out, they would stand in logs and lists")]
    Credentials,
    /// A port that belongs to something other than a web server.
    #[error("port {port} of {host} may not be called; allowed are {}{}", ports(allowed), Excepted { host, port: *port })]
    Port {
        /// Host of the URL.
        host: String,
        /// Port seen.
        port: u16,
        /// Ports that may be called.
        allowed: Vec<u16>,
    },
    /// A name that means this machine or this network.
    #[error("{host:?} may not be called: it {kind}{}", Excepted { host, port: *port })]
    Name {
        /// The name.
        host: String,
        /// Port that it would be called at.
        port: u16,
        /// What is against it.
        kind: NameKind,
    },
    /// An address that is not of the internet.
    #[error("{} may not be called: it is {kind}{}", Place { host, address: *address }, Excepted { host, port: *port })]
    Address {
        /// Host of the URL: a name, or the address itself.
        host: String,
        /// The address that would be called.
        address: IpAddr,
        /// Port that it would be called at.
        port: u16,
        /// What it is.
        kind: AddressKind,
    },
}

impl Refusal {
    /// A stable word for programs: `blocked_address` if the place may not be called (its address, name or port),
    /// `invalid_url` if the URL itself is not acceptable.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Port { .. } | Self::Name { .. } | Self::Address { .. } => "blocked_address",
            Self::TooLong { .. }
            | Self::Character { .. }
            | Self::Unreadable { .. }
            | Self::Scheme { .. }
            | Self::Credentials => "invalid_url",
        }
    }
}

/// The bounded start of a text from outside.
pub(crate) fn echo(text: &str) -> String {
    text.chars().take(ECHO_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn ports(allowed: &[u16]) -> String {
    allowed.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Where a packet would have gone.
struct Place<'a> {
    host: &'a str,
    address: IpAddr,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.parse::<IpAddr>() == Ok(self.address) {
            write!(f, "{}", self.address)
        } else {
            write!(f, "{} ({})", self.host, self.address)
        }
    }
}

/// How an operator lets it pass.
struct Excepted<'a> {
    host: &'a str,
    port: u16,
}

impl std::fmt::Display for Excepted<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.port == 0 {
            return Ok(());
        }
        // Only an IPv6 address has colons.
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "; an operator can allow it by the exception \"{open}{}{close}:{}\"", self.host, self.port)
    }
}
