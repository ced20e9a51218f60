//! From an expression's type to its column's: which types a column takes, and which values get lost on the way.
//!
//! A type that can never fit is refused when the pipeline is made; a value that does not fit makes an error row. Nothing
//! becomes NULL and nothing is cut off in silence.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray,
    Scalar, StringArray, StructArray, new_null_array,
};
use arrow::compute::kernels::zip::zip;
use arrow::compute::{cast, is_null};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMicrosecondType, Float32Type, Float64Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType,
};
use catalog::ColumnType;

use crate::schema::{arrow_type, integer_bounds, mysql_type};
use crate::write::decode::column::{
    Clock, Column, Room, char_value, date_value, enum_value, is_json, too_long, within, year_value,
};
use crate::write::decode::json::Cursor;
use crate::write::decode::loose;
use crate::write::decode::number::{
    DIGITS_MAX, NumberFault, rescaled, rescaled_to_nearest, rounded, scaled_to_nearest, whole,
};
use crate::write::decode::reason::{BadValue, ErrorReason, quoted};

use super::nested::{any_key, as_list, by_row, list_type};
use super::refusal::refusal;

/// Whose values they are: a record's lose nothing, not even a digit; a statement's are taken as MySQL's strict mode takes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Rules {
    /// An expression of a pipeline.
    Record,
    /// INSERT: a text may hold a number, digits after the point are rounded, a time gives a day.
    Statement,
}

/// How values of one type become values of a column's type.
#[derive(Clone, Debug)]
pub(in super::super) struct Assignment {
    rules: Rules,
    to: ColumnType,
    name: String,
    way: Way,
}

#[derive(Clone, Debug)]
enum Way {
    /// They are already.
    Same,
    /// There are none.
    Null,
    /// Each number is looked at.
    Numbers,
    /// Each text is looked at.
    Texts,
    /// Each text is read as a number.
    NumbersInTexts,
    /// Each row of bytes is read as a text.
    TextsInBytes,
    /// Arrow's cast, which loses nothing between these two types.
    Cast,
    /// Arrow's cast, and then the column's digits of a second.
    Moments,
    /// The same for a TIME.
    Spans,
    /// Each row of bytes is looked at.
    Bytes,
    /// Each text is read as JSON.
    Json,
    /// Each element goes its own way.
    Elements(Box<Assignment>),
    /// Each key and each value goes its own way.
    Entries(Box<(Assignment, Assignment)>),
}

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// A number on its way from one type to another.
#[derive(Clone, Copy)]
enum Number {
    /// Exact: a whole number of 10^-scale.
    Exact(i128, i8),
    Float(f64),
}

impl Assignment {
    /// How `from` becomes `to`, or why it does not.
    pub(super) fn plan(from: &DataType, to: &ColumnType) -> Result<Self, String> {
        Self::by(Rules::Record, from, to)
    }

    /// The same by the rules of `rules`.
    pub(in super::super) fn by(rules: Rules, from: &DataType, to: &ColumnType) -> Result<Self, String> {
        let way = way(rules, from, to).ok_or_else(|| refusal(from, to))?;
        Ok(Self { rules, to: to.clone(), name: mysql_type(to), way })
    }

    /// The column, and the rows whose value did not fit; they hold NULL.
    pub(in super::super) fn apply(&self, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        match &self.way {
            Way::Same => (Arc::clone(values), Vec::new()),
            Way::Null => (new_null_array(&arrow_type(&self.to), values.len()), Vec::new()),
            Way::Cast => (cast(values, &arrow_type(&self.to)).expect("checked when it was planned"), Vec::new()),
            Way::Numbers => self.numbers(values),
            Way::Texts => self.texts(values),
            Way::NumbersInTexts => self.numbers_in_texts(values),
            Way::TextsInBytes => self.texts_in_bytes(values),
            Way::Moments => self.moments(values),
            Way::Spans => self.spans(values),
            Way::Bytes => self.bytes(values),
            Way::Json => self.json(values),
            Way::Elements(element) => self.elements(element, values),
            Way::Entries(entry) => self.entries(entry, values),
        }
    }

    fn numbers(&self, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let number = reader(values);
        self.numbers_at(values.len(), |row| values.is_valid(row).then(|| Ok(number(row))))
    }

