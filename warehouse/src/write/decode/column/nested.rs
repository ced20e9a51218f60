//! Columns of arrays and maps: JSON's arrays and objects, whose values go on to a column of their own.
//!
//! How deeply they are nested is bounded by the column's type, not by the value.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, ListArray, MapArray, StructArray};
use arrow::datatypes::{DataType, FieldRef, Fields};
use catalog::ColumnType;

use super::super::json::{Cursor, Json, Kind};
use super::super::reason::{BadValue, shown};
use super::buffer::Lengths;
use super::sink::{Sink, Written, characters};
use super::{Column, arrow_type, mysql_type};

/// ARRAY<T>.
pub(in super::super) struct ArrayColumn {
    lengths: Lengths,
    elements: Box<Column>,
    field: FieldRef,
    name: String,
}

impl ArrayColumn {
    pub(super) fn new(kind: &ColumnType, element: &ColumnType) -> Self {
        let DataType::List(field) = arrow_type(kind) else { unreachable!("an array is stored as a list") };
        let elements = Box::new(Column::of(element));
        Self { lengths: Lengths::default(), elements, field, name: mysql_type(kind) }
    }

    /// Writes the elements of `json`, and nothing after one that is none.
    fn read(&mut self, json: &str) -> Written {
        let mut cursor = Cursor::new(json);
        let mut is_open = cursor.pass(b'[') && !cursor.pass(b']');
        let first = self.elements.len();
        while is_open {
            let place = self.elements.len() - first + 1;
            let value = cursor.value().expect("the text was measured as one array");
            self.elements.write(value).map_err(|bad| Box::new(bad.at(format_args!("element {place}"))))?;
            is_open = cursor.pass(b',');
        }
        self.lengths.push(self.elements.len())
    }
}

impl Sink for ArrayColumn {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.lengths.len()
    }

    fn reserve(&mut self, rows: usize) {
        self.lengths.reserve(rows);
    }

    fn truncate(&mut self, len: usize) {
        self.elements.truncate(self.lengths.truncate(len));
    }

    fn finish(&mut self) -> ArrayRef {
        let (offsets, nulls) = self.lengths.finish();
        Arc::new(ListArray::new(Arc::clone(&self.field), offsets, self.elements.finish(), nulls))
    }

    fn null(&mut self) {
        self.lengths.push_null();
    }

    fn json(&mut self, json: &str) -> Written {
        if !json.starts_with('[') {
            return Err(BadValue::wrong_type("an object", &self.name).into());
        }
        let before = self.elements.len();
        self.read(json).inspect_err(|_| self.elements.truncate(before))
    }
}

/// MAP<K, V>. Of a key that stands twice the last value counts, as everywhere in a record.
pub(in super::super) struct MapColumn {
    lengths: Lengths,
    keys: Box<Column>,
    /// Whether keys are numbers, which JSON can write only as names.
    keys_are_numbers: bool,
    values: Box<Column>,
    entries: FieldRef,
    fields: Fields,
    name: String,
}

impl MapColumn {
    pub(super) fn new(kind: &ColumnType, key: &ColumnType, value: &ColumnType) -> Self {
        let DataType::Map(entries, _) = arrow_type(kind) else { unreachable!("a map is stored as one") };
        let DataType::Struct(fields) = entries.data_type().clone() else { unreachable!("of pairs") };
        Self {
            lengths: Lengths::default(),
            keys: Box::new(Column::of(key)),
            keys_are_numbers: matches!(key, ColumnType::Integer { .. }),
            values: Box::new(Column::of(value)),
            entries,
            fields,
            name: mysql_type(kind),
        }
    }

    fn read(&mut self, json: &str) -> Written {
        for (name, value) in pairs(json)? {
            let key = |bad: Box<BadValue>| Box::new(bad.at(format_args!("key {:?}", shown(&name))));
            self.key(&name).map_err(key)?;
            self.values.write(value).map_err(key)?;
        }
        self.lengths.push(self.keys.len())
    }

    fn key(&mut self, name: &str) -> Written {
        if !self.keys_are_numbers {
            return self.keys.write_text(name);
        }
        let mut cursor = Cursor::new(name);
        match cursor.value() {
            Some(number @ Json { kind: Kind::Number, .. }) if cursor.is_at_end() => self.keys.write(number),
            _ => Err(BadValue::wrong_type("a name that is no number", &self.name).into()),
        }
    }

    fn cut(&mut self, len: usize) {
        self.keys.truncate(len);
        self.values.truncate(len);
    }
}

/// The names and values of an object that was measured as one, each name once.
fn pairs(json: &str) -> Result<Vec<(Cow<'_, str>, Json<'_>)>, Box<BadValue>> {
    let measured = "the text was measured as one object";
    let mut pairs: Vec<(Cow<'_, str>, Json<'_>)> = Vec::new();
    let mut places: BTreeMap<Cow<'_, str>, usize> = BTreeMap::new();
    let mut cursor = Cursor::new(json);
    let mut is_open = cursor.pass(b'{') && !cursor.pass(b'}');
    while is_open {
        let name = cursor.value().expect(measured);
        let name = match name.kind {
            Kind::Plain => Cow::Borrowed(&name.text[1..name.text.len() - 1]),
            _ => Cow::Owned(characters(name.text)?),
        };
        assert!(cursor.pass(b':'), "{measured}");
        let value = cursor.value().expect(measured);
        match places.get(&name) {
            Some(place) => pairs[*place].1 = value,
            None => {
                places.insert(name.clone(), pairs.len());
                pairs.push((name, value));
            }
        }
        is_open = cursor.pass(b',');
    }
    Ok(pairs)
}

impl Sink for MapColumn {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> usize {
        self.lengths.len()
    }

    fn reserve(&mut self, rows: usize) {
        self.lengths.reserve(rows);
    }

    fn truncate(&mut self, len: usize) {
        let left = self.lengths.truncate(len);
        self.cut(left);
    }

    fn finish(&mut self) -> ArrayRef {
        let (offsets, nulls) = self.lengths.finish();
        let entries = StructArray::new(self.fields.clone(), vec![self.keys.finish(), self.values.finish()], None);
        Arc::new(MapArray::new(Arc::clone(&self.entries), offsets, entries, nulls, false))
    }

    fn null(&mut self) {
        self.lengths.push_null();
    }

    fn json(&mut self, json: &str) -> Written {
        if !json.starts_with('{') {
            return Err(BadValue::wrong_type("an array", &self.name).into());
        }
        let before = self.keys.len();
        self.read(json).inspect_err(|_| self.cut(before))
    }
}
