//! The tables that records go to: one definition, for the catalog directly and as DDL.

use catalog::{ColumnType, IntegerWidth, NewColumn, NewTable, PartitionTransform};
use warehouse::schema::mysql_type;

use crate::events::Events;
use crate::flights::Flights;

/// Which records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dataset {
    /// Synthetic events.
    Events,
    /// Real flights.
    Flights,
}

/// Gives payloads without end.
pub(crate) trait Payloads {
    /// Appends the next record's payload to `out`.
    fn append(&mut self, out: &mut Vec<u8>) -> anyhow::Result<()>;
}

/// A column: its name, its type, and whether it may be NULL.
type Shape = (&'static str, ColumnType, bool);

const BIG: ColumnType = ColumnType::Integer { width: IntegerWidth::Big, unsigned: false };
const INT: ColumnType = ColumnType::Integer { width: IntegerWidth::Int, unsigned: false };
const SMALL: ColumnType = ColumnType::Integer { width: IntegerWidth::Small, unsigned: false };

const fn text(characters: u32) -> ColumnType {
    ColumnType::Text { characters_max: Some(characters) }
}

/// When the producer sent an event, in microseconds since 1970: the first field, at a fixed place and of a fixed width.
pub(crate) const STAMP_COLUMN: &str = "produced_us";

static EVENTS: [Shape; 24] = [
    (STAMP_COLUMN, BIG, false),
    ("event_time", ColumnType::TIMESTAMP, false),
    ("event_id", text(36), false),
    ("kind", text(16), false),
    ("user_id", BIG, false),
    ("session_id", text(32), false),
    ("country", text(2), false),
    ("city", text(32), false),
    ("language", text(8), true),
    ("os", text(16), false),
    ("browser", text(16), false),
    ("app_version", text(16), false),
    ("screen_width", INT, false),
    ("screen_height", INT, false),
    ("url", text(255), false),
    ("referrer", text(255), true),
    ("campaign", text(64), true),
    ("price", ColumnType::Decimal { precision: 12, scale: 2 }, true),
    ("quantity", INT, true),
    ("latitude", ColumnType::Double, false),
    ("longitude", ColumnType::Double, false),
    ("duration_ms", INT, false),
    ("is_bot", ColumnType::Boolean, false),
    ("trace", text(64), false),
];

static FLIGHTS: [Shape; 19] = [
    ("time_hour", ColumnType::TIMESTAMP, false),
    ("origin", text(3), false),
    ("dest", text(3), false),
    ("carrier", text(2), false),
    ("flight", INT, false),
    ("tailnum", text(8), true),
    ("year", SMALL, false),
    ("month", SMALL, false),
    ("day", SMALL, false),
    ("hour", SMALL, false),
    ("minute", SMALL, false),
    ("dep_time", SMALL, true),
    ("sched_dep_time", SMALL, false),
    ("dep_delay", SMALL, true),
    ("arr_time", SMALL, true),
    ("sched_arr_time", SMALL, false),
    ("arr_delay", SMALL, true),
    ("air_time", SMALL, true),
    ("distance", INT, false),
];

impl Dataset {
    /// The table, and the flag that selects it.
    pub(crate) fn table(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Flights => "flights",
        }
    }

    /// How many columns it has.
    pub(crate) fn columns(self) -> usize {
        self.shapes().len()
    }

    fn shapes(self) -> &'static [Shape] {
        match self {
            Self::Events => &EVENTS,
            Self::Flights => &FLIGHTS,
        }
    }

    fn partition_by(self) -> (&'static str, &'static str, PartitionTransform) {
        match self {
            Self::Events => ("event_time", "day", PartitionTransform::Day),
            Self::Flights => ("time_hour", "month", PartitionTransform::Month),
        }
    }

    fn order_by(self) -> &'static [&'static str] {
        match self {
            Self::Events => &["kind", "user_id", "event_time"],
            Self::Flights => &["origin", "time_hour"],
        }
    }

    /// The table, for the catalog.
    pub(crate) fn new_table(self) -> NewTable {
        let column = |(name, kind, nullable): &Shape| NewColumn::new(*name, kind.clone(), *nullable);
        let (partitioned, _, transform) = self.partition_by();
        NewTable {
            database: "default".to_owned(),
            name: self.table().to_owned(),
            columns: self.shapes().iter().map(column).collect(),
            partition_by: vec![(partitioned.to_owned(), transform)],
            order_by: self.order_by().iter().map(|&name| name.to_owned()).collect(),
        }
    }

    /// The table, as a statement.
    pub(crate) fn ddl(self) -> String {
        let column = |(name, kind, nullable): &Shape| {
            format!("`{name}` {}{}", mysql_type(kind), if *nullable { "" } else { " NOT NULL" })
        };
        let columns: Vec<String> = self.shapes().iter().map(column).collect();
        let (partitioned, function, _) = self.partition_by();
        let (table, columns, order_by) = (self.table(), columns.join(", "), self.order_by().join(", "));
        format!("CREATE TABLE {table} ({columns}) PARTITION BY {function}({partitioned}) ORDER BY ({order_by})")
    }

    /// Its records.
    pub(crate) fn payloads(self, seed: u64) -> anyhow::Result<Box<dyn Payloads>> {
        Ok(match self {
            Self::Events => Box::new(Events::new(seed)),
            Self::Flights => Box::new(Flights::open()?),
        })
    }
}
