//! Tickets in place of a token: made for whoever has one, good for one stream.

use std::time::Duration;

use actix_web::http::StatusCode;
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::Owner;
use bulrush_store::{Owner as RowOwner, TicketHolder};

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::state::State;

/// What a ticket begins with, so that it is told from a token where it turns up.
const PREFIX: &str = "brt_";
/// Length of a ticket: the prefix and 32 bytes in hexadecimal digits.
const LENGTH: usize = PREFIX.len() + 64;

/// Makes a ticket.
pub async fn issue(state: &State, principal: &Principal, good_for: Duration) -> Result<String, Problem> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes).map_err(|error| Problem::unavailable(&error))?;
    let mut ticket = String::with_capacity(LENGTH);
    ticket.push_str(PREFIX);
    for byte in bytes {
        use std::fmt::Write as _;
        let _ = write!(ticket, "{byte:02x}");
    }
    let owner = &principal.owner;
    let holder = TicketHolder {
        owner: RowOwner::new(&owner.tenant, &owner.user),
        role: principal.role.as_str().to_owned(),
        valid_until_ms: principal.valid_until_ms as i64,
    };
    let now = SystemClock.now() as i64;
    let tickets = state.deps()?.store.stream_tickets();
    tickets.issue(&ticket, &holder, now, now + good_for.as_millis() as i64).await?;
    Ok(ticket)
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
    if ticket.len() != LENGTH || !ticket.starts_with(PREFIX) {
        return Err(invalid());
    }
    let now = SystemClock.now() as i64;
    let holder = state.deps()?.store.stream_tickets().redeem(ticket, now).await?.ok_or_else(invalid)?;
    let role = holder.role.parse().map_err(|_| invalid())?;
    Ok(Principal {
        owner: Owner { tenant: holder.owner.tenant, user: holder.owner.user },
        role,
        valid_until_ms: holder.valid_until_ms.unsigned_abs(),
    })
}
