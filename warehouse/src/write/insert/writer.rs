//! One INSERT: takes rows as they come, in bounded memory, and ends with all of them committed, or none.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use catalog::Table;
use tokio::sync::oneshot;

use super::channel::Pending;
use super::error::InsertError;
use super::labels::LabelClaim;
use super::large::Large;
use super::rows::together;
use super::{Inserted, Inserts};
use crate::memory::Charge;

/// How often it is looked whether there is room again.
const ROOM_LOOK: Duration = Duration::from_millis(20);

/// See the module. Dropped before its end, it inserts nothing.
pub struct InsertWriter {
    inserts: Arc<Inserts>,
    table: Arc<Table>,
    label: Option<LabelClaim>,
    held: Vec<(RecordBatch, Charge)>,
    held_bytes: u64,
    rows: u64,
    /// Once it has become a large one.
    large: Option<Large>,
}

impl fmt::Debug for InsertWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsertWriter")
            .field("table", &self.table.name)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl InsertWriter {
    pub(super) fn new(inserts: Arc<Inserts>, table: Arc<Table>, label: Option<LabelClaim>) -> Self {
        Self { inserts, table, label, held: Vec::new(), held_bytes: 0, rows: 0, large: None }
    }

    /// The table whose columns the rows have.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// How many rows it has taken.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Takes rows, in the table's columns ([`row_schema`](crate::schema::row_schema)). Waits while there is no room for them (I8).
    ///
    /// # Errors
    /// If a store was away for too long, or the rows go to too many parts: the INSERT is over, and nothing was inserted.
    pub async fn push(&mut self, rows: RecordBatch) -> Result<(), InsertError> {
        if rows.num_rows() == 0 {
            return Ok(());
        }
        self.wait_for_room().await?;
        let bytes = rows.get_array_memory_size() as u64;
        self.rows += rows.num_rows() as u64;
        self.held_bytes += bytes;
        self.held.push((rows, self.inserts.parts.budget.charge(bytes)));
        if self.held_bytes >= self.inserts.settings.group_bytes {
            self.large().await?.stay_young().await?;
        }
        match self.held_bytes >= self.inserts.settings.flush_bytes {
            true => self.write().await,
            false => Ok(()),
        }
    }

    async fn wait_for_room(&mut self) -> Result<(), InsertError> {
        while !self.inserts.parts.budget.has_room() {
            // It may be that nobody but this INSERT holds what there is.
            self.write().await?;
            self.inserts.parts.world.clock.sleep(ROOM_LOOK).await;
        }
        Ok(())
    }

    async fn large(&mut self) -> Result<&mut Large, InsertError> {
        if self.large.is_none() {
            self.large = Some(Large::open(&self.inserts, &self.table).await?);
        }
        Ok(self.large.as_mut().expect("it was opened"))
    }

    /// Makes durable what is held.
    async fn write(&mut self) -> Result<(), InsertError> {
        if self.held.is_empty() {
            return Ok(());
        }
        let held = std::mem::take(&mut self.held);
        self.held_bytes = 0;
        let (batches, _charges): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        self.large().await?.write(batches).await
    }

    /// Commits all rows; returns once they are visible to everybody.
    ///
    /// # Errors
    /// But for [`InsertError::Unknown`], nothing was inserted. Dropped before it returns, it may have been or not: a label tells.
    pub async fn finish(mut self) -> Result<Inserted, InsertError> {
        if self.large.is_some() {
            self.write().await?;
        }
        let Self { inserts, table, label, held, held_bytes, rows, large } = self;
        if let Some(large) = large {
            // In a task of its own, so that the commit has a known end, whoever goes away.
            let committed = tokio::spawn(large.commit(label)).await;
            return committed.unwrap_or_else(|error| Err(InsertError::Unknown { cause: error.to_string() }));
        }
        if rows == 0 && label.is_none() {
            return Ok(Inserted { version: None, rows: 0, repeated: false });
        }
        let (batches, _charges): (Vec<_>, Vec<_>) = held.into_iter().unzip();
        let rows = match <[RecordBatch; 1]>::try_from(batches) {
            Ok([only]) => only,
            Err(batches) => together(&table, &batches)?,
        };
        let (answer, answered) = oneshot::channel();
        let charge = inserts.parts.budget.charge(held_bytes);
        let (id, pending) = (table.id, Pending { table, rows, label, charge, answer });
        inserts.submit(id, pending).await?;
        let lost =
            || InsertError::Unknown { cause: "its channel failed in a check of its own; the log has more".to_owned() };
        answered.await.unwrap_or_else(|_| Err(lost()))
    }
}
