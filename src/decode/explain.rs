//! What each step makes of one record, for a person who looks at it.

use super::reject::Stage;

/// A step that changes the bytes of a value, in the order in which they are taken. Steps that a route does not have are left
/// out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Without schema-registry framing.
    Unframed,
    /// Without base64, hexadecimal digits or the JSON string around it.
    Unwrapped,
    /// Decrypted.
    Decrypted,
    /// From another character set to UTF-8.
    Recoded,
    /// Plain or delimited text as a JSON document.
    Document,
}

/// One record's way through one route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// What each step made.
    pub steps: Vec<(Step, Vec<u8>)>,
    /// The byte at which what the last step made (or the value itself) stops making sense.
    pub fault: Option<usize>,
    /// The rows in their framing, nothing if the route leaves the record out, or why there is none.
    pub outcome: Result<Option<Vec<u8>>, (Stage, String)>,
}

/// Somebody who looks on while a value is read. Decoding in earnest has nobody: `()`.
pub(super) trait Watch {
    fn step(&mut self, step: Step, bytes: &[u8]);
    fn fault(&mut self, at: usize);
}

impl Watch for () {
    #[inline]
    fn step(&mut self, _: Step, _: &[u8]) {}
    #[inline]
    fn fault(&mut self, _: usize) {}
}

/// Keeps everything.
#[derive(Default)]
pub(super) struct Steps {
    taken: Vec<(Step, Vec<u8>)>,
    fault: Option<usize>,
}

impl Watch for Steps {
    fn step(&mut self, step: Step, bytes: &[u8]) {
        self.taken.push((step, bytes.to_vec()));
    }

    fn fault(&mut self, at: usize) {
        self.fault = Some(at);
    }
}

impl Steps {
    pub(super) fn explained(self, outcome: Result<Option<Vec<u8>>, (Stage, String)>) -> Explained {
        Explained { steps: self.taken, fault: self.fault, outcome }
    }
}
