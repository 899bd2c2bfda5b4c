//! What somebody else owns is absent: from every read, and for every change.

use crate::common::{ada, features_of, property, save, seen, upload};
use bulrush_store::{DayRange, EntityKind, FenceError, Owner, Saved, Scope, Store, StoreError};
use jiff::civil::date;
use jiff::tz::TimeZone;

on_each!(
    what_one_user_owns_is_seen_by_that_user_the_tenant_s_viewer_and_operators_only,
    nobody_changes_or_takes_what_somebody_else_owns,
    the_same_name_in_two_tenants_is_two_things,
);

/// A property of Ada's with a value in every table that is read by scope. Returns the file's identifier.
async fn what_ada_owns(store: &Store) -> String {
    save(store, &property("p1", ada())).await;
    store
        .fenced::<_, FenceError, _>("job", 1, "w1.1", async |tx| {
            store.observations().upsert(tx, "p1", &[seen("price", 0, 1.0)]).await?;
            store.features().upsert(tx, "p1", &[features_of(date(1970, 1, 1))]).await?;
            store.results().put(tx, &ada(), "enrichment/enrich-property", &serde_json::json!({})).await?;
            Ok(store.files().insert(tx, &upload(ada(), "k")).await?.id)
        })
        .await
        .unwrap()
}

async fn what_one_user_owns_is_seen_by_that_user_the_tenant_s_viewer_and_operators_only(store: &Store) {
    let file = what_ada_owns(store).await;
    let day = date(1970, 1, 1);
    for (scope, sees) in [
        (Scope::owner("acme", "ada"), true),
        (Scope::Tenant("acme".into()), true),
        (Scope::All, true),
        (Scope::owner("acme", "bob"), false),
        (Scope::owner("other", "ada"), false),
        (Scope::owner("", ""), false),
        (Scope::Tenant("other".into()), false),
        (Scope::Tenant(String::new()), false),
    ] {
        let seen = [
            store.entities().get(&scope, "p1").await.unwrap().is_some(),
            !store.entities().list(&scope, EntityKind::Property, None, 10).await.unwrap().is_empty(),
            !store.observations().range(&scope, "p1", "price", (0, 1), 10).await.unwrap().is_empty(),
            !store.observations().metrics(&scope, "p1").await.unwrap().is_empty(),
            !store.observations().days(&scope, "p1", &TimeZone::UTC).await.unwrap().is_empty(),
            !store.features().range(&scope, "p1", DayRange::new(day, day)).await.unwrap().is_empty(),
            store.features().extent(&scope, "p1").await.unwrap().is_some(),
            store.files().get(&scope, &file).await.unwrap().is_some(),
            !store.files().list(&scope, None, 10).await.unwrap().is_empty(),
            store.results().get(&scope, "job").await.unwrap().is_some(),
        ];
        assert_eq!(seen, [sees; 10], "{scope:?}");
    }
}

async fn nobody_changes_or_takes_what_somebody_else_owns(store: &Store) {
    let file = what_ada_owns(store).await;
    let before = (
        store.entities().get(&Scope::All, "p1").await.unwrap(),
        store.files().get(&Scope::All, &file).await.unwrap(),
    );
    for thief in [Owner::new("acme", "bob"), Owner::new("other", "ada")] {
        let scope = Scope::from(thief.clone());
        store
            .write::<_, StoreError, _>(async |tx| {
                assert_eq!(store.entities().save(tx, &property("p1", thief.clone())).await?, Saved::NotYours);
                assert!(!store.entities().delete(tx, &scope, "p1").await?);
                assert!(!store.files().set_entity(tx, &scope, &file, "p1").await?);
                assert_eq!(store.files().delete(tx, &scope, &file).await?, None);
                Ok(())
            })
            .await
            .unwrap();
    }
    let after = (
        store.entities().get(&Scope::All, "p1").await.unwrap(),
        store.files().get(&Scope::All, &file).await.unwrap(),
    );
    assert_eq!(after, before);
    let taken = store.write(async |tx| store.files().delete(tx, &ada().into(), &file).await).await.unwrap();
    assert_eq!(taken.as_deref(), Some("k"));
}

async fn the_same_name_in_two_tenants_is_two_things(store: &Store) {
    let id = |owner: &Owner| bulrush_store::derived_id(&[&owner.tenant, &owner.user, "hotel-1"]);
    let bob = Owner::new("other", "bob");
    save(store, &property(&id(&ada()), ada())).await;
    save(store, &property(&id(&bob), bob.clone())).await;
    assert!(store.entities().get(&ada().into(), &id(&bob)).await.unwrap().is_none());
    assert!(store.entities().get(&bob.clone().into(), &id(&bob)).await.unwrap().is_some());
}
