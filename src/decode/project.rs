//! Where the wanted places of a document stand in its text: one validating pass, guided by the trie.

use super::scan::{Fault, Key, Scanner};
use super::trie::{Names, Node, Place, Trie};

/// Half-open range of bytes in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    /// The place is not in the document.
    const MISSING: Self = Self { start: u32::MAX, end: 0 };

    /// The bytes of the span; `None` if the place is not in the document.
    #[inline]
    pub(super) fn of(self, text: &[u8]) -> Option<&[u8]> {
        text.get(self.start as usize..self.end as usize)
    }
}

/// Finds the span of each place of the trie in the JSON text, which is validated to its end.
///
/// Of equal keys in one object the first counts, as it does in both engines.
pub(super) fn project(
    scanner: &mut Scanner<'_>,
    start: usize,
    trie: &Trie,
    spans: &mut Vec<Span>,
) -> Result<(), Fault> {
    spans.clear();
    spans.resize(trie.len(), Span::MISSING);
    let start = scanner.space(start);
    let end = Projector { trie, spans }.value(scanner, start, Trie::ROOT)?;
    scanner.end(end).map(drop)
}

struct Projector<'p> {
    trie: &'p Trie,
    spans: &'p mut [Span],
}

impl Projector<'_> {
    fn value(&mut self, scanner: &mut Scanner<'_>, start: usize, place: Place) -> Result<usize, Fault> {
        let node = self.trie.node(place);
        // Set before the value is passed: from here on the place is taken, a second key of that name is not looked at.
        self.spans[place as usize].start = start as u32;
        let end = match scanner.byte(start) {
            b'{' if !node.names.is_empty() => {
                scanner.object(start, |scanner, pos, key| self.member(scanner, pos, &node.names, key))
            }
            b'[' if node.has_indexes() => self.array(scanner, start, node),
            _ => scanner.skip(start),
        }?;
        self.spans[place as usize].end = end as u32;
        Ok(end)
    }

    #[inline]
    fn member(&mut self, scanner: &mut Scanner<'_>, pos: usize, names: &Names, key: Key<'_>) -> Result<usize, Fault> {
        let found = if key.escaped {
            // A key with half a surrogate pair is no text, hence equal to no name.
            serde_json::from_slice::<String>(key.literal).ok().and_then(|name| names.get(name.as_bytes()))
        } else {
            names.get(key.raw())
        };
        match found {
            Some(child) if self.spans[child as usize] == Span::MISSING => self.value(scanner, pos, child),
            Some(_) | None => scanner.skip(pos),
        }
    }

    fn array(&mut self, scanner: &mut Scanner<'_>, start: usize, node: &Node) -> Result<usize, Fault> {
        let mut len = None;
        if node.counts_from_end() {
            len = Some(scanner.array(start, |scanner, pos, _| scanner.skip(pos))?.1 as i64);
        }
        let passed = scanner.array(start, |scanner, pos, at| {
            let from_start = node.index(at as i64);
            let from_end = len.and_then(|len| node.index(at as i64 - len));
            match (from_start, from_end) {
                (Some(one), Some(other)) => {
                    self.value(scanner, pos, one)?;
                    self.value(scanner, pos, other)
                }
                (Some(child), None) | (None, Some(child)) => self.value(scanner, pos, child),
                (None, None) => scanner.skip(pos),
            }
        });
        passed.map(|(end, _)| end)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use proptest::prelude::*;
    use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
    use serde_json::value::RawValue;

    use super::super::path::{Step, singular};
    use super::super::testing::{damaged, json, steps};
    use super::*;

    /// Members of an object as serde_json sees them, equal keys and all.
    struct Members<'a>(Vec<(String, &'a RawValue)>);

    impl<'de> Deserialize<'de> for Members<'de> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Collect;
            impl<'de> Visitor<'de> for Collect {
                type Value = Members<'de>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Collect)
        }
    }

    /// The same by serde_json, step by step.
    fn reference<'a>(text: &'a str, steps: &[Step]) -> Option<&'a str> {
        let Some((step, rest)) = steps.split_first() else {
            return Some(text);
        };
        let found = match step {
            Step::Name(name) => {
                let Members(members) = serde_json::from_str(text).ok()?;
                members.into_iter().find(|(key, _)| key == name)?.1
            }
            Step::Index(index) => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
                let at = if *index < 0 { elements.len() as i64 + index } else { *index };
                elements.get(usize::try_from(at).ok()?).copied()?
            }
        };
        reference(found.get(), rest)
    }

    fn find<'a>(text: &'a str, paths: &[Vec<Step>]) -> Result<Vec<Option<&'a str>>, Fault> {
        let mut trie = Trie::new();
        let places: Vec<Place> = paths.iter().map(|path| trie.insert(path)).collect();
        let mut spans = vec![Span { start: 1, end: 2 }];
        project(&mut Scanner::new(text.as_bytes()), 0, &trie, &mut spans)?;
        let found = places.iter().map(|place| spans[*place as usize].of(text.as_bytes()));
        Ok(found.map(|bytes| bytes.map(|bytes| std::str::from_utf8(bytes).unwrap())).collect())
    }

    #[test]
    fn finds_same_and_nested_and_overlapping_places() {
        let text = r#"{"a":{"b":[1,[2,3]],"b":0}, "a":{"c":1}, "\u0063":"x"}"#;
        for (path, found) in [
            ("$.a", Some(r#"{"b":[1,[2,3]],"b":0}"#)),
            ("$.a.b", Some("[1,[2,3]]")),
            ("$.a.b[0]", Some("1")),
            ("$.a.b[1]", Some("[2,3]")),
            ("$.a.b[-1]", Some("[2,3]")),
            ("$.a.b[-1][-2]", Some("2")),
            ("$.a.b[1][1]", Some("3")),
            ("$.a.b[2]", None),
            ("$.a.b[-3]", None),
            ("$.a.c", None),
            ("$.a[0]", None),
            ("$.c", Some("\"x\"")),
            ("$.c.d", None),
            ("$", Some(text)),
        ] {
            let alone = find(text, &[singular(path).unwrap()]).unwrap();
            assert_eq!(alone, [found], "{path}");
        }
        let all = ["$.a.b[-1][-2]", "$.a.b[1][1]", "$.a.b", "$.a.b[1]", "$.a", "$.c", "$.a.b"];
        let together = find(text, &all.map(|path| singular(path).unwrap())).unwrap();
        let expected = ["2", "3", "[1,[2,3]]", "[2,3]", r#"{"b":[1,[2,3]],"b":0}"#, "\"x\"", "[1,[2,3]]"];
        assert_eq!(together, expected.map(Some));
    }

    #[test]
    fn a_broken_tail_is_seen() {
        let path = singular("$.a").unwrap();
        assert_eq!(find(r#"{"a":1,"b":tru}"#, std::slice::from_ref(&path)), Err(Fault::Value));
        assert_eq!(find(r#"{"a":1} x"#, &[path]), Err(Fault::Trailing));
    }

    proptest! {
        #[test]
        fn finds_what_serde_json_finds(text in json(), paths in prop::collection::vec(steps(), 1..6)) {
            let found = find(&text, &paths).unwrap();
            for (path, found) in paths.iter().zip(found) {
                prop_assert_eq!(found, reference(text.trim_ascii(), path), "{:?} in {}", path, text);
            }
        }

        #[test]
        fn damage_is_seen_whatever_is_looked_for(text in damaged(), paths in prop::collection::vec(steps(), 1..6)) {
            if let Ok(text) = std::str::from_utf8(&text) {
                let valid = serde_json::from_str::<&RawValue>(text.trim_ascii()).is_ok();
                prop_assert_eq!(find(text, &paths).is_ok(), valid);
            }
        }
    }
}
