//! Takes the wrapping off a value: schema-registry framing, base64 or hexadecimal text, a JSON string around it.

use base64_simd::{STANDARD, STANDARD_NO_PAD};

use super::text::lone_surrogate;

/// Bytes of schema-registry framing: a zero and the schema's id.
const FRAME: usize = 5;

/// The value behind its schema-registry framing.
///
/// # Errors
/// What is wrong.
pub(super) fn schema_registry(value: &[u8]) -> Result<&[u8], String> {
    match value.split_at_checked(FRAME) {
        Some(([0, ..], rest)) => Ok(rest),
        Some(([first, ..], _)) => Err(format!("no schema-registry framing: the first byte is {first:#04x}, not 0x00")),
        Some(([], _)) | None => Err(format!("no schema-registry framing: the value has {} bytes only", value.len())),
    }
}

/// Decodes the content of a JSON string literal to the end of `out`.
///
/// # Errors
/// What is wrong, with the place, and nothing of the value.
pub(super) fn json_string(value: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let text = value.trim_ascii();
    if text.first() != Some(&b'"') {
        return Err("not a JSON string: it does not begin with a double quote".into());
    }
    if lone_surrogate(text).is_some() {
        return Err("the JSON string holds an escaped half of a surrogate pair, which is no text".into());
    }
    match serde_json::from_slice::<String>(text) {
        Ok(content) => {
            out.extend_from_slice(content.as_bytes());
            Ok(())
        }
        Err(error) => Err(format!("not a JSON string: wrong at byte {} of {}", error.column(), text.len())),
    }
}

/// Decodes hexadecimal digits to the end of `out`. White space may stand anywhere; a text that begins with a double quote
/// is a JSON string whose content are the digits.
///
/// # Errors
/// What is wrong, with the place, and nothing of the value.
pub(super) fn hex(value: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let text = value.trim_ascii();
    let digits = match text {
        [] => return Err("the value is empty".into()),
        [b'"', content @ .., b'"'] => content,
        bare => bare,
    };
    let mut high = None;
    for (at, byte) in digits.iter().enumerate() {
        if byte.is_ascii_whitespace() {
            continue;
        }
        let Some(digit) = char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()) else {
            return Err(format!("not hexadecimal: illegal character at byte {at} of {}", digits.len()));
        };
        high = match high {
            None => Some(digit),
            Some(high) => {
                out.push(high << 4 | digit);
                None
            }
        };
    }
    match high {
        None => Ok(()),
        Some(_) => Err("not hexadecimal: an odd number of digits (cut off?)".into()),
    }
}

/// Decodes base64 text to the end of `out`.
///
/// The alphabet is the standard one or the one for URLs (`-` and `_` instead of `+` and `/`), padding may be left out,
/// spaces and line breaks (CR, LF) may stand anywhere. A text that begins with a double quote is a JSON string whose
/// content is the base64 text.
///
/// # Errors
/// What is wrong, with the place, and nothing of the value.
pub(super) fn base64(value: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let text = value.trim_ascii();
    let content = match text {
        [] => return Err("the value is empty".into()),
        [b'"', content @ .., b'"'] => content,
        bare => bare,
    };
    // Neither a quote nor a backslash is in the alphabet: what decodes here needs no look at JSON's escapes.
    if STANDARD.decode_append(content, out).is_ok() {
        return Ok(());
    }
    if text.first() != Some(&b'"') {
        return decode_lax(text, out);
    }
    match serde_json::from_slice::<String>(text) {
        Ok(content) => decode_lax(content.as_bytes(), out),
        Err(error) => {
            let (column, len) = (error.column(), text.len());
            Err(format!("begins with a double quote but is not a JSON string: wrong at byte {column} of {len}"))
        }
    }
}

