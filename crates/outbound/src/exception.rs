//! What an operator lets pass although it would be refused.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

use crate::address::{AddressKind, canonical, kind_of};
use crate::refusal::echo;

/// One exception, written `host:port` (`127.0.0.1:8090`, `[::1]:8090`, `hooks.internal:443`) or as a network (`10.1.0.0/16`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Exception(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    /// An address and port, by whatever name it is called.
    Address(IpAddr, u16),
    /// A name and port; all addresses that the name stands for are trusted.
    Name(String, u16),
    /// A network, at the ports of the policy. Never the metadata service of a cloud: that needs an exception of its own.
    Network(IpNet),
}

/// The text is no exception.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{seen:?} is not an exception; give host:port such as 127.0.0.1:8090 or [::1]:8090, or a network such as 10.1.0.0/16"
)]
pub struct ExceptionError {
    /// Start of the text.
    pub seen: String,
}

impl Exception {
    /// An address and port.
    pub fn address(address: IpAddr, port: u16) -> Self {
        Self(Kind::Address(canonical(address), port))
    }

    /// Whether it lets pass that `host` is called at `port`, before its addresses are known.
    pub(crate) fn covers_host(&self, host: &str, port: u16) -> bool {
        matches!(&self.0, Kind::Name(name, at) if name == host && *at == port)
    }

    /// Whether it lets pass that `address` is called at `port` as `host`.
    pub(crate) fn covers_address(&self, host: &str, address: IpAddr, port: u16) -> bool {
        let address = canonical(address);
        match &self.0 {
            Kind::Address(excepted, at) => *excepted == address && *at == port,
            Kind::Name(..) => self.covers_host(host, port),
            Kind::Network(network) => network.contains(&address) && kind_of(address) != AddressKind::Metadata,
        }
    }

    /// Whether it names `address` and `port` themselves, so that the port needs no other permission.
    pub(crate) fn names(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        match &self.0 {
            Kind::Address(excepted, at) => address.map(canonical) == Some(*excepted) && *at == port,
            Kind::Name(..) => self.covers_host(host, port),
            Kind::Network(_) => false,
        }
    }
}

impl FromStr for Exception {
    type Err = ExceptionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let wrong = || ExceptionError { seen: echo(text) };
        if text.contains('/') {
            // A network with bits beyond its prefix is a mistake about what it lets pass.
            let network: IpNet = text.parse().map_err(|_| wrong())?;
            return if network.trunc() == network { Ok(Self(Kind::Network(network))) } else { Err(wrong()) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = match port.parse::<u16>() {
            Ok(port) if port != 0 && port.to_string().len() == text.len() - host.len() - 1 => port,
            _ => return Err(wrong()),
        };
        // The parser of URLs, so that an exception is spelled like the host that it is compared with.
        let kind = match url::Host::parse(host).map_err(|_| wrong())? {
            url::Host::Ipv4(address) => Kind::Address(canonical(address.into()), port),
            url::Host::Ipv6(address) => Kind::Address(canonical(address.into()), port),
            url::Host::Domain(name) => {
                let name = name.trim_end_matches('.').to_owned();
                if crate::name::reason_against(&name) == Some(crate::NameKind::Malformed) {
                    return Err(wrong());
                }
                Kind::Name(name, port)
            }
        };
        Ok(Self(kind))
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Address(address, port) => write!(f, "{}", std::net::SocketAddr::new(*address, *port)),
            Kind::Name(name, port) => write!(f, "{name}:{port}"),
            Kind::Network(network) => write!(f, "{network}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_ports_and_networks_are_exceptions() {
        for (text, written) in [
            ("127.0.0.1:8090", "127.0.0.1:8090"),
            ("[::1]:8090", "[::1]:8090"),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80"),
            (" Hooks.Internal.:443 ", "hooks.internal:443"),
            ("bücher.example:443", "xn--bcher-kva.example:443"),
            ("localhost:65535", "localhost:65535"),
            ("10.1.0.0/16", "10.1.0.0/16"),
            ("fd00:1::/32", "fd00:1::/32"),
        ] {
            assert_eq!(text.parse::<Exception>().unwrap().to_string(), written, "{text:?}");
        }
    }

    #[test]
    fn anything_wider_or_vaguer_is_refused() {
        for text in [
            "",
            "*",
            "127.0.0.1",
            "localhost",
            "*.example.com:443",
            "127.0.0.1:0",
            "127.0.0.1:65536",
            "127.0.0.1:+80",
            "127.0.0.1:*",
            "10.1.2.3/16",
            "10.0.0.0/33",
            "http://localhost:80",
            "a b:80",
            ":80",
            "::1:8090",
        ] {
            let error = text.parse::<Exception>().unwrap_err();
            assert!(error.to_string().len() < 250, "{error}");
        }
    }

    #[test]
    fn a_network_never_opens_the_metadata_of_a_cloud() {
        let wide: Exception = "169.254.0.0/16".parse().unwrap();
        let metadata: IpAddr = "169.254.169.254".parse().unwrap();
        assert!(wide.covers_address("x", "169.254.1.1".parse().unwrap(), 80));
        assert!(!wide.covers_address("x", metadata, 80));
        let exact: Exception = "169.254.169.254:80".parse().unwrap();
        assert!(exact.covers_address("x", metadata, 80));
        assert!(!exact.covers_address("x", metadata, 443));
    }
}
