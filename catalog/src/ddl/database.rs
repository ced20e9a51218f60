//! Databases: names for names to be in.

use super::{Maker, already};
use crate::keys::{self, database::DatabaseRecord};
use crate::store::{KeyRange, KvTransaction, RangeOptions, Read, scan};
use crate::transaction::{Attempt, Failure};
use crate::{Catalog, CatalogError, names};

impl Catalog {
    /// Makes a database.
    pub async fn create_database(&self, name: &str, if_not_exists: bool) -> Result<(), CatalogError> {
        names::check_database(name)?;
        let nonce = self.nonce();
        let key = keys::database::ser_key(name);
        let body = async |transaction: &mut dyn KvTransaction, _: Attempt| {
            if let Some(found) = keys::get(transaction, &key, keys::database::deser_value).await? {
                return already(|| describe(name), (), Maker::of(found.nonce, nonce), if_not_exists);
            }
            let record = DatabaseRecord { name: name.to_owned(), nonce };
            transaction.set(&key, &keys::database::ser_value(&record));
            Ok(())
        };
        self.settled("creating a database", body).await.map(|_| ())
    }

    /// Drops an empty database.
    pub async fn drop_database(&self, name: &str, if_exists: bool) -> Result<(), CatalogError> {
        let mut before = None;
        let body = async |transaction: &mut dyn KvTransaction, attempt: Attempt| {
            let key = keys::database::ser_key(name);
            let found = keys::get(transaction, &key, keys::database::deser_value).await?;
            let mine = match (&found, attempt) {
                (Some(found), _) => *before.get_or_insert(found.nonce) == found.nonce,
                (None, Attempt::First) if !if_exists => return Err(not_found(transaction, name).await?.into()),
                (None, _) => false,
            };
            if mine {
                refuse_unless_empty(transaction, name).await?;
                transaction.clear(&key);
            }
            Ok(())
        };
        self.settled("dropping a database", body).await.map(|_| ())
    }

    /// The names of all databases, as typed, in the order of their lower-case names.
    pub async fn databases(&self) -> Result<Vec<String>, CatalogError> {
        let body = async |transaction: &mut dyn KvTransaction| names_of_all(transaction).await;
        self.once("listing the databases", body).await.map(|(names, _)| names)
    }
}

/// The database's name as it was typed when it was made. The transaction conflicts with its DROP.
pub(super) async fn require(transaction: &mut dyn KvTransaction, name: &str) -> Result<String, Failure> {
    match keys::get(transaction, &keys::database::ser_key(name), keys::database::deser_value).await? {
        Some(record) => Ok(record.name),
        None => Err(not_found(transaction, name).await?.into()),
    }
}

async fn not_found(transaction: &mut dyn KvTransaction, name: &str) -> Result<CatalogError, Failure> {
    let names = names_of_all(transaction).await?;
    Ok(names::did_you_mean(describe(name), name, names.iter().map(String::as_str)))
}

async fn names_of_all(transaction: &mut dyn KvTransaction) -> Result<Vec<String>, Failure> {
    let entries = scan(transaction, keys::database::all(), Read::Snapshot).await?;
    let name = |(key, value)| Ok(keys::database::deser_value(as_bytes(&key), as_bytes(&value))?.name);
    entries.into_iter().map(name).collect()
}

fn as_bytes(bytes: &bytes::Bytes) -> &[u8] {
    bytes
}

fn describe(name: &str) -> String {
    format!("database `{name}`")
}

/// A table or a pipeline that is made at the same time conflicts with this.
async fn refuse_unless_empty(transaction: &mut dyn KvTransaction, name: &str) -> Result<(), Failure> {
    let ranges: [(&str, KeyRange, fn(&[u8]) -> Result<(String, String), CatalogError>); 2] = [
        ("pipeline", keys::pipeline_name::of_database(name), keys::pipeline_name::deser_key),
        ("table", keys::table_name::of_database(name), keys::table_name::deser_key),
    ];
    for (kind, range, deser_key) in ranges {
        let page = transaction.range(range, RangeOptions { limit: 1, ..RangeOptions::default() }).await?;
        if let Some((key, _)) = page.entries.first() {
            let (_, held) = deser_key(key)?;
            return Err(CatalogError::invalid(format!(
                "database `{name}` still has the {kind} `{held}`: drop that first, DROP {} `{name}`.`{held}`",
                kind.to_uppercase()
            ))
            .into());
        }
    }
    Ok(())
}
