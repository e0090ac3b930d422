//! Parts of a state that are shared between states until they change, and what two states have to agree in to be the same.
//!
//! Tickets and epochs of a protocol are compared for equality only, so their values mean nothing: they are numbered
//! anew in the order in which they are met. Nothing else of the protocol is a `u64`.

use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use loadlock_commit::domain::Nonce;

/// A value with its digest. After a change the digest is stale until [`Part::refresh`].
#[derive(Clone, Debug)]
pub(crate) struct Part<T> {
    value: Arc<T>,
    digest: Option<u64>,
    nonces: u64,
}

impl<T: Clone + Hash> Part<T> {
    pub(crate) fn new(value: T) -> Self {
        let mut part = Self { value: Arc::new(value), digest: None, nonces: 0 };
        part.refresh();
        part
    }

    pub(crate) fn refresh(&mut self) {
        if self.digest.is_none() {
            let mut canon = Canon::default();
            self.value.hash(&mut canon);
            self.digest = Some(canon.finish());
            self.nonces = canon.nonces;
        }
    }

    /// The nonces that stand in it, one bit each.
    pub(crate) fn nonces(&self) -> u64 {
        self.nonces
    }
}

impl<T> Deref for Part<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Clone> DerefMut for Part<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.digest = None;
        Arc::make_mut(&mut self.value)
    }
}

impl<T> PartialEq for Part<T> {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl<T> Hash for Part<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.digest.hash(state);
    }
}

/// Hashes a part up to the renaming of its `u64`, and notes the nonces (the only `u128`) that stand in it.
#[derive(Default)]
struct Canon {
    state: u64,
    names: Vec<u64>,
    nonces: u64,
}

/// Multiplier of the digest: 2^64 divided by the golden ratio, odd.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Digits of a nonce in a text.
const NONCE_DIGITS: usize = 32;

impl Canon {
    /// Folded multiplication: every bit of both factors reaches the result.
    fn mix(&mut self, value: u64) {
        let product = u128::from(self.state ^ value ^ SPREAD) * u128::from(SPREAD.rotate_left(17) ^ value.rotate_left(32));
        let folded = (product as u64) ^ ((product >> 64) as u64);
        self.state = (self.state.rotate_left(23) ^ folded).wrapping_mul(SPREAD);
    }
}

impl Canon {
    fn note(&mut self, nonce: u128) {
        self.nonces |= u32::try_from(nonce).ok().and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or(0);
    }

    /// Nonces in labels and metadata: 32 hex digits in a row.
    fn note_texts(&mut self, bytes: &[u8]) {
        for run in bytes.split(|byte| !byte.is_ascii_hexdigit()).filter(|run| run.len() == NONCE_DIGITS) {
            if let Ok(nonce) = str::from_utf8(run).unwrap_or_default().parse::<Nonce>() {
                self.note(nonce.0);
            }
        }
    }
}

impl Hasher for Canon {
    fn finish(&self) -> u64 {
        self.state ^ (self.state >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.note_texts(bytes);
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
            self.mix(word);
        }
        self.mix(bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_i32(&mut self, value: i32) {
        self.mix(u64::from(value.cast_unsigned()));
    }

    fn write_i64(&mut self, value: i64) {
        self.mix(value.cast_unsigned());
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.mix(value.cast_unsigned() as u64);
    }

    fn write_u64(&mut self, value: u64) {
        let name = self.names.iter().position(|known| *known == value).unwrap_or_else(|| {
            self.names.push(value);
            self.names.len() - 1
        });
        self.mix(name as u64);
    }

    fn write_u128(&mut self, value: u128) {
        self.note(value);
        self.mix((value as u64) ^ SPREAD);
    }
}