    fn numbers_in_texts(&self, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let texts = cast(values, &DataType::Utf8).expect("checked when it was planned");
        let texts = texts.as_string::<i32>();
        self.numbers_at(texts.len(), |row| texts.is_valid(row).then(|| self.number_in(texts.value(row))))
    }

    /// The number that a text holds, as exact as the column can be.
    fn number_in(&self, text: &str) -> Result<Number, BadValue> {
        let text = text.trim_matches(BLANKS);
        let wrong = || BadValue::wrong_type(quoted(text), &self.name);
        if matches!(self.to, ColumnType::Float | ColumnType::Double) {
            let is_number = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
            return text.parse().ok().filter(|_| is_number).map(Number::Float).ok_or_else(wrong);
        }
        let (scale, digits) = match self.to {
            ColumnType::Decimal { precision, scale } => (scale, precision),
            _ => (0, DIGITS_MAX),
        };
        let value = scaled_to_nearest(text, scale, digits).map_err(|fault| match fault {
            NumberFault::NotANumber => wrong(),
            NumberFault::Fraction | NumberFault::Range => BadValue::out_of_range(text, &self.name),
        })?;
        Ok(Number::Exact(value, i8::try_from(scale).expect("a scale is at most 38")))
    }

    fn numbers_at(
        &self,
        rows: usize,
        at: impl Fn(usize) -> Option<Result<Number, BadValue>>,
    ) -> (ArrayRef, Vec<(usize, BadValue)>) {
        match &self.to {
            ColumnType::Float => primitive::<Float32Type, _>(&self.to, rows, at, |number| self.float32(number?)),
            ColumnType::Double => primitive::<Float64Type, _>(&self.to, rows, at, |number| self.float64(number?)),
            ColumnType::Boolean => {
                let mut bad = Vec::new();
                let exact = |number: Result<Number, BadValue>| self.exact(number?).map(|value| value == 1);
                let value = |row| keep(row, at(row).map(exact), &mut bad);
                let column: BooleanArray = (0..rows).map(value).collect();
                (Arc::new(column), bad)
            }
            ColumnType::Year => primitive::<Int32Type, _>(&self.to, rows, at, |number| self.year(number?)),
            to => match arrow_type(to) {
                DataType::Int32 => primitive::<Int32Type, _>(to, rows, at, |number| {
                    self.exact(number?).map(|value| i32::try_from(value).expect("within the bounds of 32 bits"))
                }),
                DataType::Int64 => primitive::<Int64Type, _>(to, rows, at, |number| {
                    self.exact(number?).map(|value| i64::try_from(value).expect("within the bounds of 64 bits"))
                }),
                _ => primitive::<Decimal128Type, _>(to, rows, at, |number| self.exact(number?)),
            },
        }
    }

    /// The number as a whole number of the column's last digit, within the column's bounds.
    fn exact(&self, number: Number) -> Result<i128, BadValue> {
        let (scale, digits, bounds) = match self.to {
            ColumnType::Decimal { precision, scale } => (scale, precision, (i128::MIN, i128::MAX)),
            ColumnType::Integer { width, unsigned } => (0, 38, integer_bounds(width, unsigned)),
            ColumnType::Year => (0, 38, (i128::MIN, i128::MAX)),
            _ => (0, 38, (0, 1)),
        };
        let signed_scale = i8::try_from(scale).expect("a scale is at most 38");
        let value = match (number, self.rules) {
            (Number::Exact(value, from), Rules::Record) => rescaled(value, from, signed_scale, digits),
            (Number::Exact(value, from), Rules::Statement) => rescaled_to_nearest(value, from, signed_scale, digits),
            (Number::Float(value), _) if matches!(self.to, ColumnType::Decimal { .. }) => rounded(value, scale, digits),
            (Number::Float(value), Rules::Record) => whole(value),
            // Of two that are as near, MySQL takes the even one for a binary number.
            (Number::Float(value), Rules::Statement) => whole(value.round_ties_even()),
        };
        match value {
            Ok(value) if (bounds.0..=bounds.1).contains(&value) => Ok(value),
            Err(NumberFault::Fraction) => Err(BadValue::fraction(shown(number), &self.name)),
            _ => Err(BadValue::out_of_range(shown(number), &self.name)),
        }
    }

