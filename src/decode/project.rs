//! Where the wanted places of a document stand in its text: one validating pass, guided by the trie.

use super::scan::{Fault, Key, Scanner};
use super::trie::{Place, Trie};

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
pub(super) fn project(scanner: &mut Scanner<'_>, trie: &Trie, spans: &mut Vec<Span>) -> Result<(), Fault> {
    spans.clear();
    spans.resize(trie.len(), Span::MISSING);
    scanner.space();
    Projector { trie, spans }.value(scanner, Trie::ROOT)?;
    scanner.end()
}

struct Projector<'p> {
    trie: &'p Trie,
    spans: &'p mut [Span],
}

impl Projector<'_> {
    fn value(&mut self, scanner: &mut Scanner<'_>, place: Place) -> Result<(), Fault> {
        let start = scanner.pos() as u32;
        let node = self.trie.node(place);
        // Set before the value is passed: from here on the place is taken, a second key of that name is not looked at.
        self.spans[place as usize].start = start;
        match scanner.byte() {
            b'{' if !node.names.is_empty() => scanner.object(|scanner, key| self.member(scanner, place, key)),
            b'[' if !node.indexes.is_empty() => self.array(scanner, place),
            _ => scanner.skip(),
        }?;
        self.spans[place as usize].end = scanner.pos() as u32;
        Ok(())
    }

    #[inline]
    fn member(&mut self, scanner: &mut Scanner<'_>, place: Place, key: Key<'_>) -> Result<(), Fault> {
        let names = &self.trie.node(place).names;
        let found = if key.escaped {
            // A key with half a surrogate pair is no text, hence equal to no name.
            serde_json::from_slice::<String>(key.literal).ok().and_then(|name| names.get(name.as_bytes()))
        } else {
            names.get(key.raw())
        };
        match found {
            Some(child) if self.spans[child as usize] == Span::MISSING => self.value(scanner, child),
            _ => scanner.skip(),
        }
    }

    fn array(&mut self, scanner: &mut Scanner<'_>, place: Place) -> Result<(), Fault> {
        let node = self.trie.node(place);
        let start = scanner.pos();
        let mut len = None;
        if node.counts_from_end() {
            len = Some(scanner.array(|scanner, _| scanner.skip())? as i64);
            scanner.rewind(start);
        }
        let wanted = |at: i64, index: i64| index == at || (index < 0 && len.is_some_and(|len| len + index == at));
        scanner.array(|scanner, at| {
            let start = scanner.pos();
            let mut passed = false;
            for &(index, child) in &node.indexes {
                if wanted(at as i64, index) {
                    scanner.rewind(start);
                    self.value(scanner, child)?;
                    passed = true;
                }
            }
            if passed { Ok(()) } else { scanner.skip() }
        })?;
        Ok(())
    }
}
