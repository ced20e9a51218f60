//! The two packets that open a connection: the server's greeting and the client's login, each written and read here, so
//! that server and client cannot drift apart. Who may log in is decided in `login`.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};

use super::auth::{SALT_BYTES, Salt};
use super::capabilities::{CHARSET_UTF8MB4, Capabilities, STATUS_AUTOCOMMIT};
use super::codec::CodecError;
use super::fields::{Fields, put_nul_string, put_string};

const PROTOCOL_VERSION: u8 = 10;
const FIRST_SALT_PART: usize = 8;

/// What the server says first: protocol version 10.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// For people and for drivers that parse the number in front.
    pub server_version: String,
    /// The connection's id, as KILL takes it.
    pub connection_id: u32,
    /// What the client scrambles its password with.
    pub salt: Salt,
    /// What the server serves.
    pub capabilities: Capabilities,
    /// The plugin that the server would like.
    pub plugin: String,
}

impl Greeting {
    /// Appends the packet's payload.
    pub fn encode(&self, out: &mut BytesMut) {
        let salt = self.salt.bytes();
        out.put_u8(PROTOCOL_VERSION);
        put_nul_string(out, self.server_version.as_bytes());
        out.put_u32_le(self.connection_id);
        out.extend_from_slice(&salt[..FIRST_SALT_PART]);
        out.put_u8(0);
        out.put_u16_le(self.capabilities.bits() as u16);
        out.put_u8(CHARSET_UTF8MB4);
        out.put_u16_le(STATUS_AUTOCOMMIT);
        out.put_u16_le((self.capabilities.bits() >> 16) as u16);
        out.put_u8(SALT_BYTES as u8 + 1);
        out.put_bytes(0, 10);
        out.extend_from_slice(&salt[FIRST_SALT_PART..]);
        out.put_u8(0);
        put_nul_string(out, self.plugin.as_bytes());
    }

    /// Reads the packet's payload.
    pub fn parse(payload: &[u8]) -> Result<Self, CodecError> {
        let mut fields = Fields::new(payload);
        if fields.u8()? != PROTOCOL_VERSION {
            return Err(CodecError::Malformed("the server does not greet with protocol version 10"));
        }
        let server_version = String::from_utf8_lossy(fields.until_nul()).into_owned();
        let connection_id = fields.u32()?;
        let mut salt = [0; SALT_BYTES];
        salt[..FIRST_SALT_PART].copy_from_slice(fields.bytes(FIRST_SALT_PART)?);
        fields.u8()?;
        let low = u32::from(fields.u16()?);
        fields.bytes(3)?;
        let high = u32::from(fields.u16()?);
        fields.bytes(11)?;
        salt[FIRST_SALT_PART..].copy_from_slice(fields.bytes(SALT_BYTES - FIRST_SALT_PART)?);
        fields.u8()?;
        let plugin = String::from_utf8_lossy(fields.until_nul()).into_owned();
        let capabilities = Capabilities::from_bits(low | high << 16);
        Ok(Self { server_version, connection_id, salt: Salt::from_bytes(salt), capabilities, plugin })
    }
}

/// What the client answers: who it is and what it can do. It holds a scramble, so it does not derive Debug.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginRequest {
    /// What both sides can do: the client's flags under the server's.
    pub capabilities: Capabilities,
    /// The user's name.
    pub user: String,
    /// The scrambled password; empty without one.
    pub response: Vec<u8>,
    /// The database to begin in.
    pub database: Option<String>,
    /// The plugin that made `response`.
    pub plugin: Option<String>,
    /// What the client's program says of itself.
    pub attributes: BTreeMap<String, String>,
}

impl LoginRequest {
    /// Appends the packet's payload. Of the capabilities, the four that say which fields follow are set to fit them.
    pub fn encode(&self, out: &mut BytesMut) {
        let mut flags = self.capabilities.with(Capabilities::PROTOCOL_41).with(Capabilities::PLUGIN_AUTH_LENENC);
        for (present, flag) in [
            (self.database.is_some(), Capabilities::CONNECT_WITH_DB),
            (self.plugin.is_some(), Capabilities::PLUGIN_AUTH),
            (!self.attributes.is_empty(), Capabilities::CONNECT_ATTRS),
        ] {
            flags = if present { flags.with(flag) } else { flags.without(flag) };
        }
        out.put_u32_le(flags.bits());
        out.put_u32_le(super::codec::MAX_ALLOWED_PACKET as u32);
        out.put_u8(CHARSET_UTF8MB4);
        out.put_bytes(0, 23);
        put_nul_string(out, self.user.as_bytes());
        put_string(out, &self.response);
        if let Some(database) = &self.database {
            put_nul_string(out, database.as_bytes());
        }
        if let Some(plugin) = &self.plugin {
            put_nul_string(out, plugin.as_bytes());
        }
        if !self.attributes.is_empty() {
            let mut pairs = BytesMut::new();
            for (name, value) in &self.attributes {
                put_string(&mut pairs, name.as_bytes());
                put_string(&mut pairs, value.as_bytes());
            }
            put_string(out, &pairs);
        }
    }

