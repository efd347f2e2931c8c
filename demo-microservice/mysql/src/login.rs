//! The connection phase: the server's greeting, our answer, and the proof of the password.

use crate::{
    auth::{self, Plugin},
    channel::Channel,
    error::{Error, Result, ServerError},
    url::Options,
    wire::{Reader, put_lenenc_bytes},
};
use futures_io::{AsyncRead, AsyncWrite};

pub(crate) mod capability {
    //! Capability flags (MySQL protocol, "Capabilities Flags").
    pub(crate) const LONG_PASSWORD: u32 = 1;
    pub(crate) const LONG_FLAG: u32 = 1 << 2;
    pub(crate) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(crate) const PROTOCOL_41: u32 = 1 << 9;
    pub(crate) const TRANSACTIONS: u32 = 1 << 13;
    pub(crate) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(crate) const MULTI_RESULTS: u32 = 1 << 17;
    pub(crate) const PS_MULTI_RESULTS: u32 = 1 << 18;
    pub(crate) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(crate) const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
    pub(crate) const DEPRECATE_EOF: u32 = 1 << 24;
}
use capability::{
    CONNECT_WITH_DB, DEPRECATE_EOF, LONG_FLAG, LONG_PASSWORD, MULTI_RESULTS, PLUGIN_AUTH,
    PLUGIN_AUTH_LENENC, PROTOCOL_41, PS_MULTI_RESULTS, SECURE_CONNECTION, TRANSACTIONS,
};

const NEEDED: u32 = PROTOCOL_41 | SECURE_CONNECTION;
const WANTED: u32 = NEEDED
    | LONG_PASSWORD
    | LONG_FLAG
    | TRANSACTIONS
    | MULTI_RESULTS
    | PS_MULTI_RESULTS
    | PLUGIN_AUTH
    | PLUGIN_AUTH_LENENC
    | DEPRECATE_EOF;
/// `utf8mb4_general_ci`, which every server since 5.5.3 has.
const UTF8MB4: u8 = 45;
const NONCE: usize = 20;

/// What is settled once the login is through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    pub(crate) capabilities: u32,
    pub(crate) server_version: String,
    pub(crate) connection_id: u32,
}

/// Logs in on a fresh channel.
pub(crate) async fn login<S>(channel: &mut Channel<S>, options: &Options) -> Result<Session>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let place = channel.receive().await?;
    let greeting = Greeting::parse(channel.payload(place))?;
    let mut capabilities = WANTED;
    if options.database.is_some() {
        capabilities |= CONNECT_WITH_DB;
    }
    capabilities &= greeting.capabilities;
    let password = options.password.as_bytes();
    // A plugin that is unknown here may be no more than the server's default:
    // it names the user's own plugin, once it knows the user.
    let plugin = greeting.plugin.unwrap_or(Plugin::Native);
    let response = plugin.response(password, &greeting.nonce);
    channel.put_answer(|out| write_response(out, capabilities, options, plugin, &response));
    channel.send().await?;
    prove(channel, options, plugin, greeting.nonce).await?;
    Ok(Session {
        capabilities,
        server_version: greeting.server_version,
        connection_id: greeting.connection_id,
    })
}

/// Answers the server's questions until it says yes or no.
async fn prove<S>(
    channel: &mut Channel<S>,
    options: &Options,
    mut plugin: Plugin,
    mut nonce: Vec<u8>,
) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let password = options.password.as_bytes();
    // The longest honest exchange is a switch, a key and a verdict.
    for _ in 0..8 {
        let place = channel.receive().await?;
        let answer = match channel.payload(place) {
            [0x00, ..] => return Ok(()),
            payload @ [0xff, ..] => return Err(ServerError::parse(payload)?.into()),
            [0xfe, switch @ ..] => {
                (plugin, nonce) = read_switch(switch)?;
                plugin.response(password, &nonce)
            }
            // caching_sha2_password: 3 "the cached hash matched", 4 "send the password itself".
            [0x01, 0x03] if plugin == Plugin::CachingSha2 => continue,
            [0x01, 0x04] if plugin == Plugin::CachingSha2 => {
                if !options.fetch_public_key {
                    let what =
                        "the server wants the whole password and its key may not be asked for";
                    return Err(Error::Auth(what.into()));
                }
                vec![0x02]
            }
            [0x01, pem @ ..] if plugin == Plugin::CachingSha2 => {
                auth::encrypted_password(password, &nonce, pem)?
            }
            _ => return Err(Error::protocol("an unknown packet during login")),
        };
        channel.put_answer(|out| out.extend_from_slice(&answer));
        channel.send().await?;
    }
    Err(Error::protocol("the login has no end"))
}

/// An `AuthSwitchRequest` after its first byte.
fn read_switch(payload: &[u8]) -> Result<(Plugin, Vec<u8>)> {
    if payload.is_empty() {
        return Err(Error::Auth("the server asks for mysql_old_password".into()));
    }
    let mut reader = Reader::new(payload);
    let name = reader.until_nul();
    let Some(plugin) = Plugin::named(name) else {
        let name = String::from_utf8_lossy(name);
        return Err(Error::Auth(
            format!("the server asks for {name}, which is not supported").into(),
        ));
    };
    let nonce = reader.rest();
    Ok((plugin, nonce.strip_suffix(&[0]).unwrap_or(nonce).to_vec()))
}

