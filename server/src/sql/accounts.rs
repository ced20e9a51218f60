//! Who may log in: the catalog's users, and root, who is always there. Owns what is made of a password on its way into the
//! catalog and out of it; the exchange with a client is the MySQL port's.
//!
//! root's password is the one of the settings, where those have one; else the one that ALTER USER has left in the catalog; else
//! there is none.

use async_trait::async_trait;
use catalog::{Catalog, CatalogError, Credential, User};

use super::errors::of_catalog;
use crate::mysql::auth::Plugin;
use crate::mysql::{Accounts, Secret, SqlError, UserVerifier};

/// The user that is always there.
pub const ROOT: &str = "root";

/// Who says what root's password is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RootPassword {
    /// The server's settings.
    OfSettings,
    /// The catalog; as long as it says nothing, there is none.
    #[default]
    OfCatalog,
}

/// The accounts of a server.
#[derive(Clone)]
pub struct CatalogAccounts {
    catalog: Catalog,
    /// That of the settings.
    root: Option<UserVerifier>,
}

impl CatalogAccounts {
    /// The users of `catalog`, and root with `root_password`; an empty one says that the settings have none.
    pub fn new(catalog: Catalog, root_password: &Secret) -> Self {
        let root = UserVerifier::of(root_password);
        Self { catalog, root: (!root.is_without_password()).then_some(root) }
    }

    /// Who says what root's password is.
    pub fn root_password(&self) -> RootPassword {
        if self.root.is_some() { RootPassword::OfSettings } else { RootPassword::OfCatalog }
    }

    /// Whether root has no password at all.
    ///
    /// # Errors
    /// If the catalog cannot be read.
    pub async fn is_root_without_password(&self) -> Result<bool, CatalogError> {
        let kept = self.catalog.user(ROOT).await?;
        Ok(self.root.is_none() && kept.is_none_or(|root| root.credential == Credential::None))
    }
}

#[async_trait]
impl Accounts for CatalogAccounts {
    async fn verifier(&self, user: &str) -> Result<Option<UserVerifier>, SqlError> {
        let is_root = user == ROOT;
        if is_root && self.root.is_some() {
            return Ok(self.root.clone());
        }
        match self.catalog.user(user).await.map_err(|error| of_catalog(&error))? {
            Some(found) => Ok(Some(verifier(&found.credential))),
            None => Ok(is_root.then_some(UserVerifier::Empty)),
        }
    }
}

/// What is kept of a password, for a user who logs in by `plugin`.
pub(crate) fn credential(plugin: Plugin, password: &Secret) -> Credential {
    match UserVerifier::by(plugin, password) {
        UserVerifier::Digests { sha256_sha256: Some(digest), .. } => Credential::CachingSha2(digest),
        UserVerifier::Digests { sha1_sha1: Some(digest), .. } => Credential::Native(digest),
        UserVerifier::Digests { .. } | UserVerifier::Empty => Credential::None,
    }
}

fn verifier(credential: &Credential) -> UserVerifier {
    match credential {
        Credential::None => UserVerifier::Empty,
        Credential::CachingSha2(digest) => UserVerifier::Digests { sha256_sha256: Some(*digest), sha1_sha1: None },
        Credential::Native(digest) => UserVerifier::Digests { sha256_sha256: None, sha1_sha1: Some(*digest) },
    }
}

/// The plugin by which a user shows a password.
pub(crate) fn plugin_of(credential: &Credential) -> Plugin {
    match credential {
        Credential::None | Credential::CachingSha2(_) => Plugin::CachingSha2,
        Credential::Native(_) => Plugin::Native,
    }
}

/// All users, by name: root among them, who is not in the catalog until ALTER USER puts him there.
pub(crate) async fn users(catalog: &Catalog) -> Result<Vec<User>, CatalogError> {
    let mut users = catalog.users().await?;
    if let Err(at) = users.binary_search_by(|user| user.name.as_str().cmp(ROOT)) {
        users.insert(at, User { name: ROOT.to_owned(), credential: Credential::None, created: 0 });
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use catalog::store::MemoryStore;
    use vfs::World;

    use super::*;
    use crate::mysql::auth::Salt;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    async fn lets_in(accounts: &CatalogAccounts, user: &str, plugin: Plugin, password: &str) -> bool {
        let salt = Salt::fresh(&*World::system().random);
        let Some(verifier) = accounts.verifier(user).await.unwrap() else { return false };
        verifier.accepts(plugin, &plugin.answer(&secret(password), &salt), &salt)
    }

    async fn accounts(root_password: &str) -> CatalogAccounts {
        let world = World::system();
        let catalog = Catalog::open(Arc::new(MemoryStore::new(world.clock.clone())), world).await.unwrap();
        CatalogAccounts::new(catalog, &secret(root_password))
    }

    #[tokio::test]
    async fn what_goes_into_the_catalog_lets_its_owner_in_and_nobody_else() {
        let accounts = accounts("").await;
        for plugin in [Plugin::CachingSha2, Plugin::Native] {
            let kept = credential(plugin, &secret("s3cret"));
            assert_eq!(plugin_of(&kept), plugin);
            accounts.catalog.create_users(&[(plugin.name().to_owned(), kept)], false).await.unwrap();
            assert!(lets_in(&accounts, plugin.name(), plugin, "s3cret").await);
            for wrong in ["", "S3cret"] {
                assert!(!lets_in(&accounts, plugin.name(), plugin, wrong).await);
            }
        }
        assert!(!lets_in(&accounts, "nobody", Plugin::CachingSha2, "").await);
        assert!(credential(Plugin::Native, &secret("")) == Credential::None);
    }

    #[tokio::test]
    async fn root_s_password_is_the_settings_where_they_have_one() {
        let free = accounts("").await;
        assert!(lets_in(&free, ROOT, Plugin::Native, "").await && free.is_root_without_password().await.unwrap());
        free.catalog.set_user(ROOT, &credential(Plugin::CachingSha2, &secret("kept"))).await.unwrap();
        assert!(!lets_in(&free, ROOT, Plugin::CachingSha2, "").await);
        assert!(lets_in(&free, ROOT, Plugin::CachingSha2, "kept").await);
        assert!(!free.is_root_without_password().await.unwrap());
        let set = CatalogAccounts::new(free.catalog, &secret("of the settings"));
        assert!(lets_in(&set, ROOT, Plugin::Native, "of the settings").await, "by any plugin");
        assert!(!lets_in(&set, ROOT, Plugin::CachingSha2, "kept").await);
        let names: Vec<String> = users(&set.catalog).await.unwrap().into_iter().map(|user| user.name).collect();
        assert_eq!(names, [ROOT]);
    }
}
