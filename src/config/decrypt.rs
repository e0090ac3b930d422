//! `decrypt`: the cipher of a route's values, its keys, and which of them a record needs.

use std::collections::BTreeMap;

use super::reader::{Item, Section, all};
use super::{Secret, origin};

/// `decrypt = { … }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decrypt {
    /// Cipher and mode.
    pub cipher: Cipher,
    /// The keys.
    pub keys: Keys,
}

/// AES modes; the key length chooses 128, 192 or 256 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    /// `AES/ECB/PKCS5Padding`: what Java's `Cipher.getInstance("AES")` means.
    AesEcb,
    /// `AES/CBC/PKCS5Padding`, 16-byte IV in front.
    AesCbc,
    /// `AES/GCM/NoPadding`, 12-byte nonce in front, 16-byte tag behind.
    AesGcm,
}

impl Cipher {
    /// Its name, as in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AesEcb => "aes-ecb",
            Self::AesCbc => "aes-cbc",
            Self::AesGcm => "aes-gcm",
        }
    }
}

/// Keys of 16, 24 or 32 bytes (checked), and how the one of a record is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// All records have this one.
    One(Secret),
    /// The one that fits; never empty.
    Tried(Vec<Secret>),
    /// The one whose id the record's last header of that name holds.
    Named {
        /// Name of the header.
        header: String,
        /// Keys by their ids; never empty.
        keys: BTreeMap<String, Secret>,
    },
}

impl Keys {
    /// All keys, the one to encrypt with last: newer keys stand behind older ones.
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Secret> {
        let (list, named): (&[Secret], _) = match self {
            Self::One(key) => (std::slice::from_ref(key), None),
            Self::Tried(keys) => (keys, None),
            Self::Named { keys, .. } => (&[], Some(keys.values())),
        };
        list.iter().chain(named.into_iter().flatten())
    }
}

impl Decrypt {
    /// Decryption with one key.
    #[must_use]
    pub fn one(cipher: Cipher, key: Secret) -> Self {
        Self { cipher, keys: Keys::One(key) }
    }

    /// True if the cipher itself can't tell which of several keys is right.
    pub(super) fn guesses(&self) -> bool {
        self.cipher != Cipher::AesGcm && matches!(self.keys, Keys::Tried(_))
    }
}

const LENGTHS: &str = "AES has 16 (AES-128), 24 (AES-192) or 32 (AES-256)";

/// How the text of a key stands for its bytes.
#[derive(Clone, Copy)]
enum KeyFormat {
    Base64,
    Hex,
}

/// Reads the table.
pub(super) fn read(mut section: Section<'_>) -> Option<Decrypt> {
    let cipher = section.require("cipher", "cipher = \"aes-ecb\", \"aes-cbc\" or \"aes-gcm\"");
    let cipher = cipher.and_then(|item| cipher_of(&item));
    let format = section.take("format").map(|item| format_of(&item));
    let (key, keys, id) = (section.take("key"), section.take("keys"), section.take("key_id"));
    let said = format.is_some();
    let read_key = |item: &Item<'_>| {
        let text = origin::secret(item, "the key")?;
        key_of(item, &text, format.unwrap_or(Some(KeyFormat::Base64))?, said)
    };
    let id = id.map(|item| header_of(&item).map(|header| (header, item)));
    let keys = match (key, keys) {
        (Some(key), None) => read_key(&key).map(Keys::One),
        (None, Some(keys)) => several(&keys, id.as_ref().and_then(Option::as_ref).map(|(h, _)| h.as_str()), read_key),
        (None, None) => {
            let hint = "key = { env = \"NAME\" }, with the key in base64; or `keys`, if there are several";
            section.problem("`key` is missing", hint);
            None
        }
        (Some(_), Some(keys)) => {
            keys.problem("there is a `key` beside `keys`", "put it among them");
            None
        }
    };
    if let (Some(Some((_, item))), Some(Keys::One(_))) = (&id, &keys) {
        item.problem(
            "`key_id` chooses among `keys`, and there is one key only",
            "keys = { \"2025\" = …, \"2026\" = … }",
        );
        return None;
    }
    section.finish();
    id.map_or(Some(()), |id| id.map(drop))?;
    Some(Decrypt { cipher: cipher?, keys: keys? })
}