/// The server's first packet.
#[derive(Debug, PartialEq, Eq)]
struct Greeting {
    capabilities: u32,
    server_version: String,
    connection_id: u32,
    nonce: Vec<u8>,
    plugin: Option<Plugin>,
}

impl Greeting {
    /// Reads a `HandshakeV10`, or the error of a server that takes no more connections.
    fn parse(payload: &[u8]) -> Result<Self> {
        match payload {
            [10, ..] => {}
            [0xff, ..] => return Err(ServerError::parse(payload)?.into()),
            _ => {
                return Err(Error::protocol(
                    "the greeting is not that of a MySQL server",
                ));
            }
        }
        let mut reader = Reader::new(&payload[1..]);
        let server_version = String::from_utf8_lossy(reader.until_nul()).into_owned();
        let connection_id = reader.u32()?;
        let mut nonce = reader.bytes(8)?.to_vec();
        reader.bytes(1)?;
        let low = reader.u16()?;
        let _charset = reader.u8()?;
        let _status = reader.u16()?;
        let capabilities = u32::from(low) | u32::from(reader.u16()?) << 16;
        if capabilities & NEEDED != NEEDED {
            return Err(Error::Auth("the server is older than MySQL 4.1".into()));
        }
        let length = usize::from(reader.u8()?);
        reader.bytes(10)?;
        nonce.extend_from_slice(reader.bytes(length.saturating_sub(8).max(13))?);
        nonce.truncate(NONCE);
        let plugin = if capabilities & PLUGIN_AUTH == 0 {
            Some(Plugin::Native)
        } else {
            Plugin::named(reader.until_nul())
        };
        Ok(Self {
            capabilities,
            server_version,
            connection_id,
            nonce,
            plugin,
        })
    }
}

/// Writes a `HandshakeResponse41`.
fn write_response(
    out: &mut Vec<u8>,
    capabilities: u32,
    options: &Options,
    plugin: Plugin,
    response: &[u8],
) {
    out.extend_from_slice(&capabilities.to_le_bytes());
    out.extend_from_slice(&0x100_0000_u32.to_le_bytes());
    out.push(UTF8MB4);
    out.extend_from_slice(&[0; 23]);
    out.extend_from_slice(options.user.as_bytes());
    out.push(0);
    // Both forms are the same for the short responses sent here.
    put_lenenc_bytes(out, response);
    if let (true, Some(database)) = (capabilities & CONNECT_WITH_DB != 0, &options.database) {
        out.extend_from_slice(database.as_bytes());
        out.push(0);
    }
    if capabilities & PLUGIN_AUTH != 0 {
        out.extend_from_slice(plugin.name().as_bytes());
        out.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn greeting(plugin: &str) -> Vec<u8> {
        let mut out = vec![10];
        out.extend_from_slice(b"11.8.2-MariaDB\0");
        out.extend_from_slice(&7_u32.to_le_bytes());
        out.extend_from_slice(b"12345678\0");
        out.extend_from_slice(&[0xff, 0xff, 45, 2, 0, 0xff, 0xff, 21]);
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(b"abcdefghijkl\0");
        out.extend_from_slice(plugin.as_bytes());
        out.push(0);
        out
    }

    #[test]
    fn a_greeting_is_read() {
        let greeting = Greeting::parse(&greeting("caching_sha2_password")).unwrap();
        assert_eq!(greeting.server_version, "11.8.2-MariaDB");
        assert_eq!(greeting.connection_id, 7);
        assert_eq!(greeting.nonce, b"12345678abcdefghijkl");
        assert_eq!(greeting.plugin, Some(Plugin::CachingSha2));
    }

    #[test]
    fn a_full_server_greets_with_an_error() {
        let error = Greeting::parse(b"\xff\x10\x04Too many connections").unwrap_err();
        assert!(matches!(
            error,
            Error::Server(ServerError { code: 1040, .. })
        ));
    }

    #[test]
    fn another_protocol_is_recognised() {
        let error = Greeting::parse(b"SSH-2.0-OpenSSH").unwrap_err();
        assert!(matches!(error, Error::Protocol(_)));
    }

    #[test]
    fn an_unknown_plugin_is_named() {
        let error = read_switch(b"client_ed25519\0abc\0").unwrap_err();
        assert!(error.to_string().contains("client_ed25519"), "{error}");
        assert!(matches!(read_switch(b""), Err(Error::Auth(_))));
        let (plugin, nonce) = read_switch(b"mysql_native_password\0abc\0").unwrap();
        assert_eq!((plugin, &nonce[..]), (Plugin::Native, &b"abc"[..]));
    }

    proptest! {
        #[test]
        fn a_damaged_greeting_never_panics(cut in 0_usize..90, at in 0_usize..90, byte in any::<u8>()) {
            let mut bytes = greeting("mysql_native_password");
            bytes.truncate(cut);
            if let Some(place) = bytes.get_mut(at) {
                *place = byte;
            }
            let _ = Greeting::parse(&bytes);
        }
    }
}
