//! The words of an expression, each with its place.

use super::Mistake;
use super::number::number_end;

/// A word and where it begins, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token<'t> {
    pub(super) at: usize,
    pub(super) word: Word<'t>,
}

/// What a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Word<'t> {
    /// A function or one of `and or not in like matches is null true false`.
    Name(&'t str),
    /// A text without its quotes.
    Text(String),
    /// A number's digits.
    Number(&'t str),
    /// A JSONPath with its `$`; with `$$` it begins at the whole record.
    Path(&'t str),
    /// Something of the record, without its `@`.
    Meta(&'t str),
    Open,
    Close,
    Comma,
    Compare(Compare),
    End,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decode) enum Compare {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

const COMPARISONS: [(&str, Compare); 8] = [
    ("<=", Compare::LessOrEqual),
    (">=", Compare::GreaterOrEqual),
    ("!=", Compare::Unequal),
    ("<>", Compare::Unequal),
    ("==", Compare::Equal),
    ("=", Compare::Equal),
    ("<", Compare::Less),
    (">", Compare::Greater),
];

/// Divides an expression into its words; the last one is [`Word::End`].
pub(super) fn words(text: &str) -> Result<Vec<Token<'_>>, Mistake> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text.get(at..).and_then(|rest| rest.chars().next()) {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (end, word) = word(text, at, first)?;
        tokens.push(Token { at, word });
        at = end;
    }
    tokens.push(Token { at: text.len(), word: Word::End });
    Ok(tokens)
}

/// The word at `at`, and where it ends.
fn word(text: &str, at: usize, first: char) -> Result<(usize, Word<'_>), Mistake> {
    let rest = &text[at..];
    let name_end = |from: usize| {
        let length = text[from..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        length.map_or(text.len(), |length| from + length)
    };
    match first {
        '(' => Ok((at + 1, Word::Open)),
        ')' => Ok((at + 1, Word::Close)),
        ',' => Ok((at + 1, Word::Comma)),
        '\'' | '"' => quoted(text, at, first),
        '$' => path_end(text, at).map(|end| (end, Word::Path(&text[at..end]))),
        '@' => {
            let end = name_end(at + 1);
            Ok((end, Word::Meta(&text[at + 1..end])))
        }
        c if c.is_ascii_alphabetic() || c == '_' => {
            let end = name_end(at);
            Ok((end, Word::Name(&text[at..end])))
        }
        c if c.is_ascii_digit() || c == '-' => match number_end(rest) {
            Some(length) => Ok((at + length, Word::Number(&rest[..length]))),
            None => Err(Mistake::new(
                at,
                "a `-` stands for nothing here",
                "there is no arithmetic; a name with a hyphen: $['a-b']; a number: -1.50",
            )),
        },
        c => match COMPARISONS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            Some((sign, compare)) => Ok((at + sign.len(), Word::Compare(*compare))),
            None => Err(Mistake::new(at, format!("{c:?} stands for nothing here"), super::GRAMMAR)),
        },
    }
}

/// A text in quotes; the quote itself is written twice.
fn quoted(text: &str, at: usize, quote: char) -> Result<(usize, Word<'_>), Mistake> {
    let mut content = String::new();
    let mut pos = at + 1;
    loop {
        let Some(length) = text[pos..].find(quote) else {
            return Err(Mistake::new(at, "this text has no end", format!("close it with {quote}")));
        };
        content.push_str(&text[pos..pos + length]);
        pos += length + 1;
        if !text[pos..].starts_with(quote) {
            return Ok((pos, Word::Text(content)));
        }
        content.push(quote);
        pos += 1;
    }
}

/// Where the path ends that begins at `at`: behind its last name or bracket.
fn path_end(text: &str, at: usize) -> Result<usize, Mistake> {
    let bytes = text.as_bytes();
    let byte = |pos: usize| bytes.get(pos).copied();
    let mut pos = at + 1 + usize::from(byte(at + 1) == Some(b'$'));
    loop {
        match byte(pos) {
            Some(b'.') => {
                pos += 1 + usize::from(byte(pos + 1) == Some(b'.'));
                if byte(pos) == Some(b'*') {
                    pos += 1;
                }
                while byte(pos).is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_' || !b.is_ascii()) {
                    pos += 1;
                }
            }
            Some(b'[') => pos = bracket_end(bytes, pos)?,
            _ => return Ok(pos),
        }
    }
}

/// Behind the bracket that closes the one at `open`. Brackets in a name's quotes don't count.
fn bracket_end(bytes: &[u8], open: usize) -> Result<usize, Mistake> {
    let (mut depth, mut quote, mut pos) = (0_usize, None, open);
    while let Some(&byte) = bytes.get(pos) {
        match (quote, byte) {
            (Some(_), b'\\') => pos += 1,
            (Some(open), byte) if byte == open => quote = None,
            (Some(_), _) => {}
            (None, b'\'' | b'"') => quote = Some(byte),
            (None, b'[') => depth += 1,
            (None, b']') => {
                depth -= 1;
                if depth == 0 {
                    return Ok(pos + 1);
                }
            }
            (None, _) => {}
        }
        pos += 1;
    }
    Err(Mistake::new(open, "this bracket is not closed", "a name: $['a b']; an element: $.list[0]"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Word<'_>> {
        words(text).unwrap().into_iter().map(|token| token.word).collect()
    }

    #[test]
    fn paths_end_where_they_end() {
        for (text, path) in [
            ("$.a, 1", "$.a"),
            ("$.a.b_1[0]['x]\\'y'][?@.a == \"]\"]>=1", "$.a.b_1[0]['x]\\'y'][?@.a == \"]\"]"),
            ("$$.id)", "$$.id"),
            ("$..a.*", "$..a.*"),
            ("$.姓名 = 1", "$.姓名"),
            ("$", "$"),
        ] {
            assert_eq!(all(text)[0], Word::Path(path), "{text}");
        }
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(all("'it''s' \"a\"\"b\" ''")[..3], ["it's", "a\"b", ""].map(|text| Word::Text(text.to_owned())));
    }

    #[test]
    fn places_are_in_bytes() {
        let places: Vec<_> = words("trim( '中' )<=-1.5").unwrap().iter().map(|token| token.at).collect();
        assert_eq!(places, [0, 4, 6, 12, 13, 15, 19]);
    }
}