    /// Reads the packet's payload. The client's flags are masked with `served`: a flag that was not offered has no effect.
    pub fn parse(payload: &[u8], served: Capabilities) -> Result<Self, CodecError> {
        let mut fields = Fields::new(payload);
        let asked = Capabilities::from_bits(fields.u32()?);
        if !asked.contains(Capabilities::PROTOCOL_41) {
            return Err(CodecError::Malformed("the client speaks a protocol from before MySQL 4.1"));
        }
        if asked.contains(Capabilities::SSL) && !served.contains(Capabilities::SSL) {
            return Err(CodecError::Malformed("the client asks for TLS, which this server does not offer"));
        }
        let capabilities = asked.masked(served);
        fields.bytes(4 + 1 + 23)?;
        let user = text(fields.until_nul(), "the user's name is not UTF-8")?;
        let response = if capabilities.contains(Capabilities::PLUGIN_AUTH_LENENC) {
            fields.string()?
        } else if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = usize::from(fields.u8()?);
            fields.bytes(length)?
        } else {
            fields.until_nul()
        };
        let mut database = None;
        if capabilities.contains(Capabilities::CONNECT_WITH_DB) {
            database =
                Some(text(fields.until_nul(), "the database's name is not UTF-8")?).filter(|name| !name.is_empty());
        }
        let mut plugin = None;
        if capabilities.contains(Capabilities::PLUGIN_AUTH) {
            plugin = Some(text(fields.until_nul(), "the authentication plugin's name is not UTF-8")?);
        }
        let mut attributes = BTreeMap::new();
        if capabilities.contains(Capabilities::CONNECT_ATTRS) {
            attributes = read_attributes(fields);
        }
        Ok(Self { capabilities, user, response: response.to_vec(), database, plugin, attributes })
    }
}

/// COM_CHANGE_USER: another user on the same connection. What it says is that of a login, in another order.
pub struct ChangeUser(pub LoginRequest);

impl ChangeUser {
    /// Reads the packet behind its first byte, from a client with these capabilities.
    pub fn parse(packet: &[u8], capabilities: Capabilities) -> Result<Self, CodecError> {
        let mut fields = Fields::new(packet);
        let user = text(fields.until_nul(), "the user's name is not UTF-8")?;
        let response = if capabilities.contains(Capabilities::SECURE_CONNECTION) {
            let length = usize::from(fields.u8()?);
            fields.bytes(length)?.to_vec()
        } else {
            fields.until_nul().to_vec()
        };
        let database = text(fields.until_nul(), "the database's name is not UTF-8")?;
        let database = Some(database).filter(|name| !name.is_empty());
        // All that follows may be left out.
        let mut plugin = None;
        let mut attributes = BTreeMap::new();
        if fields.u16().is_ok() && !fields.is_empty() {
            if capabilities.contains(Capabilities::PLUGIN_AUTH) {
                plugin = Some(text(fields.until_nul(), "the authentication plugin's name is not UTF-8")?);
            }
            if capabilities.contains(Capabilities::CONNECT_ATTRS) {
                attributes = read_attributes(fields);
            }
        }
        Ok(Self(LoginRequest { capabilities, user, response, database, plugin, attributes }))
    }
}

/// Attributes are for people only: what is broken ends them and does not refuse the login.
fn read_attributes(mut fields: Fields<'_>) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    let Ok(all) = fields.string() else { return attributes };
    let mut pairs = Fields::new(all);
    while let (Ok(name), Ok(value)) = (pairs.string(), pairs.string()) {
        attributes.insert(String::from_utf8_lossy(name).into_owned(), String::from_utf8_lossy(value).into_owned());
    }
    attributes
}

