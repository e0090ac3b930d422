//! Takes the wrapping off a value: base64 text, bare or as a JSON string.

use base64_simd::{STANDARD, STANDARD_NO_PAD};

/// Decodes base64 text to the end of `out`.
///
/// The alphabet is the standard one, padding may be left out, spaces and line breaks (CR, LF) may stand anywhere. A text
/// that begins with a double quote is a JSON string whose content is the base64 text.
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
    let letter = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');

    let body = text.iter().rposition(|byte| !blank(byte) && *byte != b'=').map_or(0, |last| last + 1);
    let (body, tail) = text.split_at(body);
    if let Some(at) = body.iter().position(|byte| !letter(byte) && !blank(byte)) {
        return Err(format!("not base64: illegal character at byte {at} of {len}"));
    }
    let letters: Vec<u8> = body.iter().copied().filter(letter).collect();
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
            ("aGVsbG8_", "not base64: illegal character at byte 7 of 8"),
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
}