/// Decodes text with white space or without padding, too, and tells the reason if it is not base64 at all.
fn decode_lax(text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if STANDARD.decode_append(text, out).is_ok() || STANDARD_NO_PAD.decode_append(text, out).is_ok() {
        return Ok(());
    }
    let len = text.len();
    let blank = |byte: &u8| matches!(byte, b' ' | b'\r' | b'\n');
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_');

    let body = text.iter().rposition(|byte| !blank(byte) && *byte != b'=').map_or(0, |last| last + 1);
    let (body, tail) = text.split_at(body);
    if let Some(at) = body.iter().position(|byte| !letter(byte) && !blank(byte)) {
        return Err(format!("not base64: illegal character at byte {at} of {len}"));
    }
    let (standard, url) = (body.iter().any(|b| b"+/".contains(b)), body.iter().any(|b| b"-_".contains(b)));
    if standard && url {
        return Err("not base64: letters of the standard alphabet and of the one for URLs are mixed".into());
    }
    let to_standard = |byte: u8| match byte {
        b'-' => b'+',
        b'_' => b'/',
        other => other,
    };
    let letters: Vec<u8> = body.iter().copied().filter(letter).map(to_standard).collect();
    let padding = tail.iter().filter(|byte| **byte == b'=').count();
    if padding > 2 || (padding > 0 && !(letters.len() + padding).is_multiple_of(4)) {
        return Err(format!("not base64: {padding} padding characters behind {} letters", letters.len()));
    }
    if letters.len() % 4 == 1 {
        return Err(format!("not base64: {} letters can't be a whole number of bytes (cut off?)", letters.len()));
    }
    STANDARD_NO_PAD
        .decode_append(&letters, out)
        .map_err(|_| format!("not base64: the last of {} letters has bits to spare that are not zero", letters.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unwrapped(value: &str) -> Result<String, String> {
        let mut out = Vec::new();
        base64(value.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
    }

    #[test]
    fn accepts_what_producers_send() {
        for value in [
            "aGVsbG8/Pw==",
            "aGVsbG8/Pw",
            "aGVsbG8_Pw==",
            "\"aGVsbG8_Pw\"",
            "\"aGVsbG8/Pw==\"",
            "\"aGVsbG8\\/Pw==\"",
            "\"aGVsbG8/Pw\\u003d\\u003D\"",
            "\"aGVsbG8/\\r\\nPw==\"",
            "aGVs\r\nbG8/\r\nPw==\r\n",
            "  aGVs bG8/Pw= =\n",
            " \n\"aGVsbG8/Pw==\" ",
        ] {
            assert_eq!(unwrapped(value).as_deref(), Ok("hello??"), "{value}");
        }
        assert_eq!(unwrapped("\"\"").as_deref(), Ok(""), "whether nothing is enough is the next stage's to say");
    }

    #[test]
    fn says_where_it_is_wrong_and_not_what_was_there() {
        for (value, reason) in [
            ("", "the value is empty"),
            (" \r\n", "the value is empty"),
            ("aGVs*G8=", "not base64: illegal character at byte 4 of 8"),
            ("aG+sbG8_", "not base64: letters of the standard alphabet and of the one for URLs are mixed"),
            ("aGVsbG8\t/", "not base64: illegal character at byte 7 of 9"),
            ("aG==VsbG", "not base64: illegal character at byte 2 of 8"),
            ("aGVsbG8/Pw=", "not base64: 1 padding characters behind 10 letters"),
            ("aGVsbA===", "not base64: 3 padding characters behind 6 letters"),
            ("====", "not base64: 4 padding characters behind 0 letters"),
            ("aGVsb", "not base64: 5 letters can't be a whole number of bytes (cut off?)"),
            ("aGVsbG9=", "not base64: the last of 7 letters has bits to spare that are not zero"),
            ("\"aGVs", "begins with a double quote but is not a JSON string: wrong at byte 5 of 5"),
            ("\"aGVs\"bG8=\"", "begins with a double quote but is not a JSON string: wrong at byte 7 of 11"),
            ("{\"a\":1}", "not base64: illegal character at byte 0 of 7"),
        ] {
            assert_eq!(unwrapped(value), Err(reason.into()), "{value}");
        }
    }

    #[test]
    fn hexadecimal_digits() {
        let read = |value: &str| {
            let mut out = Vec::new();
            hex(value.as_bytes(), &mut out).map(|()| out)
        };
        for value in ["00ff1A", "\"00FF1a\"", " 00 ff\n1a\n"] {
            assert_eq!(read(value), Ok(vec![0, 255, 26]), "{value}");
        }
        for (value, reason) in [
            ("", "the value is empty"),
            ("00f", "not hexadecimal: an odd number of digits (cut off?)"),
            ("0g", "not hexadecimal: illegal character at byte 1 of 2"),
            ("\"00", "not hexadecimal: illegal character at byte 0 of 3"),
        ] {
            assert_eq!(read(value), Err(reason.into()), "{value}");
        }
    }

    #[test]
    fn a_text_in_a_json_string() {
        let read = |value: &str| {
            let mut out = Vec::new();
            json_string(value.as_bytes(), &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(read(r#" "{\"a\":\"\u4e2d\"}" "#).as_deref(), Ok("{\"a\":\"中\"}"));
        for (value, reason) in [
            ("{}", "not a JSON string: it does not begin with a double quote"),
            ("\"a", "not a JSON string: wrong at byte 2 of 2"),
            ("\"a\"b", "not a JSON string: wrong at byte 4 of 4"),
            (r#""\ud83d""#, "the JSON string holds an escaped half of a surrogate pair, which is no text"),
        ] {
            assert_eq!(read(value), Err(reason.into()), "{value}");
        }
    }

    #[test]
    fn schema_registry_framing() {
        assert_eq!(schema_registry(b"\0\0\0\0\x07{}"), Ok(b"{}".as_slice()));
        assert_eq!(schema_registry(b"\0\0\0\0\x07"), Ok(b"".as_slice()));
        assert_eq!(
            schema_registry(b"{\"a\":1}"),
            Err("no schema-registry framing: the first byte is 0x7b, not 0x00".into())
        );
        assert_eq!(schema_registry(b"\0\0"), Err("no schema-registry framing: the value has 2 bytes only".into()));
    }
}
