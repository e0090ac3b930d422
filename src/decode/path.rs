//! Singular JSONPaths (RFC 9535, section 2.3.5.1): those that name at most one place of a document.

use std::iter::Peekable;
use std::str::Chars;

/// One step of a singular path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Member of an object.
    Name(String),
    /// Element of an array, counted from its start or, if negative, from its end.
    Index(i64),
}

/// Reads a path that is known to be valid JSONPath; `None` if it is not a singular one.
pub(super) fn singular(path: &str) -> Option<Vec<Step>> {
    let mut chars = path.chars().peekable();
    if chars.next() != Some('$') {
        return None;
    }
    let mut steps = Vec::new();
    loop {
        blank(&mut chars);
        match chars.next() {
            None => return Some(steps),
            Some('.') => steps.push(Step::Name(shorthand(&mut chars)?)),
            Some('[') => {
                blank(&mut chars);
                steps.push(selector(&mut chars)?);
                blank(&mut chars);
                if chars.next() != Some(']') {
                    return None;
                }
            }
            Some(_) => return None,
        }
    }
}

fn blank(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| matches!(c, ' ' | '\t' | '\n' | '\r')).is_some() {}
}

/// `name` behind a dot; `None` for `*` and a second dot.
fn shorthand(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut name = String::new();
    while let Some(c) = chars.next_if(|&c| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()) {
        name.push(c);
    }
    let first = name.chars().next()?;
    (!first.is_ascii_digit()).then_some(name)
}

/// `'name'`, `"name"` or an index inside brackets; `None` for wildcards, slices and filters.
fn selector(chars: &mut Peekable<Chars<'_>>) -> Option<Step> {
    if let Some(quote) = chars.next_if(|&c| c == '\'' || c == '"') {
        return name(chars, quote).map(Step::Name);
    }
    let mut digits = String::new();
    while let Some(c) = chars.next_if(|&c| c.is_ascii_digit() || c == '-') {
        digits.push(c);
    }
    digits.parse().ok().map(Step::Index)
}

fn name(chars: &mut Peekable<Chars<'_>>, quote: char) -> Option<String> {
    let mut name = String::new();
    loop {
        match chars.next()? {
            c if c == quote => return Some(name),
            '\\' => name.push(escape(chars)?),
            c => name.push(c),
        }
    }
}

fn escape(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    match chars.next()? {
        'b' => Some('\u{8}'),
        'f' => Some('\u{c}'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        'u' => unicode(chars),
        c @ ('/' | '\\' | '\'' | '"') => Some(c),
        _ => None,
    }
}

/// The character of `XXXX`, or of `XXXX\uXXXX` for a surrogate pair.
fn unicode(chars: &mut Peekable<Chars<'_>>) -> Option<char> {
    let first = hex(chars)?;
    if !(0xD800..0xDC00).contains(&first) {
        return char::from_u32(u32::from(first));
    }
    if (chars.next()?, chars.next()?) != ('\\', 'u') {
        return None;
    }
    let second = hex(chars)?;
    char::decode_utf16([first, second]).next()?.ok()
}

fn hex(chars: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        unit = unit << 4 | chars.next()?.to_digit(16)? as u16;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json_path::JsonPath;

    fn n(name: &str) -> Step {
        Step::Name(name.into())
    }

    #[test]
    fn reads_singular_paths() {
        let i = Step::Index;
        for (path, steps) in [
            ("$", vec![]),
            ("$.a", vec![n("a")]),
            ("$.a_1.B2", vec![n("a_1"), n("B2")]),
            ("$.姓名", vec![n("姓名")]),
            ("$['a b'][\"c.d\"]", vec![n("a b"), n("c.d")]),
            ("$['']", vec![n("")]),
            ("$['it\\'s']", vec![n("it's")]),
            ("$[\"q\\\"\"]", vec![n("q\"")]),
            ("$['\\u4e2d\\uD83D\\uDE00\\n\\/']", vec![n("中😀\n/")]),
            ("$[0][-1]", vec![i(0), i(-1)]),
            ("$ .a [ 'b' ] [ 3 ]", vec![n("a"), n("b"), i(3)]),
        ] {
            assert!(JsonPath::parse(path).is_ok(), "{path} is JSONPath");
            assert_eq!(singular(path), Some(steps), "{path}");
        }
    }

    #[test]
    fn leaves_the_others_alone() {
        for path in ["$.*", "$..a", "$[*]", "$[0,1]", "$[0:2]", "$[:1]", "$['a','b']", "$[?@.a>1]", "$.a[?@.b=='c']"] {
            assert!(JsonPath::parse(path).is_ok(), "{path} is JSONPath");
            assert_eq!(singular(path), None, "{path}");
        }
    }
}
