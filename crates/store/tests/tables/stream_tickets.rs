//! Tickets: each opens one stream, once, in time.

use crate::common::{Fixture, ada};
use bulrush_store::{Owner, Store, StoreError, TicketHolder};
use tokio::task::JoinSet;

on_each!(
    a_ticket_opens_once_and_says_for_whom,
    a_ticket_that_has_ended_opens_nothing_and_is_swept_with_the_next_one,
    texts_that_are_no_tickets_open_nothing,
    a_ticket_for_nobody_or_for_no_role_is_refused_by_name,
);

on_shared!(of_many_that_come_with_one_ticket_to_two_processes_one_gets_in);

const NOW_MS: i64 = 1_000_000;

fn holder(owner: Owner, role: &str) -> TicketHolder {
    TicketHolder { owner, role: role.to_owned(), valid_until_ms: NOW_MS + 7 }
}

async fn a_ticket_opens_once_and_says_for_whom(store: &Store) {
    let tickets = store.stream_tickets();
    let one = tickets.issue(&holder(ada(), "user"), NOW_MS, 30_000).await.unwrap();
    let other = tickets.issue(&holder(Owner::new("acme", "bob"), "viewer"), NOW_MS, 30_000).await.unwrap();
    assert_ne!(one, other);
    assert_eq!(tickets.redeem(&one, NOW_MS + 29_999).await.unwrap(), Some(holder(ada(), "user")));
    assert_eq!(tickets.redeem(&one, NOW_MS).await.unwrap(), None, "a second time");
    let bob = holder(Owner::new("acme", "bob"), "viewer");
    assert_eq!(tickets.redeem(&other, NOW_MS).await.unwrap(), Some(bob));
}

async fn a_ticket_that_has_ended_opens_nothing_and_is_swept_with_the_next_one(store: &Store) {
    let tickets = store.stream_tickets();
    let late = tickets.issue(&holder(ada(), "user"), NOW_MS, 10).await.unwrap();
    assert_eq!(tickets.redeem(&late, NOW_MS + 10).await.unwrap(), None);
    assert_eq!(tickets.redeem(&late, NOW_MS).await.unwrap(), None, "the attempt used it up");

    let unused = tickets.issue(&holder(ada(), "user"), NOW_MS, 10).await.unwrap();
    let good = tickets.issue(&holder(ada(), "user"), NOW_MS + 9, 10).await.unwrap();
    tickets.issue(&holder(ada(), "user"), NOW_MS + 10, 10).await.unwrap();
    // On a clock that goes back it would be good again; it is not there any more.
    assert_eq!(tickets.redeem(&unused, NOW_MS).await.unwrap(), None);
    assert!(tickets.redeem(&good, NOW_MS + 10).await.unwrap().is_some(), "only what has ended is swept");
}

async fn texts_that_are_no_tickets_open_nothing(store: &Store) {
    let tickets = store.stream_tickets();
    let good = tickets.issue(&holder(ada(), "user"), NOW_MS, 10).await.unwrap();
    for text in [String::new(), "x".repeat(43), good[1..].to_owned(), format!("{good} "), "%".repeat(43)] {
        assert_eq!(tickets.redeem(&text, NOW_MS).await.unwrap(), None, "{text:?}");
    }
    assert!(tickets.redeem(&good, NOW_MS).await.unwrap().is_some());
}

async fn a_ticket_for_nobody_or_for_no_role_is_refused_by_name(store: &Store) {
    for (owner, role, rule) in [
        (ada(), "root", "stream_tickets_role_is_known"),
        (Owner::new("", "ada"), "user", "stream_tickets_owner_is_named"),
    ] {
        let refused = store.stream_tickets().issue(&holder(owner, role), NOW_MS, 10).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Refused { rule: named, .. } if named == rule), "{refused:?}");
    }
}

/// Two stores on one database are what two processes are.
async fn of_many_that_come_with_one_ticket_to_two_processes_one_gets_in(fixture: &Fixture) {
    let stores = [fixture.store.clone(), fixture.again().await];
    for _ in 0..10 {
        let ticket = stores[0].stream_tickets().issue(&holder(ada(), "user"), NOW_MS, 10).await.unwrap();
        let mut visitors = JoinSet::new();
        for visitor in 0..8 {
            let (store, ticket) = (stores[visitor % 2].clone(), ticket.clone());
            visitors.spawn(async move { store.stream_tickets().redeem(&ticket, NOW_MS).await.unwrap() });
        }
        let let_in = visitors.join_all().await.into_iter().flatten().count();
        assert_eq!(let_in, 1);
    }
}
