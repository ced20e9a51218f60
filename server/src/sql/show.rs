//! SHOW as queries: each is a SELECT over a table of `system` or `information_schema`, so that LIKE and WHERE work by
//! construction.

use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr};

use super::headings::{self, Heading};
use super::literal::{backticked, quoted};
use super::parse::parse_own;
use super::statement::{Account, ShowFilter, ShowWhat};

/// A SHOW that is a query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShowQuery {
    /// The SELECT, its columns headed as MySQL heads them.
    select: String,
    /// The column that LIKE is about.
    like: Like,
    /// In what order.
    order: &'static str,
}

/// A column that LIKE is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Like {
    /// By its heading.
    Shown(&'static str),
    /// By its name in the table behind, where the heading depends on the pattern or the order on a column not shown. The
    /// SELECT has a WHERE already.
    Stored(&'static str),
}

/// The query of a SHOW about `database` (which has been checked) and, for columns and indexes, `table`; with its headings.
pub(crate) fn show_query(what: &ShowWhat, database: &str, filter: &ShowFilter) -> Option<(Query, Vec<Heading>)> {
    let show = server_query(what).or_else(|| object_query(what, database, filter))?;
    Some((with_filter(&show, filter), headings::of_names(&parse_own(&show.select))))
}

fn simple(select: &str, like: &'static str, order: &'static str) -> Option<ShowQuery> {
    Some(ShowQuery { select: select.to_owned(), like: Like::Shown(like), order })
}

/// Names and values, of the session or of all sessions.
fn named_values(global: bool, what: &str) -> Option<ShowQuery> {
    let scope = if global { "global" } else { "session" };
    let select = format!(
        "SELECT VARIABLE_NAME AS `Variable_name`, VARIABLE_VALUE AS `Value` FROM information_schema.{scope}_{what}"
    );
    Some(ShowQuery { select, like: Like::Shown("Variable_name"), order: "`Variable_name`" })
}

/// Those that are about the server.
fn server_query(what: &ShowWhat) -> Option<ShowQuery> {
    match what {
        ShowWhat::Databases => {
            simple("SELECT SCHEMA_NAME AS `Database` FROM information_schema.schemata", "Database", "`Database`")
        }
        ShowWhat::Tasks => simple("SELECT * FROM system.tasks", "pipeline", "pipeline, task"),
        ShowWhat::Workers => simple("SELECT * FROM system.workers", "worker", "worker"),
        ShowWhat::Streams => simple("SELECT * FROM system.streams", "pipeline", "pipeline, topic, stream_id"),
        ShowWhat::Incidents => simple("SELECT * FROM system.incidents", "pipeline", "pipeline, number"),
        ShowWhat::Settings => simple("SELECT * FROM system.settings", "name", "name"),
        ShowWhat::Variables { global } => named_values(*global, "variables"),
        ShowWhat::Status { global } => named_values(*global, "status"),
        ShowWhat::Warnings => simple(WARNINGS, "Message", ""),
        ShowWhat::Errors => simple(
            "SELECT LEVEL AS `Level`, CODE AS `Code`, MESSAGE AS `Message` FROM information_schema.warnings \
             WHERE LEVEL = 'Error'",
            "Message",
            "",
        ),
        ShowWhat::CountWarnings => {
            simple("SELECT @@warning_count AS `@@session.warning_count`", "@@session.warning_count", "")
        }
        ShowWhat::CountErrors => simple("SELECT @@error_count AS `@@session.error_count`", "@@session.error_count", ""),
        ShowWhat::Engines => simple(
            "SELECT ENGINE AS `Engine`, SUPPORT AS `Support`, COMMENT AS `Comment`, TRANSACTIONS AS `Transactions`, XA, \
             SAVEPOINTS AS `Savepoints` FROM information_schema.engines",
            "Engine",
            "`Engine`",
        ),
        ShowWhat::Charset => simple(
            "SELECT CHARACTER_SET_NAME AS `Charset`, DESCRIPTION AS `Description`, DEFAULT_COLLATE_NAME AS \
             `Default collation`, MAXLEN AS `Maxlen` FROM information_schema.character_sets",
            "Charset",
            "`Charset`",
        ),
        ShowWhat::Collation => simple(
            "SELECT COLLATION_NAME AS `Collation`, CHARACTER_SET_NAME AS `Charset`, ID AS `Id`, IS_DEFAULT AS `Default`, \
             IS_COMPILED AS `Compiled`, SORTLEN AS `Sortlen`, PAD_ATTRIBUTE AS `Pad_attribute` \
             FROM information_schema.collations",
            "Collation",
            "`Collation`",
        ),
        ShowWhat::Plugins => simple(
            "SELECT PLUGIN_NAME AS `Name`, PLUGIN_STATUS AS `Status`, PLUGIN_TYPE AS `Type`, PLUGIN_LIBRARY AS `Library`, \
             PLUGIN_LICENSE AS `License` FROM information_schema.plugins",
            "Name",
            "`Name`",
        ),
        ShowWhat::ProcessList { full } => {
            let info = if *full { "INFO" } else { "left(INFO, 100)" };
            let select = format!(
                "SELECT ID AS `Id`, USER AS `User`, HOST AS `Host`, DB AS `db`, COMMAND AS `Command`, TIME AS `Time`, \
                 STATE AS `State`, {info} AS `Info` FROM information_schema.processlist"
            );
            Some(ShowQuery { select, like: Like::Shown("User"), order: "`Id`" })
        }
        ShowWhat::Grants(account) => {
            let name = match account {
                Account::Current => "SUBSTRING_INDEX(current_user(), '@', 1)".to_owned(),
                Account::Named(name) => quoted(name),
            };
            let select = format!(
                "SELECT concat('GRANT ALL PRIVILEGES ON *.* TO `', user, '`@`', host, '` WITH GRANT OPTION') AS `Grants` \
                 FROM system.users WHERE user = {name}"
            );
            Some(ShowQuery { select, like: Like::Shown("Grants"), order: "" })
        }
        ShowWhat::Users => simple("SELECT * FROM system.users", "user", "user"),
        ShowWhat::Routines => simple(
            "SELECT ROUTINE_SCHEMA AS `Db`, ROUTINE_NAME AS `Name`, ROUTINE_TYPE AS `Type`, DEFINER AS `Definer`, \
             LAST_ALTERED AS `Modified`, CREATED AS `Created`, SECURITY_TYPE AS `Security_type`, ROUTINE_COMMENT AS \
             `Comment` FROM information_schema.routines",
            "Name",
            "`Name`",
        ),
        _ => None,
    }
}

const WARNINGS: &str = "SELECT LEVEL AS `Level`, CODE AS `Code`, MESSAGE AS `Message` FROM information_schema.warnings";

/// Those that are about a database or a table.
fn object_query(what: &ShowWhat, database: &str, filter: &ShowFilter) -> Option<ShowQuery> {
    let of_database = quoted(database);
    let show = |select: String, like, order| Some(ShowQuery { select, like: Like::Shown(like), order });
    match what {
        ShowWhat::Tables { full, .. } => {
            let heading = match filter {
                ShowFilter::Like(pattern) => backticked(&format!("Tables_in_{database} ({pattern})")),
                _ => backticked(&format!("Tables_in_{database}")),
            };
            let kind = if *full { ", TABLE_TYPE AS `Table_type`" } else { "" };
            let select = format!(
                "SELECT TABLE_NAME AS {heading}{kind} FROM information_schema.tables WHERE TABLE_SCHEMA = {of_database}"
            );
            Some(ShowQuery { select, like: Like::Stored("TABLE_NAME"), order: "1" })
        }
        ShowWhat::TableStatus { .. } => show(
            format!(
                "SELECT TABLE_NAME AS `Name`, ENGINE AS `Engine`, VERSION AS `Version`, ROW_FORMAT AS `Row_format`, \
                 TABLE_ROWS AS `Rows`, AVG_ROW_LENGTH AS `Avg_row_length`, DATA_LENGTH AS `Data_length`, MAX_DATA_LENGTH AS \
                 `Max_data_length`, INDEX_LENGTH AS `Index_length`, DATA_FREE AS `Data_free`, AUTO_INCREMENT AS \
                 `Auto_increment`, CREATE_TIME AS `Create_time`, UPDATE_TIME AS `Update_time`, CHECK_TIME AS `Check_time`, \
                 TABLE_COLLATION AS `Collation`, CHECKSUM AS `Checksum`, CREATE_OPTIONS AS `Create_options`, TABLE_COMMENT \
                 AS `Comment` FROM information_schema.tables WHERE TABLE_SCHEMA = {of_database}"
            ),
            "Name",
            "`Name`",
        ),
        ShowWhat::Columns { full, table } => {
            let (collation, rest) = match full {
                true => {
                    ("COLLATION_NAME AS `Collation`, ", ", PRIVILEGES AS `Privileges`, COLUMN_COMMENT AS `Comment`")
                }
                false => ("", ""),
            };
            let of_table = quoted(&table.name);
            let select = format!(
                "SELECT COLUMN_NAME AS `Field`, COLUMN_TYPE AS `Type`, {collation}IS_NULLABLE AS `Null`, COLUMN_KEY AS `Key`, \
                 COLUMN_DEFAULT AS `Default`, EXTRA AS `Extra`{rest} FROM information_schema.columns WHERE TABLE_SCHEMA = \
                 {of_database} AND lower(TABLE_NAME) = lower({of_table})"
            );
            Some(ShowQuery { select, like: Like::Stored("COLUMN_NAME"), order: "ORDINAL_POSITION" })
        }
        ShowWhat::Indexes { table } => {
            let of_table = quoted(&table.name);
            let select = format!(
                "SELECT TABLE_NAME AS `Table`, NON_UNIQUE AS `Non_unique`, INDEX_NAME AS `Key_name`, SEQ_IN_INDEX AS \
                 `Seq_in_index`, COLUMN_NAME AS `Column_name`, COLLATION AS `Collation`, CARDINALITY AS `Cardinality`, \
                 SUB_PART AS `Sub_part`, PACKED AS `Packed`, NULLABLE AS `Null`, INDEX_TYPE AS `Index_type`, COMMENT AS \
                 `Comment`, INDEX_COMMENT AS `Index_comment`, IS_VISIBLE AS `Visible`, EXPRESSION AS `Expression` \
                 FROM information_schema.statistics WHERE TABLE_SCHEMA = {of_database} AND lower(TABLE_NAME) = \
                 lower({of_table})"
            );
            show(select, "Key_name", "`Seq_in_index`")
        }
        ShowWhat::Pipelines { database: Some(_) } => show(
            format!("SELECT * FROM system.pipelines WHERE database_name = {of_database}"),
            "name",
            "database_name, name",
        ),
        ShowWhat::Pipelines { database: None } => {
            show("SELECT * FROM system.pipelines".to_owned(), "name", "database_name, name")
        }
        ShowWhat::Topics(source) => {
            let arguments = source.iter().map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)));
            let arguments = arguments.collect::<Vec<_>>().join(", ");
            let select = format!(
                "SELECT topic, count(*) AS partitions, sum(records) AS records FROM kafka_topics({arguments}) GROUP BY topic"
            );
            show(select, "topic", "topic")
        }
        ShowWhat::Triggers => show(
            "SELECT TRIGGER_NAME AS `Trigger`, EVENT_MANIPULATION AS `Event`, EVENT_OBJECT_TABLE AS `Table`, \
             ACTION_STATEMENT AS `Statement`, ACTION_TIMING AS `Timing`, CREATED AS `Created` \
             FROM information_schema.triggers"
                .to_owned(),
            "Trigger",
            "",
        ),
        ShowWhat::Events => show(
            "SELECT EVENT_SCHEMA AS `Db`, EVENT_NAME AS `Name`, DEFINER AS `Definer`, EVENT_TYPE AS `Type`, STATUS AS \
             `Status` FROM information_schema.events"
                .to_owned(),
            "Name",
            "",
        ),
        _ => None,
    }
}