    /// In a statement, MySQL takes a year of two digits for one from 1970 to 2069.
    fn year(&self, number: Number) -> Result<i32, BadValue> {
        let value = match (self.exact(number)?, self.rules) {
            (value @ 1..=69, Rules::Statement) => value + 2000,
            (value @ 70..=99, Rules::Statement) => value + 1900,
            (value, _) => value,
        };
        year_value(value).ok_or_else(|| BadValue::out_of_range(value, &self.name))
    }

    /// In a statement there is no infinity and no NaN, as MySQL has none; an expression of a pipeline may make one.
    fn float64(&self, number: Number) -> Result<f64, BadValue> {
        let value = float(number);
        if self.rules == Rules::Statement && !value.is_finite() {
            return Err(BadValue::out_of_range(value, &self.name));
        }
        Ok(value)
    }

    fn float32(&self, number: Number) -> Result<f32, BadValue> {
        let value = self.float64(number)?;
        let narrow = value as f32;
        if narrow.is_infinite() && value.is_finite() {
            return Err(BadValue::out_of_range(value, &self.name));
        }
        Ok(narrow)
    }

    fn texts(&self, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let texts = self.as_texts(values);
        let texts = texts.as_string::<i32>();
        let at = |row: usize| texts.is_valid(row).then(|| self.trimmed(texts.value(row)));
        let rows = texts.len();
        let clock = Clock::of(&self.to);
        match &self.to {
            ColumnType::Date => primitive::<Date32Type, _>(&self.to, rows, at, |text| self.date(text, &clock)),
            ColumnType::DateTime { .. } | ColumnType::Timestamp { .. } => {
                primitive::<TimestampMicrosecondType, _>(&self.to, rows, at, |text| self.moment(text, &clock))
            }
            ColumnType::Time { .. } => {
                primitive::<DurationMicrosecondType, _>(&self.to, rows, at, |text| self.span(text, &clock))
            }
            _ => {
                let mut bad = Vec::new();
                let text = |row: usize| texts.is_valid(row).then(|| self.text(texts.value(row)));
                let column: StringArray = (0..rows).map(|row| keep(row, text(row), &mut bad)).collect();
                (Arc::new(column), bad)
            }
        }
    }

    fn texts_in_bytes(&self, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let values = cast(values, &DataType::Binary).expect("checked when it was planned");
        let values = values.as_binary::<i32>();
        let mut bad = Vec::new();
        let text = |bytes| match std::str::from_utf8(bytes) {
            Ok(text) => self.text(text),
            Err(error) => Err(BadValue::not_utf8(bytes, error.valid_up_to(), &self.name)),
        };
        let value = |row: usize| values.is_valid(row).then(|| text(values.value(row)));
        let column: StringArray = (0..values.len()).map(|row| keep(row, value(row), &mut bad)).collect();
        (Arc::new(column), bad)
    }

    /// The values as texts. In a statement TRUE is the number 1 and a time has a blank after its day, as MySQL writes them.
    fn as_texts(&self, values: &ArrayRef) -> ArrayRef {
        let planned = "checked when it was planned";
        let text = |values: &ArrayRef| cast(values, &DataType::Utf8).expect(planned);
        match (self.rules, values.data_type()) {
            (Rules::Statement, DataType::Boolean) => text(&cast(values, &DataType::Int8).expect("it is 0 or 1")),
            (Rules::Statement, DataType::Timestamp(..)) => {
                let zoneless = DataType::Timestamp(TimeUnit::Microsecond, None);
                let texts = text(&cast(values, &zoneless).expect(planned));
                let spaced = |text: Option<&str>| text.map(|text| text.replacen('T', " ", 1));
                Arc::new(texts.as_string::<i32>().iter().map(spaced).collect::<StringArray>())
            }
            _ => text(values),
        }
    }

