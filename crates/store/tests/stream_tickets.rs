//! Tickets open one stream, once, in time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bulrush_store::{Owner, Store, TicketHolder};

async fn store(folder: &tempfile::TempDir) -> Store {
    let store = Store::open(&format!("sqlite:{}", folder.path().join("t.db").display())).await.unwrap();
    store.migrate().await.unwrap();
    store
}

fn holder() -> TicketHolder {
    TicketHolder { owner: Owner::new("acme", "ada"), role: "user".into(), valid_until_ms: 9_000 }
}

#[tokio::test]
async fn a_ticket_is_good_once_and_in_time_whoever_asks_at_the_same_moment() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    let tickets = store.stream_tickets();
    tickets.issue("one", &holder(), 0, 1_000).await.unwrap();
    let asked = futures_util::future::join_all((0..8).map(|_| tickets.redeem("one", 999))).await;
    let got: Vec<_> = asked.into_iter().filter_map(|answer| answer.unwrap()).collect();
    assert_eq!(got, [holder()]);
    assert_eq!(tickets.redeem("another", 0).await.unwrap(), None);
    tickets.issue("late", &holder(), 0, 1_000).await.unwrap();
    assert_eq!(tickets.redeem("late", 1_000).await.unwrap(), None);
    assert_eq!(tickets.redeem("late", 0).await.unwrap(), None, "a ticket that came too late is gone, too");
}

#[tokio::test]
async fn the_table_holds_no_ticket_and_old_ones_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder).await;
    for n in 0..5 {
        store
            .stream_tickets()
            .issue(&format!("secret-{n}"), &holder(), n * 1_000, n * 1_000 + 500)
            .await
            .unwrap();
    }
    store.close().await;
    let file = std::fs::read(folder.path().join("t.db")).unwrap();
    assert!(!file.windows(7).any(|window| window == b"secret-"));
}
