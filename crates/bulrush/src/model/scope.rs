//! Whose jobs a call may see or change.
//!
//! The scope goes with the call to the backend, which decides together with what it does: a job of somebody else is not refused, it is
//! absent, so no caller can forget the check and no answer tells a foreign id from an unknown one.

use super::Owner;

/// The jobs that a call may see or change.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Scope {
    /// Every job, those that belong to nobody too.
    #[default]
    All,
    /// The jobs of one tenant's users.
    Tenant(String),
    /// The jobs of one user.
    Owner(Owner),
}

impl Scope {
    /// Whether a job that belongs to `owner` is within.
    pub fn admits(&self, owner: Option<&Owner>) -> bool {
        match (self, owner) {
            (Self::All, _) => true,
            (Self::Tenant(tenant), Some(owner)) => owner.tenant == *tenant,
            (Self::Owner(own), Some(owner)) => own == owner,
            (Self::Tenant(_) | Self::Owner(_), None) => false,
        }
    }

    /// Whether it leaves nothing out.
    pub fn is_all(&self) -> bool {
        *self == Self::All
    }
}
