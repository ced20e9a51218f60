//! Columns that grow by one value a record, straight into Arrow's buffers, and shrink again when the record fails.
//!
//! Owns how a JSON value becomes a value of each SQL type. Knows nothing of records, keys or expressions.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, TimestampMicrosecondType};
use catalog::ColumnType;

mod buffer;
mod bytes;
mod nested;
mod number;
mod sink;
mod text;
mod time;

use super::json::Json;
use crate::schema::{arrow_type, integer_bounds, mysql_type};
use buffer::{Bits, Blobs, Texts, Values};
use bytes::BytesColumn;
pub(super) use bytes::Room;
use nested::{ArrayColumn, MapColumn};
pub(super) use number::year_value;
use number::{BooleanColumn, DecimalColumn, DoubleColumn, FloatColumn, IntegerColumn, YearColumn};
use sink::{Sink, write};
pub(super) use sink::{Written, characters, is_json};
use text::{AnyTextColumn, CharColumn, EnumColumn, JsonColumn, TextColumn};
pub(super) use text::{char_value, enum_value, too_long, within};
pub(super) use time::{Clock, date_value};
use time::{DateColumn, MicrosColumn, TimeColumn};

/// What a field of a record is read as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A value of this SQL type.
    Column(ColumnType),
    /// Text, whatever it is: a string's characters, the JSON text of anything else. For fields that only expressions
    /// name, of which no column tells the type.
    AnyText,
}

impl FieldKind {
    /// The Arrow type of its values.
    pub fn arrow_type(&self) -> DataType {
        match self {
            Self::Column(kind) => arrow_type(kind),
            Self::AnyText => DataType::Utf8,
        }
    }
}

/// One growing column.
pub(super) enum Column {
    Boolean(BooleanColumn),
    Int(IntegerColumn<Int32Type>),
    Big(IntegerColumn<Int64Type>),
    UnsignedBig(IntegerColumn<Decimal128Type>),
    Float(FloatColumn),
    Double(DoubleColumn),
    Decimal(DecimalColumn),
    Date(DateColumn),
    Micros(MicrosColumn),
    Time(TimeColumn),
    Year(YearColumn),
    Text(TextColumn),
    Char(CharColumn),
    Enum(EnumColumn),
    Bytes(BytesColumn),
    Json(JsonColumn),
    Array(ArrayColumn),
    Map(MapColumn),
    AnyText(AnyTextColumn),
}

/// Does the same with whichever column it is: each has its own type, so that the call is resolved once a value.
macro_rules! with_column {
    ($column:expr, $sink:ident => $then:expr) => {
        match $column {
            Column::Boolean($sink) => $then,
            Column::Int($sink) => $then,
            Column::Big($sink) => $then,
            Column::UnsignedBig($sink) => $then,
            Column::Float($sink) => $then,
            Column::Double($sink) => $then,
            Column::Decimal($sink) => $then,
            Column::Date($sink) => $then,
            Column::Micros($sink) => $then,
            Column::Time($sink) => $then,
            Column::Year($sink) => $then,
            Column::Text($sink) => $then,
            Column::Char($sink) => $then,
            Column::Enum($sink) => $then,
            Column::Bytes($sink) => $then,
            Column::Json($sink) => $then,
            Column::Array($sink) => $then,
            Column::Map($sink) => $then,
            Column::AnyText($sink) => $then,
        }
    };
}

impl Column {
    /// An empty column of that kind.
    pub(super) fn new(kind: &FieldKind) -> Self {
        match kind {
            FieldKind::Column(kind) => Self::of(kind),
            FieldKind::AnyText => Self::AnyText(AnyTextColumn { texts: Texts::default() }),
        }
    }

    /// An empty column of that type.
    pub(super) fn of(kind: &ColumnType) -> Self {
        let name = mysql_type(kind);
        let data_type = arrow_type(kind);
        match kind {
            ColumnType::Boolean => Self::Boolean(BooleanColumn { bits: Bits::default() }),
            ColumnType::Integer { width, unsigned } => {
                let bounds = integer_bounds(*width, *unsigned);
                match data_type {
                    DataType::Int32 => Self::Int(IntegerColumn { values: Values::new(data_type), bounds, name }),
                    DataType::Int64 => Self::Big(IntegerColumn { values: Values::new(data_type), bounds, name }),
                    _ => Self::UnsignedBig(IntegerColumn { values: Values::new(data_type), bounds, name }),
                }
            }
            ColumnType::Float => Self::Float(FloatColumn { values: Values::new(data_type) }),
            ColumnType::Double => Self::Double(DoubleColumn { values: Values::new(data_type) }),
            &ColumnType::Decimal { precision, scale } => {
                Self::Decimal(DecimalColumn { values: Values::new(data_type), precision, scale, name })
            }
            ColumnType::Date => Self::Date(DateColumn { values: Values::<Date32Type>::new(data_type) }),
            ColumnType::Time { .. } => {
                Self::Time(TimeColumn { values: Values::new(data_type), clock: Clock::of(kind) })
            }
            ColumnType::DateTime { .. } | ColumnType::Timestamp { .. } => Self::Micros(MicrosColumn {
                values: Values::<TimestampMicrosecondType>::new(data_type),
                clock: Clock::of(kind),
            }),
            ColumnType::Year => Self::Year(YearColumn { values: Values::new(data_type) }),
            &ColumnType::Char { characters } => Self::Char(CharColumn { texts: Texts::default(), characters, name }),
            ColumnType::Enum { values } => Self::Enum(EnumColumn { texts: Texts::default(), values: values.clone() }),
            ColumnType::Binary { .. } | ColumnType::VarBinary { .. } => {
                let room = Room::of(kind).expect("these two have one");
                Self::Bytes(BytesColumn { blobs: Blobs::default(), room, name })
            }
            ColumnType::Array { element } => Self::Array(ArrayColumn::new(kind, element)),
            ColumnType::Map { key, value } => Self::Map(MapColumn::new(kind, key, value)),
            &ColumnType::Text { characters_max } => {
                Self::Text(TextColumn { texts: Texts::default(), characters_max, name })
            }
            ColumnType::Json => Self::Json(JsonColumn { texts: Texts::default() }),
        }
    }

    /// How many values it holds.
    pub(super) fn len(&self) -> usize {
        with_column!(self, sink => sink.len())
    }

    /// Makes room for `rows` more values.
    pub(super) fn reserve(&mut self, rows: usize) {
        with_column!(self, sink => sink.reserve(rows));
    }

    /// Adds a NULL.
    pub(super) fn push_null(&mut self) {
        with_column!(self, sink => sink.null());
    }

    /// Forgets all values after the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        with_column!(self, sink => sink.truncate(len));
    }

    /// Adds a value.
    pub(super) fn write(&mut self, value: Json<'_>) -> Written {
        with_column!(self, sink => write(sink, value))
    }

    /// Adds a JSON string, by its characters.
    pub(super) fn write_text(&mut self, text: &str) -> Written {
        with_column!(self, sink => sink.text(text))
    }

    /// Its values; it is empty afterwards.
    pub(super) fn finish(&mut self) -> ArrayRef {
        with_column!(self, sink => sink.finish())
    }
}
