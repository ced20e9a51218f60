//! What a MySQL server tells of itself: variables, status, engines, character sets, connections, warnings.

use super::super::variables::{Definition, Value};
use super::cells::{Cell, Kind};
use super::{ColumnDef, Reader, Rows};

pub(super) const VARIABLES: &[ColumnDef] = &[("VARIABLE_NAME", Kind::Text), ("VARIABLE_VALUE", Kind::Text)];

pub(super) const ENGINES: &[ColumnDef] = &[
    ("ENGINE", Kind::Text),
    ("SUPPORT", Kind::Text),
    ("COMMENT", Kind::Text),
    ("TRANSACTIONS", Kind::Text),
    ("XA", Kind::Text),
    ("SAVEPOINTS", Kind::Text),
];

pub(super) const CHARACTER_SETS: &[ColumnDef] = &[
    ("CHARACTER_SET_NAME", Kind::Text),
    ("DEFAULT_COLLATE_NAME", Kind::Text),
    ("DESCRIPTION", Kind::Text),
    ("MAXLEN", Kind::Int),
];

pub(super) const COLLATIONS: &[ColumnDef] = &[
    ("COLLATION_NAME", Kind::Text),
    ("CHARACTER_SET_NAME", Kind::Text),
    ("ID", Kind::Int),
    ("IS_DEFAULT", Kind::Text),
    ("IS_COMPILED", Kind::Text),
    ("SORTLEN", Kind::Int),
    ("PAD_ATTRIBUTE", Kind::Text),
];

pub(super) const PLUGINS: &[ColumnDef] = &[
    ("PLUGIN_NAME", Kind::Text),
    ("PLUGIN_VERSION", Kind::Text),
    ("PLUGIN_STATUS", Kind::Text),
    ("PLUGIN_TYPE", Kind::Text),
    ("PLUGIN_LIBRARY", Kind::Text),
    ("PLUGIN_LICENSE", Kind::Text),
];

pub(super) const PROCESSLIST: &[ColumnDef] = &[
    ("ID", Kind::Int),
    ("USER", Kind::Text),
    ("HOST", Kind::Text),
    ("DB", Kind::Text),
    ("COMMAND", Kind::Text),
    ("TIME", Kind::Int),
    ("STATE", Kind::Text),
    ("INFO", Kind::Text),
];

/// Not one of MySQL's: what SHOW WARNINGS and SHOW ERRORS stand on.
pub(super) const WARNINGS: &[ColumnDef] = &[("LEVEL", Kind::Text), ("CODE", Kind::Int), ("MESSAGE", Kind::Text)];

/// `system.variables`: what becomes of each, beside its value.
pub(super) const DESCRIBED: &[ColumnDef] = &[
    ("name", Kind::Text),
    ("value", Kind::Text),
    ("global_value", Kind::Text),
    ("type", Kind::Text),
    ("effect", Kind::Text),
];

/// Whose values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Session,
    Global,
}

pub(super) fn variables(reader: &Reader, scope: Scope) -> Rows {
    let row = |(definition, session, global): (&Definition, Value, Value)| {
        let value = if scope == Scope::Session { session } else { global };
        vec![Cell::from(definition.name), value.shown().into()]
    };
    Ok(all_variables(reader).map(row).collect())
}

pub(super) fn described_variables(reader: &Reader) -> Rows {
    let row = |(definition, session, global): (&Definition, Value, Value)| {
        vec![
            Cell::from(definition.name),
            session.shown().into(),
            global.shown().into(),
            definition.type_name().into(),
            definition.effect.as_str().into(),
        ]
    };
    Ok(all_variables(reader).map(row).collect())
}

