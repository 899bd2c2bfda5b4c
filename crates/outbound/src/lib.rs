//! Which addresses may be called when somebody else says which: webhooks, pages of competitors, any URL of a user.
//!
//! A program that fetches what it is told to fetch can be told to fetch its own neighbours: the database's port, the cloud's
//! metadata, the router's page. So nothing is called that this crate has not let pass, in two steps:
//!
//! 1. [`TargetUrl::parse`] looks at the URL: scheme, port, credentials, length, and the host. A host that is an IP address, in
//!    whatever spelling, is checked here; so are names that mean this machine or this network.
//! 2. [`OutboundPolicy::check_address`] looks at every address that the name stands for, at the moment of connecting. Checking
//!    a name earlier is worth nothing: its owner may answer differently the next time.
//!
//! What is in no list is judged by what it is: only addresses that are globally reachable by the registries of IANA pass. An
//! operator lets more pass by exact [`Exception`]s; there is no switch that lets everything pass.
//!
//! Pure: no IO, no clock. Redirects and name resolution are the caller's, who asks here at each step.

mod address;
mod exception;
mod name;
mod policy;
mod refusal;
mod target;

pub use address::{AddressKind, kind_of};
pub use exception::{Exception, ExceptionError};
pub use name::NameKind;
pub use policy::{DEFAULT_PORTS, OutboundPolicy, URL_LENGTH_MAX};
pub use refusal::Refusal;
pub use target::TargetUrl;
