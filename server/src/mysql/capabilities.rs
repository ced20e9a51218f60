//! The capability flags that both sides exchange in the handshake, and the set that this server serves.

/// A set of capability flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(u32);

impl Capabilities {
    /// The server is not MariaDB, says the flag nowadays.
    pub const LONG_PASSWORD: Self = Self(1);
    /// Affected rows means matched rows.
    pub const FOUND_ROWS: Self = Self(1 << 1);
    /// Two bytes of column flags.
    pub const LONG_FLAG: Self = Self(1 << 2);
    /// The login may name a database.
    pub const CONNECT_WITH_DB: Self = Self(1 << 3);
    /// The protocol since MySQL 4.1; nothing older is spoken here.
    pub const PROTOCOL_41: Self = Self(1 << 9);
    /// The client asks to go on encrypted. Not served yet.
    pub const SSL: Self = Self(1 << 11);
    /// Answers carry status flags.
    pub const TRANSACTIONS: Self = Self(1 << 13);
    /// The login's answer is a scramble with a length.
    pub const SECURE_CONNECTION: Self = Self(1 << 15);
    /// The client may send several statements in one command.
    pub const MULTI_STATEMENTS: Self = Self(1 << 16);
    /// The client can take several results for a statement.
    pub const MULTI_RESULTS: Self = Self(1 << 17);
    /// The client can take several results for a prepared statement.
    pub const PS_MULTI_RESULTS: Self = Self(1 << 18);
    /// The login names its authentication plugin.
    pub const PLUGIN_AUTH: Self = Self(1 << 19);
    /// The login carries attributes of the client's program.
    pub const CONNECT_ATTRS: Self = Self(1 << 20);
    /// The login's answer has a length-encoded length.
    pub const PLUGIN_AUTH_LENENC: Self = Self(1 << 21);
    /// An OK packet stands at the end of rows, and none before them.
    pub const DEPRECATE_EOF: Self = Self(1 << 24);

    /// What this server serves. Left out until they are built and tested: SSL, COMPRESS, SESSION_TRACK (it changes the shape
    /// of the OK packet) and LOCAL_FILES.
    pub const SERVED: Self = Self::LONG_PASSWORD
        .with(Self::FOUND_ROWS)
        .with(Self::LONG_FLAG)
        .with(Self::CONNECT_WITH_DB)
        .with(Self::PROTOCOL_41)
        .with(Self::TRANSACTIONS)
        .with(Self::SECURE_CONNECTION)
        .with(Self::MULTI_STATEMENTS)
        .with(Self::MULTI_RESULTS)
        .with(Self::PS_MULTI_RESULTS)
        .with(Self::PLUGIN_AUTH)
        .with(Self::CONNECT_ATTRS)
        .with(Self::PLUGIN_AUTH_LENENC)
        .with(Self::DEPRECATE_EOF);

    /// The set with these 32 bits.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The set as 32 bits.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Both sets together.
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without the flags of `other`.
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// What both sets hold. A client's flags count only where the server offered them: some clients set others unasked.
    pub const fn masked(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether all flags of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The status flag "each statement is its own transaction", which is always so here; some drivers trust it blindly.
pub const STATUS_AUTOCOMMIT: u16 = 2;
/// The status flag "the answer of the next statement of the command follows".
pub const STATUS_MORE_RESULTS: u16 = 8;
/// Status flag: rows are to be asked for, by COM_STMT_FETCH.
pub const STATUS_CURSOR_EXISTS: u16 = 64;
/// Status flag: a cursor has no more rows, and is closed.
pub const STATUS_LAST_ROW_SENT: u16 = 128;
/// The collation utf8mb4_general_ci, known to every client: the character set of all text in both directions.
pub const CHARSET_UTF8MB4: u8 = 45;
/// The pseudo-collation of bytes and numbers.
pub const CHARSET_BINARY: u8 = 63;