    /// Blanks around a time that somebody typed say nothing; a record's texts are taken as they are.
    fn trimmed<'a>(&self, text: &'a str) -> &'a str {
        if self.rules == Rules::Statement { text.trim_matches(BLANKS) } else { text }
    }

    fn moments(&self, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let moments = cast(values, &arrow_type(&self.to)).expect("checked when it was planned");
        let moments = moments.as_primitive::<TimestampMicrosecondType>();
        let clock = Clock::of(&self.to);
        let at = |row: usize| moments.is_valid(row).then(|| moments.value(row));
        primitive::<TimestampMicrosecondType, _>(&self.to, moments.len(), at, |micros| {
            clock.rounded(micros).ok_or_else(|| BadValue::out_of_range("a time beyond the year 9999", &self.name))
        })
    }

    fn spans(&self, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let planned = "checked when it was planned";
        let spans = match values.data_type() {
            DataType::Time32(_) | DataType::Time64(_) => {
                let micros = cast(values, &DataType::Time64(TimeUnit::Microsecond)).expect(planned);
                cast(&cast(&micros, &DataType::Int64).expect(planned), &arrow_type(&self.to)).expect(planned)
            }
            _ => cast(values, &arrow_type(&self.to)).expect(planned),
        };
        let spans = spans.as_primitive::<DurationMicrosecondType>();
        let clock = Clock::of(&self.to);
        // What did not fit into 64 bits of microseconds became NULL.
        let at = |row: usize| values.is_valid(row).then(|| spans.is_valid(row).then(|| spans.value(row)));
        primitive::<DurationMicrosecondType, _>(&self.to, spans.len(), at, |micros| {
            let rounded = micros.and_then(|micros| clock.rounded_span(micros));
            rounded.ok_or_else(|| BadValue::out_of_range("a time beyond 838:59:59", &self.name))
        })
    }

    fn bytes(&self, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let values = cast(values, &DataType::Binary).expect("checked when it was planned");
        let values = values.as_binary::<i32>();
        let room = Room::of(&self.to).expect("only bytes go this way");
        let mut bad = Vec::new();
        let value = |row: usize| values.is_valid(row).then(|| room.value(values.value(row), &self.name));
        let column: BinaryArray = (0..values.len()).map(|row| keep(row, value(row), &mut bad)).collect();
        (Arc::new(column), bad)
    }

    fn json(&self, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let texts = cast(values, &DataType::Utf8).expect("checked when it was planned");
        let mut column = Column::of(&self.to);
        let mut bad = Vec::new();
        for (row, text) in texts.as_string::<i32>().iter().enumerate() {
            let Some(text) = text else {
                column.push_null();
                continue;
            };
            let mut cursor = Cursor::new(text);
            let written = match cursor.value() {
                Some(value) if cursor.is_at_end() => column.write(value),
                _ => {
                    let message = format!("{} cannot become {}: it is not JSON", quoted(text), self.name);
                    Err(Box::new(BadValue { reason: ErrorReason::MalformedJson, message }))
                }
            };
            if let Err(why) = written {
                column.push_null();
                bad.push((row, *why));
            }
        }
        (column.finish(), bad)
    }

    fn elements(&self, element: &Assignment, values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let DataType::List(field) = arrow_type(&self.to) else { unreachable!("only arrays go this way") };
        let list = as_list(values).expect("checked when it was planned");
        let (_, offsets, elements, nulls) = list.as_list::<i32>().clone().into_parts();
        let (elements, bad) = element.apply(&elements);
        let bad = by_row(&offsets, bad, |place| format!("element {}", place + 1));
        (Arc::new(ListArray::new(field, offsets, elements, nulls)), bad)
    }

    fn entries(&self, entry: &(Assignment, Assignment), values: &ArrayRef) -> (ArrayRef, Vec<(usize, BadValue)>) {
        let DataType::Map(field, sorted) = arrow_type(&self.to) else { unreachable!("only maps go this way") };
        let DataType::Struct(fields) = field.data_type() else { unreachable!("a map is made of pairs") };
        let (_, offsets, entries, nulls, _) = values.as_map().clone().into_parts();
        let (keys, bad_keys) = entry.0.apply(entries.column(0));
        let (values, bad_values) = entry.1.apply(entries.column(1));
        let mut bad = by_row(&offsets, bad_keys, |place| format!("key {}", place + 1));
        bad.extend(by_row(&offsets, bad_values, |place| format!("value {}", place + 1)));
        // A key that did not fit is NULL, which no key may be; its row is lost, and any key will do.
        let keys = match keys.null_count() {
            0 => keys,
            _ => zip(&is_null(&keys).expect("every array tells its nulls"), &Scalar::new(any_key(&keys)), &keys)
                .expect("both are keys of one type"),
        };
        let entries = StructArray::new(fields.clone(), vec![keys, values], None);
        (Arc::new(MapArray::new(field, offsets, entries, nulls, sorted)), bad)
    }

    fn date(&self, text: &str, clock: &Clock) -> Result<i32, BadValue> {
        match self.rules {
            Rules::Record => date_value(text),
            // MySQL takes the day of a time.
            Rules::Statement => date_value(text).or_else(|why| {
                let micros = self.moment(text, clock).map_err(|_| why)?;
                Ok(i32::try_from(micros.div_euclid(MICROS_PER_DAY)).expect("of a calendar of four-digit years"))
            }),
        }
    }

    /// A statement may spell a moment as people type it, `2024-1-5 3:04`.
    fn moment(&self, text: &str, clock: &Clock) -> Result<i64, BadValue> {
        clock.micros(text).or_else(|why| match loose::moment(text).filter(|_| self.rules == Rules::Statement) {
            Some(iso) => clock.micros(&iso),
            None => Err(why),
        })
    }

    /// The same of a TIME.
    fn span(&self, text: &str, clock: &Clock) -> Result<i64, BadValue> {
        clock.span(text).or_else(|why| match loose::span(text).filter(|_| self.rules == Rules::Statement) {
            Some(iso) => clock.span(&iso),
            None => Err(why),
        })
    }

    fn text<'a>(&self, text: &'a str) -> Result<&'a str, BadValue> {
        match &self.to {
            ColumnType::Text { characters_max } if !within(text, *characters_max) => Err(too_long(text, &self.name)),
            ColumnType::Char { characters } => char_value(text, *characters, &self.name),
            ColumnType::Enum { values } => enum_value(text, values),
            ColumnType::Json if !is_json(text) => {
                let message = format!("{} is not JSON", quoted(text));
                Err(BadValue { reason: ErrorReason::MalformedJson, message })
            }
            _ => Ok(text),
        }
    }
}

