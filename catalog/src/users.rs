//! Users: made, given another password, dropped. What a password is and how one is shown is not the catalog's.
//!
//! A statement about several users is one transaction: it happens for all of them or for none. Unknown outcomes are settled as
//! everywhere in DDL: what is made carries the nonce of the call that made it, and a DROP is about the user that it first saw.

use std::collections::BTreeMap;

use futures::FutureExt;

use crate::keys::user::{self, UserRecord};
use crate::keys::{self, Nonce};
use crate::store::{KvTransaction, Read, scan};
use crate::transaction::Failure;
use crate::{Catalog, CatalogError, Credential, User, names};

const DROP: &str = "dropping users";

impl Catalog {
    /// Makes users. With `if_not_exists`, those that are there stay as they are; their names are returned.
    pub async fn create_users(
        &self,
        new: &[(String, Credential)],
        if_not_exists: bool,
    ) -> Result<Vec<String>, CatalogError> {
        new.iter().try_for_each(|(name, _)| names::check_user(name))?;
        let (nonce, created) = (self.nonce(), self.wall());
        self.settled("creating users", |transaction| {
            async move {
                let mut there = Vec::new();
                for (name, credential) in new {
                    let key = user::ser_key(name);
                    match keys::get(transaction, &key, user::deser_value).await? {
                        Some(found) if found.nonce == nonce => {}
                        Some(_) if if_not_exists => there.push(name.clone()),
                        Some(_) => return Err(CatalogError::AlreadyExists { what: describe(name) }.into()),
                        None => {
                            let user = User { name: name.clone(), credential: credential.clone(), created };
                            transaction.set(&key, &user::ser_value(&UserRecord { user, nonce }));
                        }
                    }
                }
                Ok(there)
            }
            .boxed()
        })
        .await
    }

    /// Gives users other credentials. With `if_exists`, those that are not there are passed over; their names are returned.
    pub async fn alter_users(
        &self,
        changed: &[(String, Credential)],
        if_exists: bool,
    ) -> Result<Vec<String>, CatalogError> {
        self.settled("changing users", |transaction| {
            async move {
                let mut missing = Vec::new();
                for (name, credential) in changed {
                    let key = user::ser_key(name);
                    match keys::get(transaction, &key, user::deser_value).await? {
                        Some(mut record) => {
                            record.user.credential = credential.clone();
                            transaction.set(&key, &user::ser_value(&record));
                        }
                        None if if_exists => missing.push(name.clone()),
                        None => return Err(not_found(transaction, name).await?.into()),
                    }
                }
                Ok(missing)
            }
            .boxed()
        })
        .await
    }

    /// Sets the credential of a user that is there whether or not the catalog has it: root.
    pub async fn set_user(&self, name: &str, credential: &Credential) -> Result<(), CatalogError> {
        names::check_user(name)?;
        let (nonce, created) = (self.nonce(), self.wall());
        let key = &user::ser_key(name);
        self.settled("changing a user", |transaction| {
            async move {
                let found = keys::get(transaction, key, user::deser_value).await?;
                let mut record = found.unwrap_or_else(|| UserRecord {
                    user: User { name: name.to_owned(), credential: Credential::None, created },
                    nonce,
                });
                record.user.credential = credential.clone();
                transaction.set(key, &user::ser_value(&record));
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Drops users. With `if_exists`, those that are not there are passed over; their names are returned.
    pub async fn drop_users(&self, dropped: &[String], if_exists: bool) -> Result<Vec<String>, CatalogError> {
        let (aims, missing) = self
            .once(DROP, |transaction| {
                async move {
                    let (mut aims, mut missing) = (BTreeMap::new(), Vec::new());
                    for name in dropped {
                        match keys::get(transaction, &user::ser_key(name), user::deser_value).await? {
                            Some(found) => drop(aims.insert(name.clone(), found.nonce)),
                            None if if_exists => missing.push(name.clone()),
                            None => return Err(not_found(transaction, name).await?.into()),
                        }
                    }
                    Ok((aims, missing))
                }
                .boxed()
            })
            .await?;
        let aims: &BTreeMap<String, Nonce> = &aims;
        self.settled(DROP, |transaction| {
            async move {
                for (name, aim) in aims {
                    let key = user::ser_key(name);
                    let found = keys::get(transaction, &key, user::deser_value).await?;
                    if found.is_some_and(|found| found.nonce == *aim) {
                        transaction.clear(&key);
                    }
                }
                Ok(())
            }
            .boxed()
        })
        .await?;
        Ok(missing)
    }

    /// The user of that name.
    pub async fn user(&self, name: &str) -> Result<Option<User>, CatalogError> {
        // A name that cannot be one need not be looked for: it comes from whoever connects.
        if names::check_user(name).is_err() {
            return Ok(None);
        }
        let key = &user::ser_key(name);
        self.once("looking up a user", |transaction| {
            async move { Ok(keys::get(transaction, key, user::deser_value).await?.map(|record| record.user)) }.boxed()
        })
        .await
    }

    /// All users, by name.
    pub async fn users(&self) -> Result<Vec<User>, CatalogError> {
        self.once("listing the users", |transaction| async move { all(transaction).await }.boxed()).await
    }
}

async fn all(transaction: &mut dyn KvTransaction) -> Result<Vec<User>, Failure> {
    let entries = scan(transaction, user::all(), Read::Snapshot).await?;
    entries.iter().map(|(key, value)| Ok(user::deser_value(key, value)?.user)).collect()
}

async fn not_found(transaction: &mut dyn KvTransaction, name: &str) -> Result<CatalogError, Failure> {
    let users = all(transaction).await?;
    Ok(names::did_you_mean(describe(name), name, users.iter().map(|user| user.name.as_str())))
}

fn describe(name: &str) -> String {
    format!("user `{name}`")
}
