//! Answers as a table with a frame. Long answers come as several tables, so that neither the memory nor the first row waits
//! for the last.

use std::io::{self, Write};

use comfy_table::modifiers::UTF8_ROUND_CORNERS;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use super::connection::Row;
use super::printer::{RowPrinter, harmless, value_text};
use crate::mysql::column::ColumnDefinition;

/// Rows per table.
const PAGE_ROWS: usize = 1_000;
/// Bytes of values after which a table ends early.
const PAGE_BYTES: usize = 8 << 20;

pub(super) struct TablePrinter {
    columns: Vec<ColumnDefinition>,
    page: Table,
    rows: usize,
    bytes: usize,
}

impl TablePrinter {
    pub(super) fn new(columns: &[ColumnDefinition]) -> Self {
        Self { columns: columns.to_vec(), page: empty_page(columns), rows: 0, bytes: 0 }
    }

    fn print_page(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.rows > 0 {
            writeln!(out, "{}", self.page)?;
        }
        self.page = empty_page(&self.columns);
        (self.rows, self.bytes) = (0, 0);
        Ok(())
    }
}

impl RowPrinter for TablePrinter {
    fn row(&mut self, row: Row, out: &mut dyn Write) -> io::Result<()> {
        self.rows += 1;
        self.bytes += row.iter().flatten().map(|value| value.len()).sum::<usize>();
        self.page.add_row(self.columns.iter().zip(&row).map(|(column, value)| {
            let text = value.as_ref().map_or("NULL".to_owned(), |value| harmless(&value_text(column, value), true));
            Cell::new(text).set_alignment(alignment(column))
        }));
        if self.rows == PAGE_ROWS || self.bytes >= PAGE_BYTES { self.print_page(out) } else { Ok(()) }
    }

    fn finish(&mut self, out: &mut dyn Write) -> io::Result<()> {
        self.print_page(out)
    }
}

fn empty_page(columns: &[ColumnDefinition]) -> Table {
    let mut page = Table::new();
    page.load_preset(UTF8_FULL_CONDENSED)
        .apply_modifier(UTF8_ROUND_CORNERS)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(
            columns.iter().map(|column| Cell::new(harmless(&column.name, false)).set_alignment(alignment(column))),
        );
    page
}

fn alignment(column: &ColumnDefinition) -> CellAlignment {
    if column.is_number() { CellAlignment::Right } else { CellAlignment::Left }
}

#[cfg(test)]
mod tests {
    use crate::client::printer::Format;
    use crate::client::printer::tests::printed;

    #[test]
    fn numbers_stand_to_the_right_and_null_is_shown() {
        let shown = printed(Format::Table, &[[Some("7"), Some("seven"), None], [Some("1234"), None, Some("{}")]]);
        let expected = "\
╭──────┬───────┬──────╮
│    n ┆ name  ┆ doc  │
╞══════╪═══════╪══════╡
│    7 ┆ seven ┆ NULL │
│ 1234 ┆ NULL  ┆ {}   │
╰──────┴───────┴──────╯
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn no_rows_make_no_table() {
        assert_eq!(printed(Format::Table, &[]), "");
    }

    #[test]
    fn many_rows_make_several_tables() {
        let shown = printed(Format::Table, &vec![[Some("1"), None, None]; 2_500]);
        assert_eq!(shown.matches('╭').count(), 3);
        assert_eq!(shown.matches("│ 1 ").count(), 2_500);
    }
}
