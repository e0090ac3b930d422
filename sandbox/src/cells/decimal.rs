//! Numbers by their digits: no value passes through a double.

use std::cmp::Ordering;

/// A decimal number as it was written: `digits × 10^exponent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    negative: bool,
    /// ASCII digits without leading zeros; empty for zero.
    digits: Vec<u8>,
    exponent: i64,
    /// True if the text had a point or an exponent.
    pub(crate) is_fractional: bool,
    /// True if the text had an exponent.
    pub(crate) has_exponent: bool,
}

/// Exponents beyond this are far outside every column type.
const MAX_EXPONENT: i64 = 1_000_000;

impl Decimal {
    /// Reads `[+-]digits[.digits][e[+-]digits]`; spaces around it don't count.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, rest) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match rest.find(['e', 'E']) {
            Some(at) => (&rest[..at], Some(parse_exponent(&rest[at + 1..])?)),
            None => (rest, None),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if (whole.is_empty() && fraction.is_empty()) || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).skip_while(|b| *b == b'0').collect();
        Some(Self {
            negative,
            digits,
            exponent: exponent.unwrap_or(0) - i64::try_from(fraction.len()).ok()?,
            is_fractional: mantissa.contains('.') || exponent.is_some(),
            has_exponent: exponent.is_some(),
        })
    }

    /// Digits before the point; zero or negative for numbers below one.
    fn point(&self) -> i64 {
        i64::try_from(self.digits.len()).unwrap_or(i64::MAX).saturating_add(self.exponent)
    }

    /// The value as `DECIMAL(precision, scale)` prints it, rounded half up (away from zero); `None` if out of range.
    pub(crate) fn fixed(&self, precision: u16, scale: u16) -> Option<String> {
        let whole_max = i64::from(precision) - i64::from(scale);
        if !self.digits.is_empty() && self.point() > whole_max {
            return None;
        }
        let kept = self.point() + i64::from(scale);
        let mut scaled: Vec<u8> = if self.digits.is_empty() || kept < 0 {
            Vec::new()
        } else {
            let kept = usize::try_from(kept).ok()?;
            let mut scaled = self.digits[..kept.min(self.digits.len())].to_vec();
            scaled.resize(kept, b'0');
            if self.digits.get(kept).is_some_and(|next| *next >= b'5') {
                add_one(&mut scaled);
            }
            scaled
        };
        if scaled.len() > usize::from(precision) {
            return None;
        }
        let is_zero = scaled.iter().all(|b| *b == b'0');
        let scale = usize::from(scale);
        while scaled.len() < scale + 1 {
            scaled.insert(0, b'0');
        }
        let split = scaled.len() - scale;
        let mut text = String::with_capacity(scaled.len() + 2);
        if self.negative && !is_zero {
            text.push('-');
        }
        text.extend(scaled[..split].iter().map(|b| char::from(*b)));
        if scale > 0 {
            text.push('.');
            text.extend(scaled[split..].iter().map(|b| char::from(*b)));
        }
        Some(text)
    }

    /// Order by value.
    pub(crate) fn compare(&self, other: &Self) -> Ordering {
        let sign = |n: &Self| match (n.digits.is_empty(), n.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        };
        let (a, b) = (sign(self), sign(other));
        if a != b || a == 0 {
            return a.cmp(&b);
        }
        let significant = |n: &Self| {
            let end = n.digits.iter().rposition(|d| *d != b'0').map_or(0, |last| last + 1);
            n.digits[..end].to_vec()
        };
        let size = self.point().cmp(&other.point()).then_with(|| significant(self).cmp(&significant(other)));
        if a < 0 { size.reverse() } else { size }
    }

    /// The value times a power of ten.
    #[must_use]
    pub(crate) fn times_ten_to(mut self, power: u16) -> Self {
        self.exponent += i64::from(power);
        self
    }

    /// The whole part, the fraction cut off; `None` beyond 128 bits.
    pub(crate) fn truncated(&self) -> Option<i128> {
        let point = self.point();
        if self.digits.is_empty() || point <= 0 {
            return Some(0);
        }
        // 2^127 has 39 digits.
        let point = usize::try_from(point).ok().filter(|p| *p <= 39)?;
        let mut text = String::with_capacity(point + 1);
        text.push(if self.negative { '-' } else { '+' });
        text.extend((0..point).map(|i| self.digits.get(i).map_or('0', |b| char::from(*b))));
        text.parse().ok()
    }
}

