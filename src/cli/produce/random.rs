//! Numbers that look random and are the same for the same seed: SplitMix64 (Steele, Lea and Flood, 2014).

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// The stream of one record: every (seed, index) has its own.
    pub(super) fn of(seed: u64, index: u64) -> Self {
        let mut mixer = Self(seed);
        Self(mixer.next() ^ index.wrapping_mul(0xD134_2543_DE82_EF95))
    }

    /// The next number, all 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 if `end` is 0.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(end);
        u64::try_from(product >> 64).unwrap_or_default()
    }

    /// One of the choices; an empty text if there is none.
    pub(super) fn one_of(&mut self, choices: &[&'static str]) -> &'static str {
        let at = usize::try_from(self.below(choices.len() as u64)).unwrap_or_default();
        choices.get(at).copied().unwrap_or_default()
    }

    /// Adds that many letters of `a` to `p`: sixteen of them for one number, as a record has hundreds.
    pub(super) fn letters(&mut self, text: &mut String, count: usize) {
        let mut letters = [0; 16];
        for at in 0..count.div_ceil(letters.len()) {
            for (letter, byte) in letters.chunks_mut(2).zip(self.next().to_le_bytes()) {
                letter.copy_from_slice(&[b'a' + (byte >> 4), b'a' + (byte & 15)]);
            }
            let left = (count - at * letters.len()).min(letters.len());
            text.push_str(std::str::from_utf8(&letters).unwrap_or_default().get(..left).unwrap_or_default());
        }
    }

    /// That many decimal digits, the first not 0.
    pub(super) fn digits(&mut self, count: usize) -> String {
        let mut digits = String::with_capacity(count);
        for at in 0..count {
            let digit = if at == 0 { 1 + self.below(9) } else { self.below(10) };
            digits.push(char::from(b'0' + u8::try_from(digit).unwrap_or_default()));
        }
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn same_seed_same_numbers() {
        let numbers = |seed, index| {
            let mut random = Random::of(seed, index);
            [random.next(), random.next()]
        };
        assert_eq!(numbers(1, 2), numbers(1, 2));
        assert_ne!(numbers(1, 2), numbers(1, 3));
        assert_ne!(numbers(1, 2), numbers(2, 2));
    }

    #[test]
    fn within_bounds() {
        let mut random = Random::of(7, 7);
        assert!((0..1000).all(|_| random.below(10) < 10));
        assert_eq!(random.below(0), 0);
        assert_eq!(random.digits(38).len(), 38);
        assert!((0..1000).all(|_| !random.digits(2).starts_with('0')));
        for count in [0, 1, 15, 16, 17, 40] {
            let mut text = String::new();
            random.letters(&mut text, count);
            assert_eq!((text.len(), text.bytes().all(|b| b.is_ascii_lowercase())), (count, true));
        }
    }
}
