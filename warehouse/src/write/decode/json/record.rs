//! One record's reading: serde drives, and each value goes to its column as it is met.
//!
//! A value that its column does not take is a flaw, not an end: a later duplicate may mend it, and the pipeline's WHERE may
//! leave the row out.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::super::column::{Column, Refusal, Sink, Written, with_column, write_text};
use super::super::{DecodeField, Flaw};
use super::keys::{KeyId, KeyIndex, Target};

/// What a payload turned out to be.
pub(super) enum Shape {
    /// An object, now in the columns.
    Object {
        /// Keys that belong to no field.
        unknown_fields: u64,
    },
    /// Something else, in words.
    Other(&'static str),
}

/// What is needed while a record is read.
pub(super) struct RecordScan<'a> {
    pub(super) fields: &'a [DecodeField],
    pub(super) keys: &'a mut KeyIndex,
    pub(super) columns: &'a mut [Column],
    pub(super) exact: &'a mut [u64],
    pub(super) reading: u64,
    pub(super) row: usize,
    pub(super) flaws: &'a mut Vec<Flaw>,
    /// Whether each value is read as text: slower, and exact where a number fits no machine type.
    pub(super) by_text: bool,
}

impl RecordScan<'_> {
    /// Whether the field takes a value from this key; of duplicates the last counts, and an exact name above others.
    fn makes_room(&mut self, target: Target) -> bool {
        let column = &mut self.columns[target.field];
        if column.len() > self.row {
            if !target.exact && self.exact[target.field] == self.reading {
                return false;
            }
            column.truncate(self.row);
            let (row, field) = (self.row, target.field);
            self.flaws.retain(|flaw| flaw.row as usize != row || flaw.field as usize != field);
        }
        if target.exact {
            self.exact[target.field] = self.reading;
        }
        true
    }

    /// Keeps the row whole where a value was refused. False: the record must be read by text.
    fn note(&mut self, field: usize, written: Written) -> bool {
        let bad = match written {
            Ok(()) => return true,
            Err(Refusal::NeedsText) => return false,
            Err(Refusal::Bad(bad)) => bad.at(format_args!("field {:?}", self.fields[field].name)),
        };
        self.columns[field].push_null();
        let row = u32::try_from(self.row).expect("a fetch is bounded by bytes, far below 2^32 records");
        let field = u32::try_from(field).expect("a table has fewer than 2^32 columns");
        self.flaws.push(Flaw { row, field, reason: bad.reason, message: bad.message });
        true
    }

    /// One value for any number of fields, by its text. Returns how many took it.
    fn write_by_text(&mut self, key: KeyId, json: &str) -> usize {
        let mut taken = 0;
        for index in 0..self.keys.targets(key).len() {
            let target = self.keys.targets(key)[index];
            if self.makes_room(target) {
                let written = self.columns[target.field].write_text(json);
                let settled = self.note(target.field, written);
                debug_assert!(settled, "text is the last resort");
                taken += 1;
            }
        }
        taken
    }
}

impl<'de> Visitor<'de> for RecordScan<'_> {
    type Value = Shape;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Shape, A::Error> {
        let mut unknown_fields = 0;
        let mut previous = None;
        while let Some(key) = map.next_key_seed(KeySeed { keys: self.keys, previous })? {
            previous = Some(key);
            let only = match *self.keys.targets(key) {
                [] => {
                    unknown_fields += 1;
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
                [target] if !self.by_text => Some(target),
                _ => None,
            };
            if let Some(target) = only
                && self.makes_room(target)
            {
                let written = map.next_value_seed(ValueSeed(&mut self.columns[target.field]))?;
                if !self.note(target.field, written) {
                    return Err(A::Error::custom("to be read by text"));
                }
            } else {
                let json = map.next_value::<&RawValue>()?.get();
                unknown_fields += u64::from(self.write_by_text(key, json) == 0);
            }
        }
        Ok(Shape::Object { unknown_fields })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Shape, A::Error> {
        IgnoredAny.visit_seq(seq).map(|_| Shape::Other("an array"))
    }

    fn visit_str<E>(self, _: &str) -> Result<Shape, E> {
        Ok(Shape::Other("a string"))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Shape, E> {
        Ok(Shape::Other("a boolean"))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Shape, E> {
        Ok(Shape::Other("a number"))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Shape, E> {
        Ok(Shape::Other("a number"))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Shape, E> {
        Ok(Shape::Other("a number"))
    }

    fn visit_unit<E>(self) -> Result<Shape, E> {
        Ok(Shape::Other("null"))
    }
}

/// Finds the key that comes next.
struct KeySeed<'a> {
    keys: &'a mut KeyIndex,
    previous: Option<KeyId>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = KeyId;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<KeyId, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = KeyId;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E>(self, name: &str) -> Result<KeyId, E> {
        Ok(self.keys.find(self.previous, name))
    }
}

/// Writes the value that comes next to a column.
struct ValueSeed<'a>(&'a mut Column);

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Written;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Written, D::Error> {
        with_column!(self.0, sink => deserialize_into(sink, deserializer))
    }
}

fn deserialize_into<'de, S: Sink, D: Deserializer<'de>>(sink: &mut S, deserializer: D) -> Result<Written, D::Error> {
    if S::READS_TEXT {
        let json = <&RawValue as serde::Deserialize>::deserialize(deserializer)?;
        return Ok(write_text(sink, json.get()));
    }
    deserializer.deserialize_any(ValueVisitor(sink))
}

struct ValueVisitor<'a, S>(&'a mut S);

impl<'de, S: Sink> Visitor<'de> for ValueVisitor<'_, S> {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Written, E> {
        self.0.null();
        Ok(Ok(()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Written, E> {
        Ok(self.0.boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Written, E> {
        Ok(self.0.signed(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Written, E> {
        Ok(self.0.unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Written, E> {
        Ok(self.0.float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Written, E> {
        Ok(self.0.text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Written, A::Error> {
        IgnoredAny.visit_seq(seq)?;
        Ok(self.0.nested("["))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Written, A::Error> {
        IgnoredAny.visit_map(map)?;
        Ok(self.0.nested("{"))
    }
}