/// Puts the SELECT under the filter. LIKE tells no letters apart by case, as MySQL's collations do not.
fn with_filter(show: &ShowQuery, filter: &ShowFilter) -> Query {
    let select = &show.select;
    let order = if show.order.is_empty() { String::new() } else { format!(" ORDER BY {}", show.order) };
    match (filter, show.like) {
        (ShowFilter::All, _) => parse_own(&format!("{select}{order}")),
        (ShowFilter::Like(pattern), Like::Stored(column)) => {
            parse_own(&format!("{select} AND {column} ILIKE {}{order}", quoted(pattern)))
        }
        (ShowFilter::Like(pattern), Like::Shown(column)) => {
            let column = backticked(column);
            parse_own(&format!("SELECT * FROM ({select}) AS shown WHERE {column} ILIKE {}{order}", quoted(pattern)))
        }
        (ShowFilter::Where(condition), _) => {
            let mut query = parse_own(&format!("SELECT * FROM ({select}{order}) AS shown"));
            set_condition(&mut query, condition.as_ref().clone());
            query
        }
    }
}

fn set_condition(query: &mut Query, condition: Expr) {
    if let SetExpr::Select(select) = query.body.as_mut() {
        select.selection = Some(condition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::statement::Name;

    #[test]
    fn every_filter_fits_every_show() {
        let table = Name { database: None, name: "t".into() };
        let condition = Box::new(Expr::value(datafusion::sql::sqlparser::ast::Value::Boolean(true)));
        for what in [
            ShowWhat::Databases,
            ShowWhat::Tables { full: true, database: None },
            ShowWhat::TableStatus { database: None },
            ShowWhat::Columns { full: true, table: table.clone() },
            ShowWhat::Indexes { table },
            ShowWhat::Pipelines { database: None },
            ShowWhat::Pipelines { database: Some("d".into()) },
            ShowWhat::Topics([("brokers".to_owned(), "it's".to_owned())].into()),
            ShowWhat::Tasks,
            ShowWhat::Workers,
            ShowWhat::Streams,
            ShowWhat::Incidents,
            ShowWhat::Settings,
            ShowWhat::Variables { global: true },
            ShowWhat::Status { global: false },
            ShowWhat::Users,
            ShowWhat::Grants(Account::Current),
            ShowWhat::Warnings,
            ShowWhat::Engines,
            ShowWhat::Charset,
            ShowWhat::Collation,
            ShowWhat::Plugins,
            ShowWhat::ProcessList { full: false },
            ShowWhat::Routines,
            ShowWhat::Triggers,
            ShowWhat::Events,
        ] {
            for filter in [ShowFilter::All, ShowFilter::Like("it's %".into()), ShowFilter::Where(condition.clone())] {
                assert!(show_query(&what, "shop`s", &filter).is_some(), "{what:?}");
            }
        }
    }
}
