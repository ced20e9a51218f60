//! What is true of this server and shown as variables: MySQL's names for it, with its own values.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use super::Value;

/// Numbers and names of a running server.
#[derive(Clone, Debug)]
pub struct ServerFacts {
    /// What `VERSION()` says; the greeting of the MySQL port says the same.
    pub server_version: String,
    /// The machine's name.
    pub hostname: String,
    /// Where the MySQL port is, once it is open: who asks before comes from within the process.
    pub address: Arc<OnceLock<SocketAddr>>,
    /// Most connections at a time.
    pub connections_max: usize,
    /// The largest command in bytes.
    pub max_allowed_packet: usize,
    /// How long a client may take to log in.
    pub login_seconds: u64,
    /// How long a client may be silent between commands, unless its session says otherwise.
    pub idle_seconds: u64,
}

impl Default for ServerFacts {
    fn default() -> Self {
        let port = crate::mysql::ListenerSettings::default();
        Self {
            server_version: port.server_version,
            hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            address: Arc::default(),
            connections_max: port.max_connections,
            max_allowed_packet: port.max_allowed_packet,
            login_seconds: port.login_timeout.as_secs(),
            idle_seconds: port.idle_timeout.as_secs(),
        }
    }
}

impl ServerFacts {
    /// The server's own value of a variable, where it has one.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        let number = |number: u64| Some(Value::Int(i64::try_from(number).unwrap_or(i64::MAX)));
        let text = |text: &str| Some(Value::Text(text.to_owned()));
        match name {
            "bind_address" => self.address.get().and_then(|address| text(&address.ip().to_string())),
            "connect_timeout" => number(self.login_seconds),
            "hostname" => text(&self.hostname),
            "interactive_timeout" | "wait_timeout" => number(self.idle_seconds),
            "max_allowed_packet" => number(self.max_allowed_packet as u64),
            "max_connections" => number(self.connections_max as u64),
            "max_prepared_stmt_count" => number(super::super::prepared::COUNT_MAX as u64),
            "port" => self.address.get().and_then(|address| number(address.port().into())),
            "version" => text(&self.server_version),
            "version_compile_machine" => text(std::env::consts::ARCH),
            "version_compile_os" => text(std::env::consts::OS),
            _ => None,
        }
    }
}
