//! `system.settings`: the server's settings and where each comes from.

use super::super::seams::SettingRow;
use super::cells::{Cell, Kind};
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] =
    &[("name", Kind::Text), ("value", Kind::Text), ("origin", Kind::Text), ("description", Kind::Text)];

pub(super) fn rows(reader: &Reader) -> Rows {
    let row = |setting: SettingRow| {
        vec![Cell::from(setting.name), setting.value.into(), setting.origin.into(), setting.description.into()]
    };
    Ok(reader.runtime.settings().into_iter().map(row).collect())
}
