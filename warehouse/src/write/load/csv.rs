//! Comma-separated values, as RFC 4180 has them: fields in quotes may hold separators, line ends and, doubled, quotes. The first
//! record names the columns, unless they are given. An empty field without quotes, and `\N`, is NULL.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::compute::filter;
use arrow::datatypes::DataType;
use catalog::Table;

use super::{BATCH_BYTES, LINE_BYTES_MAX, Leniency, LoadError, LoadReader};
use crate::schema::row_schema;
use crate::write::decode::StatementColumn;

/// How a file is written.
#[derive(Clone, Debug)]
pub struct CsvOptions {
    /// Between fields.
    pub separator: u8,
    /// The columns of the fields; `None` where the first record names them.
    pub columns: Option<Vec<String>>,
}

/// Where in a record the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// Before a field's first byte.
    Start,
    Plain,
    Quoted,
    /// After a quote within quotes: the end, or the first of two.
    Quote,
}

/// See the module.
pub struct CsvReader {
    table: Arc<Table>,
    options: CsvOptions,
    leniency: Leniency,
    at: At,
    field: Vec<u8>,
    quoted: bool,
    record: Vec<Option<String>>,
    /// The line at hand, and that on which its record began.
    line: u64,
    began: u64,
    /// Set once the columns are known.
    plan: Option<Plan>,
    rows: Vec<(u64, Vec<Option<String>>)>,
    bytes: usize,
}

/// For each column of the table, the field that it takes, if any.
struct Plan {
    fields: usize,
    columns: Vec<(Option<usize>, StatementColumn)>,
}

impl CsvReader {
    /// A reader of rows of `table`.
    ///
    /// # Errors
    /// If a column is not there, or one that must have a value gets none.
    pub fn new(table: &Arc<Table>, options: CsvOptions, leniency: Leniency) -> Result<Self, LoadError> {
        let mut reader = Self {
            table: Arc::clone(table),
            options,
            leniency,
            at: At::Start,
            field: Vec::new(),
            quoted: false,
            record: Vec::new(),
            line: 1,
            began: 1,
            plan: None,
            rows: Vec::new(),
            bytes: 0,
        };
        if let Some(columns) = reader.options.columns.clone() {
            reader.plan = Some(plan(table, &columns)?);
        }
        Ok(reader)
    }

