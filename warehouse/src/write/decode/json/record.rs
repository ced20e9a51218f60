//! One record's reading: each value goes to its column as it is met.
//!
//! A value that its column does not take is a flaw, not an end: a later duplicate may mend it, and the pipeline's WHERE may
//! leave the row out.

use super::super::column::{Column, characters};
use super::super::reason::BadValue;
use super::super::{DecodeField, Flaw};
use super::keys::{KeyId, KeyIndex, Target};
use super::scan::{Cursor, Json, Kind};

/// What is needed while a record is read.
pub(super) struct RecordScan<'a> {
    pub(super) fields: &'a [DecodeField],
    pub(super) keys: &'a mut KeyIndex,
    pub(super) columns: &'a mut [Column],
    /// For each field, the last reading in which a key of exactly its name was seen.
    pub(super) exact: &'a mut [u64],
    pub(super) reading: u64,
    pub(super) row: usize,
    pub(super) flaws: &'a mut Vec<Flaw>,
    pub(super) unknown_fields: u64,
}

/// Why a payload was not read to its end. What was written of it is still there.
pub(super) enum Stop {
    /// It is not one JSON object.
    NotAnObject,
    /// A key is none.
    BadKey(BadValue),
}

impl RecordScan<'_> {
    /// Reads the object that `text` is.
    pub(super) fn read(&mut self, text: &str) -> Result<(), Stop> {
        let mut cursor = Cursor::new(text);
        if !cursor.pass(b'{') {
            return Err(Stop::NotAnObject);
        }
        let mut previous = None;
        let mut is_open = !cursor.pass(b'}');
        while is_open {
            let key = self.key(&mut cursor, previous)?;
            let value = cursor.value().ok_or(Stop::NotAnObject)?;
            self.write(key, value);
            previous = Some(key);
            is_open = cursor.pass(b',');
            if !is_open && !cursor.pass(b'}') {
                return Err(Stop::NotAnObject);
            }
        }
        if cursor.is_at_end() { Ok(()) } else { Err(Stop::NotAnObject) }
    }

    /// Passes a key and its colon.
    fn key(&mut self, cursor: &mut Cursor<'_>, previous: Option<KeyId>) -> Result<KeyId, Stop> {
        if let Some((key, text)) = self.keys.expected(previous)
            && cursor.pass_all(text)
        {
            return Ok(key);
        }
        let value = cursor.value().ok_or(Stop::NotAnObject)?;
        let key = match value.kind {
            Kind::Plain => self.keys.find(previous, &value.text[1..value.text.len() - 1]),
            Kind::Escaped => {
                let name = characters(value.text).map_err(Stop::BadKey)?;
                self.keys.find(previous, &name)
            }
            _ => return Err(Stop::NotAnObject),
        };
        if cursor.pass(b':') { Ok(key) } else { Err(Stop::NotAnObject) }
    }

    /// Writes a value to each field that its key belongs to.
    fn write(&mut self, key: KeyId, value: Json<'_>) {
        let mut taken = false;
        for index in 0..self.keys.targets(key).len() {
            let target = self.keys.targets(key)[index];
            if self.makes_room(target) {
                if let Err(bad) = self.columns[target.field].write(value) {
                    self.note(target.field, *bad);
                }
                taken = true;
            }
        }
        self.unknown_fields += u64::from(!taken);
    }

    /// Whether the field takes a value from this key; of duplicates the last counts, and an exact name above others.
    fn makes_room(&mut self, target: Target) -> bool {
        if self.columns[target.field].len() > self.row && !self.replaces(target) {
            return false;
        }
        if target.exact {
            self.exact[target.field] = self.reading;
        }
        true
    }

    #[cold]
    fn replaces(&mut self, target: Target) -> bool {
        if !target.exact && self.exact[target.field] == self.reading {
            return false;
        }
        self.columns[target.field].truncate(self.row);
        let (row, field) = (self.row, target.field);
        self.flaws.retain(|flaw| flaw.row as usize != row || flaw.field as usize != field);
        true
    }

    /// Keeps the row whole where a value was refused.
    #[cold]
    fn note(&mut self, field: usize, bad: BadValue) {
        let bad = bad.at(format_args!("field {:?}", self.fields[field].name));
        self.columns[field].push_null();
        let row = u32::try_from(self.row).expect("a fetch is bounded by bytes, far below 2^32 records");
        let field = u32::try_from(field).expect("a table has fewer than 2^32 columns");
        self.flaws.push(Flaw { row, field, reason: bad.reason, message: bad.message });
    }
}
