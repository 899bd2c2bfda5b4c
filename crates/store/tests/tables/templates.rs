//! Templates: one of a name for each owner, and no change that undoes another unseen.

use crate::common::ada;
use bulrush_store::{
    Owner, Scope, Store, StoreError, Template, TemplateContent, TemplateCreated, TemplateUpdated,
};

on_each!(
    a_template_is_read_back_byte_for_byte_by_identifier_and_by_name,
    a_name_is_one_template_of_an_owner_and_anothers_too,
    an_owner_has_no_more_templates_than_may_be,
    templates_are_listed_in_pages,
    a_change_needs_the_version_that_it_is_a_change_of,
    of_two_changes_of_one_version_one_is_told_of_the_other,
    nobody_sees_changes_or_removes_what_somebody_else_owns,
    a_template_without_a_name_is_refused_by_name,
);

const AT_MOST: u32 = 100;

fn content(name: &str) -> TemplateContent {
    TemplateContent {
        name: name.into(),
        queue: "enrichment".into(),
        job_name: "enrich-property".into(),
        data: "{ \"big\": 12345678901234567890123, \"b\":1.0 }".into(),
        options: "{}".into(),
        description: String::new(),
    }
}

async fn make(store: &Store, owner: &Owner, name: &str) -> Template {
    match store.templates().create(owner, &content(name), AT_MOST).await.unwrap() {
        TemplateCreated::Yes(template) => template,
        other => panic!("{name} was not made: {other:?}"),
    }
}

async fn a_template_is_read_back_byte_for_byte_by_identifier_and_by_name(store: &Store) {
    let made = make(store, &ada(), "nightly").await;
    assert_eq!((made.version, &made.content), (1, &content("nightly")));
    assert_eq!(store.templates().get(&ada().into(), &made.id).await.unwrap().as_ref(), Some(&made));
    assert_eq!(store.templates().get_by_name(&ada(), "nightly").await.unwrap(), Some(made));
    assert_eq!(store.templates().get_by_name(&ada(), "Nightly").await.unwrap(), None);
}

async fn a_name_is_one_template_of_an_owner_and_anothers_too(store: &Store) {
    let made = make(store, &ada(), "nightly").await;
    let again = store.templates().create(&ada(), &content("nightly"), AT_MOST).await.unwrap();
    assert_eq!(again, TemplateCreated::NameTaken);
    for owner in [Owner::new("acme", "bob"), Owner::new("other", "ada")] {
        make(store, &owner, "nightly").await;
    }
    let weekly = make(store, &ada(), "weekly").await;
    let renamed = store.templates().update(&Scope::All, &weekly.id, 1, &content("nightly")).await.unwrap();
    assert_eq!(renamed, TemplateUpdated::NameTaken);
    // Its own name is not somebody else's.
    let kept = store.templates().update(&Scope::All, &made.id, 1, &content("nightly")).await.unwrap();
    assert!(matches!(kept, TemplateUpdated::Yes(_)), "{kept:?}");
}

async fn an_owner_has_no_more_templates_than_may_be(store: &Store) {
    make(store, &ada(), "a").await;
    make(store, &ada(), "b").await;
    let third = store.templates().create(&ada(), &content("c"), 2).await.unwrap();
    assert_eq!(third, TemplateCreated::Full);
    let other = store.templates().create(&Owner::new("acme", "bob"), &content("c"), 2).await.unwrap();
    assert!(matches!(other, TemplateCreated::Yes(_)), "the limit is each owner's: {other:?}");
    assert_eq!(store.templates().list(&ada().into(), None, 10).await.unwrap().len(), 2);
}

async fn templates_are_listed_in_pages(store: &Store) {
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(make(store, &ada(), name).await.id);
    }
    ids.sort_unstable();
    let page = async |after: Option<&str>| -> Vec<String> {
        let rows = store.templates().list(&ada().into(), after, 2).await.unwrap();
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(page(None).await, ids[..2]);
    assert_eq!(page(Some(&ids[1])).await, ids[2..]);
}

async fn a_change_needs_the_version_that_it_is_a_change_of(store: &Store) {
    let templates = store.templates();
    let made = make(store, &ada(), "nightly").await;
    let new = TemplateContent { data: "[]".into(), description: "now empty".into(), ..content("daily") };
    let TemplateUpdated::Yes(changed) = templates.update(&ada().into(), &made.id, 1, &new).await.unwrap()
    else {
        panic!("it was not changed")
    };
    assert_eq!((changed.version, &changed.content), (2, &new));
    assert_eq!(templates.get(&Scope::All, &made.id).await.unwrap().as_ref(), Some(&changed));
    for version in [0, 1, 3] {
        let told = templates.update(&ada().into(), &made.id, version, &content("x")).await.unwrap();
        assert_eq!(told, TemplateUpdated::Conflict { version: 2 });
    }
    assert_eq!(templates.get(&Scope::All, &made.id).await.unwrap(), Some(changed));

    assert!(templates.delete(&ada().into(), &made.id).await.unwrap());
    assert!(!templates.delete(&ada().into(), &made.id).await.unwrap());
    let told = templates.update(&ada().into(), &made.id, 2, &new).await.unwrap();
    assert_eq!(told, TemplateUpdated::Absent, "gone is told apart from changed");
}

async fn of_two_changes_of_one_version_one_is_told_of_the_other(store: &Store) {
    let made = make(store, &ada(), "nightly").await;
    let change =
        async |name: &str| store.templates().update(&Scope::All, &made.id, 1, &content(name)).await.unwrap();
    let (one, other) = tokio::join!(change("one"), change("other"));
    let made = [&one, &other].into_iter().filter(|told| matches!(told, TemplateUpdated::Yes(_))).count();
    assert_eq!(made, 1, "{one:?}, {other:?}");
    assert!([one, other].contains(&TemplateUpdated::Conflict { version: 2 }));
}

async fn nobody_sees_changes_or_removes_what_somebody_else_owns(store: &Store) {
    let made = make(store, &ada(), "nightly").await;
    let templates = store.templates();
    for (scope, sees) in [
        (Scope::owner("acme", "ada"), true),
        (Scope::Tenant("acme".into()), true),
        (Scope::All, true),
        (Scope::owner("acme", "bob"), false),
        (Scope::owner("other", "ada"), false),
        (Scope::Tenant("other".into()), false),
        (Scope::owner("", ""), false),
    ] {
        assert_eq!(templates.get(&scope, &made.id).await.unwrap().is_some(), sees, "{scope:?}");
        assert_eq!(!templates.list(&scope, None, 10).await.unwrap().is_empty(), sees, "{scope:?}");
        if !sees {
            // With the right version, too: a stranger is not even told that there is a conflict.
            for version in [1, 9] {
                let told = templates.update(&scope, &made.id, version, &content("stolen")).await.unwrap();
                assert_eq!(told, TemplateUpdated::Absent, "{scope:?}");
            }
            assert!(!templates.delete(&scope, &made.id).await.unwrap(), "{scope:?}");
        }
    }
    assert_eq!(templates.get_by_name(&Owner::new("acme", "bob"), "nightly").await.unwrap(), None);
    assert_eq!(templates.get(&Scope::All, &made.id).await.unwrap(), Some(made));
}

async fn a_template_without_a_name_is_refused_by_name(store: &Store) {
    let refused = store.templates().create(&ada(), &content(""), AT_MOST).await.unwrap_err();
    let rule = "templates_name_is_not_empty";
    assert!(matches!(&refused, StoreError::Refused { rule: named, .. } if named == rule), "{refused:?}");
}
