//! `system.users`: who may log in. What is kept of a password is not shown.

use catalog::Credential;

use super::super::accounts::{ROOT, RootPassword, plugin_of, users};
use super::cells::{Cell, Kind, time};
use super::{ColumnDef, Reader, Rows};

pub(super) const COLUMNS: &[ColumnDef] = &[
    ("user", Kind::Text),
    ("host", Kind::Text),
    ("plugin", Kind::Text),
    ("has_password", Kind::Text),
    ("created", Kind::Time),
];

pub(super) async fn rows(reader: &Reader) -> Rows {
    let row = |user: catalog::User| {
        let of_settings = user.name == ROOT && reader.root_password == RootPassword::OfSettings;
        let has_password = of_settings || user.credential != Credential::None;
        vec![
            Cell::from(user.name),
            "%".into(),
            plugin_of(&user.credential).name().into(),
            if has_password { "YES" } else { "NO" }.into(),
            time((user.created > 0).then_some(user.created)),
        ]
    };
    Ok(users(&reader.catalog).await?.into_iter().map(row).collect())
}
