//! Pieces of JSON text on their way into a row: compacted, put into quotes, checked.

use memchr::{memchr, memchr2};

/// Appends `plain` as a JSON string.
pub(super) fn quote(plain: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in plain.as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

/// Appends valid JSON text without the white space between its tokens.
pub(super) fn compact(json: &[u8], out: &mut Vec<u8>) {
    tokens(json, |piece| out.extend_from_slice(piece));
}

/// Appends a JSON string whose content is the valid JSON text, compacted.
pub(super) fn quote_json(json: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    tokens(json, |mut piece| {
        // Valid JSON without white space between tokens holds no raw control character: only these two need escapes.
        while let Some(at) = memchr2(b'"', b'\\', piece) {
            out.extend_from_slice(&piece[..at]);
            out.extend_from_slice(&[b'\\', piece[at]]);
            piece = &piece[at + 1..];
        }
        out.extend_from_slice(piece);
    });
    out.push(b'"');
}

/// Calls `keep` with the runs of valid JSON text between which white space stands outside of strings.
fn tokens(json: &[u8], mut keep: impl FnMut(&[u8])) {
    let (mut run, mut pos) = (0, 0);
    while let Some(&byte) = json.get(pos) {
        match byte {
            b'"' => pos = string_end(json, pos),
            b' ' | b'\n' | b'\r' | b'\t' => {
                keep(&json[run..pos]);
                pos += 1;
                run = pos;
            }
            _ => pos += 1,
        }
    }
    keep(&json[run..]);
}

/// Index behind the closing quote of the valid JSON string that opens at `start`.
fn string_end(json: &[u8], start: usize) -> usize {
    let mut pos = start + 1;
    while let Some(found) = json.get(pos..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        pos += found;
        if json[pos] == b'"' {
            return pos + 1;
        }
        pos += 2;
    }
    json.len()
}

/// Finds an escaped half of a surrogate pair without its other half: no character, so it can't become UTF-8.
/// Returns its index in the valid JSON text.
pub(super) fn lone_surrogate(json: &[u8]) -> Option<usize> {
    let mut pos = 0;
    while let Some(found) = json.get(pos..).and_then(|rest| memchr(b'\\', rest)) {
        pos += found;
        match unit(json, pos) {
            None => pos += 2,
            Some(0xD800..=0xDBFF) if matches!(unit(json, pos + 6), Some(0xDC00..=0xDFFF)) => pos += 12,
            Some(0xD800..=0xDFFF) => return Some(pos),
            Some(_) => pos += 6,
        }
    }
    None
}

/// The UTF-16 code unit of a `\uXXXX` escape at `pos`; `None` if something else stands there.
fn unit(json: &[u8], pos: usize) -> Option<u16> {
    let escape = json.get(pos..pos + 6)?;
    let hex = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    u16::from_str_radix(hex, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(run: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        run(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn quotes_like_serde_json_reads() {
        let plain = "a\"b\\c\u{0}\u{1f}\n\t中文😀\u{7f}";
        let quoted = with(|out| quote(plain, out));
        assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), plain);
        assert!(!quoted.contains('\n'));
    }

    #[test]
    fn compacts_outside_of_strings_only() {
        let json = b"{ \"a b\" :\r\n[ 1 ,\t\"x \\\" y\" , \"\\\\\" , { } ] }";
        assert_eq!(with(|out| compact(json, out)), r#"{"a b":[1,"x \" y","\\",{}]}"#);
    }

    #[test]
    fn json_in_a_string_reads_back_as_compact_json() {
        let json = "{\"k\\u0041\": [ \"x\\n\\\"y\\\"\" , 1.50 ]}";
        let quoted = with(|out| quote_json(json.as_bytes(), out));
        let inner: String = serde_json::from_str(&quoted).unwrap();
        assert_eq!(inner, r#"{"k\u0041":["x\n\"y\"",1.50]}"#);
    }

    #[test]
    fn finds_lone_surrogates() {
        for (json, at) in [
            (r#""plain""#, None),
            (r#""\ud83d\ude00""#, None),
            (r#""\uD83D\uDE00 \u4e2d""#, None),
            (r#""\ud83d""#, Some(1)),
            (r#""x\ude00""#, Some(2)),
            (r#""\ud83dA""#, Some(1)),
            (r#""\ud83d\ud83d\ude00""#, Some(1)),
            (r#""\\ud83d""#, None),
            (r#""\\\ud83d""#, Some(3)),
            (r#"["\ud83d\ude00","\udfff"]"#, Some(17)),
        ] {
            assert_eq!(lone_surrogate(json.as_bytes()), at, "{json}");
        }
    }
}
