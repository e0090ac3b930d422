//! AES in the modes that Java producers use. Key schedules are made once for a route.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use aes::cipher::array::Array;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::common::InnerInit;
use aes::cipher::consts::{U12, U16};
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockSizeUser, InnerIvInit, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AeadInOut, AesGcm};

use crate::config::{Cipher, Decrypt, Keys, Secret, counted};
use crate::record::Headers;

/// Bytes of an AES block, of the CBC initialisation vector and of the GCM tag.
const BLOCK: usize = 16;
/// Bytes of the GCM nonce.
const NONCE: usize = 12;

/// The keys of a route, each with its key schedule.
pub(super) enum Decryptor {
    One(Key),
    Tried {
        keys: Vec<Key>,
        /// Index of the key that fitted last: records come in runs of one key.
        last: AtomicUsize,
        /// The cipher itself knows a wrong key.
        is_certain: bool,
    },
    Named {
        header: String,
        keys: BTreeMap<String, Key>,
    },
}

impl Decryptor {
    /// Makes the key schedules; `None` if a key is not 16, 24 or 32 bytes long.
    pub(super) fn new(decrypt: &Decrypt) -> Option<Self> {
        let key = |secret: &Secret| Key::new(decrypt.cipher, secret.expose());
        Some(match &decrypt.keys {
            Keys::One(secret) => Self::One(key(secret)?),
            Keys::Tried(secrets) => Self::Tried {
                keys: secrets.iter().map(key).collect::<Option<_>>()?,
                last: AtomicUsize::new(0),
                is_certain: decrypt.cipher == Cipher::AesGcm,
            },
            Keys::Named { header, keys } => Self::Named {
                header: header.clone(),
                keys: keys.iter().map(|(id, secret)| Some((id.clone(), key(secret)?))).collect::<Option<_>>()?,
            },
        })
    }

    /// Decrypts in place and says where in the buffer the plaintext stands.
    ///
    /// # Errors
    /// What is wrong, with lengths, and nothing of the value.
    pub(super) fn decrypt(&self, headers: Headers<'_>, buffer: &mut Vec<u8>) -> Result<Range<usize>, String> {
        if buffer.is_empty() {
            return Err("the ciphertext is empty".into());
        }
        match self {
            Self::One(key) => key.mode.decrypt(buffer),
            Self::Tried { keys, last, is_certain } => {
                let (found, range) = tried(keys, last.load(Ordering::Relaxed), *is_certain, buffer)?;
                last.store(found, Ordering::Relaxed);
                Ok(range)
            }
            Self::Named { header, keys } => named(header, keys, headers)?.mode.decrypt(buffer),
        }
    }
}

/// Tries the keys one after the other, the one that fitted last first: which of them fits, and the plaintext's place.
fn tried(keys: &[Key], last: usize, is_certain: bool, buffer: &mut Vec<u8>) -> Result<(usize, Range<usize>), String> {
    let cipher_text = buffer.clone();
    let mut reason = String::new();
    for turn in 0..keys.len() {
        let at = (last + turn) % keys.len();
        buffer.clone_from(&cipher_text);
        match keys[at].mode.decrypt(buffer) {
            Ok(range) if is_certain || looks_like_json(&buffer[range.clone()]) => return Ok((at, range)),
            Ok(_) => reason = "the plain text is no JSON object".to_owned(),
            Err(error) => reason = error,
        }
    }
    Err(format!("none of {} fits: {reason}", counted(keys.len(), "key")))
}