fn header_of(item: &Item<'_>) -> Option<String> {
    let mut section = item.section("a table: { header = \"key-id\" }")?;
    let header = section.require("header", "the record header that holds the id: { header = \"key-id\" }");
    section.finish();
    header?.words("the name of a record header").map(str::to_owned)
}

/// `keys`: a list to try, or a table by id.
fn several(item: &Item<'_>, header: Option<&str>, read: impl Fn(&Item<'_>) -> Option<Secret>) -> Option<Keys> {
    let none = || item.error("expected one key at least");
    if item.value().is_array() {
        if header.is_some() {
            item.problem(
                "`key_id` needs keys with ids",
                "keys = { \"2025\" = { env = \"OLD\" }, \"2026\" = { env = \"NEW\" } }",
            );
            return None;
        }
        let keys: Vec<Secret> = all(item.list("keys")?.iter().map(read))?;
        if keys.is_empty() {
            none();
            return None;
        }
        return Some(Keys::Tried(keys));
    }
    let section = item.section("a list of keys, or a table of keys by their ids")?;
    let entries = section.entries();
    let keys: Option<BTreeMap<String, Secret>> =
        all(entries.iter().map(|(id, item)| read(item).map(|key| ((*id).to_owned(), key))));
    let Some(header) = header else {
        item.problem(
            "nothing says which of the keys a record needs",
            "key_id = { header = \"key-id\" } names the record header with the id; a list of keys is tried in turn",
        );
        return None;
    };
    let keys = keys?;
    if keys.is_empty() {
        none();
        return None;
    }
    Some(Keys::Named { header: header.to_owned(), keys })
}

fn cipher_of(item: &Item<'_>) -> Option<Cipher> {
    match item.string("\"aes-ecb\", \"aes-cbc\" or \"aes-gcm\"")? {
        "aes-ecb" => Some(Cipher::AesEcb),
        "aes-cbc" => Some(Cipher::AesCbc),
        "aes-gcm" => Some(Cipher::AesGcm),
        other => {
            let hint = "\"aes-ecb\" (Java's Cipher.getInstance(\"AES\")), \"aes-cbc\" or \"aes-gcm\"; the length of \
                        the key decides between 128, 192 and 256 bits";
            item.problem(format!("unknown cipher {other:?}"), hint);
            None
        }
    }
}

fn format_of(item: &Item<'_>) -> Option<KeyFormat> {
    match item.string("\"base64\" or \"hex\"")? {
        "base64" => Some(KeyFormat::Base64),
        "hex" => Some(KeyFormat::Hex),
        other => {
            item.error(format!("expected \"base64\" or \"hex\", found {other:?}"));
            None
        }
    }
}

fn key_of(item: &Item<'_>, text: &Secret, format: KeyFormat, said: bool) -> Option<Secret> {
    let text = text.expose().trim_ascii();
    let like_hex = matches!(text.len(), 32 | 48 | 64) && text.iter().all(u8::is_ascii_hexdigit);
    if like_hex && !said {
        // 32 hexadecimal digits are also the base64 text of 24 bytes, a key of a legal length that decrypts nothing.
        item.problem(
            format!("the key looks like {} bytes in hexadecimal, and nothing says that it is", text.len() / 2),
            "add `format = \"hex\"` (or `format = \"base64\"`, if that is what it is) beside `key`",
        );
        return None;
    }
    let (bytes, name) = match format {
        KeyFormat::Base64 => (base64_simd::STANDARD.decode_to_vec(text).ok(), "base64"),
        KeyFormat::Hex => (from_hex(text), "hexadecimal"),
    };
    let Some(bytes) = bytes else {
        item.problem(
            format!("the key is not {name}"),
            "`format = \"base64\"` (the default) or `format = \"hex\"` beside `key` says how it is written",
        );
        return None;
    };
    let key = Secret::new(bytes);
    let length = key.expose().len();
    if !matches!(length, 16 | 24 | 32) {
        let bytes = super::problem::counted(length, "byte");
        item.problem(format!("the key decodes to {bytes}; {LENGTHS}"), format!("the key was read as {name}"));
        return None;
    }
    Some(key)
}

fn from_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::from_hex;

    #[test]
    fn hexadecimal() {
        assert_eq!(from_hex(b"00ff1A"), Some(vec![0, 255, 26]));
        assert_eq!(from_hex(b"00f"), None);
        assert_eq!(from_hex(b"0g"), None);
    }
}
