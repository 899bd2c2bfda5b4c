//! The rules, as an operator configures them.

use std::net::IpAddr;

use crate::address::{AddressKind, kind_of};
use crate::exception::Exception;
use crate::refusal::Refusal;

/// Ports of web servers. Everything else is more often a database or a mail server than somebody's endpoint.
pub const DEFAULT_PORTS: &[u16] = &[80, 443, 8080, 8443];

/// Longest URL, bytes: what browsers and proxies agree to carry.
pub const URL_LENGTH_MAX: usize = 2048;

/// What may be called. [`Default`]: http and https, the ports of web servers, the internet and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundPolicy {
    pub(crate) https_only: bool,
    ports: Vec<u16>,
    exceptions: Vec<Exception>,
}

impl Default for OutboundPolicy {
    fn default() -> Self {
        Self { https_only: false, ports: DEFAULT_PORTS.to_vec(), exceptions: Vec::new() }
    }
}

impl OutboundPolicy {
    /// Lets only https pass, but for what exceptions name by host and port.
    #[must_use]
    pub fn https_only(mut self) -> Self {
        self.https_only = true;
        self
    }

    /// Other ports than [`DEFAULT_PORTS`]. Port 0 is none and left out.
    #[must_use]
    pub fn with_ports(mut self, ports: impl IntoIterator<Item = u16>) -> Self {
        self.ports = ports.into_iter().filter(|port| *port != 0).collect();
        self.ports.sort_unstable();
        self.ports.dedup();
        self
    }

    /// Lets something pass that would be refused.
    #[must_use]
    pub fn with_exception(mut self, exception: Exception) -> Self {
        if !self.exceptions.contains(&exception) {
            self.exceptions.push(exception);
        }
        self
    }

    /// The ports that may be called at global addresses, ascending.
    pub fn ports(&self) -> &[u16] {
        &self.ports
    }

    /// What passes although it would be refused.
    pub fn exceptions(&self) -> &[Exception] {
        &self.exceptions
    }

    /// Whether `address` may be called at `port` under the name `host`: to be asked for **every** address that the host stands
    /// for, at the moment of connecting, and if one is refused none is to be called. `host` is as [`TargetUrl::host`] gives it.
    ///
    /// # Errors
    /// [`Refusal::Address`], or [`Refusal::Port`] for a port that is not to be called at all.
    ///
    /// [`TargetUrl::host`]: crate::TargetUrl::host
    pub fn check_address(&self, host: &str, address: IpAddr, port: u16) -> Result<(), Refusal> {
        let excepted = self.exceptions.iter().any(|exception| exception.covers_address(host, address, port));
        let kind = kind_of(address);
        if kind != AddressKind::Global && !excepted {
            return Err(Refusal::Address { host: host.to_owned(), address, port, kind });
        }
        self.check_port(host, Some(address), port)
    }

    /// Whether a port may be called at all.
    pub(crate) fn check_port(&self, host: &str, address: Option<IpAddr>, port: u16) -> Result<(), Refusal> {
        if self.ports.contains(&port) || self.is_named(host, address, port) {
            Ok(())
        } else {
            Err(Refusal::Port { host: host.to_owned(), port, allowed: self.ports.clone() })
        }
    }

    /// Whether an exception names this very host and port.
    pub(crate) fn is_named(&self, host: &str, address: Option<IpAddr>, port: u16) -> bool {
        self.exceptions.iter().any(|exception| exception.names(host, address, port))
    }
}