/// A wrong key passes the check of the padding once in 256 times; what it makes then is noise, which neither begins nor
/// ends like a document nor is UTF-8.
fn looks_like_json(plain: &[u8]) -> bool {
    let text = plain.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(plain).trim_ascii();
    let closes = matches!((text.first(), text.last()), (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')));
    closes && std::str::from_utf8(text).is_ok()
}

/// The key whose id the record's header holds.
fn named<'k>(header: &str, keys: &'k BTreeMap<String, Key>, headers: Headers<'_>) -> Result<&'k Key, String> {
    let Some(id) = headers.last(header) else {
        return Err(format!("the record has no header {header:?}, which names its key"));
    };
    // The id is no secret, but whatever stands in the header is not ours to print.
    let known = std::str::from_utf8(id).ok().and_then(|id| keys.get(id));
    let unknown =
        || format!("the header {header:?} names none of the {} that the route has", counted(keys.len(), "key"));
    known.ok_or_else(unknown)
}

/// A key with its cipher.
pub(super) struct Key {
    mode: Box<dyn Mode>,
}

impl Key {
    fn new(cipher: Cipher, key: &[u8]) -> Option<Self> {
        let mode = match key.len() {
            16 => mode(cipher, Aes128::new_from_slice(key).ok()?),
            24 => mode(cipher, Aes192::new_from_slice(key).ok()?),
            32 => mode(cipher, Aes256::new_from_slice(key).ok()?),
            _ => return None,
        };
        Some(Self { mode })
    }
}

fn mode<C>(cipher: Cipher, aes: C) -> Box<dyn Mode>
where
    C: BlockCipherDecrypt + BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync + 'static,
{
    match cipher {
        Cipher::AesEcb => Box::new(Ecb(aes)),
        Cipher::AesCbc => Box::new(Cbc(aes)),
        Cipher::AesGcm => Box::new(Gcm(AesGcm::from(aes))),
    }
}

trait Mode: Send + Sync {
    fn decrypt(&self, buffer: &mut [u8]) -> Result<Range<usize>, String>;
}

struct Ecb<C>(C);

impl<C: BlockCipherDecrypt<BlockSize = U16> + Send + Sync> Mode for Ecb<C> {
    fn decrypt(&self, buffer: &mut [u8]) -> Result<Range<usize>, String> {
        whole_blocks(buffer.len())?;
        match ecb::Decryptor::inner_init(&self.0).decrypt_padded::<Pkcs7>(buffer) {
            Ok(plain) => Ok(0..plain.len()),
            Err(_) => Err("cannot be decrypted: padding is wrong (wrong key, or not AES-ECB)".into()),
        }
    }
}

struct Cbc<C>(C);

impl<C: BlockCipherDecrypt<BlockSize = U16> + Send + Sync> Mode for Cbc<C> {
    fn decrypt(&self, buffer: &mut [u8]) -> Result<Range<usize>, String> {
        whole_blocks(buffer.len())?;
        let len = buffer.len();
        let (iv, body) = match buffer.split_first_chunk_mut::<BLOCK>() {
            Some((iv, body)) if !body.is_empty() => (Array(*iv), body),
            _ => return Err(format!("length {len} is too short for an initialisation vector and one block")),
        };
        match cbc::Decryptor::inner_iv_init(&self.0, &iv).decrypt_padded::<Pkcs7>(body) {
            Ok(plain) => Ok(BLOCK..BLOCK + plain.len()),
            Err(_) => Err("cannot be decrypted: padding is wrong (wrong key, or not AES-CBC)".into()),
        }
    }
}

struct Gcm<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>>(AesGcm<C, U12>);

impl<C> Mode for Gcm<C>
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16> + Send + Sync,
{
    fn decrypt(&self, buffer: &mut [u8]) -> Result<Range<usize>, String> {
        let len = buffer.len();
        let parts = buffer
            .split_first_chunk_mut::<NONCE>()
            .and_then(|(nonce, rest)| rest.split_last_chunk_mut::<BLOCK>().map(|(body, tag)| (nonce, body, tag)));
        let Some((nonce, body, tag)) = parts else {
            return Err(format!("length {len} is too short for a nonce and a tag"));
        };
        match self.0.decrypt_inout_detached(&Array(*nonce), &[], (&mut *body).into(), &Array(*tag)) {
            Ok(()) => Ok(NONCE..NONCE + body.len()),
            Err(_) => Err("cannot be decrypted: tag is wrong (wrong key, changed on the way, or not AES-GCM)".into()),
        }
    }
}

fn whole_blocks(len: usize) -> Result<(), String> {
    if len.is_multiple_of(BLOCK) { Ok(()) } else { Err(format!("length {len} is not a multiple of {BLOCK}")) }
}

#[cfg(test)]
mod tests {
    use base64_simd::STANDARD;
    use serde_json::Value;

    use super::super::unwrap::base64;
    use super::*;

    fn decryptor(transformation: &str, key: &str) -> Decryptor {
        let cipher = match transformation {
            "AES/ECB/PKCS5Padding" => Cipher::AesEcb,
            "AES/CBC/PKCS5Padding" => Cipher::AesCbc,
            "AES/GCM/NoPadding" => Cipher::AesGcm,
            other => panic!("unknown transformation {other}"),
        };
        let key = Secret::new(STANDARD.decode_to_vec(key).unwrap());
        Decryptor::new(&Decrypt::one(cipher, key)).unwrap()
    }

    fn vectors() -> Vec<(Decryptor, String, String)> {
        let file: Value = serde_json::from_str(include_str!("../../tests/data/decode/aes.json")).unwrap();
        let vectors = file["vectors"].as_array().unwrap().iter().map(|vector| {
            let text = |field: &str| vector[field].as_str().unwrap().to_owned();
            (decryptor(&text("transformation"), &text("key_base64")), text("plaintext"), text("value_base64"))
        });
        vectors.collect()
    }

    #[test]
    fn all_vectors_bare_and_wrapped() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 45);
        for (decryptor, plain, value) in vectors {
            for form in [value.clone(), format!("\"{value}\""), format!("\"{}\"", value.replace('/', "\\/"))] {
                let mut buffer = Vec::new();
                base64(form.as_bytes(), &mut buffer).unwrap();
                let range = decryptor.decrypt(Headers::default(), &mut buffer).unwrap();
                assert_eq!(std::str::from_utf8(&buffer[range]), Ok(plain.as_str()), "{form}");
            }
        }
    }

    #[test]
    fn a_changed_byte_is_noticed_by_gcm_and_never_panics() {
        for (decryptor, plain, value) in vectors() {
            let sound = STANDARD.decode_to_vec(value).unwrap();
            let authentic = sound.starts_with(&[0xb0, 0xb1]);
            for at in 0..sound.len() {
                let mut buffer = sound.clone();
                buffer[at] ^= 1;
                let result = decryptor.decrypt(Headers::default(), &mut buffer);
                if let Err(reason) = &result {
                    assert!(reason.contains("cannot be decrypted"), "{reason}");
                }
                assert!(result.is_err() || !authentic, "{plain:?}: a change at {at} passes");
            }
        }
    }

    #[test]
    fn lengths_that_can_not_be() {
        const KEY: &str = "AAECAwQFBgcICQoLDA0ODw==";
        for (transformation, len, reason) in [
            ("AES/ECB/PKCS5Padding", 0, "the ciphertext is empty"),
            ("AES/ECB/PKCS5Padding", 19, "length 19 is not a multiple of 16"),
            ("AES/ECB/PKCS5Padding", 16, "cannot be decrypted: padding is wrong (wrong key, or not AES-ECB)"),
            ("AES/CBC/PKCS5Padding", 0, "the ciphertext is empty"),
            ("AES/CBC/PKCS5Padding", 16, "length 16 is too short for an initialisation vector and one block"),
            ("AES/CBC/PKCS5Padding", 33, "length 33 is not a multiple of 16"),
            ("AES/CBC/PKCS5Padding", 32, "cannot be decrypted: padding is wrong (wrong key, or not AES-CBC)"),
            ("AES/GCM/NoPadding", 27, "length 27 is too short for a nonce and a tag"),
            (
                "AES/GCM/NoPadding",
                28,
                "cannot be decrypted: tag is wrong (wrong key, changed on the way, or not AES-GCM)",
            ),
        ] {
            let result = decryptor(transformation, KEY).decrypt(Headers::default(), &mut vec![0; len]);
            assert_eq!(result, Err(reason.into()), "{transformation}, {len} bytes");
        }
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        for len in [0, 15, 17, 31, 33, 64] {
            let key = Secret::new(vec![0; len]);
            assert!(Decryptor::new(&Decrypt::one(Cipher::AesEcb, key)).is_none(), "{len}");
        }
    }
}
