//! A URL that may be called, as far as a URL can tell.

use std::fmt;
use std::net::IpAddr;

use url::{Host, Url};

use crate::name::reason_against;
use crate::policy::{OutboundPolicy, URL_LENGTH_MAX};
use crate::refusal::{Refusal, echo};

/// A checked URL. What a name stands for is checked when connecting, by [`OutboundPolicy::check_address`].
///
/// `Debug` and [`TargetUrl::origin`] show no more than scheme, host and port: paths and queries of webhooks are often secrets.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TargetUrl {
    url: Url,
    /// The host as policies compare it: no brackets, no trailing dot.
    host: String,
    address: Option<IpAddr>,
    port: u16,
}

impl TargetUrl {
    /// Reads and checks a URL. Its fragment, which is never sent, is dropped.
    ///
    /// # Errors
    /// [`Refusal`] with what is wrong; nothing of a path, a query or credentials stands in it.
    pub fn parse(text: &str, policy: &OutboundPolicy) -> Result<Self, Refusal> {
        check_text(text)?;
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(Refusal::Unreadable { reason: "it has no scheme".to_owned() });
        };
        check_scheme(&scheme.to_ascii_lowercase(), policy)?;
        // The parser would also take `http:example.com`, which others read in other ways.
        let Some(rest) = rest.strip_prefix("//") else {
            return Err(Refusal::Unreadable { reason: "\"//\" does not follow the scheme".to_owned() });
        };
        // An empty name and password are dropped by the parser, and a reader may still take them for a host.
        if rest.split(['/', '?', '#']).next().unwrap_or_default().contains('@') {
            return Err(Refusal::Credentials);
        }
        Self::checked(Url::parse(text).map_err(unreadable)?, policy)
    }

    /// Reads and checks where a redirect leads, which may be relative to this URL.
    ///
    /// # Errors
    /// As [`TargetUrl::parse`].
    pub fn join(&self, location: &str, policy: &OutboundPolicy) -> Result<Self, Refusal> {
        check_text(location)?;
        Self::checked(self.url.join(location).map_err(unreadable)?, policy)
    }

    fn checked(mut url: Url, policy: &OutboundPolicy) -> Result<Self, Refusal> {
        check_scheme(url.scheme(), policy)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Refusal::Credentials);
        }
        url.set_fragment(None);
        if url.as_str().len() > URL_LENGTH_MAX {
            return Err(Refusal::TooLong { length: url.as_str().len(), max: URL_LENGTH_MAX });
        }
        // http and https have a default port, so there always is one.
        let port = url.port_or_known_default().unwrap_or_default();
        let (host, address) = match url.host() {
            Some(Host::Ipv4(address)) => (address.to_string(), Some(IpAddr::V4(address))),
            Some(Host::Ipv6(address)) => (address.to_string(), Some(IpAddr::V6(address))),
            Some(Host::Domain(name)) => (name.trim_end_matches('.').to_ascii_lowercase(), None),
            None => return Err(Refusal::Unreadable { reason: "it has no host".to_owned() }),
        };
        if let Some(address) = address {
            policy.check_address(&host, address, port)?;
        } else {
            if let Some(kind) = reason_against(&host)
                && !policy.is_named(&host, None, port)
            {
                return Err(Refusal::Name { host: echo(&host), port, kind });
            }
            policy.check_port(&host, None, port)?;
        }
        if policy.https_only && url.scheme() != "https" && !policy.is_named(&host, address, port) {
            return Err(Refusal::Scheme { scheme: url.scheme().to_owned(), accepted: "https is" });
        }
        Ok(Self { url, host, address, port })
    }

    /// The URL as it is to be sent. It may hold secrets of its owner.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Name or address, in lower case, without brackets and trailing dot.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address, if the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The port, the scheme's own if the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Scheme, host and port: what may stand in logs.
    pub fn origin(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TargetUrl({}/…)", self.origin())
    }
}

fn check_text(text: &str) -> Result<(), Refusal> {
    if text.len() > URL_LENGTH_MAX {
        return Err(Refusal::TooLong { length: text.len(), max: URL_LENGTH_MAX });
    }
    match text.char_indices().find(|(_, c)| c.is_control() || c.is_whitespace() || *c == '\\') {
        Some((position, _)) => Err(Refusal::Character { position }),
        None => Ok(()),
    }
}

fn check_scheme(scheme: &str, policy: &OutboundPolicy) -> Result<(), Refusal> {
    match scheme {
        "http" | "https" => Ok(()),
        other => Err(Refusal::Scheme {
            scheme: other.chars().take(16).collect(),
            accepted: if policy.https_only { "https is" } else { "http and https are" },
        }),
    }
}

fn unreadable(error: url::ParseError) -> Refusal {
    Refusal::Unreadable { reason: error.to_string() }
}
