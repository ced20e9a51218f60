//! Answers line by line: vertically for people; TSV, CSV and JSON for programs.

use std::io::{self, Write};

use serde::de::IgnoredAny;

use super::connection::Row;
use super::printer::{RowPrinter, harmless, value_text};
use crate::mysql::column::{ColumnDefinition, type_code};

/// A line per value.
pub(super) struct VerticalPrinter {
    columns: Vec<ColumnDefinition>,
    width: usize,
    count: u64,
}

impl VerticalPrinter {
    pub(super) fn new(columns: &[ColumnDefinition]) -> Self {
        let width = columns.iter().map(|column| harmless(&column.name, false).chars().count()).max().unwrap_or(0);
        Self { columns: columns.to_vec(), width, count: 0 }
    }
}

impl RowPrinter for VerticalPrinter {
    fn row(&mut self, row: Row, out: &mut dyn Write) -> io::Result<()> {
        self.count += 1;
        writeln!(out, "*************************** {}. row ***************************", self.count)?;
        for (column, value) in self.columns.iter().zip(&row) {
            let text = value.as_ref().map_or("NULL".to_owned(), |value| harmless(&value_text(column, value), true));
            writeln!(out, "{:>width$}: {text}", harmless(&column.name, false), width = self.width)?;
        }
        Ok(())
    }

    fn finish(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// Values between tabs.
pub(super) struct TsvPrinter {
    columns: Vec<ColumnDefinition>,
    begun: bool,
}

impl TsvPrinter {
    pub(super) fn new(columns: &[ColumnDefinition]) -> Self {
        Self { columns: columns.to_vec(), begun: false }
    }

    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        line(out, "\t", self.columns.iter().map(|column| tsv(&column.name)))
    }
}

impl RowPrinter for TsvPrinter {
    fn row(&mut self, row: Row, out: &mut dyn Write) -> io::Result<()> {
        self.header(out)?;
        let values = self.columns.iter().zip(&row);
        line(
            out,
            "\t",
            values.map(|(column, value)| {
                value.as_ref().map_or("NULL".to_owned(), |value| tsv(&value_text(column, value)))
            }),
        )
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.header(out)
    }
}

/// Values between commas.
pub(super) struct CsvPrinter {
    columns: Vec<ColumnDefinition>,
    begun: bool,
}

impl CsvPrinter {
    pub(super) fn new(columns: &[ColumnDefinition]) -> Self {
        Self { columns: columns.to_vec(), begun: false }
    }

    fn header(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        line(out, ",", self.columns.iter().map(|column| csv(&column.name)))
    }
}

impl RowPrinter for CsvPrinter {
    fn row(&mut self, row: Row, out: &mut dyn Write) -> io::Result<()> {
        self.header(out)?;
        let values = self.columns.iter().zip(&row);
        line(
            out,
            ",",
            values.map(|(column, value)| value.as_ref().map_or(String::new(), |value| csv(&value_text(column, value)))),
        )
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.header(out)
    }
}

/// One object per row.
pub(super) struct JsonPrinter {
    columns: Vec<ColumnDefinition>,
}

impl JsonPrinter {
    pub(super) fn new(columns: &[ColumnDefinition]) -> Self {
        Self { columns: columns.to_vec() }
    }
}

impl RowPrinter for JsonPrinter {
    fn row(&mut self, row: Row, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"{")?;
        for (index, (column, value)) in self.columns.iter().zip(&row).enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let value = value.as_ref().map_or("null".to_owned(), |value| json(column, value));
            write!(out, "{comma}{}:{value}", quoted(&column.name))?;
        }
        out.write_all(b"}\n")
    }

    fn finish(&mut self, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

fn line(out: &mut dyn Write, separator: &str, values: impl Iterator<Item = String>) -> io::Result<()> {
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.write_all(separator.as_bytes())?;
        }
        out.write_all(value.as_bytes())?;
    }
    out.write_all(b"\n")
}

fn tsv(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\0', "\\0")
}

fn csv(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Numbers and JSON go through as they are where they are JSON; all else is a string.
fn json(column: &ColumnDefinition, value: &[u8]) -> String {
    let text = value_text(column, value);
    let may_be_raw = column.is_number() || column.type_code == type_code::JSON;
    if may_be_raw && !text.contains('\n') && serde_json::from_str::<IgnoredAny>(&text).is_ok() {
        text
    } else {
        quoted(&text)
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use crate::client::printer::Format;
    use crate::client::printer::tests::printed;

    const ROWS: [[Option<&str>; 3]; 2] =
        [[Some("7"), Some("a,\"b\"\tc\n"), Some(r#"{"x":[1]}"#)], [Some("NaN"), None, Some("broken")]];

    #[test]
    fn each_format_escapes_its_own_separators() {
        assert_eq!(printed(Format::Tsv, &ROWS), "n\tname\tdoc\n7\ta,\"b\"\\tc\\n\t{\"x\":[1]}\nNaN\tNULL\tbroken\n");
        assert_eq!(
            printed(Format::Csv, &ROWS),
            "n,name,doc\n7,\"a,\"\"b\"\"\tc\n\",\"{\"\"x\"\":[1]}\"\nNaN,,broken\n"
        );
        let json = "{\"n\":7,\"name\":\"a,\\\"b\\\"\\tc\\n\",\"doc\":{\"x\":[1]}}\n{\"n\":\"NaN\",\"name\":null,\"doc\":\"broken\"}\n";
        assert_eq!(printed(Format::Json, &ROWS), json);
    }

    #[test]
    fn vertical_shows_a_line_per_value() {
        let shown = printed(Format::Vertical, &[[Some("7"), None, Some("{}")]]);
        let stars = "***************************";
        assert_eq!(shown, format!("{stars} 1. row {stars}\n   n: 7\nname: NULL\n doc: {{}}\n"));
    }

    #[test]
    fn programs_get_the_headers_even_without_rows() {
        assert_eq!(printed(Format::Tsv, &[]), "n\tname\tdoc\n");
        assert_eq!(printed(Format::Csv, &[]), "n,name,doc\n");
    }
}