fn parse_exponent(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let size = unsigned.parse::<i64>().unwrap_or(MAX_EXPONENT).min(MAX_EXPONENT);
    Some(if text.starts_with('-') { -size } else { size })
}

fn add_one(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
    digits.insert(0, b'1');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_point_by_digits() {
        let cases = [
            ("12.50", 10, 2, Some("12.50")),
            ("12.5", 10, 2, Some("12.50")),
            ("1E+3", 10, 2, Some("1000.00")),
            ("1e3", 4, 0, Some("1000")),
            ("1e4", 4, 0, None),
            ("12345e-3", 10, 2, Some("12.35")),
            ("0.005", 10, 2, Some("0.01")),
            ("0.0049999", 10, 2, Some("0.00")),
            ("-0.005", 10, 2, Some("-0.01")),
            ("-0.001", 10, 2, Some("0.00")),
            ("9.995", 3, 2, None),
            ("9.994", 3, 2, Some("9.99")),
            ("99.5", 2, 0, None),
            ("0.5", 1, 0, Some("1")),
            ("0.05", 1, 0, Some("0")),
            ("00012", 2, 0, Some("12")),
            (".5", 2, 1, Some("0.5")),
            ("5.", 2, 1, Some("5.0")),
            ("0e999999999999", 2, 1, Some("0.0")),
            ("1e-999999999999", 2, 1, Some("0.0")),
            ("1e999999999999", 38, 1, None),
            ("12345678901234567890123456789012345678", 38, 0, Some("12345678901234567890123456789012345678")),
            ("0.12345678901234567890123456789012345678", 38, 38, Some("0.12345678901234567890123456789012345678")),
            ("123456789012345678901234567890123456789", 38, 0, None),
        ];
        for (text, precision, scale, want) in cases {
            let got = Decimal::parse(text).unwrap().fixed(precision, scale);
            assert_eq!(got.as_deref(), want, "{text} as DECIMAL({precision},{scale})");
        }
    }

    #[test]
    fn order_by_value() {
        let ascending = ["-10", "-9.5", "-0.1", "0", "1e-3", "0.01", "1", "1.05", "9", "10", "1e2", "101"];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let got = Decimal::parse(a).unwrap().compare(&Decimal::parse(b).unwrap());
                assert_eq!(got, i.cmp(&j), "{a} and {b}");
            }
        }
        let equal = |a, b| Decimal::parse(a).unwrap().compare(&Decimal::parse(b).unwrap());
        assert_eq!(equal("1.50", "1.5"), Ordering::Equal);
        assert_eq!(equal("-0", "0.00"), Ordering::Equal);
    }

    #[test]
    fn whole_part() {
        let cases = [
            ("7.99", Some(7)),
            ("-7.99", Some(-7)),
            ("0.9", Some(0)),
            ("1.5e3", Some(1500)),
            ("170141183460469231731687303715884105727", Some(i128::MAX)),
            ("-170141183460469231731687303715884105728", Some(i128::MIN)),
            ("170141183460469231731687303715884105728", None),
            ("1e40", None),
        ];
        for (text, want) in cases {
            assert_eq!(Decimal::parse(text).unwrap().truncated(), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_number() {
        for text in ["", " ", "-", ".", "e5", "1e", "1e+", "1.2.3", "0x10", "12a", "NaN", "１２"] {
            assert_eq!(Decimal::parse(text), None, "{text:?}");
        }
    }
}
