//! Files that jobs make: expected, made, made again.

use crate::common::ada;
use bulrush_store::{Completion, FileState, NewOutput, Owner, Scope, Store, StoreError, StoredObject};

on_each!(
    an_output_has_no_bytes_until_it_is_made_and_is_replaced_when_it_is_made_again,
    only_what_is_worked_on_is_completed
);

fn export(id: &str, owner: Owner) -> NewOutput {
    NewOutput {
        id: id.into(),
        owner,
        name: "prices 2024.csv".into(),
        content_type: "text/csv".into(),
        entity: None,
    }
}

fn object(key: &str, size: u64) -> StoredObject {
    StoredObject { key: key.into(), size, sha256: "a".repeat(64) }
}

async fn expect(store: &Store, output: &NewOutput) -> bool {
    store.write::<_, StoreError, _>(async |tx| store.files().expect(tx, output).await).await.unwrap()
}

async fn work_on(store: &Store, id: &str) -> bool {
    let next = FileState::Processing;
    store
        .write::<_, StoreError, _>(async |tx| store.files().set_state(tx, id, next, None).await)
        .await
        .unwrap()
}

async fn complete(store: &Store, id: &str, object: &StoredObject) -> Completion {
    store.write::<_, StoreError, _>(async |tx| store.files().complete(tx, id, object).await).await.unwrap()
}

async fn an_output_has_no_bytes_until_it_is_made_and_is_replaced_when_it_is_made_again(store: &Store) {
    assert!(expect(store, &export("exp-1", ada())).await);
    assert!(!expect(store, &export("exp-1", Owner::new("globex", "bob"))).await, "an id is expected once");
    assert!(expect(store, &export("exp-2", ada())).await, "those without bytes do not meet");
    let row = store.files().get(&ada().into(), "exp-1").await.unwrap().unwrap();
    assert_eq!((row.state, row.size, row.has_bytes()), (FileState::Pending, 0, false));
    assert_eq!((row.name.as_str(), row.display_name.as_str()), ("prices_2024.csv", "prices 2024.csv"));

    assert!(work_on(store, "exp-1").await);
    assert_eq!(complete(store, "exp-1", &object("outputs/1", 10)).await, Completion::Done { replaced: None });
    let row = store.files().get(&ada().into(), "exp-1").await.unwrap().unwrap();
    assert_eq!((row.state, row.size, row.has_bytes()), (FileState::Completed, 10, true));

    assert!(work_on(store, "exp-1").await);
    let replaced = Some("outputs/1".to_owned());
    assert_eq!(complete(store, "exp-1", &object("outputs/2", 11)).await, Completion::Done { replaced });
    let row = store.files().get(&ada().into(), "exp-1").await.unwrap().unwrap();
    assert_eq!((row.size, row.object_key.as_str()), (11, "outputs/2"));
}

async fn only_what_is_worked_on_is_completed(store: &Store) {
    assert_eq!(complete(store, "exp-1", &object("outputs/1", 10)).await, Completion::NotInWork);
    expect(store, &export("exp-1", ada())).await;
    assert_eq!(complete(store, "exp-1", &object("outputs/1", 10)).await, Completion::NotInWork);
    assert!(!store.files().get(&Scope::All, "exp-1").await.unwrap().unwrap().has_bytes());
}
