//! Validating scanner of JSON text (RFC 8259): one pass, no tree, no allocation.
//!
//! It accepts exactly what `serde_json` accepts as valid JSON up to [`MAX_DEPTH`]; the test below compares the two.
//! UTF-8 is the caller's to check. What a caller wants to see of an object or array it says with a closure per member.

use std::fmt;

/// Deepest nesting of arrays and objects. The same as `serde_json`'s own limit (it counts to 128 and refuses the
/// 128th level), so that no document passes one of them and fails at the other.
pub(super) const MAX_DEPTH: usize = 127;

/// What is wrong at the scanner's position.
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

/// Place in a text, with what has been noticed on the way.
pub(super) struct Scanner<'a> {
    text: &'a [u8],
    pos: usize,
    depth: usize,
    /// White space was seen between tokens.
    pub(super) spaced: bool,
    /// A `\u` escape of half a surrogate pair was seen (paired or not).
    pub(super) surrogates: bool,
}

impl<'a> Scanner<'a> {
    /// A scanner that starts at byte `pos` of the text.
    pub(super) fn new(text: &'a [u8], pos: usize) -> Self {
        Self { text, pos, depth: 0, spaced: false, surrogates: false }
    }

    /// Byte offset in the text: of the next byte to look at, or of what a [`Fault`] is about.
    pub(super) fn pos(&self) -> usize {
        self.pos
    }

    /// Goes back to a place that was passed before at the same depth.
    pub(super) fn rewind(&mut self, pos: usize) {
        self.pos = pos;
    }

    /// The next byte; NUL, which JSON allows nowhere, stands for the end of the text.
    #[inline]
    pub(super) fn byte(&self) -> u8 {
        self.text.get(self.pos).copied().unwrap_or(0)
    }

    /// Skips white space between tokens.
    #[inline]
    pub(super) fn space(&mut self) {
        while self.byte() <= b' ' && matches!(self.byte(), b' ' | b'\n' | b'\r' | b'\t') {
            self.spaced = true;
            self.pos += 1;
        }
    }

    /// Only white space may be left.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.space();
        if self.pos == self.text.len() { Ok(()) } else { Err(Fault::Trailing) }
    }

    /// Passes a value that nobody wants to look into.
    pub(super) fn skip(&mut self) -> Result<(), Fault> {
        match self.byte() {
            b'"' => self.string().map(drop),
            b'{' => self.object(|scanner, _| scanner.skip()),
            b'[' => self.array(|scanner, _| scanner.skip()).map(drop),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => Err(Fault::Value),
        }
    }

    /// Passes an object. `member` is called with the scanner at the member's value and has to pass it.
    #[inline]
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Key<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.open()?;
        if self.byte() != b'}' {
            loop {
                let key = self.key()?;
                member(self, key)?;
                self.space();
                match self.byte() {
                    b',' => self.pos += 1,
                    b'}' => break,
                    _ => return Err(Fault::CommaOrBrace),
                }
                self.space();
            }
        }
        self.close();
        Ok(())
    }

    /// Passes an array and counts its elements. `element` is called with the index and has to pass the element.
    #[inline]
    pub(super) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self, usize) -> Result<(), Fault>,
    ) -> Result<usize, Fault> {
        self.open()?;
        let mut count = 0;
        if self.byte() != b']' {
            loop {
                element(self, count)?;
                count += 1;
                self.space();
                match self.byte() {
                    b',' => self.pos += 1,
                    b']' => break,
                    _ => return Err(Fault::CommaOrBracket),
                }
                self.space();
            }
        }
        self.close();
        Ok(count)
    }

    #[inline]
    fn open(&mut self) -> Result<(), Fault> {
        if self.depth == MAX_DEPTH {
            return Err(Fault::Depth);
        }
        self.depth += 1;
        self.pos += 1;
        self.space();
        Ok(())
    }

    #[inline]
    fn close(&mut self) {
        self.depth -= 1;
        self.pos += 1;
    }

    /// Passes a key, its colon and the white space around.
    #[inline]
    fn key(&mut self) -> Result<Key<'a>, Fault> {
        if self.byte() != b'"' {
            return Err(Fault::Key);
        }
        let start = self.pos;
        let escaped = self.string()?;
        let key = Key { literal: &self.text[start..self.pos], escaped };
        self.space();
        if self.byte() != b':' {
            return Err(Fault::Colon);
        }
        self.pos += 1;
        self.space();
        Ok(key)
    }

    /// Passes a string from its opening quote on; true if it holds an escape sequence.
    #[inline]
    pub(super) fn string(&mut self) -> Result<bool, Fault> {
        self.pos += 1;
        let mut escaped = false;
        loop {
            self.plain();
            match self.byte() {
                b'"' => {
                    self.pos += 1;
                    return Ok(escaped);
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(Fault::Control),
            }
        }
    }

    /// Moves to the next byte of a string that is a quote, a backslash or a control character (or to the end of the
    /// text), eight bytes at a time.
    #[inline]
    fn plain(&mut self) {
        while let Some(eight) = self.text.get(self.pos..).and_then(<[u8]>::first_chunk::<8>) {
            let special = special_bytes(u64::from_le_bytes(*eight));
            if special != 0 {
                self.pos += special.trailing_zeros() as usize / 8;
                return;
            }
            self.pos += 8;
        }
        while !matches!(self.byte(), b'"' | b'\\' | 0..0x20) {
            self.pos += 1;
        }
    }

    fn escape(&mut self) -> Result<(), Fault> {
        let rest = &self.text[self.pos..];
        match rest {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.pos += 2,
            [_, b'u', hex @ ..] if hex.len() >= 4 && hex[..4].iter().all(u8::is_ascii_hexdigit) => {
                // D800 to DFFF. Of the hexadecimal digits only 0 to 7 come before '8' in ASCII.
                self.surrogates |= hex[0].eq_ignore_ascii_case(&b'd') && hex[1] >= b'8';
                self.pos += 6;
            }
            _ => return Err(Fault::Escape),
        }
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Result<(), Fault> {
        if self.byte() == b'-' {
            self.pos += 1;
        }
        // No digit may follow a leading zero; the caller, who expects a comma or an end, sees to that.
        if self.byte() == b'0' {
            self.pos += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == b'.' {
            self.pos += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.pos += 1;
            if matches!(self.byte(), b'+' | b'-') {
                self.pos += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    #[inline]
    fn digits(&mut self) -> Result<(), Fault> {
        if !self.byte().is_ascii_digit() {
            return Err(Fault::Number);
        }
        while self.byte().is_ascii_digit() {
            self.pos += 1;
        }
        Ok(())
    }

    #[inline]
    fn literal(&mut self, literal: &[u8]) -> Result<(), Fault> {
        if !self.text[self.pos..].starts_with(literal) {
            return Err(Fault::Value);
        }
        self.pos += literal.len();
        Ok(())
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
        let mut scanner = Scanner::new(text.as_bytes(), 0);
        scanner.space();
        scanner.skip()?;
        scanner.end()
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
            let mut scanner = Scanner::new(text.as_bytes(), 0);
            scanner.skip().unwrap();
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
            let mut scanner = Scanner::new(&text, start.min(text.len()));
            let _ = scanner.skip();
            prop_assert!(scanner.pos() <= text.len());
        }
    }
}
