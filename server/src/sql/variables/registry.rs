//! Which variables there are: MySQL's that clients set or ask for, and ours.
//!
//! Ours are `freshness` and `statement_timeout`. MySQL's have the values of a server that behaves as this one does, and
//! where they would change something that is not built, setting them changes what is shown and nothing else.

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
    /// Words with commas, in upper case.
    Words,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A duration such as `30s`; 0 for none.
    Duration,
}

/// One variable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) read_only: bool,
    default: &'static str,
}

const NUMBER: Kind = Kind::Int { min: 0, max: i64::MAX };
const LEVELS: Kind = Kind::OneOf(&["READ-UNCOMMITTED", "READ-COMMITTED", "REPEATABLE-READ", "SERIALIZABLE"]);

const fn free(name: &'static str, kind: Kind, default: &'static str) -> Definition {
    Definition { name, kind, read_only: false, default }
}

const fn fixed(name: &'static str, kind: Kind, default: &'static str) -> Definition {
    Definition { name, kind, read_only: true, default }
}

impl Definition {
    pub(crate) fn default_value(&self) -> Value {
        match self.kind {
            Kind::Bool => Value::Bool(self.default == "true"),
            Kind::Int { .. } => Value::Int(self.default.parse().expect("a number stands in the table")),
            Kind::Text | Kind::Words | Kind::OneOf(_) | Kind::Duration => Value::Text(self.default.to_owned()),
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
static DEFINITIONS: [Definition; 98] = [
    free("auto_increment_increment", NUMBER, "1"),
    free("auto_increment_offset", NUMBER, "1"),
    free("autocommit", Kind::Bool, "true"),
    free("big_tables", Kind::Bool, "false"),
    fixed("binlog_format", Kind::Text, "ROW"),
    free("bulk_insert_buffer_size", NUMBER, "8388608"),
    free("character_set_client", Kind::Text, "utf8mb4"),
    free("character_set_connection", Kind::Text, "utf8mb4"),
    free("character_set_database", Kind::Text, "utf8mb4"),
    free("character_set_filesystem", Kind::Text, "binary"),
    free("character_set_results", Kind::Text, "utf8mb4"),
    free("character_set_server", Kind::Text, "utf8mb4"),
    fixed("character_set_system", Kind::Text, "utf8mb3"),
    free("collation_connection", Kind::Text, "utf8mb4_bin"),
    free("collation_database", Kind::Text, "utf8mb4_bin"),
    free("collation_server", Kind::Text, "utf8mb4_bin"),
    free("completion_type", Kind::Text, "NO_CHAIN"),
    free("connect_timeout", NUMBER, "10"),
    free("default_collation_for_utf8mb4", Kind::Text, "utf8mb4_bin"),
    free("default_storage_engine", Kind::Text, "Millrace"),
    free("default_tmp_storage_engine", Kind::Text, "Millrace"),
    free("default_week_format", NUMBER, "0"),
    free("div_precision_increment", NUMBER, "4"),
    fixed("error_count", NUMBER, "0"),
    free("explicit_defaults_for_timestamp", Kind::Bool, "true"),
    free("foreign_key_checks", Kind::Bool, "true"),
    free("freshness", Kind::OneOf(&["latest", "committed"]), "latest"),
    free("group_concat_max_len", NUMBER, "1048576"),
    fixed("have_openssl", Kind::Text, "DISABLED"),
    fixed("have_profiling", Kind::Text, "NO"),
    fixed("have_query_cache", Kind::Text, "NO"),
    fixed("have_ssl", Kind::Text, "DISABLED"),
    fixed("hostname", Kind::Text, "localhost"),
    free("init_connect", Kind::Text, ""),
    free("insert_id", NUMBER, "0"),
    free("interactive_timeout", NUMBER, "28800"),
    fixed("language", Kind::Text, "/usr/share/mysql/english/"),
    free("last_insert_id", NUMBER, "0"),
    free("lc_messages", Kind::Text, "en_US"),
    free("lc_time_names", Kind::Text, "en_US"),
    fixed("license", Kind::Text, "Apache-2.0"),
    fixed("local_infile", Kind::Bool, "false"),
    free("lock_wait_timeout", NUMBER, "31536000"),
    fixed("log_bin", Kind::Bool, "false"),
    free("long_query_time", NUMBER, "10"),
    fixed("lower_case_file_system", Kind::Bool, "false"),
    fixed("lower_case_table_names", NUMBER, "2"),
    free("max_allowed_packet", NUMBER, "67108864"),
    fixed("max_connections", NUMBER, "1024"),
    free("max_execution_time", NUMBER, "0"),
    free("max_join_size", NUMBER, "9223372036854775807"),
    free("net_buffer_length", NUMBER, "16384"),
    free("net_read_timeout", NUMBER, "30"),
    free("net_write_timeout", NUMBER, "60"),
    free("old_passwords", NUMBER, "0"),
    free("optimizer_switch", Kind::Text, ""),
    fixed("performance_schema", Kind::Bool, "false"),
    fixed("port", NUMBER, "9030"),
    free("profiling", Kind::Bool, "false"),
    fixed("protocol_version", NUMBER, "10"),
    free("query_cache_size", NUMBER, "0"),
    free("query_cache_type", Kind::Text, "OFF"),
    fixed("read_only", Kind::Bool, "false"),
    free("session_track_gtids", Kind::Text, "OFF"),
    free("session_track_schema", Kind::Bool, "true"),
    free("session_track_state_change", Kind::Bool, "false"),
    free(
        "session_track_system_variables",
        Kind::Text,
        "autocommit,character_set_client,character_set_connection,character_set_results,time_zone",
    ),
    free("session_track_transaction_info", Kind::Text, "OFF"),
    fixed("socket", Kind::Text, ""),
    free("sql_auto_is_null", Kind::Bool, "false"),
    free("sql_big_selects", Kind::Bool, "true"),
    free("sql_buffer_result", Kind::Bool, "false"),
    free("sql_log_bin", Kind::Bool, "true"),
    free(
        "sql_mode",
        Kind::Words,
        "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION",
    ),
    free("sql_notes", Kind::Bool, "true"),
    free("sql_quote_show_create", Kind::Bool, "true"),
    free("sql_safe_updates", Kind::Bool, "false"),
    free("sql_select_limit", NUMBER, "9223372036854775807"),
    free("sql_warnings", Kind::Bool, "false"),
    free("statement_timeout", Kind::Duration, "0s"),
    free("storage_engine", Kind::Text, "Millrace"),
    fixed("super_read_only", Kind::Bool, "false"),
    fixed("system_time_zone", Kind::Text, "UTC"),
    fixed("thread_handling", Kind::Text, "one-thread-per-connection"),
    free("time_zone", Kind::Text, "SYSTEM"),
    fixed("tls_version", Kind::Text, ""),
    free("tmp_table_size", NUMBER, "16777216"),
    free("transaction_isolation", LEVELS, "REPEATABLE-READ"),
    free("transaction_read_only", Kind::Bool, "false"),
    free("tx_isolation", LEVELS, "REPEATABLE-READ"),
    free("tx_read_only", Kind::Bool, "false"),
    free("unique_checks", Kind::Bool, "true"),
    fixed("version", Kind::Text, ""),
    fixed("version_comment", Kind::Text, "Millrace"),
    fixed("version_compile_machine", Kind::Text, ""),
    fixed("version_compile_os", Kind::Text, "Linux"),
    free("wait_timeout", NUMBER, "28800"),
    fixed("warning_count", NUMBER, "0"),
];
