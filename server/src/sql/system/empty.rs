//! Tables of MySQL's `information_schema` that clients read and that have no rows here: there are no keys, views, routines
//! or privileges to list.

use super::ColumnDef;
use super::cells::Kind;

const fn text(name: &'static str) -> ColumnDef {
    (name, Kind::Text)
}

const fn int(name: &'static str) -> ColumnDef {
    (name, Kind::Int)
}

const fn time(name: &'static str) -> ColumnDef {
    (name, Kind::Time)
}

const fn float(name: &'static str) -> ColumnDef {
    (name, Kind::Float)
}

/// Name and columns of each.
pub(super) const TABLES: &[(&str, &[ColumnDef])] = &[
    (
        "check_constraints",
        &[text("CONSTRAINT_CATALOG"), text("CONSTRAINT_SCHEMA"), text("CONSTRAINT_NAME"), text("CHECK_CLAUSE")],
    ),
    (
        "column_privileges",
        &[
            text("GRANTEE"),
            text("TABLE_CATALOG"),
            text("TABLE_SCHEMA"),
            text("TABLE_NAME"),
            text("COLUMN_NAME"),
            text("PRIVILEGE_TYPE"),
            text("IS_GRANTABLE"),
        ],
    ),
    (
        "events",
        &[
            text("EVENT_CATALOG"),
            text("EVENT_SCHEMA"),
            text("EVENT_NAME"),
            text("DEFINER"),
            text("TIME_ZONE"),
            text("EVENT_BODY"),
            text("EVENT_DEFINITION"),
            text("EVENT_TYPE"),
            time("EXECUTE_AT"),
            text("INTERVAL_VALUE"),
            text("INTERVAL_FIELD"),
            text("STATUS"),
            time("CREATED"),
            time("LAST_ALTERED"),
            text("EVENT_COMMENT"),
        ],
    ),
    (
        "files",
        &[
            int("FILE_ID"),
            text("FILE_NAME"),
            text("FILE_TYPE"),
            text("TABLESPACE_NAME"),
            text("TABLE_CATALOG"),
            text("TABLE_SCHEMA"),
            text("TABLE_NAME"),
            text("LOGFILE_GROUP_NAME"),
            int("LOGFILE_GROUP_NUMBER"),
            text("ENGINE"),
            int("TOTAL_EXTENTS"),
            int("INITIAL_SIZE"),
            int("EXTENT_SIZE"),
            text("EXTRA"),
        ],
    ),
    (
        "key_column_usage",
        &[
            text("CONSTRAINT_CATALOG"),
            text("CONSTRAINT_SCHEMA"),
            text("CONSTRAINT_NAME"),
            text("TABLE_CATALOG"),
            text("TABLE_SCHEMA"),
            text("TABLE_NAME"),
            text("COLUMN_NAME"),
            int("ORDINAL_POSITION"),
            int("POSITION_IN_UNIQUE_CONSTRAINT"),
            text("REFERENCED_TABLE_SCHEMA"),
            text("REFERENCED_TABLE_NAME"),
            text("REFERENCED_COLUMN_NAME"),
        ],
    ),
    ("keywords", &[text("WORD"), int("RESERVED")]),
    (
        "parameters",
        &[
            text("SPECIFIC_CATALOG"),
            text("SPECIFIC_SCHEMA"),
            text("SPECIFIC_NAME"),
            int("ORDINAL_POSITION"),
            text("PARAMETER_MODE"),
            text("PARAMETER_NAME"),
            text("DATA_TYPE"),
            int("CHARACTER_MAXIMUM_LENGTH"),
            int("CHARACTER_OCTET_LENGTH"),
            int("NUMERIC_PRECISION"),
            int("NUMERIC_SCALE"),
            int("DATETIME_PRECISION"),
            text("CHARACTER_SET_NAME"),
            text("COLLATION_NAME"),
            text("DTD_IDENTIFIER"),
            text("ROUTINE_TYPE"),
        ],
    ),
    (
        "partitions",
        &[
            text("TABLE_CATALOG"),
            text("TABLE_SCHEMA"),
            text("TABLE_NAME"),
            text("PARTITION_NAME"),
            text("SUBPARTITION_NAME"),
            int("PARTITION_ORDINAL_POSITION"),
            text("PARTITION_METHOD"),
            text("PARTITION_EXPRESSION"),
            text("PARTITION_DESCRIPTION"),
            int("TABLE_ROWS"),
            int("DATA_LENGTH"),
            time("CREATE_TIME"),
        ],
    ),
    ("profiling", &[int("QUERY_ID"), int("SEQ"), text("STATE"), float("DURATION")]),
    (
        "referential_constraints",
        &[
            text("CONSTRAINT_CATALOG"),
            text("CONSTRAINT_SCHEMA"),
            text("CONSTRAINT_NAME"),
            text("UNIQUE_CONSTRAINT_CATALOG"),
            text("UNIQUE_CONSTRAINT_SCHEMA"),
            text("UNIQUE_CONSTRAINT_NAME"),
            text("MATCH_OPTION"),
            text("UPDATE_RULE"),
            text("DELETE_RULE"),
            text("TABLE_NAME"),
            text("REFERENCED_TABLE_NAME"),
        ],
    ),
    (
        "routines",
        &[
            text("SPECIFIC_NAME"),
            text("ROUTINE_CATALOG"),
            text("ROUTINE_SCHEMA"),
            text("ROUTINE_NAME"),
            text("ROUTINE_TYPE"),
            text("DATA_TYPE"),
            text("DTD_IDENTIFIER"),
            text("ROUTINE_BODY"),
            text("ROUTINE_DEFINITION"),
            text("IS_DETERMINISTIC"),
            text("SQL_DATA_ACCESS"),
            text("SECURITY_TYPE"),
            time("CREATED"),
            time("LAST_ALTERED"),
            text("SQL_MODE"),
            text("ROUTINE_COMMENT"),
            text("DEFINER"),
        ],
    ),
    (
        "schema_privileges",
        &[text("GRANTEE"), text("TABLE_CATALOG"), text("TABLE_SCHEMA"), text("PRIVILEGE_TYPE"), text("IS_GRANTABLE")],
    ),
    (
        "table_constraints",
        &[
            text("CONSTRAINT_CATALOG"),
            text("CONSTRAINT_SCHEMA"),
            text("CONSTRAINT_NAME"),
            text("TABLE_SCHEMA"),
            text("TABLE_NAME"),
            text("CONSTRAINT_TYPE"),
            text("ENFORCED"),
        ],
    ),
    (
        "table_privileges",
        &[
            text("GRANTEE"),
            text("TABLE_CATALOG"),
            text("TABLE_SCHEMA"),
            text("TABLE_NAME"),
            text("PRIVILEGE_TYPE"),
            text("IS_GRANTABLE"),
        ],
    ),
    (
        "triggers",
        &[
            text("TRIGGER_CATALOG"),
            text("TRIGGER_SCHEMA"),
            text("TRIGGER_NAME"),
            text("EVENT_MANIPULATION"),
            text("EVENT_OBJECT_SCHEMA"),
            text("EVENT_OBJECT_TABLE"),
            int("ACTION_ORDER"),
            text("ACTION_CONDITION"),
            text("ACTION_STATEMENT"),
            text("ACTION_ORIENTATION"),
            text("ACTION_TIMING"),
            time("CREATED"),
            text("SQL_MODE"),
            text("DEFINER"),
        ],
    ),
    ("user_privileges", &[text("GRANTEE"), text("TABLE_CATALOG"), text("PRIVILEGE_TYPE"), text("IS_GRANTABLE")]),
    (
        "views",
        &[
            text("TABLE_CATALOG"),
            text("TABLE_SCHEMA"),
            text("TABLE_NAME"),
            text("VIEW_DEFINITION"),
            text("CHECK_OPTION"),
            text("IS_UPDATABLE"),
            text("DEFINER"),
            text("SECURITY_TYPE"),
            text("CHARACTER_SET_CLIENT"),
            text("COLLATION_CONNECTION"),
        ],
    ),
];
