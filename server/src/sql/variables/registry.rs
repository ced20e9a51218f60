//! Which variables there are: MySQL's that clients set or ask for, and ours.
//!
//! Ours are `freshness`, `insert_label` and `statement_timeout`. MySQL's have the values of a server that behaves as this one does. Clients set
//! many on connecting that would change something that is not built here: such a one is kept and shown, and `system.variables`
//! says that it has no effect.

use super::Value;

/// The type of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// ON or OFF.
    Bool,
    /// A whole number, cut to these bounds as MySQL does.
    Int { min: i64, max: i64 },
    /// Any text, or NULL.
    Text,
    /// A character set, or NULL: text is UTF-8 whatever is asked for, and who asks for another is told so.
    Charset,
    /// Words with commas, in upper case.
    Words,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A duration such as `30s`; 0 for none.
    Duration,
}

/// What becomes of SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The session behaves as it says.
    Works,
    /// It is shown as it was set, and nothing else changes.
    Kept,
    /// It says what is true of the server, and cannot be set.
    Fact,
}

impl Effect {
    /// As `system.variables` shows it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Kept => "none",
            Self::Fact => "read only",
        }
    }
}

/// One variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) effect: Effect,
    default: &'static str,
}

const NUMBER: Kind = Kind::Int { min: 0, max: i64::MAX };
const LEVELS: Kind = Kind::OneOf(&["READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"]);

const fn works(name: &'static str, kind: Kind, default: &'static str) -> Definition {
    Definition { name, kind, effect: Effect::Works, default }
}

const fn kept(name: &'static str, kind: Kind, default: &'static str) -> Definition {
    Definition { name, kind, effect: Effect::Kept, default }
}

const fn fact(name: &'static str, kind: Kind, default: &'static str) -> Definition {
    Definition { name, kind, effect: Effect::Fact, default }
}

impl Definition {
    /// The type, in a word.
    pub(crate) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Bool => "boolean",
            Kind::Int { .. } => "integer",
            Kind::Text | Kind::Charset => "text",
            Kind::Words => "words",
            Kind::OneOf(_) => "enumeration",
            Kind::Duration => "duration",
        }
    }

    /// The value where the server has none of its own.
    pub(super) fn default_value(&self) -> Value {
        match self.kind {
            Kind::Bool => Value::Bool(self.default == "true"),
            Kind::Int { .. } => Value::Int(self.default.parse().expect("a number stands in the table")),
            Kind::Text | Kind::Charset | Kind::Words | Kind::OneOf(_) | Kind::Duration => {
                Value::Text(self.default.to_owned())
            }
        }
    }
}

/// The variable `name`, in lower case.
pub(crate) fn definition(name: &str) -> Option<&'static Definition> {
    DEFINITIONS.binary_search_by(|definition| definition.name.cmp(name)).ok().map(|at| &DEFINITIONS[at])
}

/// All of them, by name.
pub(crate) fn definitions() -> &'static [Definition] {
    &DEFINITIONS
}

