//! What every request passes.

pub mod auth;
pub mod body;
pub mod cors;
pub mod etag;
pub mod keys;
pub mod limits;
pub mod middleware;
pub mod problem;
pub mod query;
pub mod reads;
pub mod route;
pub mod unread;

use actix_web::HttpRequest;

/// Under which prefix a route was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavor {
    /// `/api/v1`.
    Versioned,
    /// `/api`, as the seeds' clients call it: they know fewer states.
    Seed,
}

impl Flavor {
    pub fn of(request: &HttpRequest) -> Self {
        request.app_data::<Self>().copied().unwrap_or(Self::Versioned)
    }

    /// The prefix.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Versioned => "/api/v1",
            Self::Seed => "/api",
        }
    }
}
