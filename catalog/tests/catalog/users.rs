//! Users.

use millrace_catalog::store::CommitFault;
use millrace_catalog::*;

use crate::fixture::{Shop, in_memory, on_every_store};

fn named(name: &str, byte: u8) -> (String, Credential) {
    (name.to_owned(), Credential::CachingSha2([byte; 32]))
}

async fn names(catalog: &Catalog) -> Vec<String> {
    catalog.users().await.unwrap().into_iter().map(|user| user.name).collect()
}

#[tokio::test]
async fn users_are_made_changed_and_dropped() {
    on_every_store(async |shop: Shop| {
        let catalog = &shop.catalog;
        assert!(catalog.create_users(&[named("app", 1), named("App", 2)], false).await.unwrap().is_empty());
        assert_eq!(names(catalog).await, ["App", "app"], "told apart by case");
        let kept = async |name: &str| catalog.user(name).await.unwrap().map(|user| user.credential);
        assert!(kept("app").await == Some(Credential::CachingSha2([1; 32])));
        catalog.alter_users(&[("app".to_owned(), Credential::Native([9; 20]))], false).await.unwrap();
        assert!(kept("app").await == Some(Credential::Native([9; 20])));
        assert!(kept("App").await == Some(Credential::CachingSha2([2; 32])));
        catalog.drop_users(&["app".to_owned()], false).await.unwrap();
        assert!(kept("app").await.is_none());
        catalog.set_user("root", &Credential::Native([3; 20])).await.unwrap();
        catalog.set_user("root", &Credential::None).await.unwrap();
        assert!(kept("root").await == Some(Credential::None));
    })
    .await;
}

#[tokio::test]
async fn a_statement_about_several_users_is_about_all_of_them_or_none() {
    let catalog = in_memory().await.catalog;
    catalog.create_users(&[named("b", 1)], false).await.unwrap();
    let refused = catalog.create_users(&[named("a", 1), named("b", 2)], false).await.unwrap_err();
    assert_eq!(refused.to_string(), "user `b` already exists");
    assert_eq!(names(&catalog).await, ["b"]);
    assert_eq!(catalog.create_users(&[named("a", 1), named("b", 2)], true).await.unwrap(), ["b"]);
    assert!(catalog.user("b").await.unwrap().unwrap().credential == Credential::CachingSha2([1; 32]), "as it was");
    let both = ["a".to_owned(), "bb".to_owned()];
    let refused = catalog.drop_users(&both, false).await.unwrap_err();
    assert!(matches!(refused, CatalogError::NotFound { .. }), "{refused}");
    assert!(catalog.alter_users(&[named("b", 3), named("c", 3)], false).await.is_err());
    assert!(catalog.user("b").await.unwrap().unwrap().credential == Credential::CachingSha2([1; 32]));
    assert_eq!(catalog.drop_users(&both, true).await.unwrap(), ["bb"]);
    assert_eq!(names(&catalog).await, ["b"]);
}

#[tokio::test]
async fn a_name_has_1_to_32_characters_and_a_stranger_s_needs_no_look() {
    let catalog = in_memory().await.catalog;
    for bad in [String::new(), "a\0b".to_owned(), "u".repeat(33)] {
        assert!(catalog.create_users(&[named(&bad, 1)], false).await.is_err());
        assert!(catalog.user(&bad).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn i6_a_create_and_a_drop_that_landed_unseen_are_settled_as_done() {
    let shop = in_memory().await;
    let catalog = &shop.catalog;
    shop.faults.script([CommitFault::FailAfter]);
    assert!(catalog.create_users(&[named("app", 1)], false).await.unwrap().is_empty());
    shop.faults.script([CommitFault::FailAfter]);
    assert!(catalog.drop_users(&["app".to_owned()], false).await.unwrap().is_empty());
    assert!(names(catalog).await.is_empty());
}
