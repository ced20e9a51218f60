//! The error that a client is shown: a MySQL error number, its SQLSTATE and a message. Whoever writes the message names the
//! place, the cause and the next step.

/// An error that answers a statement or a login.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SqlError {
    /// MySQL's error number.
    pub code: u16,
    /// The SQLSTATE that belongs to it.
    pub state: [u8; 5],
    /// What the user reads.
    pub message: String,
}

impl SqlError {
    /// An error with MySQL's own SQLSTATE for `code`.
    pub fn new(code: u16, message: impl Into<String>) -> Self {
        Self { code, state: *state_of(code), message: message.into() }
    }

    /// 1007: CREATE DATABASE of one that exists.
    pub fn database_exists(database: &str) -> Self {
        Self::new(1007, format!("Can't create database '{database}'; database exists"))
    }

    /// 1008: DROP DATABASE of one that does not exist.
    pub fn no_database_to_drop(database: &str) -> Self {
        Self::new(1008, format!("Can't drop database '{database}'; database doesn't exist"))
    }

    /// 1040: the connection limit is reached.
    pub fn too_many_connections(limit: usize) -> Self {
        Self::new(1040, format!("Too many connections: all {limit} are in use; close one, or raise the limit"))
    }

    /// 1043: the login packet cannot be used.
    pub fn bad_handshake(cause: &str) -> Self {
        Self::new(1043, format!("Bad handshake: {cause}"))
    }

    /// 1045: wrong user or password. It never says which.
    pub fn access_denied(user: &str, host: &str, using_password: bool) -> Self {
        let using = if using_password { "YES" } else { "NO" };
        Self::new(1045, format!("Access denied for user '{user}'@'{host}' (using password: {using})"))
    }

    /// 1045: an account without a password is only for the server's own machine.
    pub fn no_password(user: &str, host: &str) -> Self {
        let message = format!(
            "Access denied for user '{user}'@'{host}': the account has no password, so it may log in only from the server's own \
             machine; run ALTER USER '{user}' IDENTIFIED BY '…' there"
        );
        Self::new(1045, message)
    }

    /// 1046: a table without a database, and none in use.
    pub fn no_database_selected() -> Self {
        Self::new(1046, "No database selected; run USE <database>, or write <database>.<table>")
    }

    /// 1047: a command of the protocol that is not served.
    pub fn unknown_command(what: &str) -> Self {
        Self::new(1047, format!("Unknown command: {what}"))
    }

    /// 1049: no such database. `hint` may name the ones that are alike.
    pub fn unknown_database(database: &str, hint: &str) -> Self {
        Self::new(1049, with_hint(format!("Unknown database '{database}'"), hint))
    }

    /// 1050: CREATE TABLE of one that exists.
    pub fn table_exists(table: &str) -> Self {
        Self::new(1050, format!("Table '{table}' already exists"))
    }

    /// 1051: DROP TABLE of one that does not exist.
    pub fn no_table_to_drop(table: &str) -> Self {
        Self::new(1051, format!("Unknown table '{table}'"))
    }

    /// 1038: no memory is left. The message says of what, and what to do.
    pub fn out_of_memory(message: impl Into<String>) -> Self {
        Self::new(1038, message)
    }

    /// 1053: the server stops.
    pub fn shutting_down() -> Self {
        Self::new(1053, "Server shutdown in progress; connect again once it is back")
    }

    /// 1054: no such column in `place`. `hint` may name the ones that are alike.
    pub fn unknown_column(column: &str, place: &str, hint: &str) -> Self {
        Self::new(1054, with_hint(format!("Unknown column '{column}' in '{place}'"), hint))
    }

    /// 1064: the statement cannot be read.
    pub fn syntax(message: &str) -> Self {
        Self::new(1064, format!("You have an error in your SQL syntax; {message}"))
    }

    /// 1105: an error without a number of its own.
    pub fn other(message: impl Into<String>) -> Self {
        Self::new(1105, message)
    }

    /// 1146: no such table. `hint` may name the ones that are alike.
    pub fn no_such_table(database: &str, table: &str, hint: &str) -> Self {
        Self::new(1146, with_hint(format!("Table '{database}.{table}' doesn't exist"), hint))
    }

    /// 1193: no such variable. `hint` may name the ones that are alike.
    pub fn unknown_variable(variable: &str, hint: &str) -> Self {
        Self::new(1193, with_hint(format!("Unknown system variable '{variable}'"), hint))
    }

    /// 1235: known, but not built yet.
    pub fn not_supported(what: &str) -> Self {
        Self::new(1235, format!("This version of Millrace doesn't yet support {what}"))
    }

    /// 1300: the statement is not UTF-8; `at` is the first wrong byte's place.
    pub fn not_utf8(at: usize) -> Self {
        Self::new(
            1300,
            format!("Invalid utf8mb4 character string: byte {at} of the statement is not UTF-8; send it in utf8mb4"),
        )
    }

    /// 1305: no such function. `hint` may name the ones that are alike.
    pub fn no_such_function(function: &str, hint: &str) -> Self {
        Self::new(1305, with_hint(format!("FUNCTION {function} does not exist"), hint))
    }

    /// 1317: cancelled by KILL or Ctrl-C.
    pub fn interrupted() -> Self {
        Self::new(1317, "Query execution was interrupted")
    }

    /// 1927: the connection was ended by KILL.
    pub fn killed() -> Self {
        Self::new(1927, "Connection was killed; connect again")
    }

    /// 3024: cancelled by a time limit.
    pub fn timed_out(limit: &str) -> Self {
        Self::new(
            3024,
            format!("Query execution was interrupted, maximum statement execution time of {limit} exceeded"),
        )
    }

    /// The SQLSTATE as text.
    pub fn state_text(&self) -> String {
        String::from_utf8_lossy(&self.state).into_owned()
    }
}

fn with_hint(message: String, hint: &str) -> String {
    if hint.is_empty() { message } else { format!("{message}; {hint}") }
}

fn state_of(code: u16) -> &'static [u8; 5] {
    match code {
        1037 | 1038 => b"HY001",
        1040 => b"08004",
        1043 | 1047 | 1053 | 1153 | 1156 => b"08S01",
        1044 | 1049 | 1064 | 1065 | 1066 | 1101 | 1103 | 1231 | 1232 | 1235 | 1305 => b"42000",
        1045 => b"28000",
        1046 => b"3D000",
        1048 | 1052 | 1062 => b"23000",
        1050 => b"42S01",
        1051 | 1109 | 1146 => b"42S02",
        1054 => b"42S22",
        1060 => b"42S21",
        1136 => b"21S01",
        1264 => b"22003",
        1292 => b"22007",
        1141 | 1461 => b"42000",
        1317 | 1927 => b"70100",
        _ => b"HY000",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_follows_the_words_that_every_mysql_user_knows() {
        let error = SqlError::no_such_table("demo", "flihgts", "did you mean 'flights'?");
        assert_eq!(error.message, "Table 'demo.flihgts' doesn't exist; did you mean 'flights'?");
        assert_eq!((error.code, error.state_text().as_str()), (1146, "42S02"));
        assert_eq!(SqlError::unknown_database("x", "").message, "Unknown database 'x'");
    }
}
