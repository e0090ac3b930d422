//! The login: a greeting with a challenge, the client's answer, `mysql_native_password`.

use sha1::{Digest, Sha1};

use super::packet::Reader;
use crate::auth::Account;
use crate::sql::mysql_version;
use crate::table::EngineKind;

/// The one way to log in.
pub(super) const PLUGIN: &[u8] = b"mysql_native_password";
/// Bytes of a challenge and of its answer.
const CHALLENGE_BYTES: usize = 20;

const CONNECT_WITH_DB: u32 = 1 << 3;
pub(super) const PROTOCOL_41: u32 = 1 << 9;
pub(super) const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
/// What the engines say they can (`MysqlCapability.DEFAULT_CAPABILITY`), as far as it is imitated.
const CAPABILITIES: u32 = 1 | 1 << 2 | CONNECT_WITH_DB | PROTOCOL_41 | 1 << 13 | SECURE_CONNECTION | PLUGIN_AUTH;
/// `utf8_general_ci`.
const CHARSET: u8 = 33;

/// Bytes that a password is scrambled with; new for each connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenge([u8; CHALLENGE_BYTES]);

impl Challenge {
    /// Random bytes without zeros, which would end a text.
    pub(super) fn new() -> std::io::Result<Self> {
        let mut bytes = [0; CHALLENGE_BYTES];
        getrandom::fill(&mut bytes).map_err(|e| std::io::Error::other(e.to_string()))?;
        bytes.iter_mut().for_each(|byte| *byte = *byte % 94 + 33);
        Ok(Self(bytes))
    }

    /// The greeting (`Protocol::HandshakeV10`).
    pub(super) fn greeting(&self, kind: EngineKind, connection_id: u32) -> Vec<u8> {
        let capabilities = CAPABILITIES.to_le_bytes();
        let (first, second) = self.0.split_at(8);
        let mut out = vec![10];
        out.extend_from_slice(mysql_version(kind).as_bytes());
        out.push(0);
        out.extend_from_slice(&connection_id.to_le_bytes());
        out.extend_from_slice(first);
        out.push(0);
        out.extend_from_slice(&capabilities[..2]);
        out.push(CHARSET);
        out.extend_from_slice(&super::answer::STATUS.to_le_bytes());
        out.extend_from_slice(&capabilities[2..]);
        out.push(21);
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(second);
        out.push(0);
        out.extend_from_slice(PLUGIN);
        out.push(0);
        out
    }

    /// Asks a client that began another way to use ours (`Protocol::AuthSwitchRequest`).
    pub(super) fn switch(&self) -> Vec<u8> {
        let mut out = vec![0xfe];
        out.extend_from_slice(PLUGIN);
        out.push(0);
        out.extend_from_slice(&self.0);
        out.push(0);
        out
    }

    /// True if `answer` shows that the client knows the password; none is known by an empty answer.
    pub(super) fn is_met(&self, password: &str, answer: &[u8]) -> bool {
        if password.is_empty() || answer.is_empty() {
            return password.is_empty() && answer.is_empty();
        }
        let once = Sha1::digest(password.as_bytes());
        let mut mask = Sha1::new();
        mask.update(self.0);
        mask.update(Sha1::digest(once));
        let want = once.iter().zip(mask.finalize()).map(|(a, b)| a ^ b);
        answer.len() == CHALLENGE_BYTES && want.zip(answer).fold(0, |wrong, (a, b)| wrong | (a ^ b)) == 0
    }
}

/// What a client answers to the greeting (`Protocol::HandshakeResponse41`).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) capabilities: u32,
    pub(super) user: String,
    pub(super) answer: Vec<u8>,
    pub(super) database: Option<String>,
    /// The way to log in that the client began; empty if it can't name one.
    pub(super) plugin: Vec<u8>,
}

impl Response {
    /// Reads it; `None` if it breaks off or isn't of protocol 4.1.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let mut reader = Reader(payload);
        let capabilities = u32::from_le_bytes(reader.bytes()?);
        // Longest packet, character set, zeros.
        reader.take(4 + 1 + 23)?;
        if capabilities & PROTOCOL_41 == 0 {
            return None;
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let user = text(reader.zero_ended()?);
        let answer = if capabilities & PLUGIN_AUTH_LENENC != 0 {
            reader.counted()?
        } else if capabilities & SECURE_CONNECTION != 0 {
            let length = reader.byte()?;
            reader.take(usize::from(length))?
        } else {
            reader.zero_ended()?
        };
        let database = if capabilities & CONNECT_WITH_DB != 0 { Some(text(reader.zero_ended()?)) } else { None };
        let plugin = if capabilities & PLUGIN_AUTH != 0 { reader.zero_ended().unwrap_or(reader.0) } else { &[] };
        Some(Self {
            capabilities,
            user,
            answer: answer.to_vec(),
            database: database.filter(|name| !name.is_empty()),
            plugin: plugin.to_vec(),
        })
    }

    /// True if the user is the account's; StarRocks and Doris allow `user@cluster`.
    pub(super) fn is_user(&self, account: &Account) -> bool {
        self.user.split_once('@').map_or(self.user.as_str(), |(name, _)| name) == account.user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        let challenge = Challenge(*b"abcdefghijklmnopqrst");
        // SHA1(password) xor SHA1(challenge, SHA1(SHA1(password))), computed by another implementation.
        let answer = [
            0x85, 0x10, 0x60, 0x5a, 0x5e, 0xc0, 0xd3, 0xd9, 0x58, 0x05, 0x86, 0x36, 0xe0, 0xa2, 0xeb, 0xdf, 0xcf, 0x34,
            0xbe, 0x4c,
        ];
        assert!(challenge.is_met("s3cret", &answer));
        assert!(!challenge.is_met("s3creT", &answer));
        assert!(!challenge.is_met("s3cret", &answer[..19]));
        assert!(!challenge.is_met("s3cret", b"") && !challenge.is_met("", &answer) && challenge.is_met("", b""));
    }

    #[test]
    fn responses() {
        let mut payload = (CONNECT_WITH_DB | PROTOCOL_41 | SECURE_CONNECTION | PLUGIN_AUTH).to_le_bytes().to_vec();
        payload.extend_from_slice(&[0; 28]);
        payload.extend_from_slice(b"root\0\x03abcshop\0some_plugin\0");
        let response = Response::parse(&payload).unwrap();
        assert_eq!((response.user.as_str(), response.answer.as_slice()), ("root", &b"abc"[..]));
        assert_eq!((response.database.as_deref(), response.plugin.as_slice()), (Some("shop"), &b"some_plugin"[..]));
        for length in 0..payload.len() - b"some_plugin\0".len() {
            assert_eq!(Response::parse(&payload[..length]), None, "{length}");
        }
    }
}
