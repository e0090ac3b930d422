//! Values of expressions: what JSON knows, borrowed from the document where nothing was changed.

use std::borrow::Cow;

use memchr::memchr;

use super::super::text::{compact, lone_surrogate, quote, quote_json};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// Null, or nothing at all.
    Null,
    Bool(bool),
    /// Digits as they were written.
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    /// An object or array: valid JSON text, perhaps with white space.
    Json(Cow<'a, [u8]>),
}

/// What a value is, as far as it is known before there is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Number,
    Text,
    Any,
}

const NO_TEXT: &str = "an escaped half of a surrogate pair, which is no text";

impl<'a> Value<'a> {
    /// The value of valid JSON text.
    ///
    /// # Errors
    /// When a string of it is no text.
    pub(super) fn of_json(json: &'a [u8]) -> Result<Self, String> {
        let plain = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| NO_TEXT.to_owned());
        Ok(match json.first() {
            None | Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') if memchr(b'\\', json).is_none() => {
                Self::Text(Cow::Borrowed(plain(json.get(1..json.len() - 1).unwrap_or_default())?))
            }
            Some(b'"') => Self::Text(Cow::Owned(serde_json::from_slice(json).map_err(|_| NO_TEXT.to_owned())?)),
            Some(b'{' | b'[') if lone_surrogate(json).is_some() => return Err(NO_TEXT.to_owned()),
            Some(b'{' | b'[') => Self::Json(Cow::Borrowed(json)),
            Some(_) => Self::Number(Cow::Borrowed(plain(json)?)),
        })
    }

    /// The value, if it is not null.
    pub(super) fn known(self) -> Option<Self> {
        (self != Self::Null).then_some(self)
    }

    pub(super) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(digits) => Value::Number(Cow::Owned(digits.into_owned())),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Json(json) => Value::Json(Cow::Owned(json.into_owned())),
        }
    }

    /// The value with no owner but this one.
    pub(super) fn lend(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(digits) => Value::Number(Cow::Borrowed(digits)),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Json(json) => Value::Json(Cow::Borrowed(json)),
        }
    }

    /// For reasons: what it is, and nothing of its content.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Json(json) if json.first() == Some(&b'[') => "an array",
            Self::Json(_) => "an object",
        }
    }

    /// The characters of a text, the digits of a number, `true` or `false`.
    ///
    /// # Errors
    /// For null, which no caller hands in, and for objects and arrays.
    pub(super) fn into_text(self) -> Result<Cow<'a, str>, String> {
        match self {
            Self::Text(text) | Self::Number(text) => Ok(text),
            Self::Bool(true) => Ok(Cow::Borrowed("true")),
            Self::Bool(false) => Ok(Cow::Borrowed("false")),
            Self::Null | Self::Json(_) => {
                Err(format!("the argument is {}, which is no text (to_json makes one of it)", self.name()))
            }
        }
    }

    /// Appends the value as JSON text without white space between its tokens.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(true) => out.extend_from_slice(b"true"),
            Self::Bool(false) => out.extend_from_slice(b"false"),
            Self::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            Self::Text(text) => quote(text, out),
            Self::Json(json) => compact(json, out),
        }
    }

    /// As [`Value::write`], and whatever is not null as a JSON string.
    pub(super) fn write_as_text(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null | Self::Text(_) => self.write(out),
            Self::Json(json) => quote_json(json, out),
            Self::Bool(_) | Self::Number(_) => {
                out.push(b'"');
                self.write(out);
                out.push(b'"');
            }
        }
    }
}
