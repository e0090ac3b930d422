//! `encoding` and `decrypt`: how the bytes of a value become JSON text.

use super::reader::{Item, Section};
use super::{Cipher, Decrypt, Encoding, Secret, ValueForm, origin};

const LENGTHS: &str = "AES has 16 (AES-128), 24 (AES-192) or 32 (AES-256)";

/// How the text of a key stands for its bytes.
#[derive(Clone, Copy)]
enum KeyFormat {
    Base64,
    Hex,
}

/// Reads both keys of a route.
pub(super) fn read(route: &mut Section<'_>) -> Option<ValueForm> {
    let encoding = route.take("encoding").map(|item| encoding(&item));
    let decrypt = match route.take("decrypt") {
        None => Some(None),
        Some(item) => {
            let section = item.section("a table: { cipher = \"aes-ecb\", key = { env = \"NAME\" } }");
            section.and_then(decrypt).map(Some)
        }
    }?;
    let encoding = match encoding {
        Some(encoding) => encoding?,
        None if decrypt.is_some() => Encoding::Base64,
        None => Encoding::Raw,
    };
    Some(ValueForm { encoding, decrypt })
}

fn encoding(item: &Item<'_>) -> Option<Encoding> {
    match item.string("\"base64\" or \"raw\"")? {
        "base64" => Some(Encoding::Base64),
        "raw" => Some(Encoding::Raw),
        other => {
            item.error(format!("expected \"base64\" or \"raw\", found {other:?}"));
            None
        }
    }
}

fn decrypt(mut section: Section<'_>) -> Option<Decrypt> {
    let cipher = section.require("cipher", "cipher = \"aes-ecb\", \"aes-cbc\" or \"aes-gcm\"");
    let cipher = cipher.and_then(|item| cipher_of(&item));
    let format = section.take("format").map(|item| format_of(&item));
    let key = section.require("key", "key = { env = \"NAME\" }, with the key in base64");
    section.finish();
    let key = key.and_then(|item| {
        let text = origin::secret(&item, "the key")?;
        key_of(&item, &text, format.unwrap_or(Some(KeyFormat::Base64))?, format.is_some())
    });
    Some(Decrypt { cipher: cipher?, key: key? })
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
