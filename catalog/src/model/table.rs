//! Tables: columns, the partitioning, the sort order.

use serde::{Deserialize, Serialize};
use vfs::WallTime;

use super::{ColumnId, ColumnType, Fence, Scalar, SchemaId, TableId};

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// Its id, which is also its Parquet field id.
    pub id: ColumnId,
    /// Its name, as it was typed; names are compared without regard to case.
    pub name: String,
    /// Its type.
    pub kind: ColumnType,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// What stands where a record has no value; `None` where no DEFAULT was given.
    pub default: Option<Scalar>,
    /// The COMMENT of the DDL.
    #[serde(default)]
    pub comment: String,
}

/// What PARTITION BY does with its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PartitionTransform {
    /// The value itself.
    Identity,
    /// `year(c)`.
    Year,
    /// `month(c)`: the month of its year, as the first day of that month.
    Month,
    /// `day(c)`.
    Day,
    /// `hour(c)`: the hour of its day, as the first microsecond of that hour.
    Hour,
}

/// One field of PARTITION BY.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionField {
    /// The column.
    pub column: ColumnId,
    /// What is done with it.
    pub transform: PartitionTransform,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Its id.
    pub id: TableId,
    /// The database that it is in.
    pub database: String,
    /// Its name.
    pub name: String,
    /// Which version of its columns this is.
    pub schema: SchemaId,
    /// Raised by DDL; a commit names it.
    pub fence: Fence,
    /// Its columns, in the order of the DDL; without the hidden `_stream` and `_offset`.
    pub columns: Vec<Column>,
    /// PARTITION BY; empty where the whole table is one partition.
    pub partition_by: Vec<PartitionField>,
    /// ORDER BY: ascending, NULL first.
    pub order_by: Vec<ColumnId>,
    /// When it was made, for people.
    pub created: i64,
}

impl Table {
    /// The column of that name, without regard to case.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name))
    }

    /// The column with that id.
    ///
    /// # Panics
    /// If there is none: ids come from this table's own records.
    pub fn column_by_id(&self, id: ColumnId) -> &Column {
        self.columns.iter().find(|column| column.id == id).expect("a column id names a column of its own table")
    }

    /// When it was made.
    pub fn created(&self) -> WallTime {
        WallTime(self.created)
    }
}
