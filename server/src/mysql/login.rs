//! The server's side of the login: greeting, the client's answer, at most one change of the plugin, the verdict.
//!
//! ```text
//! greeting(salt, caching_sha2) ─> login(answer) ─┬─ caching_sha2 ──────────────────────┬─> verdict
//!                                                ├─ switch(salt', native) ──> answer' ─┤
//!                                                └─ switch(salt', caching) ─> answer' ─┘
//! COM_CHANGE_USER(user) ─────────────────────────── switch(salt', plugin) ─> answer' ───┘
//! ```
//! A user that does not exist takes the same way as a wrong password, so that names cannot be tried out. A change of the user
//! always gets a new salt: what was overheard of the login before is worth nothing.

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use vfs::Random;

use super::auth::{Accounts, Plugin, Salt, UserVerifier};
use super::capabilities::Capabilities;
use super::codec::{CodecError, PacketReader, PacketWriter};
use super::error::SqlError;
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
    /// Whether the client is on this machine.
    pub(super) is_local: bool,
}

/// A login that was judged. The OK or ERR packet is still to be sent.
pub(super) struct Judged {
    /// What the client said.
    pub(super) request: LoginRequest,
    /// What comes of it.
    pub(super) verdict: Verdict,
}

/// What comes of a login.
pub(super) enum Verdict {
    Accepted,
    /// No such user, or another password.
    Denied {
        /// Whether it gave one at all.
        used_password: bool,
    },
    /// The account has no password, and the client is on another machine.
    NoPassword,
    /// The accounts could not be read.
    Unknown(SqlError),
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> LoginExchange<'_, R, W> {
    /// Greets a client with `salt` and judges its login. Nothing if the client left without an answer.
    pub(super) async fn log_in(
        mut self,
        server_version: &str,
        connection_id: u32,
        salt: Salt,
    ) -> Result<Option<Judged>, CodecError> {
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
        let verifier = self.accounts.verifier(&request.user).await;
        // The greeting offered another plugin than the native one, so a client's native answer may be empty whatever its password.
        let scrambled = request.plugin.as_deref().and_then(Plugin::named).filter(|plugin| *plugin != Plugin::Native);
        self.judge(request, verifier, salt, scrambled).await
    }

    /// Judges a change of the user; `salt` is that of the greeting.
    pub(super) async fn change(mut self, request: LoginRequest, salt: Salt) -> Result<Option<Judged>, CodecError> {
        let verifier = self.accounts.verifier(&request.user).await;
        self.judge(request, verifier, salt, None).await
    }

    /// `scrambled` is the plugin whose answer to `salt` stands in the request; without one the client is asked again.
    async fn judge(
        &mut self,
        request: LoginRequest,
        verifier: Result<Option<UserVerifier>, SqlError>,
        mut salt: Salt,
        scrambled: Option<Plugin>,
    ) -> Result<Option<Judged>, CodecError> {
        let known = match verifier {
            Ok(known) => known,
            Err(error) => return Ok(Some(Judged { request, verdict: Verdict::Unknown(error) })),
        };
        let exists = known.is_some();
        let verifier = known.unwrap_or_else(|| UserVerifier::decoy(self.random));
        let can_switch = request.capabilities.contains(Capabilities::PLUGIN_AUTH);
        let plugin = match request.plugin.as_deref().and_then(Plugin::named) {
            // Such a client knows only the native scramble, with the greeting's salt, and cannot be told to change.
            _ if !can_switch => Plugin::Native,
            named => verifier.plugin(named),
        };
        let mut answer = request.response.clone();
        if can_switch && scrambled != Some(plugin) {
            salt = Salt::fresh(self.random);
            self.writer.packet(|out| encode_switch(plugin, &salt, out));
            self.writer.flush().await?;
            self.reader.begin(self.writer.sequence());
            let Some(packet) = self.reader.next().await? else { return Ok(None) };
            self.writer.begin(self.reader.sequence());
            answer = packet.to_vec();
        }
        let accepted = verifier.accepts(plugin, &answer, &salt) & exists;
        let used_password = !(answer.is_empty() || answer == [0]);
        let verdict = match accepted {
            false => Verdict::Denied { used_password },
            true if verifier.is_without_password() && !self.is_local => Verdict::NoPassword,
            true => Verdict::Accepted,
        };
        if matches!(verdict, Verdict::Accepted) && used_password && plugin == Plugin::CachingSha2 {
            self.writer.packet(|out| out.extend_from_slice(&[MORE_DATA, FAST_LOGIN]));
        }
        Ok(Some(Judged { request, verdict }))
    }
}

fn encode_switch(plugin: Plugin, salt: &Salt, out: &mut BytesMut) {
    out.put_u8(EOF);
    put_nul_string(out, plugin.name().as_bytes());
    put_nul_string(out, salt.bytes());
}
