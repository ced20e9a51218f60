//! Databases: names for names to be in.

use super::{Maker, already};
use futures::FutureExt;

use crate::keys::{self, database::DatabaseRecord};
use crate::store::{KeyRange, KvTransaction, RangeOptions, Read, scan};
use crate::transaction::Failure;
use crate::{Catalog, CatalogError, names};

const DROP: &str = "dropping a database";
/// So many of the things that are in the way of a DROP are named.
const NAMED_MAX: usize = 5;

impl Catalog {
    /// Makes a database.
    pub async fn create_database(&self, name: &str, if_not_exists: bool) -> Result<(), CatalogError> {
        names::check_database(name)?;
        let nonce = self.nonce();
        let key = &keys::database::ser_key(name);
        self.settled("creating a database", |transaction| {
            async move {
                if let Some(found) = keys::get(transaction, key, keys::database::deser_value).await? {
                    return already(|| describe(name), (), Maker::of(found.nonce, nonce), if_not_exists);
                }
                let record = DatabaseRecord { name: name.to_owned(), nonce };
                transaction.set(key, &keys::database::ser_value(&record));
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Drops an empty database.
    pub async fn drop_database(&self, name: &str, if_exists: bool) -> Result<(), CatalogError> {
        let key = &keys::database::ser_key(name);
        let Some(aim) = self
            .once(DROP, |transaction| {
                async move {
                    match keys::get(transaction, key, keys::database::deser_value).await? {
                        Some(found) => Ok(Some(found.nonce)),
                        None if if_exists => Ok(None),
                        None => Err(not_found(transaction, name).await?.into()),
                    }
                }
                .boxed()
            })
            .await?
        else {
            return Ok(());
        };
        self.settled(DROP, |transaction| {
            async move {
                let found = keys::get(transaction, key, keys::database::deser_value).await?;
                if found.is_some_and(|found| found.nonce == aim) {
                    refuse_unless_empty(transaction, name).await?;
                    transaction.clear(key);
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// The names of all databases, as typed, in the order of their lower-case names.
    pub async fn databases(&self) -> Result<Vec<String>, CatalogError> {
        self.once("listing the databases", |transaction| async move { names_of_all(transaction).await }.boxed()).await
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
    let name = |(key, value): &(bytes::Bytes, bytes::Bytes)| Ok(keys::database::deser_value(key, value)?.name);
    entries.iter().map(name).collect()
}

fn describe(name: &str) -> String {
    format!("database `{name}`")
}

/// A table or a pipeline that is made at the same time conflicts with this.
async fn refuse_unless_empty(transaction: &mut dyn KvTransaction, name: &str) -> Result<(), Failure> {
    let pipelines = first_keys(transaction, keys::pipeline_name::of_database(name)).await?;
    let pipelines = pipelines.iter().map(|key| Ok(keys::pipeline_name::deser_key(key)?.1));
    let pipelines: Vec<String> = pipelines.collect::<Result<_, Failure>>()?;
    let tables = first_keys(transaction, keys::table_name::of_database(name)).await?;
    let tables = tables.iter().map(|key| Ok(keys::table_name::deser_key(key)?.1));
    let tables: Vec<String> = tables.collect::<Result<_, Failure>>()?;
    // A table cannot be dropped before the pipelines into it: so they are named first.
    let holds: Vec<String> = [("pipeline", &pipelines), ("table", &tables)]
        .into_iter()
        .filter(|(_, held)| !held.is_empty())
        .map(|(kind, held)| held_things(kind, held))
        .collect();
    let drops: Vec<String> = [("PIPELINE", &pipelines), ("TABLE", &tables)]
        .into_iter()
        .flat_map(|(kind, held)| held.iter().take(NAMED_MAX).map(move |held| format!("DROP {kind} `{name}`.`{held}`")))
        .collect();
    if drops.is_empty() {
        return Ok(());
    }
    let message = format!("database `{name}` still has {}: drop them first, {}", holds.join(" and "), drops.join("; "));
    Err(CatalogError::invalid(message).into())
}

/// "the tables `a`, `b`, …".
fn held_things(kind: &str, held: &[String]) -> String {
    let plural = if held.len() == 1 { "" } else { "s" };
    let more = if held.len() > NAMED_MAX { ", …" } else { "" };
    let named: Vec<String> = held.iter().take(NAMED_MAX).map(|held| format!("`{held}`")).collect();
    format!("the {kind}{plural} {}{more}", named.join(", "))
}

/// As many keys as are named, and one more, which says that there are more.
async fn first_keys(transaction: &mut dyn KvTransaction, range: KeyRange) -> Result<Vec<bytes::Bytes>, Failure> {
    let page = transaction.range(range, RangeOptions { limit: NAMED_MAX + 1, ..RangeOptions::default() }).await?;
    Ok(page.entries.into_iter().map(|(key, _)| key).collect())
}
