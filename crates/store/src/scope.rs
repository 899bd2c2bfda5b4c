//! Whose rows a call may see.
//!
//! Ownership is decided inside the SQL of each read: a row of somebody else is not refused, it is absent, so no caller can
//! forget the check and no answer tells a foreign identifier from an unknown one.

/// The tenant and the user that a row belongs to, stamped from the caller's credentials.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner {
    /// The customer whose data this is.
    pub tenant: String,
    /// The user within the tenant.
    pub user: String,
}

impl Owner {
    /// An owner from its two parts.
    pub fn new(tenant: impl Into<String>, user: impl Into<String>) -> Self {
        Self { tenant: tenant.into(), user: user.into() }
    }
}

/// The rows that a call may see or change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// What one user owns.
    Owner(Owner),
    /// Everything of one tenant, for its read-only role.
    Tenant(String),
    /// Everything, for operators and for the platform's own work.
    All,
}

impl Scope {
    /// What `user` of `tenant` owns.
    pub fn owner(tenant: impl Into<String>, user: impl Into<String>) -> Self {
        Self::Owner(Owner::new(tenant, user))
    }

    /// The condition that rows must meet, on columns `tenant` and `owner`. [`Scope::tenant`] and [`Scope::user`] are bound to
    /// `$1` and `$2` in every case, so that the rest of a statement counts on from `$3`; written per case, so that an index
    /// on the two columns serves it.
    pub(crate) fn condition(&self) -> &'static str {
        match self {
            Self::Owner(_) => "tenant = $1 AND owner = $2",
            Self::Tenant(_) => "tenant = $1 AND $2 IS NULL",
            Self::All => "$1 IS NULL AND $2 IS NULL",
        }
    }

    /// The tenant that rows must belong to; `None` is any.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Owner(owner) => Some(&owner.tenant),
            Self::Tenant(tenant) => Some(tenant),
            Self::All => None,
        }
    }

    /// The user that rows must belong to; `None` is any.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Self::Owner(owner) => Some(&owner.user),
            Self::Tenant(_) | Self::All => None,
        }
    }
}

impl From<Owner> for Scope {
    fn from(owner: Owner) -> Self {
        Self::Owner(owner)
    }
}
