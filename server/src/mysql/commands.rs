//! What a client may ask once it has logged in: the commands of the protocol, read from their packets. Every payload is a
//! command; what cannot be served becomes [`Command::Refused`] with the error that answers it, and the connection lives on.

use super::error::SqlError;
use super::fields::Fields;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The client leaves.
    Quit,
    /// USE, without SQL.
    InitDatabase(&'a str),
    /// A statement.
    Query(&'a str),
    /// The columns of a table: the MySQL and MariaDB shells complete names with it.
    FieldList {
        /// The table, in the database in use.
        table: &'a str,
    },
    /// One line about the server.
    Statistics,
    /// Are you there?
    Ping,
    /// Return to the state after the login.
    Reset,
    /// Whether several statements may stand in one command from now on.
    MultiStatements(Several),
    /// Ends what a connection is doing, and the connection.
    Kill(u32),
    /// Another user, on the same connection: the packet, for [`ChangeUser`](super::handshake::ChangeUser).
    ChangeUser(&'a [u8]),
    /// Reads a statement, to be executed later.
    Prepare(&'a str),
    /// Executes a prepared statement: the packet, for [`parameters`](super::parameters).
    Execute(&'a [u8]),
    /// A piece of a parameter that is too long for one packet. It takes no answer.
    SendLongData {
        /// Of which statement.
        statement: u32,
        /// Of which parameter.
        parameter: u16,
        /// The piece.
        data: &'a [u8],
    },
    /// Forgets a prepared statement. It takes no answer.
    Close(u32),
    /// Forgets what has been sent for a statement's next execution.
    ResetStatement(u32),
    /// Rows of an open cursor; it never has any.
    Fetch(u32),
    /// A command that takes no answer and cannot be read.
    Ignored,
    /// Answered with this error.
    Refused(SqlError),
}

/// How many statements a command may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Several {
    /// One or more.
    Allowed,
    /// One.
    Refused,
}

const QUIT: u8 = 0x01;
const INIT_DB: u8 = 0x02;
const QUERY: u8 = 0x03;
const FIELD_LIST: u8 = 0x04;
const STATISTICS: u8 = 0x09;
const PROCESS_KILL: u8 = 0x0C;
const PING: u8 = 0x0E;
const CHANGE_USER: u8 = 0x11;
const STMT_PREPARE: u8 = 0x16;
const STMT_EXECUTE: u8 = 0x17;
const STMT_SEND_LONG_DATA: u8 = 0x18;
const STMT_CLOSE: u8 = 0x19;
const STMT_RESET: u8 = 0x1A;
const SET_OPTION: u8 = 0x1B;
const STMT_FETCH: u8 = 0x1C;
const RESET_CONNECTION: u8 = 0x1F;

impl<'a> Command<'a> {
    /// Reads one payload.
    pub fn parse(payload: &'a [u8]) -> Self {
        let Some((code, body)) = payload.split_first() else {
            return Self::Refused(SqlError::unknown_command("an empty packet"));
        };
        match *code {
            QUIT => Self::Quit,
            INIT_DB => Self::with_text(body, Self::InitDatabase),
            QUERY => Self::with_text(body, Self::Query),
            FIELD_LIST => Self::with_text(Fields::new(body).until_nul(), |table| Self::FieldList { table }),
            STATISTICS => Self::Statistics,
            PING => Self::Ping,
            RESET_CONNECTION => Self::Reset,
            SET_OPTION => Self::set_option(body),
            PROCESS_KILL => Self::with_number(body, "COM_PROCESS_KILL", Self::Kill),
            CHANGE_USER => Self::ChangeUser(body),
            STMT_PREPARE => Self::with_text(body, Self::Prepare),
            STMT_EXECUTE => Self::Execute(body),
            STMT_RESET => Self::with_number(body, "COM_STMT_RESET", Self::ResetStatement),
            STMT_FETCH => Self::with_number(body, "COM_STMT_FETCH", Self::Fetch),
            // The protocol has no answer for these two: one would be taken for the answer to the next command.
            STMT_CLOSE => Fields::new(body).u32().map_or(Self::Ignored, Self::Close),
            STMT_SEND_LONG_DATA => Self::long_data(body).unwrap_or(Self::Ignored),
            other => Self::Refused(SqlError::unknown_command(&refusal(other))),
        }
    }

    fn with_text(bytes: &'a [u8], command: impl FnOnce(&'a str) -> Self) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => command(text),
            Err(error) => Self::Refused(SqlError::not_utf8(error.valid_up_to())),
        }
    }

    fn with_number(body: &[u8], name: &str, command: impl FnOnce(u32) -> Self) -> Self {
        match Fields::new(body).u32() {
            Ok(number) => command(number),
            Err(_) => Self::Refused(SqlError::unknown_command(&format!("{name} without its number"))),
        }
    }

    fn long_data(body: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(body);
        let (statement, parameter) = (fields.u32().ok()?, fields.u16().ok()?);
        Some(Self::SendLongData { statement, parameter, data: fields.rest() })
    }

    fn set_option(body: &[u8]) -> Self {
        match Fields::new(body).u16() {
            Ok(0) => Self::MultiStatements(Several::Allowed),
            Ok(1) => Self::MultiStatements(Several::Refused),
            _ => Self::Refused(SqlError::unknown_command("COM_SET_OPTION with an option other than 0 and 1")),
        }
    }
}

