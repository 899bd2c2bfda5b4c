//! Keys: issued once, found by their text alone, over when they are over.

use crate::common::{Fixture, ada};
use bulrush_store::{ApiKeyRow, NewApiKey, Owner, Scope, Store, StoreError, now_ms};

on_each!(
    a_key_is_known_by_its_whole_text_and_by_nothing_else,
    an_expired_and_a_revoked_key_are_as_unknown_as_one_that_never_was,
    what_a_key_was_is_listed_for_its_owner_in_pages,
    nobody_sees_or_revokes_what_somebody_else_owns,
    a_key_s_use_is_written_down_once_a_minute,
    keys_that_cannot_be_are_refused_by_name,
);

on_shared!(the_secret_of_a_key_is_not_in_the_database);

fn key_of(owner: Owner) -> NewApiKey {
    NewApiKey { owner, role: "user".into(), name: "nightly import".into(), expires_at_ms: None }
}

async fn issue(store: &Store, key: &NewApiKey) -> (ApiKeyRow, String) {
    store.api_keys().issue(key).await.unwrap()
}

async fn a_key_is_known_by_its_whole_text_and_by_nothing_else(store: &Store) {
    let (row, text) = issue(store, &key_of(ada())).await;
    let (other, other_text) = issue(store, &key_of(ada())).await;
    assert_eq!(store.api_keys().check(&text, now_ms()).await.unwrap().as_ref(), Some(&row));
    assert_eq!(text.len(), 60);
    assert!(text.starts_with(&format!("blr_{}_", row.prefix)), "{}", row.prefix);
    assert_ne!(row.prefix, other.prefix);

    let last = if text.ends_with('A') { 'B' } else { 'A' };
    for wrong in [
        format!("{}{last}", &text[..text.len() - 1]),
        text.replace(&row.prefix, &other.prefix),
        text.replace(&row.prefix, "000000000000"),
        other_text.replace(&other.prefix, &row.prefix),
        row.prefix.clone(),
        row.id.clone(),
        String::new(),
    ] {
        assert_eq!(store.api_keys().check(&wrong, now_ms()).await.unwrap(), None, "{wrong}");
    }
}

async fn an_expired_and_a_revoked_key_are_as_unknown_as_one_that_never_was(store: &Store) {
    let keys = store.api_keys();
    let end_ms = now_ms() + 60_000;
    let (row, text) = issue(store, &NewApiKey { expires_at_ms: Some(end_ms), ..key_of(ada()) }).await;
    assert!(keys.check(&text, end_ms - 1).await.unwrap().is_some());
    assert_eq!(keys.check(&text, end_ms).await.unwrap(), None);

    assert!(keys.revoke(&ada().into(), &row.id, 1_000).await.unwrap());
    assert_eq!(keys.check(&text, end_ms - 1).await.unwrap(), None);
    // Again is harmless, and keeps the instant from which the key was void.
    assert!(keys.revoke(&ada().into(), &row.id, 2_000).await.unwrap());
    assert_eq!(keys.get(&Scope::All, &row.id).await.unwrap().unwrap().revoked_at_ms, Some(1_000));
    assert!(!keys.revoke(&Scope::All, "no-such", 1_000).await.unwrap());
}

async fn what_a_key_was_is_listed_for_its_owner_in_pages(store: &Store) {
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(issue(store, &key_of(ada())).await.0.id);
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let scope = Scope::from(ada());
    let page = async |before: Option<&str>| -> Vec<String> {
        let rows = store.api_keys().list(&scope, before, 2).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(page(None).await, ids[..2]);
    assert_eq!(page(Some(&ids[1])).await, ids[2..]);
}

async fn nobody_sees_or_revokes_what_somebody_else_owns(store: &Store) {
    let (row, text) = issue(store, &key_of(ada())).await;
    for (scope, sees) in [
        (Scope::owner("acme", "ada"), true),
        (Scope::Tenant("acme".into()), true),
        (Scope::All, true),
        (Scope::owner("acme", "bob"), false),
        (Scope::owner("other", "ada"), false),
        (Scope::Tenant("other".into()), false),
        (Scope::owner("", ""), false),
    ] {
        let keys = store.api_keys();
        assert_eq!(!keys.list(&scope, None, 10).await.unwrap().is_empty(), sees, "{scope:?}");
        assert_eq!(keys.get(&scope, &row.id).await.unwrap().is_some(), sees, "{scope:?}");
        if !sees {
            assert!(!keys.revoke(&scope, &row.id, now_ms()).await.unwrap(), "{scope:?}");
        }
    }
    assert!(store.api_keys().check(&text, now_ms()).await.unwrap().is_some());
}

async fn a_key_s_use_is_written_down_once_a_minute(store: &Store) {
    let keys = store.api_keys();
    let (row, _) = issue(store, &key_of(ada())).await;
    let mut wrote = Vec::new();
    for at_ms in [1_000_000, 1_000_001, 1_059_999, 1_060_000, 1_000_000] {
        wrote.push(keys.touch(&row.id, at_ms).await.unwrap());
    }
    assert_eq!(wrote, [true, false, false, true, false]);
    assert_eq!(keys.get(&Scope::All, &row.id).await.unwrap().unwrap().last_used_at_ms, Some(1_060_000));
    assert!(!keys.touch("no-such", 1_000_000).await.unwrap());
}

async fn keys_that_cannot_be_are_refused_by_name(store: &Store) {
    for (key, rule) in [
        (NewApiKey { role: "root".into(), ..key_of(ada()) }, "api_keys_role_is_known"),
        (NewApiKey { expires_at_ms: Some(1), ..key_of(ada()) }, "api_keys_end_follows_beginning"),
        (key_of(Owner::new("acme", "")), "api_keys_owner_is_named"),
        (key_of(Owner::new("", "ada")), "api_keys_owner_is_named"),
    ] {
        let refused = store.api_keys().issue(&key).await.unwrap_err();
        assert!(matches!(&refused, StoreError::Refused { rule: named, .. } if named == rule), "{refused:?}");
    }
}

/// What a copy of the database tells: that there are keys, and no key.
async fn the_secret_of_a_key_is_not_in_the_database(fixture: &Fixture) {
    if fixture.url.starts_with("postgres") {
        // A server's files are looked at as one text of the table.
        let (row, text) = issue(&fixture.store, &key_of(ada())).await;
        let secret = text.rsplit_once(&format!("{}_", row.prefix)).unwrap().1;
        let rows = fixture.texts("SELECT api_keys::text FROM api_keys").await;
        assert!(rows[0].contains(&row.prefix) && !rows[0].contains(secret), "{rows:?}");
        return;
    }
    let (row, text) = issue(&fixture.store, &key_of(ada())).await;
    fixture.store.close().await;
    let secret = text.rsplit_once(&format!("{}_", row.prefix)).unwrap().1;
    let mut seen_prefix = false;
    for entry in std::fs::read_dir(fixture.folder().path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(!holds(secret));
        seen_prefix |= holds(&row.prefix);
    }
    assert!(seen_prefix, "the search itself finds what is there");
}
