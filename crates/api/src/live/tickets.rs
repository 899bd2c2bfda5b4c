//! Tickets in place of a token: made for whoever has one, good for one stream.

use std::time::Duration;

use actix_web::http::StatusCode;
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::Owner;
use bulrush_store::TicketHolder;

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::state::State;

/// Makes a ticket.
pub async fn issue(state: &State, principal: &Principal, good_for: Duration) -> Result<String, Problem> {
    let holder = TicketHolder {
        owner: principal.row_owner(),
        role: principal.role.as_str().to_owned(),
        valid_until_ms: i64::try_from(principal.valid_until_ms).unwrap_or(i64::MAX),
    };
    let tickets = state.deps()?.store.stream_tickets();
    Ok(tickets.issue(&holder, SystemClock.now() as i64, good_for.as_millis() as i64).await?)
}

/// Takes a ticket: it opens nothing a second time.
pub async fn redeem(state: &State, ticket: &str) -> Result<Principal, Problem> {
    let invalid = || {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "invalid_ticket",
            "The ticket is unknown, was used, or is older than a minute; make a new one.",
        )
        .challenge("Bearer realm=\"bulrush\"")
    };
    let now = SystemClock.now() as i64;
    let holder = state.deps()?.store.stream_tickets().redeem(ticket, now).await?.ok_or_else(invalid)?;
    let role = holder.role.parse().map_err(|_| invalid())?;
    Ok(Principal {
        owner: Owner { tenant: holder.owner.tenant, user: holder.owner.user },
        role,
        valid_until_ms: holder.valid_until_ms.unsigned_abs(),
        key: None,
    })
}