/// What is refused, by its name in the protocol, and what to do instead where there is something.
fn refusal(code: u8) -> String {
    let name = match code {
        0x05 => "COM_CREATE_DB",
        0x06 => "COM_DROP_DB",
        0x07 => "COM_REFRESH",
        0x08 => "COM_SHUTDOWN",
        0x0A => "COM_PROCESS_INFO",
        0x0D => "COM_DEBUG",
        0x12 => "COM_BINLOG_DUMP",
        0x15 => "COM_REGISTER_SLAVE",
        0x1E => "COM_BINLOG_DUMP_GTID",
        _ => return format!("0x{code:02X}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_read_by_their_first_byte() {
        assert_eq!(Command::parse(b"\x03select 1"), Command::Query("select 1"));
        assert_eq!(Command::parse(b"\x02demo"), Command::InitDatabase("demo"));
        assert_eq!(Command::parse(b"\x04flights\0%"), Command::FieldList { table: "flights" });
        assert_eq!(Command::parse(b"\x1b\x01\0"), Command::MultiStatements(Several::Refused));
        assert_eq!(Command::parse(b"\x1b\0\0"), Command::MultiStatements(Several::Allowed));
        assert_eq!(Command::parse(b"\x16select ?"), Command::Prepare("select ?"));
        assert_eq!(Command::parse(b"\x19\x01\0\0\0"), Command::Close(1));
        assert_eq!(Command::parse(b"\x19\x01"), Command::Ignored);
        let piece = Command::SendLongData { statement: 2, parameter: 1, data: b"abc" };
        assert_eq!(Command::parse(b"\x18\x02\0\0\0\x01\0abc"), piece);
        assert_eq!(Command::parse(b"\x18\x02\0\0"), Command::Ignored);
        assert_eq!(Command::parse(b"\x0c\x07\0\0\0"), Command::Kill(7));
        assert_eq!(Command::parse(b"\x1a\x07\0\0\0"), Command::ResetStatement(7));
        assert_eq!(Command::parse(b"\x01"), Command::Quit);
    }

    #[test]
    fn what_is_not_served_is_named_in_its_refusal() {
        for (payload, code, word) in [
            (&b"\x12"[..], 1047, "COM_BINLOG_DUMP"),
            (b"\x0c\x07", 1047, "COM_PROCESS_KILL without its number"),
            (b"\xEE", 1047, "0xEE"),
            (b"", 1047, "empty"),
            (b"\x16select '\xFF'", 1300, "byte 8"),
            (b"\x1b", 1047, "COM_SET_OPTION"),
            (b"\x03select '\xFF'", 1300, "byte 8"),
        ] {
            let Command::Refused(error) = Command::parse(payload) else { panic!("served {payload:?}") };
            assert_eq!(error.code, code);
            assert!(error.message.contains(word), "{}", error.message);
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = Command::parse(&bytes);
        }
    }
}
