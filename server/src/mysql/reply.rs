//! The small packets that end things: OK, EOF and ERR, each written and read here.

use bytes::{BufMut, BytesMut};

use super::capabilities::{Capabilities, STATUS_AUTOCOMMIT, STATUS_MORE_RESULTS};
use super::codec::CodecError;
use super::error::SqlError;
use super::fields::{Fields, put_integer, put_string};

/// The first byte of an OK packet.
pub const OK: u8 = 0x00;
/// The first byte of a packet that ends rows, in both of its forms.
pub const EOF: u8 = 0xFE;
/// The first byte of an ERR packet.
pub const ERR: u8 = 0xFF;
/// A row may begin with the byte [`EOF`] too, but only if it is at least this long.
pub const EOF_LIMIT: usize = 0xFF_FFFF;
/// How long an EOF packet's payload is; the OK packet in its place is longer.
const EOF_BYTES: usize = 5;

/// Where an answer stands among those of one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// No other follows.
    #[default]
    Last,
    /// That of the next statement follows.
    Followed,
}

impl Place {
    fn status(self) -> u16 {
        match self {
            Self::Last => STATUS_AUTOCOMMIT,
            Self::Followed => STATUS_AUTOCOMMIT | STATUS_MORE_RESULTS,
        }
    }
}

/// "It is done."
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// How many rows were changed.
    pub affected_rows: u64,
    /// How many warnings there are.
    pub warnings: u16,
    /// A line for the user.
    pub info: String,
}

impl Done {
    /// Appends an OK packet's payload.
    pub fn encode(&self, place: Place, out: &mut BytesMut) {
        self.encode_as(OK, place.status(), out);
    }

    /// Reads an OK packet's payload.
    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut fields = Fields::new(payload);
        fields.u8()?;
        let affected_rows = fields.integer()?;
        fields.integer()?;
        fields.u16()?;
        let warnings = fields.u16()?;
        let info: &[u8] = if fields.is_empty() { &[] } else { fields.string()? };
        Ok(Self { affected_rows, warnings, info: String::from_utf8_lossy(info).into_owned() })
    }

    fn encode_as(&self, first: u8, status: u16, out: &mut BytesMut) {
        out.put_u8(first);
        put_integer(out, self.affected_rows);
        put_integer(out, 0);
        out.put_u16_le(status);
        out.put_u16_le(self.warnings);
        // With its length, as MySQL writes it whatever was agreed on; Connector/J and the client of MariaDB read nothing else.
        if !self.info.is_empty() {
            put_string(out, self.info.as_bytes());
        }
    }
}

/// Appends the payload that ends a list of rows or columns, in the form that both sides have agreed on.
pub fn encode_end(capabilities: Capabilities, place: Place, out: &mut BytesMut) {
    encode_end_with(place.status(), capabilities, out);
}

/// The same of a cursor's rows: `flag` says whether more are to be asked for.
pub fn encode_cursor_end(flag: u16, capabilities: Capabilities, out: &mut BytesMut) {
    encode_end_with(Place::Last.status() | flag, capabilities, out);
}

fn encode_end_with(status: u16, capabilities: Capabilities, out: &mut BytesMut) {
    if capabilities.contains(Capabilities::DEPRECATE_EOF) {
        Done::default().encode_as(EOF, status, out);
    } else {
        put_eof(status, out);
    }
}

/// Appends an EOF packet's payload.
pub fn encode_eof(place: Place, out: &mut BytesMut) {
    put_eof(place.status(), out);
}

fn put_eof(status: u16, out: &mut BytesMut) {
    out.put_u8(EOF);
    out.put_u16_le(0);
    out.put_u16_le(status);
}

/// The status flags of a payload that ends rows, in either form; nothing if it is cut short.
pub fn end_status(payload: &[u8]) -> Option<u16> {
    let mut fields = Fields::new(payload);
    fields.u8().ok()?;
    if payload.len() > EOF_BYTES {
        fields.integer().ok()?;
        fields.integer().ok()?;
    } else {
        fields.u16().ok()?;
    }
    fields.u16().ok()
}

/// Whether this payload, where a row might stand, ends the rows.
pub fn is_end(payload: &[u8]) -> bool {
    payload.first() == Some(&EOF) && payload.len() < EOF_LIMIT
}

/// Appends an ERR packet's payload.
pub fn encode_error(error: &SqlError, out: &mut BytesMut) {
    out.put_u8(ERR);
    out.put_u16_le(error.code);
    out.put_u8(b'#');
    out.extend_from_slice(&error.state);
    out.extend_from_slice(error.message.as_bytes());
}

/// Reads an ERR packet's payload. One from before the login may lack the SQLSTATE.
pub fn parse_error(payload: &[u8]) -> Result<SqlError, CodecError> {
    let mut fields = Fields::new(payload);
    fields.u8()?;
    let code = fields.u16()?;
    let rest = fields.rest();
    let (state, message) = match rest {
        [b'#', state @ ..] if state.len() >= 5 => (&state[..5], &state[5..]),
        _ => (b"HY000".as_slice(), rest),
    };
    let mut error = SqlError::new(code, String::from_utf8_lossy(message));
    error.state.copy_from_slice(state);
    Ok(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_lie_byte_for_byte_as_the_protocol_says() {
        let mut out = BytesMut::new();
        Done { affected_rows: 300, warnings: 1, info: "hi".into() }.encode(Place::Last, &mut out);
        assert_eq!(&out[..], [0, 0xFC, 44, 1, 0, 2, 0, 1, 0, 2, b'h', b'i']);
        out.clear();
        encode_error(&SqlError::new(1146, "no"), &mut out);
        assert_eq!(&out[..], b"\xFF\x7A\x04#42S02no");
        out.clear();
        encode_end(Capabilities::DEPRECATE_EOF, Place::Last, &mut out);
        assert_eq!(&out[..], [0xFE, 0, 0, 2, 0, 0, 0]);
        assert_eq!(end_status(&out), Some(2));
        out.clear();
        encode_end(Capabilities::PROTOCOL_41, Place::Followed, &mut out);
        assert_eq!(&out[..], [0xFE, 0, 0, 10, 0]);
        assert_eq!(end_status(&out), Some(10));
    }

    proptest! {
        #[test]
        fn replies_come_back_as_written(affected_rows in any::<u64>(), warnings in any::<u16>(), info in ".{0,40}", code in any::<u16>()) {
            let mut out = BytesMut::new();
            let done = Done { affected_rows, warnings, info: info.clone() };
            done.encode(Place::Last, &mut out);
            prop_assert_eq!(Done::parse(&out).unwrap(), done);
            out.clear();
            let error = SqlError::new(code, info);
            encode_error(&error, &mut out);
            prop_assert_eq!(parse_error(&out).unwrap(), error);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let _ = (Done::parse(&bytes), parse_error(&bytes), is_end(&bytes), end_status(&bytes));
        }
    }
}
