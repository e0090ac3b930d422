//! Exact numbers for sums and arithmetic: a mantissa of 128 bits and a scale. What doesn't fit is refused, never rounded.

/// `mantissa / 10^scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exact {
    mantissa: i128,
    scale: u32,
}

/// Digits that the engines' widest common decimal holds.
pub(crate) const DECIMAL_DIGITS_MAX: u16 = 38;

impl Exact {
    /// Zero, without a fraction.
    pub(crate) const ZERO: Self = Self { mantissa: 0, scale: 0 };

    /// Reads `[-]digits[.digits]`, as tables keep integers and decimals; `None` beyond 128 bits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        if !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mantissa = if fraction.is_empty() { whole.parse() } else { format!("{whole}{fraction}").parse() };
        Some(Self { mantissa: mantissa.ok()?, scale: u32::try_from(fraction.len()).ok()? })
    }

    fn at_scale(self, scale: u32) -> Option<i128> {
        self.mantissa.checked_mul(10_i128.checked_pow(scale.checked_sub(self.scale)?)?)
    }

    /// `self + other`, with the longer fraction.
    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let scale = self.scale.max(other.scale);
        let mantissa = self.at_scale(scale)?.checked_add(other.at_scale(scale)?)?;
        Some(Self { mantissa, scale })
    }

    /// `-self`.
    pub(crate) fn negated(self) -> Option<Self> {
        Some(Self { mantissa: self.mantissa.checked_neg()?, ..self })
    }

    /// `self × other`; the scales add up.
    pub(crate) fn times(self, other: Self) -> Option<Self> {
        Some(Self { mantissa: self.mantissa.checked_mul(other.mantissa)?, scale: self.scale + other.scale })
    }

    /// The remainder of whole numbers, with the sign of `self`; `None` for fractions and for zero.
    pub(crate) fn remainder(self, other: Self) -> Option<Self> {
        if self.scale != 0 || other.scale != 0 {
            return None;
        }
        Some(Self { mantissa: self.mantissa.checked_rem(other.mantissa)?, scale: 0 })
    }

    /// True for zero.
    pub(crate) fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    /// True if it is whole and fits `bits` bits with a sign.
    pub(crate) fn fits_bits(self, bits: u32) -> bool {
        let spare = i128::BITS.saturating_sub(bits);
        self.scale == 0 && (self.mantissa << spare) >> spare == self.mantissa
    }

    /// True if it has at most `digits` digits.
    pub(crate) fn fits_digits(self, digits: u16) -> bool {
        10_u128.checked_pow(u32::from(digits)).is_none_or(|limit| self.mantissa.unsigned_abs() < limit)
    }
}

impl std::fmt::Display for Exact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scale = self.scale as usize;
        let digits = format!("{:0>width$}", self.mantissa.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if self.mantissa < 0 { "-" } else { "" };
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

/// A double in the shortest text that reads back as it, as result sets show it.
pub(crate) fn double_text(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-5..1e15).contains(&size) { format!("{value}") } else { format!("{value:e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(text: &str) -> Exact {
        Exact::parse(text).expect(text)
    }

    #[test]
    fn arithmetic_by_digits() {
        let cases = [
            (exact("0.1").plus(exact("0.2")), Some("0.3")),
            (exact("12.50").plus(exact("-12.5")), Some("0.00")),
            (exact("-0.05").plus(exact("0.01")), Some("-0.04")),
            (exact("9223372036854775807").plus(exact("1")), Some("9223372036854775808")),
            (exact("1.10").times(exact("-2.5")), Some("-2.750")),
            (exact("7").remainder(exact("-4")), Some("3")),
            (exact("7").remainder(exact("0")), None),
            (exact(&i128::MAX.to_string()).plus(exact("1")), None),
            (exact(&i128::MAX.to_string()).plus(exact("0.1")), None),
            (exact(&i128::MIN.to_string()).negated(), None),
        ];
        for (got, want) in cases {
            assert_eq!(got.map(|n| n.to_string()).as_deref(), want);
        }
        assert_eq!(["", "x", "1.x", "1e3", "."].map(Exact::parse), [None; 5]);
    }

    #[test]
    fn limits() {
        assert!(exact("127").fits_bits(8) && !exact("128").fits_bits(8) && exact("-128").fits_bits(8));
        assert!(exact(&i128::MIN.to_string()).fits_bits(128));
        assert!(exact("99.9").fits_digits(3) && !exact("100.0").fits_digits(3));
    }
}
