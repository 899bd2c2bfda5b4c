//! Who calls: a bearer token, and nothing else.

use std::future::{Ready, ready};

use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, dev, web};
use bulrush::model::{JobView, Owner};
use bulrush_service::{Role, TokenError};
use bulrush_store::Scope;

use crate::http::middleware::Tenant;
use crate::http::problem::Problem;
use crate::state::State;

/// Who calls, as the token says.
#[derive(Debug, Clone)]
pub struct Principal {
    /// To whom what they make belongs.
    pub owner: Owner,
    pub role: Role,
}

impl Principal {
    /// The rows that they may see.
    pub fn scope(&self) -> Scope {
        match self.role {
            Role::User => Scope::owner(&self.owner.tenant, &self.owner.user),
            Role::Viewer => Scope::Tenant(self.owner.tenant.clone()),
            Role::Admin => Scope::All,
        }
    }

    /// Whether they may see a job.
    pub fn sees(&self, job: &JobView) -> bool {
        match (self.role, job.spec.owner.as_deref()) {
            (Role::Admin, _) => true,
            (Role::Viewer, Some(owner)) => owner.tenant == self.owner.tenant,
            (Role::User, Some(owner)) => *owner == self.owner,
            (Role::Viewer | Role::User, None) => false,
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

    fn from_request(request: &HttpRequest, _: &mut dev::Payload) -> Self::Future {
        let principal = identify(request);
        if let Ok(principal) = &principal {
            request.extensions_mut().insert(Tenant(principal.owner.tenant.clone()));
        }
        ready(principal)
    }
}

/// Reads the token of a request.
pub fn identify(request: &HttpRequest) -> Result<Principal, Problem> {
    let missing = || {
        refuse(
            "missing_token",
            "A bearer token is needed: Authorization: Bearer <token>.",
            "Bearer realm=\"bulrush\"",
        )
    };
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
    let Some(state) = request.app_data::<web::Data<State>>() else { return Err(missing()) };
    let claims = state.shared.tokens.verify(token).map_err(|error| {
        let code = match error {
            TokenError::Expired => "expired_token",
            _ => "invalid_token",
        };
        let text = error.to_string();
        refuse(code, format!("{}{}.", text[..1].to_uppercase(), &text[1..]), INVALID)
    })?;
    Ok(Principal { owner: Owner { tenant: claims.tenant, user: claims.sub }, role: claims.role })
}

const INVALID: &str = "Bearer realm=\"bulrush\", error=\"invalid_token\"";

fn refuse(code: &'static str, detail: impl Into<String>, challenge: &'static str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, code, detail).challenge(challenge)
}
