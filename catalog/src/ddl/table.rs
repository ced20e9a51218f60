//! Tables: CREATE, DROP, and looking them up.

use std::sync::Arc;

use bytes::Bytes;

use super::{FIRST_FENCE, Maker, already, check_size, columns, database, next_id};
use futures::FutureExt;

use crate::ddl::NewColumn;
use crate::keys::unnamed_table::UnnamedRecord;
use crate::keys::{self, counter::Counter, dropped::DroppedRecord, table::TableRecord, table_fence::TableFenceRecord};
use crate::store::{KvTransaction, RangeOptions, Read, scan};
use crate::transaction::Failure;
use crate::{Catalog, CatalogError, NodeId, PartitionTransform, SchemaId, Table, TableId, channels, names};

/// The columns of a table as it is made.
const FIRST_SCHEMA: SchemaId = SchemaId(1);

/// A table to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTable {
    /// The database that it is to be in.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Its columns.
    pub columns: Vec<NewColumn>,
    /// PARTITION BY: columns by name, and what is done with each.
    pub partition_by: Vec<(String, PartitionTransform)>,
    /// ORDER BY: columns by name.
    pub order_by: Vec<String>,
}

impl Catalog {
    /// Makes a table, or with `if_not_exists` answers the one of that name.
    pub async fn create_table(&self, new: NewTable, if_not_exists: bool) -> Result<Arc<Table>, CatalogError> {
        let new = &new;
        let drawn = &self.draw(new)?;
        let nonce = self.nonce();
        let table = self
            .settled("creating a table", |transaction| {
                async move {
                    let database = database::require(transaction, &new.database).await?;
                    if let Some(found) = find(transaction, &new.database, &new.name).await? {
                        let maker = Maker::of(found.nonce, nonce);
                        return already(|| describe(&new.database, &new.name), found.table, maker, if_not_exists);
                    }
                    let id = TableId(next_id(transaction, Counter::Table).await?);
                    let record = TableRecord { table: Table { id, database, ..drawn.clone() }, nonce };
                    write_new(transaction, &record)?;
                    Ok(record.table)
                }
                .boxed()
            })
            .await?;
        Ok(Arc::new(table))
    }

    /// Whether such a table could be made, as far as that can be told without looking whether its name is taken.
    ///
    /// # Errors
    /// [`CatalogError::Invalid`], as [`Catalog::create_table`] would say it.
    pub fn check_new_table(&self, new: &NewTable) -> Result<(), CatalogError> {
        self.draw(new).map(|_| ())
    }

    /// The table, but for what only the transaction knows: its id, and how its database's name was typed.
    pub(super) fn draw(&self, new: &NewTable) -> Result<Table, CatalogError> {
        names::check_table(&new.name)?;
        let columns = columns::columns(new)?;
        Ok(Table {
            id: TableId(0),
            database: new.database.clone(),
            name: new.name.clone(),
            schema: FIRST_SCHEMA,
            fence: FIRST_FENCE,
            partition_by: columns::partition_by(new, &columns)?,
            order_by: columns::order_by(new, &columns)?,
            columns,
            created: self.wall(),
        })
    }

