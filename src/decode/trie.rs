//! All singular paths of a group of routes in one tree of steps, so that one pass over a text finds them all.

use super::path::Step;

/// Number of a node in its trie. Each node is a place in the document, so it is also the number of its span.
pub(super) type Place = u32;

/// Paths that share their common beginnings.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
}

/// One place, with the steps that lead on from it.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Steps by name.
    pub(super) names: Names,
    /// Steps by index, in ascending order.
    indexes: Vec<(i64, Place)>,
}

impl Node {
    /// True if an element of an array is wanted.
    #[inline]
    pub(super) fn has_indexes(&self) -> bool {
        !self.indexes.is_empty()
    }

    /// True if an index is counted from the end, so that the array's length has to be known first.
    pub(super) fn counts_from_end(&self) -> bool {
        self.indexes.first().is_some_and(|(index, _)| *index < 0)
    }

    /// The place of exactly this index.
    pub(super) fn index(&self, index: i64) -> Option<Place> {
        let at = self.indexes.binary_search_by_key(&index, |(index, _)| *index).ok()?;
        self.indexes.get(at).map(|(_, place)| *place)
    }

    fn insert_index(&mut self, index: i64, place: Place) -> Place {
        match self.indexes.binary_search_by_key(&index, |(index, _)| *index) {
            Ok(at) => self.indexes[at].1,
            Err(at) => {
                self.indexes.insert(at, (index, place));
                place
            }
        }
    }
}

impl Trie {
    /// The whole document.
    pub(super) const ROOT: Place = 0;

    /// A trie that holds the empty path only.
    pub(super) fn new() -> Self {
        Self { nodes: vec![Node::default()] }
    }

    /// Number of places.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The node of a place.
    #[inline]
    pub(super) fn node(&self, place: Place) -> &Node {
        &self.nodes[place as usize]
    }

    /// Adds a path; the same path gives the same place.
    pub(super) fn insert(&mut self, steps: &[Step]) -> Place {
        let mut place = Self::ROOT;
        for step in steps {
            let next = self.nodes.len() as Place;
            let node = &mut self.nodes[place as usize];
            place = match step {
                Step::Name(name) => node.names.insert(name.as_bytes(), next),
                Step::Index(index) => node.insert_index(*index, next),
            };
            if place == next {
                self.nodes.push(Node::default());
            }
        }
        place
    }
}

/// Names to places: an open-addressing table made for short keys, most of which are not in it.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// At least twice as many cells as names, a power of two: (hash, 1 + index in `known`), 0 = free.
    cells: Vec<(u32, u32)>,
    known: Vec<(Box<[u8]>, Place)>,
}

impl Names {
    /// True if no name is known.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The place of a name.
    #[inline]
    pub(super) fn get(&self, name: &[u8]) -> Option<Place> {
        if self.cells.is_empty() {
            return None;
        }
        let mask = self.cells.len() - 1;
        let wanted = hash(name);
        let mut at = wanted as usize & mask;
        loop {
            let (found, index) = self.cells[at];
            let (known, place) = self.known.get(index.checked_sub(1)? as usize)?;
            if found == wanted && **known == *name {
                return Some(*place);
            }
            at = (at + 1) & mask;
        }
    }

    fn insert(&mut self, name: &[u8], place: Place) -> Place {
        if let Some(known) = self.get(name) {
            return known;
        }
        self.known.push((name.into(), place));
        if self.known.len() * 2 > self.cells.len() {
            self.cells = vec![(0, 0); (self.known.len() * 4).next_power_of_two()];
            for index in 0..self.known.len() {
                self.occupy(index);
            }
        } else {
            self.occupy(self.known.len() - 1);
        }
        place
    }

    fn occupy(&mut self, index: usize) {
        let hash = hash(&self.known[index].0);
        let mask = self.cells.len() - 1;
        let mut at = hash as usize & mask;
        while self.cells[at].1 != 0 {
            at = (at + 1) & mask;
        }
        self.cells[at] = (hash, index as u32 + 1);
    }
}

/// Mixes length, beginning and end of a name: enough to tell the keys of a record apart.
#[inline]
fn hash(name: &[u8]) -> u32 {
    let (head, tail) = match (name.first_chunk::<8>(), name.last_chunk::<8>()) {
        (Some(head), Some(tail)) => (u64::from_le_bytes(*head), u64::from_le_bytes(*tail)),
        _ => match (name.first_chunk::<4>(), name.last_chunk::<4>()) {
            (Some(head), Some(tail)) => (u64::from(u32::from_le_bytes(*head)), u64::from(u32::from_le_bytes(*tail))),
            _ => name.iter().fold((0, 0), |(head, tail), byte| (head << 8 | u64::from(*byte), tail)),
        },
    };
    let mixed = (head ^ name.len() as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)
        ^ tail.rotate_left(32).wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    (mixed >> 32) as u32 ^ mixed as u32
}

#[cfg(test)]
mod tests {
    use super::super::path::singular;
    use super::*;

    fn insert(trie: &mut Trie, path: &str) -> Place {
        trie.insert(&singular(path).unwrap())
    }

    #[test]
    fn equal_paths_share_a_place() {
        let mut trie = Trie::new();
        let place = insert(&mut trie, "$.a.b");
        assert_eq!(insert(&mut trie, "$['a'].b"), place);
        assert_ne!(insert(&mut trie, "$.a"), place);
        assert_ne!(insert(&mut trie, "$.a[0]"), insert(&mut trie, "$.a[-1]"));
        assert_eq!(insert(&mut trie, "$.a[0]"), insert(&mut trie, "$.a[0]"));
        assert_eq!(insert(&mut trie, "$"), Trie::ROOT);
        assert_eq!(trie.len(), 5);
    }

    #[test]
    fn finds_each_of_many_names_and_no_other() {
        let mut names = Names::default();
        assert_eq!(names.get(b"a"), None);
        let all: Vec<String> = (0..300).map(|n| format!("{}_{n}", "c".repeat(n % 20))).collect();
        for (place, name) in all.iter().enumerate() {
            assert_eq!(names.insert(name.as_bytes(), place as Place), place as Place);
        }
        for (place, name) in all.iter().enumerate() {
            assert_eq!(names.get(name.as_bytes()), Some(place as Place));
            assert_eq!(names.get(format!("{name}x").as_bytes()), None);
        }
        assert_eq!(names.get(b""), None);
    }
}
