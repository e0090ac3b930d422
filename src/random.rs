//! Random bits, and who gives them: the operating system, or a seed.

use std::fmt;
use std::sync::Arc;

use crate::domain::Nonce;

/// Fills bytes at random, or says why it can't.
type Fill = dyn Fn(&mut [u8]) -> Result<(), getrandom::Error> + Send + Sync;

/// A source of random bits. Cheap to clone.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Random")
    }
}

impl Random {
    /// The operating system's.
    pub fn system() -> Self {
        Self(Arc::new(getrandom::fill))
    }

    /// The caller's: a simulation that can be repeated. Two processes must never share what it gives.
    pub fn given(fill: impl Fn(&mut [u8]) + Send + Sync + 'static) -> Self {
        Self(Arc::new(move |bytes| {
            fill(bytes);
            Ok(())
        }))
    }

    /// 128 bits that no two attempts of any process draw alike (`docs/exactly-once.md`, rule 5).
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn nonce(&self) -> Result<Nonce, getrandom::Error> {
        let mut bytes = [0_u8; 16];
        (self.0)(&mut bytes)?;
        Ok(Nonce(u128::from_be_bytes(bytes)))
    }

    /// A value from 0 to 1 that spreads waiting times; 1 (the longest wait) if there is no randomness.
    pub fn jitter(&self) -> f64 {
        let mut bytes = [0_u8; 4];
        (self.0)(&mut bytes).map_or(1.0, |()| f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonces_differ_and_jitter_is_in_range() {
        let random = Random::system();
        assert_ne!(random.nonce(), random.nonce());
        assert!((0.0..=1.0).contains(&random.jitter()));
    }

    #[test]
    fn without_randomness_there_is_no_nonce_and_the_longest_wait() {
        let random = Random(Arc::new(|_: &mut [u8]| Err(getrandom::Error::UNSUPPORTED)));
        assert!(random.nonce().is_err());
        assert!((random.jitter() - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_given_source_is_taken_as_it_is() {
        let random = Random::given(|bytes| bytes.fill(0xff));
        assert_eq!(random.nonce(), Ok(Nonce(u128::MAX)));
        assert!((random.jitter() - 1.0).abs() < f64::EPSILON);
    }
}
