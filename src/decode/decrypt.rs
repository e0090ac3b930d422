//! AES in the modes that Java producers use. Key schedules are made once for a route.

use std::ops::Range;

use aes::cipher::array::Array;
use aes::cipher::block_padding::Pkcs7;
use aes::cipher::common::InnerInit;
use aes::cipher::consts::{U12, U16};
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockSizeUser, InnerIvInit, KeyInit};
use aes::{Aes128, Aes192, Aes256};
use aes_gcm::{AeadInOut, AesGcm};

use crate::config::{Cipher, Decrypt};

/// Bytes of an AES block, of the CBC initialisation vector and of the GCM tag.
const BLOCK: usize = 16;
/// Bytes of the GCM nonce.
const NONCE: usize = 12;

/// A cipher with its key.
pub(super) struct Decryptor {
    mode: Box<dyn Mode>,
}

impl Decryptor {
    /// Makes the key schedule; `None` if the key is not 16, 24 or 32 bytes long.
    pub(super) fn new(decrypt: &Decrypt) -> Option<Self> {
        let key = decrypt.key.expose();
        let mode = match key.len() {
            16 => mode(decrypt.cipher, Aes128::new_from_slice(key).ok()?),
            24 => mode(decrypt.cipher, Aes192::new_from_slice(key).ok()?),
            32 => mode(decrypt.cipher, Aes256::new_from_slice(key).ok()?),
            _ => return None,
        };
        Some(Self { mode })
    }

    /// Decrypts in place and says where in the buffer the plaintext stands.
    ///
    /// # Errors
    /// What is wrong, with lengths, and nothing of the value.
    pub(super) fn decrypt(&self, buffer: &mut [u8]) -> Result<Range<usize>, String> {
        if buffer.is_empty() {
            return Err("the ciphertext is empty".into());
        }
        self.mode.decrypt(buffer)
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
    use crate::config::Secret;

    fn decryptor(transformation: &str, key: &str) -> Decryptor {
        let cipher = match transformation {
            "AES/ECB/PKCS5Padding" => Cipher::AesEcb,
            "AES/CBC/PKCS5Padding" => Cipher::AesCbc,
            "AES/GCM/NoPadding" => Cipher::AesGcm,
            other => panic!("unknown transformation {other}"),
        };
        let key = Secret::new(STANDARD.decode_to_vec(key).unwrap());
        Decryptor::new(&Decrypt { cipher, key }).unwrap()
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
                let range = decryptor.decrypt(&mut buffer).unwrap();
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
                let result = decryptor.decrypt(&mut buffer);
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
            let result = decryptor(transformation, KEY).decrypt(&mut vec![0; len]);
            assert_eq!(result, Err(reason.into()), "{transformation}, {len} bytes");
        }
    }

    #[test]
    fn a_key_of_another_length_is_none() {
        for len in [0, 15, 17, 31, 33, 64] {
            let key = Secret::new(vec![0; len]);
            assert!(Decryptor::new(&Decrypt { cipher: Cipher::AesEcb, key }).is_none(), "{len}");
        }
    }
}