/// Two of them are not kept: they count what the last statement had to say.
fn all_variables(reader: &Reader) -> impl Iterator<Item = (&'static Definition, Value, Value)> {
    let count = |found: u64| Value::Int(i64::try_from(found).unwrap_or(i64::MAX));
    let (warnings, errors) = (reader.session.warning_count, reader.session.error_count);
    reader.session.variables.all().into_iter().map(move |(definition, session, global)| match definition.name {
        "warning_count" => (definition, count(warnings), global),
        "error_count" => (definition, count(errors), global),
        _ => (definition, session, global),
    })
}

pub(super) fn status(reader: &Reader) -> Rows {
    let counters = reader.sessions.counters();
    let pairs = [
        ("Connections", counters.connections.to_string()),
        ("Max_used_connections", counters.connected_max.to_string()),
        ("Prepared_stmt_count", counters.prepared.to_string()),
        ("Queries", counters.statements.to_string()),
        ("Questions", counters.statements.to_string()),
        ("Ssl_cipher", String::new()),
        ("Ssl_version", String::new()),
        ("Threads_connected", counters.connected.to_string()),
        ("Threads_running", counters.running.to_string()),
        ("Uptime", counters.uptime_seconds.to_string()),
    ];
    Ok(pairs.into_iter().map(|(name, value)| vec![Cell::from(name), value.into()]).collect())
}

pub(super) fn engines() -> Rows {
    let comment = "Columnar tables over Kafka topics, exactly once";
    Ok(vec![vec!["Millrace".into(), "DEFAULT".into(), comment.into(), "NO".into(), "NO".into(), "NO".into()]])
}

pub(super) fn character_sets() -> Rows {
    Ok(vec![
        vec!["binary".into(), "binary".into(), "Binary pseudo charset".into(), Cell::Int(1)],
        vec!["utf8mb4".into(), "utf8mb4_bin".into(), "UTF-8 Unicode".into(), Cell::Int(4)],
    ])
}

pub(super) fn collations() -> Rows {
    let row = |name: &str, charset: &str, id: i64, default: &str, pad: &str| {
        vec![name.into(), charset.into(), Cell::Int(id), default.into(), "Yes".into(), Cell::Int(1), pad.into()]
    };
    Ok(vec![
        row("binary", "binary", 63, "Yes", "NO PAD"),
        row("utf8mb4_bin", "utf8mb4", 46, "Yes", "PAD SPACE"),
        row("utf8mb4_general_ci", "utf8mb4", 45, "", "PAD SPACE"),
        row("utf8mb4_0900_ai_ci", "utf8mb4", 255, "", "NO PAD"),
    ])
}

pub(super) fn plugins() -> Rows {
    let row = |name: &str, kind: &str| {
        let version = env!("CARGO_PKG_VERSION");
        vec![name.into(), version.into(), "ACTIVE".into(), kind.into(), Cell::Null, "Apache-2.0".into()]
    };
    Ok(vec![
        row("caching_sha2_password", "AUTHENTICATION"),
        row("mysql_native_password", "AUTHENTICATION"),
        row("Millrace", "STORAGE ENGINE"),
    ])
}

pub(super) fn processlist(reader: &Reader) -> Rows {
    let row = |session: super::super::sessions::SessionRow| {
        vec![
            Cell::from(session.connection_id),
            session.user.into(),
            session.peer.into(),
            session.database.into(),
            if session.statement.is_some() { "Query" } else { "Sleep" }.into(),
            session.seconds.into(),
            if session.statement.is_some() {
                session.state.unwrap_or_else(|| "executing".to_owned())
            } else {
                String::new()
            }
            .into(),
            session.statement.into(),
        ]
    };
    Ok(reader.sessions.rows().into_iter().map(row).collect())
}

pub(super) fn warnings(reader: &Reader) -> Rows {
    let row = |diagnostic: &super::super::diagnostics::Diagnostic| {
        vec![
            Cell::from(diagnostic.level.as_str()),
            Cell::Int(i64::from(diagnostic.code)),
            diagnostic.message.as_str().into(),
        ]
    };
    Ok(reader.session.diagnostics.iter().map(row).collect())
}