    fn byte(&mut self, byte: u8) -> Result<(), LoadError> {
        match (self.at, byte) {
            (At::Start, b'"') => {
                (self.at, self.quoted) = (At::Quoted, true);
            }
            (At::Quoted, b'"') => self.at = At::Quote,
            (At::Quoted, _) => {
                self.line += u64::from(byte == b'\n');
                self.keep(byte)?;
            }
            (At::Quote, b'"') => {
                self.keep(b'"')?;
                self.at = At::Quoted;
            }
            (_, byte) if byte == self.options.separator => self.end_field()?,
            (_, b'\n') => {
                self.end_field()?;
                self.end_record()?;
                self.line += 1;
                self.began = self.line;
            }
            (At::Quote, b'\r') => {}
            (At::Quote, _) => {
                let reason =
                    "a quoted field ends, and more follows before the separator; write a quote within quotes twice";
                return Err(LoadError::at(self.line, reason));
            }
            (At::Start | At::Plain, byte) => {
                self.at = At::Plain;
                self.keep(byte)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, byte: u8) -> Result<(), LoadError> {
        if self.field.len() >= LINE_BYTES_MAX {
            let reason = format!("a field has more than {LINE_BYTES_MAX} bytes; is a quote missing?");
            return Err(LoadError::at(self.began, reason));
        }
        self.field.push(byte);
        Ok(())
    }

    fn end_field(&mut self) -> Result<(), LoadError> {
        let mut bytes = std::mem::take(&mut self.field);
        let quoted = std::mem::take(&mut self.quoted);
        self.at = At::Start;
        if !quoted && bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        let text = String::from_utf8(bytes).map_err(|_| LoadError::at(self.line, "a field is not UTF-8"))?;
        self.bytes += text.len() + size_of::<Option<String>>();
        let is_null = !quoted && (text.is_empty() || text == "\\N");
        self.record.push((!is_null).then_some(text));
        Ok(())
    }

    fn end_record(&mut self) -> Result<(), LoadError> {
        let record = std::mem::take(&mut self.record);
        // An empty line is no record.
        if record.len() == 1 && record[0].is_none() {
            return Ok(());
        }
        let Some(plan) = &self.plan else {
            let names: Vec<String> =
                record.into_iter().map(|name| name.unwrap_or_default().trim().to_owned()).collect();
            // Some programs begin a file with a mark of its byte order.
            let names: Vec<String> = names.iter().map(|name| name.trim_start_matches('\u{feff}').to_owned()).collect();
            self.plan = Some(plan(&self.table, &names).map_err(|error| LoadError { line: Some(self.began), ..error })?);
            return Ok(());
        };
        if record.len() != plan.fields {
            let reason = format!("it has {} fields, and there are {} columns", record.len(), plan.fields);
            return self.leniency.skip(LoadError::at(self.began, reason));
        }
        self.rows.push((self.began, record));
        Ok(())
    }

    /// The rows so far as rows of the table.
    fn decode(&mut self) -> Result<Vec<RecordBatch>, LoadError> {
        self.bytes = 0;
        let rows = std::mem::take(&mut self.rows);
        let Some(plan) = self.plan.as_ref().filter(|_| !rows.is_empty()) else { return Ok(Vec::new()) };
        let mut lines: Vec<u64> = rows.iter().map(|(line, _)| *line).collect();
        let field = |at: usize| -> ArrayRef {
            Arc::new(rows.iter().map(|(_, record)| record[at].as_deref()).collect::<StringArray>())
        };
        let mut fields: Vec<ArrayRef> = (0..plan.fields).map(field).collect();
        loop {
            match taken(&self.table, plan, &fields, lines.len()) {
                Ok(batch) => return Ok(vec![batch]),
                Err((row, reason)) => {
                    self.leniency.skip(LoadError::at(lines[row], reason))?;
                    let kept: BooleanArray = (0..lines.len()).map(|other| Some(other != row)).collect();
                    fields = fields.iter().map(|field| filter(field, &kept).expect("they are as long")).collect();
                    lines.remove(row);
                }
            }
        }
    }
}

/// The table's rows, or the first that does not fit.
fn taken(table: &Table, plan: &Plan, fields: &[ArrayRef], rows: usize) -> Result<RecordBatch, (usize, String)> {
    let mut first: Option<(usize, String)> = None;
    let mut columns = Vec::with_capacity(plan.columns.len());
    for (from, column) in &plan.columns {
        let taken = match from {
            Some(from) => column.assign(&fields[*from]),
            None => column.defaults(rows),
        };
        match taken {
            Ok(taken) => columns.push(taken),
            Err(unfit) if first.as_ref().is_none_or(|(row, _)| unfit.row < *row) => {
                first = Some((unfit.row, format!("column `{}`: {}", unfit.column, unfit.message)));
            }
            Err(_) => {}
        }
    }
    match first {
        Some(first) => Err(first),
        None => Ok(RecordBatch::try_new(row_schema(table), columns).expect("each is of its column's type")),
    }
}

fn plan(table: &Table, names: &[String]) -> Result<Plan, LoadError> {
    for name in names {
        if table.column(name).is_none() {
            let known: Vec<&str> = table.columns.iter().map(|column| column.name.as_str()).collect();
            let known = known.join("`, `");
            return Err(LoadError::of_file(format!("there is no column `{name}`; there are `{known}`")));
        }
        if names.iter().filter(|other| other.eq_ignore_ascii_case(name)).count() > 1 {
            return Err(LoadError::of_file(format!("column `{name}` is named twice")));
        }
    }
    let mut columns = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let from = names.iter().position(|name| name.eq_ignore_ascii_case(&column.name));
        let taken = match from {
            Some(_) => StatementColumn::assigned(column, &DataType::Utf8),
            None => StatementColumn::absent(column),
        };
        columns.push((from, taken.map_err(|cause| LoadError::of_file(format!("column `{}`: {cause}", column.name)))?));
    }
    Ok(Plan { fields: names.len(), columns })
}

impl LoadReader for CsvReader {
    fn push(&mut self, bytes: &[u8]) -> Result<Vec<RecordBatch>, LoadError> {
        let mut batches = Vec::new();
        for byte in bytes {
            self.byte(*byte)?;
            if self.bytes >= BATCH_BYTES && self.record.is_empty() && self.at == At::Start {
                batches.extend(self.decode()?);
            }
        }
        Ok(batches)
    }

