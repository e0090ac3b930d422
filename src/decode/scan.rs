//! Validating scanner of JSON text (RFC 8259): one pass, no tree, no allocation.
//!
//! It accepts exactly what `serde_json` accepts as valid JSON up to [`MAX_DEPTH`]; the test below compares the two.
//! UTF-8 is the caller's to check. What a caller wants to see of an object or array it says with a closure per member.

use std::fmt;

/// Deepest nesting of arrays and objects. The same as `serde_json`'s own limit (it counts to 128 and refuses the
/// 128th level), so that no document passes one of them and fails at the other.
pub(super) const MAX_DEPTH: usize = 127;

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Value,
    Key,
    Colon,
    CommaOrBrace,
    CommaOrBracket,
    Control,
    Escape,
    Number,
    Trailing,
    Depth,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Value => "a value is expected",
            Self::Key => "a key in double quotes is expected",
            Self::Colon => "a colon is expected",
            Self::CommaOrBrace => "a comma or a closing brace is expected",
            Self::CommaOrBracket => "a comma or a closing bracket is expected",
            Self::Control => "a control character inside a string has to be escaped",
            Self::Escape => "no such escape sequence",
            Self::Number => "a digit is expected",
            Self::Trailing => "more text behind the value",
            Self::Depth => "nested too deeply, the limit is 127 levels",
        })
    }
}

/// Key of an object's member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    /// The key as it stands in the text, with its quotes.
    pub(super) literal: &'a [u8],
    /// True if the key holds an escape sequence.
    pub(super) escaped: bool,
}

impl<'a> Key<'a> {
    /// The key without its quotes, escapes not resolved.
    pub(super) fn raw(&self) -> &'a [u8] {
        &self.literal[1..self.literal.len() - 1]
    }
}

/// A text, with what has been noticed in it. The place in the text is handed from call to call and not kept here: in a
/// register it costs nothing, in memory it would be what a byte waits for.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    depth: usize,
    fault_at: usize,
    /// White space was seen between tokens.
    pub(super) spaced: bool,
    /// A `\u` escape of half a surrogate pair was seen (paired or not).
    pub(super) surrogates: bool,
}

/// Where the scan goes on.
type Scanned = Result<usize, Fault>;

