//! What can go wrong between this client and a server.

use crate::mysql::SqlError;
use crate::mysql::codec::CodecError;

/// Why a statement, or the connection, has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no server at the address.
    #[error(
        "cannot connect to Millrace at {address}: {source}. Is it running there? Start it with `millrace demo`, or with \
         `millrace standalone --data-dir DIR`; if it listens elsewhere, say so with --host and --port"
    )]
    Connect {
        /// Host and port.
        address: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The server answered with an error; the connection goes on.
    #[error("ERROR {} ({}): {}", .0.code, .0.state_text(), .0.message)]
    Server(SqlError),
    /// The connection broke, or what came is not the protocol.
    #[error("the connection to the server is lost: {0}; if the server still runs, connect again")]
    Lost(#[from] CodecError),
    /// The server wants a login that this client does not know.
    #[error(
        "the server asks for the login method {plugin:?}, which this client does not know; it knows caching_sha2_password and mysql_native_password"
    )]
    UnknownLogin {
        /// The method's name.
        plugin: String,
    },
}

impl ClientError {
    /// Whether the connection can still be used.
    pub fn is_answer(&self) -> bool {
        matches!(self, Self::Server(_))
    }
}
