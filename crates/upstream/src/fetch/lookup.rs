//! What a name stands for, and whether all of that may be called.

use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use bulrush_outbound::OutboundPolicy;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Most addresses of a name that are tried.
const ADDRESSES_MAX: usize = 16;

/// A look-up under way.
pub type Looking = Pin<Box<dyn Future<Output = std::io::Result<Vec<IpAddr>>> + Send>>;

/// Finds the addresses of a name. What it says is checked by whoever asks.
pub trait Lookup: Send + Sync {
    /// All addresses of `host`.
    fn lookup(&self, host: &str) -> Looking;
}

/// The system's own way: hosts file, DNS, whatever is configured.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> Looking {
        let host = host.to_owned();
        Box::pin(async move {
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// Answers with addresses that may be called, or not at all. The connection is made to what this answers, so nothing can
/// change in between.
pub(super) struct CheckedResolver {
    pub policy: Arc<OutboundPolicy>,
    pub lookup: Arc<dyn Lookup>,
    /// Of all URLs that this resolver is asked for.
    pub port: u16,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, lookup, port) = (self.policy.clone(), self.lookup.clone(), self.port);
        Box::pin(async move {
            let found = lookup.lookup(name.as_str()).await?;
            if found.is_empty() {
                return Err(std::io::Error::other("the name has no address").into());
            }
            let host = name.as_str().trim_end_matches('.').to_ascii_lowercase();
            for address in &found {
                policy.check_address(&host, *address, port)?;
            }
            let addresses = found.into_iter().take(ADDRESSES_MAX).map(move |ip| SocketAddr::new(ip, port));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}
