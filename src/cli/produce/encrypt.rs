//! From plain JSON to the bytes that a route expects: the way back of `decode`.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockCipherEncrypt, BlockModeEncrypt, BlockSizeUser, KeyInit, KeyIvInit};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::AesGcm;
use aes_gcm::aead::Aead;
use aes_gcm::aead::consts::{U12, U16};

use crate::config::{Charset, Cipher, Decrypt, Encoding, Framing, Keys, Secret, ValueForm};

const BLOCK: usize = 16;
const GCM_NONCE: usize = 12;
/// Schema-registry framing of schema number 1.
const SCHEMA_FRAME: &[u8] = &[0, 0, 0, 0, 1];

/// Makes values as a route expects them.
pub struct Wrapper<'c> {
    /// The form to make.
    pub form: &'c ValueForm,
    /// Puts base64 text between double quotes, as producers do that serialise the ciphertext as JSON.
    pub quoted: bool,
}

/// Why a value can't be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// The key of a validated configuration always fits; kept as an error so that nothing here can panic.
    #[error("the key or the initialisation vector does not fit the cipher")]
    KeyDoesNotFit,
    /// The text is no UTF-8, or the character set lacks one of its characters.
    #[error("a character of the text is not in the character set {0}")]
    NotInCharset(&'static str),
}

impl Wrapper<'_> {
    /// The value for this JSON text. `iv` is used by CBC whole and by GCM in part, and must be new for every record.
    /// A corrupt value looks the same and is certain to be rejected.
    ///
    /// # Errors
    /// When the key does not fit the cipher, or the character set lacks a character.
    pub fn wrap(&self, json: &[u8], iv: [u8; BLOCK], corrupt: bool) -> Result<Vec<u8>, WrapError> {
        let plain = encoded(self.form.charset, json)?;
        let mut bytes = match &self.form.decrypt {
            Some(Decrypt { cipher, keys }) => {
                let key = newest(keys).map(|(key, _)| key.expose()).unwrap_or_default();
                encrypt(*cipher, key, iv, &plain)?
            }
            None => plain,
        };
        if corrupt {
            // One byte less is no whole block, no valid tag, no closed object: unlike a flipped bit, which ECB's
            // padding lets pass once in 256.
            bytes.pop();
        }
        let wrapped = match self.form.encoding {
            Encoding::Raw => bytes,
            Encoding::Base64 => self.maybe_quoted(base64_simd::STANDARD.encode_to_string(&bytes)),
            Encoding::Hex => self.maybe_quoted(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
            // A corrupt text may end within a character; its bytes are then no JSON string either.
            Encoding::JsonString => match std::str::from_utf8(&bytes) {
                Ok(text) => serde_json::Value::from(text).to_string().into_bytes(),
                Err(_) => bytes,
            },
        };
        Ok(match self.form.framing {
            Framing::None => wrapped,
            Framing::SchemaRegistry => [SCHEMA_FRAME, &wrapped].concat(),
        })
    }

    /// The header that tells the reader which key was used, if it needs one.
    #[must_use]
    pub fn header(&self) -> Option<(&str, &str)> {
        let Keys::Named { header, .. } = &self.form.decrypt.as_ref()?.keys else { return None };
        newest(&self.form.decrypt.as_ref()?.keys).and_then(|(_, id)| Some((header.as_str(), id?)))
    }

    fn maybe_quoted(&self, text: String) -> Vec<u8> {
        if self.quoted { format!("\"{text}\"").into_bytes() } else { text.into_bytes() }
    }
}

/// The key that records are encrypted with from now on, and its id: of a list the last, of named ones that whose id
/// comes last.
fn newest(keys: &Keys) -> Option<(&Secret, Option<&str>)> {
    match keys {
        Keys::One(key) => Some((key, None)),
        Keys::Tried(keys) => keys.last().map(|key| (key, None)),
        Keys::Named { keys, .. } => keys.last_key_value().map(|(id, key)| (key, Some(id.as_str()))),
    }
}

fn encoded(charset: Charset, text: &[u8]) -> Result<Vec<u8>, WrapError> {
    let missing = WrapError::NotInCharset(charset.name());
    if charset == Charset::Utf8 {
        return Ok(text.to_vec());
    }
    let text = std::str::from_utf8(text).map_err(|_| missing)?;
    match charset {
        Charset::Utf8 => Ok(text.as_bytes().to_vec()),
        Charset::Latin1 => text.chars().map(|c| u8::try_from(u32::from(c)).map_err(|_| missing)).collect(),
        Charset::Other(encoding) => {
            let (bytes, _, lacks_some) = encoding.encode(text);
            if lacks_some { Err(missing) } else { Ok(bytes.into_owned()) }
        }
    }
}

