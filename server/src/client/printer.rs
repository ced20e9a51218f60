//! The formats of an answer, and the seam between reading rows and showing them.

use std::io::{self, Write};

use super::connection::Row;
use super::lines::{CsvPrinter, JsonPrinter, TsvPrinter, VerticalPrinter};
use super::table::TablePrinter;
use crate::mysql::column::ColumnDefinition;

/// How answers are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A table with a frame.
    Table,
    /// A line per value.
    Vertical,
    /// Values between tabs, after a line of headers; tab, newline and backslash are escaped as MySQL's client does.
    Tsv,
    /// Values between commas, after a line of headers, quoted by RFC 4180; NULL is empty.
    Csv,
    /// One JSON object per line and row.
    Json,
}

impl Format {
    /// Whether it is for people, so that the number of rows and the time are shown too.
    pub(super) fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Vertical)
    }

    pub(super) fn printer(self, columns: &[ColumnDefinition]) -> Box<dyn RowPrinter> {
        match self {
            Self::Table => Box::new(TablePrinter::new(columns)),
            Self::Vertical => Box::new(VerticalPrinter::new(columns)),
            Self::Tsv => Box::new(TsvPrinter::new(columns)),
            Self::Csv => Box::new(CsvPrinter::new(columns)),
            Self::Json => Box::new(JsonPrinter::new(columns)),
        }
    }
}

/// Shows the rows of one answer.
pub(super) trait RowPrinter: Send {
    /// The next row.
    fn row(&mut self, row: Row, out: &mut dyn Write) -> io::Result<()>;
    /// There are no more rows.
    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()>;
}

/// A value as text: bytes that are not text in hexadecimal digits.
pub(super) fn value_text(column: &ColumnDefinition, value: &[u8]) -> String {
    match std::str::from_utf8(value) {
        Ok(text) if !column.is_binary() || text.chars().all(|c| !c.is_control()) => text.to_owned(),
        _ => format!("0x{}", hex::encode_upper(value)),
    }
}

/// Text for a terminal: control characters are shown, not obeyed, because rows come from strangers. Lines may stay lines.
pub(super) fn harmless(text: &str, keep_lines: bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' if keep_lines => shown.push('\n'),
            control if control.is_control() => shown.extend(control.escape_default()),
            other => shown.push(other),
        }
    }
    shown
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::datatypes::{DataType, Field};
    use bytes::Bytes;

    use super::*;

    /// What `format` shows of a number, a text and a JSON value per row.
    pub(in super::super) fn printed(format: Format, rows: &[[Option<&'static str>; 3]]) -> String {
        let metadata = [(crate::mysql::MYSQL_TYPE_KEY.to_owned(), "JSON".to_owned())];
        let fields = [
            Field::new("n", DataType::Int64, true),
            Field::new("name", DataType::Utf8, true),
            Field::new("doc", DataType::Utf8, true).with_metadata(metadata.into()),
        ];
        let columns: Vec<ColumnDefinition> = fields.iter().map(ColumnDefinition::of).collect();
        let mut printer = format.printer(&columns);
        let mut out = Vec::new();
        for row in rows {
            let row = row.iter().map(|value| value.map(|text| Bytes::from_static(text.as_bytes()))).collect();
            printer.row(row, &mut out).unwrap();
        }
        printer.finish(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn control_characters_of_a_row_do_not_reach_the_terminal() {
        for format in [Format::Table, Format::Vertical] {
            let shown = printed(format, &[[Some("1"), Some("\u{1b}[2Jgone"), None]]);
            assert!(!shown.contains('\u{1b}') && shown.contains("[2Jgone"), "{shown}");
        }
    }

    #[test]
    fn bytes_are_shown_in_hexadecimal_digits() {
        let column = ColumnDefinition::of(&Field::new("b", DataType::Binary, true));
        assert_eq!(value_text(&column, &[0xFF, 0, 1]), "0xFF0001");
        assert_eq!(value_text(&column, b"plain"), "plain");
    }
}