impl<'a> Scanner<'a> {
    /// A scanner of this text.
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, depth: 0, fault_at: 0, spaced: false, surrogates: false }
    }

    /// Byte offset of the fault that was returned.
    pub(super) fn fault_at(&self) -> usize {
        self.fault_at
    }

    #[cold]
    fn fault<T>(&mut self, at: usize, fault: Fault) -> Result<T, Fault> {
        self.fault_at = at;
        Err(fault)
    }

    /// The byte at `pos`; NUL, which JSON allows nowhere, stands for the end of the text.
    #[inline]
    pub(super) fn byte(&self, pos: usize) -> u8 {
        self.text.get(pos).copied().unwrap_or(0)
    }

    /// Passes white space between tokens.
    #[inline]
    pub(super) fn space(&mut self, pos: usize) -> usize {
        if self.byte(pos) > b' ' { pos } else { self.some_space(pos) }
    }

    #[inline(never)]
    fn some_space(&mut self, mut pos: usize) -> usize {
        while matches!(self.byte(pos), b' ' | b'\n' | b'\r' | b'\t') {
            self.spaced = true;
            pos += 1;
        }
        pos
    }

    /// Only white space may be left.
    pub(super) fn end(&mut self, pos: usize) -> Scanned {
        let pos = self.space(pos);
        if pos == self.text.len() { Ok(pos) } else { self.fault(pos, Fault::Trailing) }
    }

    /// Passes a value that nobody wants to look into.
    pub(super) fn skip(&mut self, pos: usize) -> Scanned {
        match self.byte(pos) {
            b'"' => self.string(pos).map(|(pos, _)| pos),
            b'{' => self.object(pos, |scanner, pos, _| scanner.skip(pos)),
            b'[' => self.array(pos, |scanner, pos, _| scanner.skip(pos)).map(|(pos, _)| pos),
            b'-' | b'0'..=b'9' => self.number(pos),
            b't' => self.literal(pos, b"true"),
            b'f' => self.literal(pos, b"false"),
            b'n' => self.literal(pos, b"null"),
            _ => self.fault(pos, Fault::Value),
        }
    }

    /// Passes an object. `member` is called with the place of each member's value and has to pass the value.
    #[inline]
    pub(super) fn object(
        &mut self,
        pos: usize,
        mut member: impl FnMut(&mut Self, usize, Key<'a>) -> Scanned,
    ) -> Scanned {
        let mut pos = self.open(pos)?;
        if self.byte(pos) != b'}' {
            loop {
                let (value, key) = self.key(pos)?;
                pos = member(self, value, key)?;
                pos = self.space(pos);
                match self.byte(pos) {
                    b',' => pos = self.space(pos + 1),
                    b'}' => break,
                    _ => return self.fault(pos, Fault::CommaOrBrace),
                }
            }
        }
        self.depth -= 1;
        Ok(pos + 1)
    }

    /// Passes an array and counts its elements. `element` is called with the place and the index of each element and has
    /// to pass it.
    #[inline]
    pub(super) fn array(
        &mut self,
        pos: usize,
        mut element: impl FnMut(&mut Self, usize, usize) -> Scanned,
    ) -> Result<(usize, usize), Fault> {
        let mut pos = self.open(pos)?;
        let mut count = 0;
        if self.byte(pos) != b']' {
            loop {
                pos = element(self, pos, count)?;
                count += 1;
                pos = self.space(pos);
                match self.byte(pos) {
                    b',' => pos = self.space(pos + 1),
                    b']' => break,
                    _ => return self.fault(pos, Fault::CommaOrBracket),
                }
            }
        }
        self.depth -= 1;
        Ok((pos + 1, count))
    }

    #[inline]
    fn open(&mut self, pos: usize) -> Scanned {
        if self.depth == MAX_DEPTH {
            return self.fault(pos, Fault::Depth);
        }
        self.depth += 1;
        Ok(self.space(pos + 1))
    }

    /// Passes a key, its colon and the white space around.
    #[inline(always)]
    fn key(&mut self, start: usize) -> Result<(usize, Key<'a>), Fault> {
        if self.byte(start) != b'"' {
            return self.fault(start, Fault::Key);
        }
        let (end, escaped) = self.string(start)?;
        let colon = self.space(end);
        if self.byte(colon) != b':' {
            return self.fault(colon, Fault::Colon);
        }
        Ok((self.space(colon + 1), Key { literal: &self.text[start..end], escaped }))
    }

    /// Passes a string from its opening quote on, and says if it holds an escape sequence.
    #[inline(always)]
    fn string(&mut self, pos: usize) -> Result<(usize, bool), Fault> {
        let pos = self.plain(pos + 1);
        if self.byte(pos) == b'"' { Ok((pos + 1, false)) } else { self.string_with_escapes(pos) }
    }

    #[inline(never)]
    fn string_with_escapes(&mut self, mut pos: usize) -> Result<(usize, bool), Fault> {
        loop {
            match self.byte(pos) {
                b'"' => return Ok((pos + 1, true)),
                b'\\' => pos = self.escape(pos)?,
                _ => return self.fault(pos, Fault::Control),
            }
            pos = self.plain(pos);
        }
    }

    /// The next byte of a string that is a quote, a backslash or a control character (or the end of the text), searched
    /// eight bytes at a time.
    #[inline(always)]
    fn plain(&self, mut pos: usize) -> usize {
        while let Some(eight) = self.text.get(pos..).and_then(<[u8]>::first_chunk::<8>) {
            let special = special_bytes(u64::from_le_bytes(*eight));
            if special != 0 {
                return pos + special.trailing_zeros() as usize / 8;
            }
            pos += 8;
        }
        while !matches!(self.byte(pos), b'"' | b'\\' | 0..0x20) {
            pos += 1;
        }
        pos
    }

    fn escape(&mut self, pos: usize) -> Scanned {
        match &self.text[pos..] {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => Ok(pos + 2),
            [_, b'u', hex @ ..] if hex.len() >= 4 && hex[..4].iter().all(u8::is_ascii_hexdigit) => {
                // D800 to DFFF. Of the hexadecimal digits only 0 to 7 come before '8' in ASCII.
                self.surrogates |= hex[0].eq_ignore_ascii_case(&b'd') && hex[1] >= b'8';
                Ok(pos + 6)
            }
            _ => self.fault(pos, Fault::Escape),
        }
    }

    #[inline]
    fn number(&mut self, mut pos: usize) -> Scanned {
        if self.byte(pos) == b'-' {
            pos += 1;
        }
        // No digit may follow a leading zero; the caller, who expects a comma or an end, sees to that.
        pos = if self.byte(pos) == b'0' { pos + 1 } else { self.digits(pos)? };
        if self.byte(pos) == b'.' {
            pos = self.digits(pos + 1)?;
        }
        if matches!(self.byte(pos), b'e' | b'E') {
            pos += 1;
            if matches!(self.byte(pos), b'+' | b'-') {
                pos += 1;
            }
            pos = self.digits(pos)?;
        }
        Ok(pos)
    }

    #[inline]
    fn digits(&mut self, start: usize) -> Scanned {
        let mut pos = start;
        while self.byte(pos).is_ascii_digit() {
            pos += 1;
        }
        if pos == start { self.fault(pos, Fault::Number) } else { Ok(pos) }
    }

    #[inline]
    fn literal(&mut self, pos: usize, literal: &[u8]) -> Scanned {
        if self.text[pos..].starts_with(literal) { Ok(pos + literal.len()) } else { self.fault(pos, Fault::Value) }
    }
}