/// What MySQL passes over around a number or a time: a field of a file may have a line's end in it.
const BLANKS: [char; 6] = [' ', '\t', '\n', '\u{b}', '\u{c}', '\r'];

/// Which way leads from `from` to `to`.
fn way(rules: Rules, from: &DataType, to: &ColumnType) -> Option<Way> {
    let is_text = matches!(from, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let is_number = from.is_integer()
        || from.is_floating()
        || matches!(
            from,
            DataType::Boolean | DataType::Decimal128(..) | DataType::Decimal32(..) | DataType::Decimal64(..)
        );
    let is_date = matches!(from, DataType::Date32 | DataType::Date64);
    let is_timestamp = matches!(from, DataType::Timestamp(..));
    let is_bytes =
        matches!(from, DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_));
    let is_span = matches!(from, DataType::Duration(_) | DataType::Time32(_) | DataType::Time64(_));
    let is_same = *from == arrow_type(to);
    match to {
        _ if *from == DataType::Null => Some(Way::Null),
        ColumnType::Text { characters_max: None } if is_same => Some(Way::Same),
        ColumnType::Text { .. } | ColumnType::Char { .. } if is_text || is_number || is_date || is_timestamp => {
            Some(Way::Texts)
        }
        ColumnType::Enum { .. } if is_text => Some(Way::Texts),
        // In MySQL, X'…' is a string whose characters are bytes.
        ColumnType::Text { .. } | ColumnType::Char { .. } | ColumnType::Enum { .. }
            if is_bytes && rules == Rules::Statement =>
        {
            Some(Way::TextsInBytes)
        }
        ColumnType::Binary { .. } | ColumnType::VarBinary { .. } if is_text || is_bytes => Some(Way::Bytes),
        ColumnType::Json if is_text || is_number && !from.is_floating() => Some(Way::Texts),
        ColumnType::Boolean | ColumnType::Decimal { .. } if is_same => Some(Way::Same),
        ColumnType::Double | ColumnType::Float if is_same && rules == Rules::Record => Some(Way::Same),
        ColumnType::Boolean
        | ColumnType::Integer { .. }
        | ColumnType::Float
        | ColumnType::Double
        | ColumnType::Decimal { .. }
        | ColumnType::Year
            if is_number =>
        {
            Some(Way::Numbers)
        }
        ColumnType::Boolean
        | ColumnType::Integer { .. }
        | ColumnType::Float
        | ColumnType::Double
        | ColumnType::Decimal { .. }
        | ColumnType::Year
            if is_text && rules == Rules::Statement =>
        {
            Some(Way::NumbersInTexts)
        }
        ColumnType::Date | ColumnType::DateTime { digits: None } | ColumnType::Timestamp { digits: None }
            if is_same =>
        {
            Some(Way::Same)
        }
        ColumnType::Date | ColumnType::DateTime { .. } | ColumnType::Timestamp { .. } | ColumnType::Time { .. }
            if is_text =>
        {
            Some(Way::Texts)
        }
        ColumnType::Date if is_date || is_timestamp && rules == Rules::Statement => Some(Way::Cast),
        // A time below a microsecond is cut off, as in the times of records.
        ColumnType::DateTime { .. } | ColumnType::Timestamp { .. } if is_date || is_timestamp => Some(Way::Moments),
        ColumnType::Time { .. } if is_span => Some(Way::Spans),
        ColumnType::Array { .. } | ColumnType::Map { .. } if is_text => Some(Way::Json),
        ColumnType::Array { element } => {
            let DataType::List(field) = list_type(from)? else { return None };
            let element = Assignment::by(rules, field.data_type(), element).ok()?;
            Some(Way::Elements(Box::new(element)))
        }
        ColumnType::Map { key, value } => {
            let DataType::Map(entries, _) = from else { return None };
            let DataType::Struct(fields) = entries.data_type() else { return None };
            let [from_key, from_value] = [0, 1].map(|at| fields[at].data_type());
            let key = Assignment::by(rules, from_key, key).ok()?;
            Some(Way::Entries(Box::new((key, Assignment::by(rules, from_value, value).ok()?))))
        }
        _ => None,
    }
}

