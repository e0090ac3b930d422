//! Numbers as their digits: compared and scaled exactly, never made into doubles.

use std::cmp::Ordering;

/// Length of the JSON number at the start of a text; `None` if there is none.
pub(super) fn number_end(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let digits = |from: usize| {
        let length = bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        (length > 0).then_some(from + length)
    };
    let start = usize::from(bytes.first() == Some(&b'-'));
    let mut end = if bytes.get(start) == Some(&b'0') { start + 1 } else { digits(start)? };
    if bytes.get(end) == Some(&b'.') {
        end = digits(end + 1).unwrap_or(end);
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if end + 1 + sign < bytes.len() {
            end = digits(end + 1 + sign).unwrap_or(end);
        }
    }
    Some(end)
}

/// True if the whole text is a JSON number.
pub(super) fn is_number(text: &str) -> bool {
    number_end(text) == Some(text.len())
}

/// A number taken apart: 0.`digits` times ten to the power of `point`.
struct Parts {
    is_negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: Vec<u8>,
    point: i64,
}

impl Parts {
    /// `None` if the exponent is beyond all measure: more than 18 digits.
    fn of(number: &str) -> Option<Self> {
        let is_negative = number.starts_with('-');
        let number = number.trim_start_matches('-');
        let (mantissa, exponent) = match number.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
            None => (number, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
        digits.drain(..zeros);
        while digits.last() == Some(&b'0') {
            digits.pop();
        }
        let point = (whole.len() as i64 - zeros as i64).saturating_add(exponent);
        Some(Self {
            is_negative: is_negative && !digits.is_empty(),
            point: if digits.is_empty() { 0 } else { point },
            digits,
        })
    }
}

fn exponent_of(text: &str) -> Option<i64> {
    let digits = text.trim_start_matches(['+', '-']).trim_start_matches('0');
    let size = if digits.is_empty() { 0 } else { digits.parse::<i64>().ok().filter(|_| digits.len() <= 18)? };
    Some(if text.starts_with('-') { -size } else { size })
}

/// Order of two JSON numbers. `None` if an exponent is beyond all measure.
pub(super) fn compare(one: &str, other: &str) -> Option<Ordering> {
    // Most numbers are short whole ones.
    if one.len() < 18
        && other.len() < 18
        && let (Ok(one), Ok(other)) = (one.parse::<i64>(), other.parse::<i64>())
    {
        return Some(one.cmp(&other));
    }
    let (one, other) = (Parts::of(one)?, Parts::of(other)?);
    let size = |left: &Parts, right: &Parts| match (left.digits.is_empty(), right.digits.is_empty()) {
        (false, false) => left.point.cmp(&right.point).then_with(|| left.digits.cmp(&right.digits)),
        (left_is_zero, right_is_zero) => right_is_zero.cmp(&left_is_zero),
    };
    Some(match (one.is_negative, other.is_negative) {
        (false, true) => Ordering::Greater,
        (true, false) => Ordering::Less,
        (false, false) => size(&one, &other),
        (true, true) => size(&other, &one),
    })
}

/// The number times ten to the power of `power`, if that is a whole number below 10^18.
pub(super) fn scaled(number: &str, power: u8) -> Option<i64> {
    let parts = Parts::of(number)?;
    if parts.digits.is_empty() {
        return Some(0);
    }
    let length = parts.point.checked_add(i64::from(power)).filter(|length| (1..=18).contains(length))? as usize;
    if parts.digits.len() > length {
        return None;
    }
    let value =
        (0..length).fold(0, |value, at| value * 10 + parts.digits.get(at).map_or(0, |digit| i64::from(digit - b'0')));
    Some(if parts.is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordered_by_value_whatever_the_form() {
        let ascending = [
            "-1e400",
            "-123456789012345678901234567890.2",
            "-123456789012345678901234567890.1",
            "-1.5",
            "-1",
            "-0.001",
            "0",
            "1e-400",
            "0.1",
            "1",
            "1.0000000000000000000000001",
            "9",
            "10",
            "123456789012345678901234567890",
            "1e400",
        ];
        for (at, one) in ascending.iter().enumerate() {
            for (to, other) in ascending.iter().enumerate() {
                assert_eq!(compare(one, other), Some(at.cmp(&to)), "{one} {other}");
            }
        }
        for (one, other) in [("0", "-0"), ("0.0", "0e5"), ("1.50", "15e-1"), ("100", "1E+2"), ("0.001", "1e-03")] {
            assert_eq!(compare(one, other), Some(Ordering::Equal), "{one} {other}");
        }
        assert_eq!(compare("1e9999999999999999999", "1"), None);
    }

    #[test]
    fn scaled_to_whole_numbers_or_not_at_all() {
        for (number, power, whole) in [
            ("1700000000123", 3, Some(1_700_000_000_123_000)),
            ("1.7e9", 6, Some(1_700_000_000_000_000)),
            ("-1.5", 6, Some(-1_500_000)),
            ("1.0000001", 6, None),
            ("0.000", 6, Some(0)),
            ("1e18", 0, None),
            ("999999999999999999", 0, Some(999_999_999_999_999_999)),
            ("0.5", 0, None),
        ] {
            assert_eq!(scaled(number, power), whole, "{number}");
        }
    }

    #[test]
    fn what_a_number_is() {
        for (text, end) in
            [("1", 1), ("-1.50x", 5), ("01", 1), ("1.", 1), ("1e", 1), ("1e+", 1), ("1e+5", 4), ("0.5E-3,", 6)]
        {
            assert_eq!(number_end(text), Some(end), "{text}");
        }
        for text in ["", "-", "-a", ".5", "+1", "x"] {
            assert_eq!(number_end(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_machine_numbers(one in any::<i64>(), other in any::<i64>(), zeros in 0..4_usize) {
            let padded = format!("{other}.{}", "0".repeat(zeros + 1));
            prop_assert_eq!(compare(&one.to_string(), &padded), Some(one.cmp(&other)));
            let small = one % 100_000_000_000;
            prop_assert_eq!(scaled(&small.to_string(), 3), Some(small * 1000));
        }

        #[test]
        fn agrees_with_serde_json_on_what_a_number_is(text in "-?[0-9]{0,3}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,3})?") {
            prop_assert_eq!(is_number(&text), serde_json::from_str::<serde_json::Number>(&text).is_ok(), "{}", text);
        }
    }
}