/// By name.
static DEFINITIONS: [Definition; 96] = [
    kept("auto_increment_increment", NUMBER, "1"),
    kept("auto_increment_offset", NUMBER, "1"),
    kept("autocommit", Kind::Bool, "true"),
    kept("big_tables", Kind::Bool, "false"),
    fact("bind_address", Kind::Text, ""),
    kept("bulk_insert_buffer_size", NUMBER, "8388608"),
    kept("character_set_client", Kind::Charset, "utf8mb4"),
    kept("character_set_connection", Kind::Charset, "utf8mb4"),
    kept("character_set_database", Kind::Text, "utf8mb4"),
    kept("character_set_filesystem", Kind::Text, "binary"),
    kept("character_set_results", Kind::Charset, "utf8mb4"),
    kept("character_set_server", Kind::Text, "utf8mb4"),
    fact("character_set_system", Kind::Text, "utf8mb3"),
    kept("collation_connection", Kind::Text, "utf8mb4_bin"),
    kept("collation_database", Kind::Text, "utf8mb4_bin"),
    kept("collation_server", Kind::Text, "utf8mb4_bin"),
    kept("completion_type", Kind::Text, "NO_CHAIN"),
    fact("connect_timeout", NUMBER, "0"),
    fact("default_authentication_plugin", Kind::Text, "caching_sha2_password"),
    kept("default_collation_for_utf8mb4", Kind::Text, "utf8mb4_bin"),
    kept("default_storage_engine", Kind::Text, "Millrace"),
    kept("default_tmp_storage_engine", Kind::Text, "Millrace"),
    kept("default_week_format", NUMBER, "0"),
    kept("div_precision_increment", NUMBER, "4"),
    fact("error_count", NUMBER, "0"),
    kept("explicit_defaults_for_timestamp", Kind::Bool, "true"),
    kept("foreign_key_checks", Kind::Bool, "true"),
    works("freshness", Kind::OneOf(&["latest", "committed"]), "latest"),
    kept("group_concat_max_len", NUMBER, "1048576"),
    fact("have_openssl", Kind::Text, "DISABLED"),
    fact("have_profiling", Kind::Text, "NO"),
    fact("have_ssl", Kind::Text, "DISABLED"),
    fact("hostname", Kind::Text, ""),
    kept("init_connect", Kind::Text, ""),
    kept("insert_id", NUMBER, "0"),
    works("insert_label", Kind::Text, ""),
    kept("interactive_timeout", Kind::Int { min: 1, max: 31_536_000 }, "28800"),
    kept("last_insert_id", NUMBER, "0"),
    kept("lc_messages", Kind::Text, "en_US"),
    kept("lc_time_names", Kind::Text, "en_US"),
    fact("license", Kind::Text, "Apache-2.0"),
    fact("local_infile", Kind::Bool, "false"),
    kept("lock_wait_timeout", NUMBER, "31536000"),
    fact("log_bin", Kind::Bool, "false"),
    kept("long_query_time", NUMBER, "10"),
    fact("lower_case_file_system", Kind::Bool, "false"),
    fact("lower_case_table_names", NUMBER, "2"),
    fact("max_allowed_packet", NUMBER, "0"),
    fact("max_connections", NUMBER, "0"),
    works("max_execution_time", NUMBER, "0"),
    kept("max_join_size", NUMBER, "9223372036854775807"),
    fact("max_prepared_stmt_count", NUMBER, "0"),
    kept("net_buffer_length", NUMBER, "16384"),
    kept("net_read_timeout", NUMBER, "30"),
    kept("net_write_timeout", NUMBER, "60"),
    kept("old_passwords", NUMBER, "0"),
    kept("optimizer_switch", Kind::Text, ""),
    fact("performance_schema", Kind::Bool, "false"),
    fact("port", NUMBER, "0"),
    kept("profiling", Kind::Bool, "false"),
    fact("protocol_version", NUMBER, "10"),
    fact("read_only", Kind::Bool, "false"),
    kept("session_track_gtids", Kind::Text, "OFF"),
    kept("session_track_schema", Kind::Bool, "true"),
    kept("session_track_state_change", Kind::Bool, "false"),
    kept(
        "session_track_system_variables",
        Kind::Text,
        "autocommit,character_set_client,character_set_connection,character_set_results,time_zone",
    ),
    kept("session_track_transaction_info", Kind::Text, "OFF"),
    fact("socket", Kind::Text, ""),
    kept("sql_auto_is_null", Kind::Bool, "false"),
    kept("sql_big_selects", Kind::Bool, "true"),
    kept("sql_buffer_result", Kind::Bool, "false"),
    kept("sql_log_bin", Kind::Bool, "true"),
    works(
        "sql_mode",
        Kind::Words,
        "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    ),
    kept("sql_notes", Kind::Bool, "true"),
    kept("sql_quote_show_create", Kind::Bool, "true"),
    kept("sql_safe_updates", Kind::Bool, "false"),
    works("sql_select_limit", NUMBER, "9223372036854775807"),
    kept("sql_warnings", Kind::Bool, "false"),
    works("statement_timeout", Kind::Duration, "0s"),
    kept("storage_engine", Kind::Text, "Millrace"),
    fact("super_read_only", Kind::Bool, "false"),
    fact("system_time_zone", Kind::Text, "UTC"),
    kept("time_zone", Kind::Text, "SYSTEM"),
    fact("tls_version", Kind::Text, ""),
    kept("tmp_table_size", NUMBER, "16777216"),
    kept("transaction_isolation", LEVELS, "REPEATABLE-READ"),
    kept("transaction_read_only", Kind::Bool, "false"),
    kept("tx_isolation", LEVELS, "REPEATABLE-READ"),
    kept("tx_read_only", Kind::Bool, "false"),
    kept("unique_checks", Kind::Bool, "true"),
    fact("version", Kind::Text, ""),
    fact("version_comment", Kind::Text, "Millrace"),
    fact("version_compile_machine", Kind::Text, ""),
    fact("version_compile_os", Kind::Text, ""),
    works("wait_timeout", Kind::Int { min: 1, max: 31_536_000 }, "28800"),
    fact("warning_count", NUMBER, "0"),
];
