//! What functions do with texts.

use std::borrow::Cow;

use super::super::document::MAX_TEXT;
use super::super::scan::Scanner;
use super::super::text::lone_surrogate;

type Text<'a> = Cow<'a, str>;

/// Without white space at both ends.
pub(super) fn trim(text: Text<'_>) -> Text<'_> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Characters from the one numbered `start` on, the first being 1; from the end if negative. Nothing is 0, as in both
/// engines.
pub(super) fn substring(text: &str, start: i64, length: Option<i64>) -> String {
    let from_end = || (text.chars().count() as i64).saturating_add(start);
    let skip = match start {
        0 => return String::new(),
        1.. => start - 1,
        _ => from_end(),
    };
    let (Ok(skip), Ok(take)) = (usize::try_from(skip), usize::try_from(length.unwrap_or(i64::MAX))) else {
        return String::new();
    };
    text.chars().skip(skip).take(take).collect()
}

/// One text behind the other.
pub(super) fn concat(texts: &[Text<'_>]) -> Result<String, String> {
    let length = texts.iter().map(|text| text.len()).sum();
    within(length)?;
    Ok(texts.concat())
}

/// With `to` for each `from`; an empty `from` stands nowhere.
pub(super) fn replace(text: &str, from: &str, to: &str) -> Result<String, String> {
    if from.is_empty() {
        return Ok(text.to_owned());
    }
    let count = text.matches(from).count();
    within((text.len() - count * from.len()).saturating_add(count.saturating_mul(to.len())))?;
    Ok(text.replace(from, to))
}

fn within(length: usize) -> Result<(), String> {
    if length > MAX_TEXT { Err(format!("the result is longer than {MAX_TEXT} bytes")) } else { Ok(()) }
}

/// Only the first and last characters are kept; a text that would be kept whole is hidden whole.
pub(super) fn mask(text: &str, first: usize, last: usize) -> String {
    let length = text.chars().count();
    let is_hidden = |at: usize| first.saturating_add(last) >= length || (first..length - last).contains(&at);
    text.chars().enumerate().map(|(at, character)| if is_hidden(at) { '*' } else { character }).collect()
}

/// Checks that a text is JSON.
pub(super) fn check_json(text: &str) -> Result<&[u8], String> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']).as_bytes();
    let mut scanner = Scanner::new(text);
    if let Err(fault) = scanner.skip(0).and_then(|end| scanner.end(end)) {
        return Err(format!("not JSON at byte {} of {}: {fault}", scanner.fault_at(), text.len()));
    }
    if lone_surrogate(text).is_some() {
        return Err("an escaped half of a surrogate pair, which is no text".to_owned());
    }
    Ok(text)
}

/// Bytes in hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