    /// Drops a table that no pipeline writes. From here on every commit to it is `Fenced`; its objects become garbage,
    /// bit by bit, as the sweeper asks for it.
    pub async fn drop_table(&self, database: &str, name: &str, if_exists: bool) -> Result<(), CatalogError> {
        let since = self.wall();
        let aim = match self.table(database, name).await {
            Err(CatalogError::NotFound { .. }) if if_exists => return Ok(()),
            found => found?,
        };
        let table = &*aim;
        self.settled("dropping a table", |transaction| {
            async move {
                let found = find(transaction, database, name).await?;
                if found.is_some_and(|found| found.table.id == table.id) {
                    refuse_if_written(transaction, table).await?;
                    erase(transaction, table, since).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// Makes a table that has no name yet, for process `process` of `node` to fill: nobody sees it before
    /// [`Catalog::name_table`]. `AlreadyExists` if its name is taken by now.
    pub async fn create_unnamed_table(
        &self,
        new: NewTable,
        node: &NodeId,
        process: u64,
    ) -> Result<Arc<Table>, CatalogError> {
        let new = &new;
        let drawn = &self.draw(new)?;
        let nonce = self.nonce();
        let table = self
            .settled("creating a table", |transaction| {
                async move {
                    let database = database::require(transaction, &new.database).await?;
                    if find(transaction, &new.database, &new.name).await?.is_some() {
                        return Err(CatalogError::AlreadyExists { what: describe(&new.database, &new.name) }.into());
                    }
                    let id = TableId(next_id(transaction, Counter::Table).await?);
                    let record = TableRecord { table: Table { id, database, ..drawn.clone() }, nonce };
                    check_record_size(&record)?;
                    write_record(transaction, &record);
                    let unnamed = UnnamedRecord { node: node.clone(), process };
                    transaction.set(&keys::unnamed_table::ser_key(id), &keys::unnamed_table::ser_value(&unnamed));
                    Ok(record.table)
                }
                .boxed()
            })
            .await?;
        Ok(Arc::new(table))
    }

    /// Gives a table its name: it is there from here on, with all that was committed to it. `AlreadyExists` if another has the
    /// name by now, `NotFound` if the table was dropped.
    ///
    /// Unknown outcome: run again; a table that has its name is named.
    pub async fn name_table(&self, id: TableId) -> Result<Arc<Table>, CatalogError> {
        let table = self
            .settled("naming a table", |transaction| {
                async move {
                    let table = require(transaction, id).await?;
                    database::require(transaction, &table.database).await?;
                    let unnamed = keys::unnamed_table::ser_key(id);
                    if transaction.get(&unnamed, Read::Serializable).await?.is_some() {
                        if find(transaction, &table.database, &table.name).await?.is_some() {
                            let what = describe(&table.database, &table.name);
                            return Err(CatalogError::AlreadyExists { what }.into());
                        }
                        transaction.clear(&unnamed);
                        name(transaction, &table);
                    }
                    Ok(table)
                }
                .boxed()
            })
            .await?;
        Ok(Arc::new(table))
    }

    /// Drops a table that never got its name. One that has it by now stays.
    pub async fn drop_unnamed_table(&self, id: TableId) -> Result<(), CatalogError> {
        let since = self.wall();
        let unnamed = &keys::unnamed_table::ser_key(id);
        self.settled("dropping a table without a name", |transaction| {
            async move {
                if transaction.get(unnamed, Read::Serializable).await?.is_some() {
                    let table = require(transaction, id).await?;
                    erase(transaction, &table, since).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
    }

    /// The tables without a name that a server left, in all of its processes but `process`: those have died.
    pub async fn unnamed_tables_of_dead(&self, node: &NodeId, process: u64) -> Result<Vec<TableId>, CatalogError> {
        self.once("listing tables without a name", |transaction| {
            async move {
                let mut dead = Vec::new();
                for (key, value) in scan(transaction, keys::unnamed_table::all(), Read::Snapshot).await? {
                    let record = keys::unnamed_table::deser_value(&key, &value)?;
                    if record.node == *node && record.process != process {
                        dead.push(keys::unnamed_table::deser_key(&key)?);
                    }
                }
                Ok(dead)
            }
            .boxed()
        })
        .await
    }

    /// The table of that name.
    pub async fn table(&self, database: &str, name: &str) -> Result<Arc<Table>, CatalogError> {
        self.once("looking up a table", |transaction| {
            async move {
                match find(transaction, database, name).await? {
                    Some(found) => Ok(found.table),
                    None => Err(not_found(transaction, database, name).await?.into()),
                }
            }
            .boxed()
        })
        .await
        .map(Arc::new)
    }

    /// The table with that id.
    pub async fn table_by_id(&self, id: TableId) -> Result<Arc<Table>, CatalogError> {
        self.once("looking up a table", |transaction| async move { require(transaction, id).await }.boxed())
            .await
            .map(Arc::new)
    }

    /// The tables of one database, in the order of their lower-case names.
    pub async fn tables(&self, database: &str) -> Result<Vec<Arc<Table>>, CatalogError> {
        self.once("listing the tables", |transaction| {
            async move {
                database::require(transaction, database).await?;
                let mut tables = Vec::new();
                for (key, value) in scan(transaction, keys::table_name::of_database(database), Read::Snapshot).await? {
                    let id = keys::table_name::deser_value(&key, &value)?;
                    tables.push(Arc::new(require(transaction, id).await?));
                }
                Ok(tables)
            }
            .boxed()
        })
        .await
    }
}

/// The table with that id. The transaction conflicts with its DROP.
pub(crate) async fn require(transaction: &mut dyn KvTransaction, id: TableId) -> Result<Table, Failure> {
    require_record(transaction, id).await.map(|record| record.table)
}

/// The same, with the record around it.
pub(crate) async fn require_record(transaction: &mut dyn KvTransaction, id: TableId) -> Result<TableRecord, Failure> {
    let value = require_value(transaction, id).await?;
    Ok(keys::table::deser_value(&keys::table::ser_key(id), &value)?)
}

/// The same, unread.
pub(crate) async fn require_value(transaction: &mut dyn KvTransaction, id: TableId) -> Result<Bytes, Failure> {
    let found = transaction.get(&keys::table::ser_key(id), Read::Serializable).await?;
    found.ok_or_else(|| gone(id).into())
}

/// Writes a table's record and its fence.
pub(crate) fn write_record(transaction: &mut dyn KvTransaction, record: &TableRecord) {
    let table = &record.table;
    transaction.set(&keys::table::ser_key(table.id), &keys::table::ser_value(record));
    let fence = TableFenceRecord { fence: table.fence, schema: table.schema };
    transaction.set(&keys::table_fence::ser_key(table.id), &keys::table_fence::ser_value(&fence));
}

/// What to say of a table that was there when its id was given out.
pub(crate) fn gone(id: TableId) -> CatalogError {
    CatalogError::not_found(format!("table with the id {id}: it has been dropped"))
}

pub(super) async fn find(
    transaction: &mut dyn KvTransaction,
    database: &str,
    name: &str,
) -> Result<Option<TableRecord>, Failure> {
    let by_name = keys::table_name::ser_key(database, name);
    let Some(id) = keys::get(transaction, &by_name, keys::table_name::deser_value).await? else {
        return Ok(None);
    };
    let key = keys::table::ser_key(id);
    match keys::get(transaction, &key, keys::table::deser_value).await? {
        Some(record) => Ok(Some(record)),
        None => {
            let cause = format!("{} has the id {id}, and no record", describe(database, name));
            Err(CatalogError::Damaged { key: keys::show(&key), cause }.into())
        }
    }
}

async fn not_found(transaction: &mut dyn KvTransaction, database: &str, name: &str) -> Result<CatalogError, Failure> {
    database::require(transaction, database).await?;
    let mut names = Vec::new();
    for (key, _) in scan(transaction, keys::table_name::of_database(database), Read::Snapshot).await? {
        names.push(keys::table_name::deser_key(&key)?.1);
    }
    Ok(names::did_you_mean(describe(database, name), name, names.iter().map(String::as_str)))
}

pub(super) fn describe(database: &str, name: &str) -> String {
    format!("table `{database}`.`{name}`")
}

/// Writes a table that is made under its name.
pub(super) fn write_new(transaction: &mut dyn KvTransaction, record: &TableRecord) -> Result<(), CatalogError> {
    check_record_size(record)?;
    write_record(transaction, record);
    name(transaction, &record.table);
    Ok(())
}

fn check_record_size(record: &TableRecord) -> Result<(), CatalogError> {
    let Table { database, name, .. } = &record.table;
    check_size(&describe(database, name), &keys::table::ser_value(record))
}

fn name(transaction: &mut dyn KvTransaction, table: &Table) {
    let by_name = keys::table_name::ser_key(&table.database, &table.name);
    transaction.set(&by_name, &keys::table_name::ser_value(table.id));
}

/// Removes what the table is known by. A fence that is not there is as no writer knows it; the log stays for the sweeper.
async fn erase(transaction: &mut dyn KvTransaction, table: &Table, since: i64) -> Result<(), Failure> {
    channels::erase_all_of(transaction, table.id).await?;
    transaction.clear_range(keys::label::of_table(table.id));
    transaction.clear(&keys::truncated::ser_key(table.id));
    let unnamed = keys::unnamed_table::ser_key(table.id);
    if transaction.get(&unnamed, Read::Serializable).await?.is_some() {
        transaction.clear(&unnamed);
    } else {
        transaction.clear(&keys::table_name::ser_key(&table.database, &table.name));
    }
    transaction.clear(&keys::table_fence::ser_key(table.id));
    transaction.clear(&keys::table::ser_key(table.id));
    transaction.clear(&keys::rewrite::ser_key(table.id, keys::rewrite::ERRORS));
    let dropped = DroppedRecord { since };
    transaction.set(&keys::dropped::ser_key(table.id), &keys::dropped::ser_value(&dropped));
    Ok(())
}

/// A pipeline into the table that is made at the same time conflicts with this.
async fn refuse_if_written(transaction: &mut dyn KvTransaction, table: &Table) -> Result<(), Failure> {
    let range = keys::pipeline_of_table::of_table(table.id);
    let page = transaction.range(range, RangeOptions { limit: 1, ..RangeOptions::default() }).await?;
    let Some((key, _)) = page.entries.first() else { return Ok(()) };
    let (_, id) = keys::pipeline_of_table::deser_key(key)?;
    let pipeline = super::pipeline::require(transaction, id).await?;
    Err(CatalogError::invalid(format!(
        "{} is written by the pipeline `{}`.`{}`: drop that first, DROP PIPELINE `{}`.`{}`",
        describe(&table.database, &table.name),
        pipeline.database,
        pipeline.name,
        pipeline.database,
        pipeline.name
    ))
    .into())
}
