//! The server's side of the login: greeting, the client's answer, at most one change of the plugin, the verdict.
//!
//! ```text
//! greeting(salt, caching_sha2) ─> login(answer) ─┬─ caching_sha2 ──────────────────────┬─> verdict
//!                                                ├─ switch(salt', native) ──> answer' ─┤
//!                                                └─ switch(salt', caching) ─> answer' ─┘
//! ```
//! A user that does not exist takes the same way as a wrong password, so that names cannot be tried out.

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use vfs::Random;

use super::auth::{Accounts, Plugin, Salt, UserVerifier};
use super::capabilities::Capabilities;
use super::codec::{CodecError, PacketReader, PacketWriter};
use super::fields::put_nul_string;
use super::handshake::{Greeting, LoginRequest};
use super::reply::EOF;

/// The first byte of "more about the login follows".
pub(crate) const MORE_DATA: u8 = 0x01;
/// "Your answer was right without further ado", the second byte after [`MORE_DATA`].
pub(crate) const FAST_LOGIN: u8 = 0x03;

/// Both sides of one login, and what it is judged by.
pub(super) struct LoginExchange<'a, R, W> {
    pub(super) reader: &'a mut PacketReader<R>,
    pub(super) writer: &'a mut PacketWriter<W>,
    pub(super) accounts: &'a dyn Accounts,
    pub(super) random: &'a dyn Random,
}

/// A login that was judged. The OK or ERR packet is still to be sent.
pub(super) struct Judged {
    /// What the client said.
    pub(super) request: LoginRequest,
    /// Whether the password was right.
    pub(super) accepted: bool,
    /// Whether it gave one at all.
    pub(super) used_password: bool,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> LoginExchange<'_, R, W> {
    /// Runs the exchange. Nothing if the client left without an answer.
    pub(super) async fn run(self, server_version: &str, connection_id: u32) -> Result<Option<Judged>, CodecError> {
        let mut salt = Salt::fresh(self.random);
        let greeting = Greeting {
            server_version: server_version.to_owned(),
            connection_id,
            salt: salt.clone(),
            capabilities: Capabilities::SERVED,
            plugin: Plugin::CachingSha2.name().to_owned(),
        };
        self.writer.begin(0);
        self.writer.packet(|out| greeting.encode(out));
        self.writer.flush().await?;

        self.reader.begin(1);
        let Some(packet) = self.reader.next().await? else { return Ok(None) };
        self.writer.begin(self.reader.sequence());
        let request = LoginRequest::parse(&packet, Capabilities::SERVED)?;
        let (plugin, needs_switch) = plugin_for(&request);
        let mut answer = request.response.clone();
        if needs_switch {
            salt = Salt::fresh(self.random);
            self.writer.packet(|out| encode_switch(plugin, &salt, out));
            self.writer.flush().await?;
            self.reader.begin(self.writer.sequence());
            let Some(packet) = self.reader.next().await? else { return Ok(None) };
            self.writer.begin(self.reader.sequence());
            answer = packet.to_vec();
        }

        let known = self.accounts.verifier(&request.user);
        let exists = known.is_some();
        let verifier = known.unwrap_or_else(|| UserVerifier::decoy(self.random));
        let accepted = verifier.accepts(plugin, &answer, &salt) & exists;
        let used_password = !(answer.is_empty() || answer == [0]);
        if accepted && used_password && plugin == Plugin::CachingSha2 {
            self.writer.packet(|out| out.extend_from_slice(&[MORE_DATA, FAST_LOGIN]));
        }
        Ok(Some(Judged { request, accepted, used_password }))
    }
}

/// The plugin to judge by, and whether the client must first be told to change to it.
fn plugin_for(request: &LoginRequest) -> (Plugin, bool) {
    if !request.capabilities.contains(Capabilities::PLUGIN_AUTH) {
        // Such a client knows only the native scramble, with the greeting's salt, and could not be told to change.
        return (Plugin::Native, false);
    }
    match request.plugin.as_deref().and_then(Plugin::named) {
        Some(Plugin::CachingSha2) => (Plugin::CachingSha2, false),
        // The greeting offered another plugin, so the client's answer may be empty whatever its password.
        Some(Plugin::Native) => (Plugin::Native, true),
        None => (Plugin::CachingSha2, true),
    }
}

fn encode_switch(plugin: Plugin, salt: &Salt, out: &mut BytesMut) {
    out.put_u8(EOF);
    put_nul_string(out, plugin.name().as_bytes());
    put_nul_string(out, salt.bytes());
}
