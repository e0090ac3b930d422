//! What two states have to agree in to be the same.
//!
//! Tickets and epochs of a protocol are compared for equality only, and so are nonces: their values mean nothing. So
//! they are numbered anew in the order in which they are met: tickets and epochs (the only `u64`) within a process,
//! nonces (the only `u128`, and 32 hex digits in texts) within the state.

use std::hash::{Hash, Hasher};

use loadlock_commit::domain::Nonce;

/// Digests a state, one part after the other.
#[derive(Default)]
pub(crate) struct Canon {
    state: u64,
    numbers: Vec<u64>,
    nonces: Vec<u128>,
}

/// Multiplier of the digest: 2^64 divided by the golden ratio, odd.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Digits of a nonce in a text.
const NONCE_DIGITS: usize = 32;

impl Canon {
    /// A part whose `u64` have nothing to do with those of the parts before.
    pub(crate) fn part(&mut self, part: &impl Hash) {
        self.numbers.clear();
        part.hash(self);
    }

    /// Parts in no order.
    pub(crate) fn heap<T: Hash>(&mut self, parts: impl Iterator<Item = T>) {
        let before = self.state;
        let mut digests = Vec::new();
        for part in parts {
            self.state = 0;
            self.part(&part);
            digests.push(self.state);
        }
        digests.sort_unstable();
        self.state = before;
        digests.into_iter().for_each(|digest| self.mix(digest));
    }

    /// The nonces met so far, one bit each.
    pub(crate) fn nonces(&self) -> u64 {
        let bit = |nonce: &u128| u32::try_from(*nonce).ok().and_then(|bit| 1_u64.checked_shl(bit)).unwrap_or(0);
        self.nonces.iter().map(bit).fold(0, |all, bit| all | bit)
    }

    /// Folded multiplication: every bit of both factors reaches the result.
    fn mix(&mut self, value: u64) {
        let left = u128::from(self.state ^ value ^ SPREAD);
        let product = left * u128::from(SPREAD.rotate_left(17) ^ value.rotate_left(32));
        let folded = (product as u64) ^ ((product >> 64) as u64);
        self.state = (self.state.rotate_left(23) ^ folded).wrapping_mul(SPREAD);
    }

    fn nonce(&mut self, nonce: u128) {
        let name = self.nonces.iter().position(|known| *known == nonce).unwrap_or_else(|| {
            self.nonces.push(nonce);
            self.nonces.len() - 1
        });
        self.mix(name as u64 ^ SPREAD);
    }

    fn plain(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0_u64, |word, byte| (word << 8) | u64::from(*byte));
            self.mix(word);
        }
        self.mix(bytes.len() as u64);
    }
}

impl Hasher for Canon {
    fn finish(&self) -> u64 {
        self.state ^ (self.state >> 29)
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.len() < NONCE_DIGITS {
            return self.plain(bytes);
        }
        for run in bytes.split_inclusive(|byte| !byte.is_ascii_hexdigit()) {
            let (digits, rest) = run.split_at(run.len().min(NONCE_DIGITS));
            let text = if rest.len() <= 1 { str::from_utf8(digits).unwrap_or_default() } else { "" };
            match text.parse::<Nonce>() {
                Ok(nonce) => {
                    self.nonce(nonce.0);
                    self.plain(rest);
                }
                Err(()) => self.plain(run),
            }
        }
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
        let name = self.numbers.iter().position(|known| *known == value).unwrap_or_else(|| {
            self.numbers.push(value);
            self.numbers.len() - 1
        });
        self.mix(name as u64);
    }

    fn write_u128(&mut self, value: u128) {
        self.nonce(value);
    }
}
