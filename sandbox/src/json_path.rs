//! The JSON paths of headers `jsonpaths` and `json_root`: keys and indexes, `$.a.b[0]["c d"]`, or the whole row, `$`.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// A path from the row to one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonPath(Vec<Step>);

impl JsonPath {
    /// Reads a path; `None` if it is more than keys and indexes.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut rest = text.trim().strip_prefix('$')?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(tail) = rest.strip_prefix('.') {
                let end = tail.find(['.', '[']).unwrap_or(tail.len());
                let key = tail[..end].trim_matches('"');
                if key.is_empty() || key == "*" {
                    return None;
                }
                steps.push(Step::Key(key.to_owned()));
                rest = &tail[end..];
            } else {
                let (inner, tail) = rest.strip_prefix('[')?.split_once(']')?;
                let quoted = inner.strip_prefix(['"', '\'']).and_then(|s| s.strip_suffix(['"', '\'']));
                steps.push(match quoted {
                    Some(key) => Step::Key(key.to_owned()),
                    None => Step::Index(inner.parse().ok()?),
                });
                rest = tail;
            }
        }
        Some(Self(steps))
    }

    /// A path that finds nothing.
    #[must_use]
    pub(crate) fn none() -> Self {
        Self(vec![Step::Index(0)])
    }

    /// True for `$`, the row itself.
    #[must_use]
    pub(crate) fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The value at the path; `None` if the row has none, or for the row itself.
    #[must_use]
    pub(crate) fn find<'a>(&self, row: &Fields<'a>) -> Option<&'a RawValue> {
        let (Step::Key(first), rest) = self.0.split_first()? else { return None };
        let mut value = row.get(first)?;
        for step in rest {
            value = match step {
                Step::Key(key) => serde_json::from_str::<Fields<'a>>(value.get()).ok()?.get(key)?,
                Step::Index(index) => {
                    serde_json::from_str::<Vec<&'a RawValue>>(value.get()).ok()?.get(*index).copied()?
                }
            };
        }
        Some(value)
    }
}

/// The fields of one JSON object in their order, values as written.
#[derive(Debug, Default)]
pub(crate) struct Fields<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The value of a key; of duplicate keys the first.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, value)| *value)
    }
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::with_capacity(16);
                while let Some(key) = map.next_key::<Key<'de>>()? {
                    fields.push((key.0, map.next_value()?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_by_path() {
        let row: Fields<'_> = serde_json::from_str(
            r#"{"a":{"b":[10,{"c d":1.50}]},"x.y":2,"\u0061b":3,"a":"the first of two keys wins"}"#,
        )
        .unwrap();
        let cases = [
            ("$.a.b[0]", Some("10")),
            (r#"$.a.b[1]["c d"]"#, Some("1.50")),
            ("$['x.y']", Some("2")),
            ("$.ab", Some("3")),
            ("$.a.b[2]", None),
            ("$.a.c", None),
            ("$.x", None),
        ];
        for (path, want) in cases {
            assert_eq!(JsonPath::parse(path).unwrap().find(&row).map(RawValue::get), want, "{path}");
        }
    }

    #[test]
    fn paths_that_are_refused() {
        for path in ["", "a", "$..a", "$.a[*]", "$.*", "$.a[", "$a", "$.a[-1]"] {
            assert_eq!(JsonPath::parse(path), None, "{path}");
        }
    }
}