/// Marks, by its top bit, the lowest byte that is a quote, a backslash or below 0x20. Bytes above the lowest mark can be
/// marked wrongly (the subtractions borrow upwards), which is why only the lowest one is used.
#[inline]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let zero = |x: u64| x.wrapping_sub(ONES) & !x;
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    (zero(quote) | zero(backslash) | control) & TOPS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::de::IgnoredAny;

    use super::super::testing::{damaged, json};
    use super::*;

    fn scan(text: &str) -> Result<(), Fault> {
        let mut scanner = Scanner::new(text.as_bytes());
        let start = scanner.space(0);
        let end = scanner.skip(start)?;
        scanner.end(end).map(drop)
    }

    fn assert_agrees(text: &str) {
        let ours = scan(text);
        let theirs = serde_json::from_str::<IgnoredAny>(text);
        assert_eq!(ours.is_ok(), theirs.is_ok(), "{text:?}: {ours:?}, serde_json: {theirs:?}");
    }

    #[test]
    fn agrees_with_serde_json_on_edges() {
        let edges: Vec<String> = serde_json::from_str(include_str!("../../tests/data/decode/edges.json")).unwrap();
        assert!(edges.len() > 60);
        for text in &edges {
            assert_agrees(text);
        }
    }

    #[test]
    fn a_document_as_deep_as_serde_json_reads_and_no_deeper() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = |levels: usize| format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let (deepest, deeper) = (nested(MAX_DEPTH), nested(MAX_DEPTH + 1));
            assert_eq!(scan(&deepest), Ok(()));
            assert!(serde_json::from_str::<serde_json::Value>(&deepest).is_ok());
            assert_eq!(scan(&deeper), Err(Fault::Depth));
            assert!(serde_json::from_str::<serde_json::Value>(&deeper).is_err());
            assert_eq!(scan(&nested(1_000_000)), Err(Fault::Depth), "no stack is used up");
        }
    }

    #[test]
    fn finds_the_first_special_byte_wherever_it_stands() {
        for special in [b'"', b'\\', 0, 0x1f] {
            for at in 0..8 {
                for rest in [b' ', b'"', b'!', b'[', 0x1f, 0x7f, 0x80, 0xff] {
                    let mut word = [rest; 8];
                    word[..at].fill(b'a');
                    word[at] = special;
                    assert_eq!(special_bytes(u64::from_le_bytes(word)).trailing_zeros() as usize / 8, at, "{word:?}");
                }
            }
        }
        for plain in 0..=u8::MAX {
            let special = plain < 0x20 || plain == b'"' || plain == b'\\';
            assert_eq!(special_bytes(u64::from_le_bytes([plain; 8])) != 0, special, "{plain:#x}");
        }
    }

    #[test]
    fn notices_white_space_and_surrogates() {
        for (text, spaced, surrogates) in [
            (r#"{"a b":[1,"x y"]}"#, false, false),
            (r#"{"a": 1}"#, true, false),
            (r#"["\u4e2d\u0ddd"]"#, false, false),
            (r#"["\ud83d\ude00"]"#, false, true),
            (r#"{"\uDFFF":1}"#, false, true),
            (r#"["\uD7FF","\ue000"]"#, false, false),
        ] {
            let mut scanner = Scanner::new(text.as_bytes());
            scanner.skip(0).unwrap();
            assert_eq!((scanner.spaced, scanner.surrogates), (spaced, surrogates), "{text}");
        }
    }

    proptest! {
        #[test]
        fn accepts_json(text in json()) {
            prop_assert_eq!(scan(&text), Ok(()), "{}", text);
            assert_agrees(&text);
        }

        #[test]
        fn agrees_with_serde_json_on_damaged_text(text in damaged()) {
            if let Ok(text) = std::str::from_utf8(&text) {
                assert_agrees(text);
            }
        }

        #[test]
        fn never_panics(text in proptest::collection::vec(any::<u8>(), 0..64), start in 0_usize..64) {
            let mut scanner = Scanner::new(&text);
            let end = scanner.skip(start.min(text.len())).unwrap_or_else(|_| scanner.fault_at());
            prop_assert!(end <= text.len());
        }
    }
}