/// Reads numbers of any type.
fn reader(values: &ArrayRef) -> Box<dyn Fn(usize) -> Number> {
    let wide = |data_type: &DataType| cast(values, data_type).expect("every number has a wider form");
    match values.data_type() {
        DataType::Float16 | DataType::Float32 | DataType::Float64 => {
            let values = wide(&DataType::Float64).as_primitive::<Float64Type>().clone();
            Box::new(move |row| Number::Float(values.value(row)))
        }
        DataType::UInt64 => {
            let values = wide(&DataType::Decimal128(20, 0)).as_primitive::<Decimal128Type>().clone();
            Box::new(move |row| Number::Exact(values.value(row), 0))
        }
        DataType::Decimal128(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal32(_, scale) => {
            let scale = *scale;
            let values = wide(&DataType::Decimal128(38, scale)).as_primitive::<Decimal128Type>().clone();
            Box::new(move |row| Number::Exact(values.value(row), scale))
        }
        _ => {
            let values = wide(&DataType::Int64).as_primitive::<Int64Type>().clone();
            Box::new(move |row| Number::Exact(i128::from(values.value(row)), 0))
        }
    }
}

fn float(number: Number) -> f64 {
    match number {
        Number::Exact(value, 0) => value as f64,
        Number::Exact(value, scale) => value as f64 / 10_f64.powi(i32::from(scale)),
        Number::Float(value) => value,
    }
}

fn shown(number: Number) -> String {
    match number {
        Number::Exact(value, 0) => value.to_string(),
        number => float(number).to_string(),
    }
}

/// A column of `convert`ed values, and the rows that could not be.
fn primitive<T: ArrowPrimitiveType, V>(
    to: &ColumnType,
    rows: usize,
    at: impl Fn(usize) -> Option<V>,
    convert: impl Fn(V) -> Result<T::Native, BadValue>,
) -> (ArrayRef, Vec<(usize, BadValue)>) {
    let mut bad = Vec::new();
    let column: PrimitiveArray<T> = (0..rows).map(|row| keep(row, at(row).map(&convert), &mut bad)).collect();
    (Arc::new(column.with_data_type(arrow_type(to))), bad)
}

fn keep<V>(row: usize, value: Option<Result<V, BadValue>>, bad: &mut Vec<(usize, BadValue)>) -> Option<V> {
    match value? {
        Ok(value) => Some(value),
        Err(why) => {
            bad.push((row, why));
            None
        }
    }
}