fn text(bytes: &[u8], complaint: &'static str) -> Result<String, CodecError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| CodecError::Malformed(complaint))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn greeting() -> Greeting {
        Greeting {
            server_version: "8.4.0-millrace-0.1.0".into(),
            connection_id: 77,
            salt: Salt::from_bytes(*b"abcdefghijklmnopqrst"),
            capabilities: Capabilities::SERVED,
            plugin: "caching_sha2_password".into(),
        }
    }

    #[test]
    fn the_greeting_lies_byte_for_byte_as_the_protocol_says() {
        let mut out = BytesMut::new();
        greeting().encode(&mut out);
        let low = (Capabilities::SERVED.bits() as u16).to_le_bytes();
        let high = ((Capabilities::SERVED.bits() >> 16) as u16).to_le_bytes();
        let expected = [
            b"\x0A8.4.0-millrace-0.1.0\0".as_slice(),
            &[77, 0, 0, 0],
            b"abcdefgh\0",
            &low,
            &[45, 2, 0],
            &high,
            &[21],
            &[0; 10],
            b"ijklmnopqrst\0",
            b"caching_sha2_password\0",
        ]
        .concat();
        assert_eq!(out, expected);
        assert_eq!(Greeting::parse(&out).unwrap(), greeting());
    }

    #[test]
    fn a_flag_that_was_not_offered_has_no_effect() {
        let login = LoginRequest {
            capabilities: Capabilities::from_bits(u32::MAX).without(Capabilities::SSL),
            user: "root".into(),
            response: vec![9; 32],
            database: Some("demo".into()),
            plugin: Some("caching_sha2_password".into()),
            attributes: BTreeMap::from([("program_name".into(), "test".into())]),
        };
        let mut out = BytesMut::new();
        login.encode(&mut out);
        let parsed = LoginRequest::parse(&out, Capabilities::SERVED).unwrap();
        assert_eq!(parsed.capabilities, Capabilities::SERVED);
        assert!(parsed == LoginRequest { capabilities: Capabilities::SERVED, ..login });
    }

    #[test]
    fn a_change_of_the_user_may_leave_out_its_end() {
        let whole = b"app\0\x02\x01\x02shop\0\xFF\0caching_sha2_password\0\x09\x03_os\x04unix";
        let ChangeUser(request) = ChangeUser::parse(whole, Capabilities::SERVED).unwrap();
        assert_eq!((request.user.as_str(), request.response.as_slice()), ("app", &[1, 2][..]));
        assert_eq!(request.database.as_deref(), Some("shop"));
        assert_eq!(request.plugin.as_deref(), Some("caching_sha2_password"));
        assert_eq!(request.attributes["_os"], "unix");
        let ChangeUser(request) = ChangeUser::parse(b"app\0\0\0", Capabilities::SERVED).unwrap();
        assert!(request.response.is_empty() && request.database.is_none() && request.plugin.is_none());
        assert!(ChangeUser::parse(b"app\0\x14abc", Capabilities::SERVED).is_err());
    }

    #[test]
    fn old_protocols_and_unoffered_tls_are_refused() {
        for (flags, word) in [(1_u32, "4.1"), (0x0A00, "TLS")] {
            let mut payload = flags.to_le_bytes().to_vec();
            payload.extend([0; 60]);
            let Err(error) = LoginRequest::parse(&payload, Capabilities::SERVED) else { panic!("accepted {flags:x}") };
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_login_comes_back_as_written(
            user in "[a-z]{0,20}", response in prop::collection::vec(any::<u8>(), 0..40), database in prop::option::of("[a-z]{1,9}"),
            plugin in prop::option::of("[a-z_]{0,20}"), attributes in prop::collection::btree_map("[a-z]{1,9}", "[ -~]{0,300}", 0..4),
        ) {
            let login = LoginRequest { capabilities: Capabilities::SERVED, user, response, database, plugin, attributes };
            let mut out = BytesMut::new();
            login.encode(&mut out);
            let parsed = LoginRequest::parse(&out, Capabilities::SERVED).unwrap();
            let as_written = parsed == LoginRequest { capabilities: parsed.capabilities, ..login };
            prop_assert!(as_written);
        }

        #[test]
        fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Greeting::parse(&bytes);
            let _ = LoginRequest::parse(&bytes, Capabilities::SERVED);
            let _ = ChangeUser::parse(&bytes, Capabilities::SERVED);
            let mut tail = (Capabilities::SERVED.bits()).to_le_bytes().to_vec();
            tail.extend_from_slice(&bytes);
            let _ = LoginRequest::parse(&tail, Capabilities::SERVED);
        }
    }
}