fn encrypt(cipher: Cipher, key: &[u8], iv: [u8; BLOCK], plain: &[u8]) -> Result<Vec<u8>, WrapError> {
    match (cipher, key.len()) {
        (Cipher::AesEcb, 16) => ecb::<Aes128>(key, plain),
        (Cipher::AesEcb, 24) => ecb::<Aes192>(key, plain),
        (Cipher::AesEcb, 32) => ecb::<Aes256>(key, plain),
        (Cipher::AesCbc, 16) => cbc::<Aes128>(key, iv, plain),
        (Cipher::AesCbc, 24) => cbc::<Aes192>(key, iv, plain),
        (Cipher::AesCbc, 32) => cbc::<Aes256>(key, iv, plain),
        (Cipher::AesGcm, 16) => gcm::<AesGcm<Aes128, U12>>(key, iv, plain),
        (Cipher::AesGcm, 24) => gcm::<AesGcm<Aes192, U12>>(key, iv, plain),
        (Cipher::AesGcm, 32) => gcm::<AesGcm<Aes256, U12>>(key, iv, plain),
        (Cipher::AesEcb | Cipher::AesCbc | Cipher::AesGcm, _) => Err(WrapError::KeyDoesNotFit),
    }
}

fn ecb<C>(key: &[u8], plain: &[u8]) -> Result<Vec<u8>, WrapError>
where
    C: BlockCipherEncrypt + KeyInit + BlockSizeUser<BlockSize = U16>,
{
    let cipher = ecb::Encryptor::<C>::new_from_slice(key).map_err(|_| WrapError::KeyDoesNotFit)?;
    padded(cipher, plain, Vec::new())
}

fn cbc<C>(key: &[u8], iv: [u8; BLOCK], plain: &[u8]) -> Result<Vec<u8>, WrapError>
where
    C: BlockCipherEncrypt + KeyInit + BlockSizeUser<BlockSize = U16>,
{
    let cipher = cbc::Encryptor::<C>::new_from_slices(key, &iv).map_err(|_| WrapError::KeyDoesNotFit)?;
    padded(cipher, plain, iv.to_vec())
}

/// The ciphertext with PKCS#7 padding, behind `front`.
fn padded(cipher: impl BlockModeEncrypt, plain: &[u8], mut front: Vec<u8>) -> Result<Vec<u8>, WrapError> {
    let start = front.len();
    front.extend_from_slice(plain);
    front.resize(start + (plain.len() / BLOCK + 1) * BLOCK, 0);
    let buffer = front.get_mut(start..).unwrap_or_default();
    cipher.encrypt_padded::<Pkcs7>(buffer, plain.len()).map_err(|_| WrapError::KeyDoesNotFit)?;
    Ok(front)
}

fn gcm<C: Aead + KeyInit>(key: &[u8], iv: [u8; BLOCK], plain: &[u8]) -> Result<Vec<u8>, WrapError> {
    let cipher = C::new_from_slice(key).map_err(|_| WrapError::KeyDoesNotFit)?;
    let nonce = iv.get(..GCM_NONCE).unwrap_or_default();
    let sealed = cipher
        .encrypt(nonce.try_into().map_err(|_| WrapError::KeyDoesNotFit)?, plain)
        .map_err(|_| WrapError::KeyDoesNotFit)?;
    Ok([nonce, &sealed].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Decrypt, Secret};

    /// Made with Java's standard Cipher: our values must be what such a producer sends, byte for byte.
    #[test]
    fn equal_to_java() {
        let vectors = include_str!("../../../tests/data/decode/aes.json");
        let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
        let base64 = |text: &str| base64_simd::STANDARD.decode_to_vec(text).unwrap();
        let vectors = vectors["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 45);
        for vector in vectors {
            let text = |name: &str| vector[name].as_str().unwrap();
            let (cipher, front) = match text("transformation") {
                "AES/ECB/PKCS5Padding" => (Cipher::AesEcb, 0),
                "AES/CBC/PKCS5Padding" => (Cipher::AesCbc, BLOCK),
                _ => (Cipher::AesGcm, GCM_NONCE),
            };
            let mut iv = [0; BLOCK];
            iv[..front].copy_from_slice(&base64(text("value_base64"))[..front]);
            let decrypt = Some(Decrypt::one(cipher, Secret::new(base64(text("key_base64")))));
            let form = ValueForm { encoding: Encoding::Base64, decrypt, ..ValueForm::default() };
            let value = |quoted| Wrapper { form: &form, quoted }.wrap(text("plaintext").as_bytes(), iv, false).unwrap();
            assert_eq!(value(false), text("value_base64").as_bytes(), "{vector}");
            assert_eq!(value(true), format!("\"{}\"", text("value_base64")).as_bytes(), "{vector}");
        }
    }

    #[test]
    fn corrupt_values_are_no_whole_blocks() {
        let key = Secret::new(vec![7; 16]);
        let decrypt = Some(Decrypt::one(Cipher::AesEcb, key));
        let form = ValueForm { encoding: Encoding::Raw, decrypt, ..ValueForm::default() };
        let value = Wrapper { form: &form, quoted: false }.wrap(b"{\"id\":1}", [0; BLOCK], true).unwrap();
        assert_eq!(value.len(), BLOCK - 1);
    }
}
