//! From a sample of records to columns: names, types, and why. Pure.
//!
//! What is promised: every record of the sample becomes a row of the columns inferred. What a later record holds, nobody
//! knows; so a type is the narrowest that holds the sample without loss, and where kinds are mixed it is JSON, which takes
//! any value. No column is NOT NULL: that a field was never missing says nothing of the next record, and where it was wrong,
//! rows would be lost to the error table. The rules are in `docs/sql.md`.

use std::collections::{BTreeMap, BTreeSet};

use catalog::{ColumnType, check_column_name};

mod seen;

use super::json::members;
use super::transform::is_metadata;
use seen::Seen;

/// Beyond this many fields a record is rather a map than a row.
const COLUMNS_MAX: usize = 500;
/// The longest name that is made of a field's.
const NAME_CHARACTERS_MAX: usize = 60;

/// A column that a sample asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferredColumn {
    /// The column's name.
    pub name: String,
    /// The name of the field in the record; mostly the same.
    pub field: String,
    /// Its type.
    pub kind: ColumnType,
    /// The first value, as its JSON text or a string's characters.
    pub sample: Option<String>,
    /// Why it is of this type, in a few words.
    pub why: String,
}

/// What a sample says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inferred {
    /// The columns, in the order in which their fields were first met.
    pub columns: Vec<InferredColumn>,
    /// What the columns do not show, each in a sentence.
    pub notes: Vec<String>,
    /// How many records were looked at.
    pub records: usize,
    /// How many of them were JSON objects.
    pub objects: usize,
}

/// A field, and what was seen in it.
#[derive(Debug)]
struct Field {
    name: String,
    seen: Seen,
}

/// Fields by their names, in the order in which they were met.
#[derive(Debug, Default)]
struct Fields {
    fields: Vec<Field>,
    by_name: BTreeMap<String, usize>,
    /// Names in lower case that one record has in several spellings.
    together: BTreeSet<String>,
    left_out: u64,
}

/// The columns that hold each of `payloads`; `None` is a record without a payload.
pub fn infer<'a>(payloads: impl IntoIterator<Item = Option<&'a [u8]>>) -> Inferred {
    let mut fields = Fields::default();
    let (mut records, mut objects) = (0, 0);
    for payload in payloads {
        records += 1;
        let text = payload.and_then(|payload| std::str::from_utf8(payload).ok());
        if let Some(members) = text.and_then(members) {
            objects += 1;
            fields.take(members);
        }
    }
    let mut inferred = Inferred { records, objects, ..Inferred::default() };
    if objects < records {
        inferred.notes.push(format!(
            "{} of the {records} records looked at are no JSON objects: such records become error rows",
            records - objects
        ));
    }
    fields.into_columns(&mut inferred);
    inferred
}

impl Fields {
    /// Takes a record; of a name that stands twice, the last value counts.
    fn take(&mut self, members: Vec<(std::borrow::Cow<'_, str>, super::json::Json<'_>)>) {
        let mut of_record = BTreeMap::new();
        for (name, value) in members {
            if let Some(index) = self.index(&name) {
                of_record.insert(index, value);
            }
        }
        let mut spelled = BTreeSet::new();
        for (index, value) in of_record {
            let folded = self.fields[index].name.to_ascii_lowercase();
            if !spelled.insert(folded.clone()) {
                self.together.insert(folded);
            }
            self.fields[index].seen.take(value);
        }
    }

    fn index(&mut self, name: &str) -> Option<usize> {
        if let Some(index) = self.by_name.get(name) {
            return Some(*index);
        }
        if self.fields.len() == COLUMNS_MAX {
            self.left_out += 1;
            return None;
        }
        self.fields.push(Field { name: name.to_owned(), seen: Seen::default() });
        self.by_name.insert(name.to_owned(), self.fields.len() - 1);
        Some(self.fields.len() - 1)
    }

    fn into_columns(self, inferred: &mut Inferred) {
        if self.left_out > 0 {
            inferred.notes.push(format!(
                "the records have more than {COLUMNS_MAX} fields; the others are left out: name the columns that you need"
            ));
        }
        let mut of_spellings: BTreeMap<String, Seen> = BTreeMap::new();
        for field in &self.fields {
            of_spellings.entry(field.name.to_ascii_lowercase()).or_default().add(&field.seen);
        }
        let mut names = BTreeSet::new();
        let mut placed = BTreeSet::new();
        for field in self.fields {
            let folded = field.name.to_ascii_lowercase();
            if is_metadata(&field.name) {
                inferred.notes.push(format!(
                    "field {:?} is left out: that name is of what every record has beside its payload",
                    field.name
                ));
                continue;
            }
            // A reader takes a field in any spelling, so that the type has to hold what stands under each.
            let all = &of_spellings[&folded];
            let is_together = self.together.contains(&folded);
            if !placed.insert(folded) && !is_together {
                inferred.notes.push(format!("field {:?} is read into the column of its other spelling", field.name));
                continue;
            }
            let own = if is_together { &field.seen } else { all };
            let name = column_name(&field.name, &names);
            if name != field.name {
                inferred.notes.push(format!("field {:?} becomes column `{name}`", field.name));
            }
            names.insert(name.to_ascii_lowercase());
            let (kind, found) = all.kind();
            let why = match own.values() < inferred.objects as u64 {
                false => format!("{found} in all {} records", inferred.objects),
                true => format!("{found} in {} of {} records", own.values(), inferred.objects),
            };
            let sample = own.first().map(str::to_owned);
            inferred.columns.push(InferredColumn { name, field: field.name, kind, sample, why });
        }
    }
}

/// The field's name, or what can stand for it; none that is in `taken`, which is in lower case.
fn column_name(field: &str, taken: &BTreeSet<String>) -> String {
    let is_free = |name: &str| check_column_name(name).is_ok() && !taken.contains(&name.to_ascii_lowercase());
    if is_free(field) {
        return field.to_owned();
    }
    let plain: String = field.chars().map(|c| if c.is_control() { '_' } else { c }).take(NAME_CHARACTERS_MAX).collect();
    let plain = plain.trim();
    let plain = if plain.is_empty() { "field" } else { plain };
    let numbered = (2..).map(|number| format!("{plain}_{number}"));
    let mut names = std::iter::once(plain.to_owned()).chain(numbered);
    names.find(|name| is_free(name)).expect("there are more numbers than columns")
}

#[cfg(test)]
mod tests;
