//! Who calls: a bearer token or an API key, and nothing else.

use std::future::{Ready, ready};

use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev};
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::{Owner, Scope};
use bulrush_service::{Role, TokenError};
use bulrush_store::{Owner as RowOwner, Scope as RowScope};

use crate::http::keys;
use crate::http::problem::Problem;
use crate::state::State;

/// Who calls, as the token says.
#[derive(Debug, Clone)]
pub struct Principal {
    /// To whom what they make belongs.
    pub owner: Owner,
    pub role: Role,
    /// Until when their credentials are good, ms since 1970: what outlives a request looks at it again.
    pub valid_until_ms: u64,
    /// The id of the API key that they came with.
    pub key: Option<String>,
}

impl Principal {
    /// The rows that they may see.
    pub fn rows(&self) -> RowScope {
        match self.role {
            Role::User => RowScope::owner(&self.owner.tenant, &self.owner.user),
            Role::Viewer => RowScope::Tenant(self.owner.tenant.clone()),
            Role::Admin => RowScope::All,
        }
    }

    /// To whom the rows belong that they make.
    pub fn row_owner(&self) -> RowOwner {
        RowOwner::new(&self.owner.tenant, &self.owner.user)
    }

    /// The jobs that they may see, and change unless they only read.
    pub fn jobs(&self) -> Scope {
        match self.role {
            Role::User => Scope::Owner(self.owner.clone()),
            Role::Viewer => Scope::Tenant(self.owner.tenant.clone()),
            Role::Admin => Scope::All,
        }
    }

    /// Whether the credentials are still good.
    pub async fn is_valid(&self, state: &State) -> bool {
        if SystemClock.now() >= self.valid_until_ms {
            return false;
        }
        match &self.key {
            None => true,
            Some(id) => keys::is_good(state, id).await,
        }
    }

    pub fn is_admin(&self) -> bool {
        self.role == Role::Admin
    }

    /// Refuses who may only read.
    pub fn may_write(&self) -> Result<(), Problem> {
        if self.role == Role::Viewer {
            return Err(Problem::forbidden("A viewer may read, and not add or change anything."));
        }
        Ok(())
    }
}

impl FromRequest for Principal {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    /// What the route's rule of access has found out. A route without one has no principal.
    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(missing))
    }
}

/// Reads the credentials of a request.
pub async fn identify(request: &HttpRequest, state: &State) -> Result<Principal, Problem> {
    let mut given = request.headers().get_all(header::AUTHORIZATION);
    let Some(value) = given.next() else { return Err(missing()) };
    if given.next().is_some() {
        // Which of them counts would depend on who reads it: a proxy may have read the other.
        return Err(refuse(
            "ambiguous_token",
            "Several Authorization headers were given; send one.",
            INVALID,
        ));
    }
    let token = value.to_str().ok().and_then(|text| text.split_once(' '));
    let token = match token {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() => token,
        _ => return Err(missing()),
    };
    if token.starts_with(keys::PREFIX) {
        return state.keys.identify(state, token).await;
    }
    let (claims, valid_until_ms) = state.shared.tokens.verify_until(token).map_err(|error| {
        let code = match error {
            TokenError::Expired => "expired_token",
            _ => "invalid_token",
        };
        let text = error.to_string();
        refuse(code, format!("{}{}.", text[..1].to_uppercase(), &text[1..]), INVALID)
    })?;
    Ok(Principal {
        owner: Owner { tenant: claims.tenant, user: claims.sub },
        role: claims.role,
        valid_until_ms,
        key: None,
    })
}

pub const INVALID: &str = "Bearer realm=\"bulrush\", error=\"invalid_token\"";

fn missing() -> Problem {
    refuse(
        "missing_token",
        "A bearer token is needed: Authorization: Bearer <token>.",
        "Bearer realm=\"bulrush\"",
    )
}

pub fn refuse(code: &'static str, detail: impl Into<String>, challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail).challenge(challenge)
}