    fn finish(&mut self) -> Result<Vec<RecordBatch>, LoadError> {
        if self.at == At::Quoted {
            return Err(LoadError::at(self.began, "the file ends within quotes"));
        }
        if !self.record.is_empty() || self.at != At::Start {
            self.end_field()?;
            self.end_record()?;
        }
        self.decode()
    }

    fn leniency(&self) -> &Leniency {
        &self.leniency
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::write::testing::table;

    fn read(
        text: &str,
        columns: Option<&[&str]>,
        errors_max: u64,
    ) -> Result<(Vec<i64>, Vec<Option<String>>, u64), LoadError> {
        let columns = columns.map(|columns| columns.iter().map(|name| (*name).to_owned()).collect());
        let options = CsvOptions { separator: b',', columns };
        let mut reader = CsvReader::new(&table(), options, Leniency::new(errors_max))?;
        let mut batches = Vec::new();
        // However it is cut.
        for piece in text.as_bytes().chunks(3) {
            batches.extend(reader.push(piece)?);
        }
        batches.extend(reader.finish()?);
        let (mut seqs, mut kinds) = (Vec::new(), Vec::new());
        for batch in &batches {
            seqs.extend(batch.column(0).as_primitive::<Int64Type>().values());
            kinds.extend(batch.column(1).as_string::<i32>().iter().map(|kind| kind.map(str::to_owned)));
        }
        Ok((seqs, kinds, reader.leniency().skipped))
    }

    #[test]
    fn fields_are_those_of_rfc_4180() {
        let text = "kind,SEQ\r\na,1\n\"b, \"\"c\"\"\nd\",2\r\n,3\n\"\",4\n\n\\N,5";
        let (seqs, kinds, _) = read(text, None, 0).unwrap();
        assert_eq!(seqs, [1, 2, 3, 4, 5]);
        let kind = |text: &str| Some(text.to_owned());
        assert_eq!(kinds, [kind("a"), kind("b, \"c\"\nd"), None, kind(""), None]);
        assert_eq!(read("1,x\n", Some(&["seq", "kind"]), 0).unwrap().0, [1], "named, and without a header");
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_line_and_may_be_left_out() {
        let text = "seq,kind\n1,a\nx,b\n\"3\n\",c\n4\n5,e\n";
        let error = read(text, None, 0).unwrap_err();
        assert_eq!(error.line, Some(6), "the shape of a record is seen before its values: {error}");
        let error = read("seq,kind\n1,a\nx,b\n", None, 0).unwrap_err();
        assert_eq!(error.line, Some(3));
        assert!(error.to_string().contains("line 3: column `seq`"), "{error}");
        let (seqs, _, skipped) = read(text, None, 3).unwrap();
        assert_eq!((seqs.as_slice(), skipped), ([1, 3, 5].as_slice(), 2), "blanks around a number are none of it");
        assert!(read("seq,kind\n1,\"a\n", None, 9).unwrap_err().reason.contains("ends within quotes"));
        assert!(read("seq,kind\n1,\"a\"b\n", None, 9).unwrap_err().reason.contains("twice"));
        assert!(read("seq,knid\n", None, 9).unwrap_err().reason.contains("`kind`"));
        assert!(read("kind\nx\n", None, 0).unwrap_err().reason.contains("NOT NULL"));
    }
}
