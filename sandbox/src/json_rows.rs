//! Cuts a JSON body into rows while it arrives. Only the row being read is ever held.
//!
//! The reader tracks strings and nesting and nothing else; whether a row is valid JSON is for whoever parses the row.

use memchr::{memchr, memchr2};

/// Longest row, bytes.
pub(crate) const ROW_MAX_BYTES: usize = 100 << 20;

/// How rows lie in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// One array, its elements are rows (`strip_outer_array: true`).
    Array,
    /// Values behind each other, with or without white space between them.
    Documents,
    /// One value per line (Doris `read_json_by_line: true`).
    Lines,
    /// An array if the body begins with a bracket, else documents (StarRocks with `json_root`).
    Any,
}

/// A body that isn't framed as announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FramingError {
    /// Array framing, but the body starts with something else.
    NotAnArray,
    /// Document framing, but a document is an array.
    IsAnArray,
    /// A byte where none of its kind may stand.
    Unexpected(u8),
    /// The body ended inside a row or before the closing bracket.
    Truncated,
    /// A row beyond [`ROW_MAX_BYTES`].
    RowTooLong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the opening bracket of an array.
    Start,
    /// Before a row; in an array the closing bracket may come instead if `may_close`.
    BeforeRow { may_close: bool },
    /// Inside a row.
    InRow,
    /// In an array, behind a row.
    BehindRow,
    /// Behind the closing bracket.
    End,
}

/// Reads one body.
#[derive(Debug)]
pub(crate) struct RowReader {
    framing: Framing,
    place: Place,
    depth: usize,
    is_string: bool,
    is_escaped: bool,
    /// The beginning of the current row, if earlier chunks held it.
    held: Vec<u8>,
}

impl RowReader {
    /// A reader at the beginning of a body.
    #[must_use]
    pub(crate) fn new(framing: Framing) -> Self {
        let place = match framing {
            Framing::Array | Framing::Any => Place::Start,
            Framing::Documents | Framing::Lines => Place::BeforeRow { may_close: false },
        };
        Self { framing, place, depth: 0, is_string: false, is_escaped: false, held: Vec::new() }
    }

    /// Reads a piece of the body and hands out the rows that end in it.
    ///
    /// # Errors
    /// When the body isn't framed as announced; rows before that place have been handed out.
    pub(crate) fn push(&mut self, chunk: &[u8], on_row: &mut impl FnMut(&[u8])) -> Result<(), FramingError> {
        if self.framing == Framing::Lines { self.push_lines(chunk, on_row) } else { self.push_values(chunk, on_row) }
    }

    /// Ends the body.
    ///
    /// # Errors
    /// When it ends too early.
    pub(crate) fn finish(mut self, on_row: &mut impl FnMut(&[u8])) -> Result<(), FramingError> {
        match (self.framing, self.place) {
            (Framing::Lines, _) => {
                let row = std::mem::take(&mut self.held);
                emit_line(&row, on_row);
                Ok(())
            }
            (Framing::Array, Place::End) | (Framing::Documents, Place::BeforeRow { .. }) => Ok(()),
            (Framing::Any, Place::Start) => Ok(()),
            (Framing::Array | Framing::Documents | Framing::Any, _) => Err(FramingError::Truncated),
        }
    }

    fn push_lines(&mut self, mut chunk: &[u8], on_row: &mut impl FnMut(&[u8])) -> Result<(), FramingError> {
        while let Some(end) = memchr(b'\n', chunk) {
            if self.held.is_empty() {
                emit_line(&chunk[..end], on_row);
            } else {
                self.hold(&chunk[..end])?;
                emit_line(&self.held, on_row);
                self.held.clear();
            }
            chunk = &chunk[end + 1..];
        }
        self.hold(chunk)
    }

    fn push_values(&mut self, chunk: &[u8], on_row: &mut impl FnMut(&[u8])) -> Result<(), FramingError> {
        let mut at = 0;
        let mut row_start = 0;
        while at < chunk.len() {
            if self.place == Place::InRow {
                let Some(end) = self.row_end(chunk, at) else { break };
                if self.held.is_empty() {
                    on_row(&chunk[row_start..end]);
                } else {
                    self.hold(&chunk[row_start..end])?;
                    on_row(&self.held);
                    self.held.clear();
                }
                let is_array = self.framing == Framing::Array;
                self.place = if is_array { Place::BehindRow } else { Place::BeforeRow { may_close: false } };
                at = end;
                continue;
            }
            let byte = chunk[at];
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                self.between_rows(byte)?;
                row_start = at;
            }
            at += 1;
        }
        if self.place == Place::InRow {
            self.hold(&chunk[row_start..])?;
        }
        Ok(())
    }

    /// A byte outside of rows that isn't white space.
    fn between_rows(&mut self, byte: u8) -> Result<(), FramingError> {
        if self.framing == Framing::Any {
            self.framing = if byte == b'[' { Framing::Array } else { Framing::Documents };
            self.place = RowReader::new(self.framing).place;
        }
        self.place = match (self.place, byte, self.framing) {
            (Place::Start, b'[', _) => Place::BeforeRow { may_close: true },
            (Place::Start, ..) => return Err(FramingError::NotAnArray),
            (Place::BeforeRow { may_close: true }, b']', _) | (Place::BehindRow, b']', _) => Place::End,
            (Place::BehindRow, b',', _) => Place::BeforeRow { may_close: false },
            (Place::BeforeRow { .. }, b'[', Framing::Documents) => return Err(FramingError::IsAnArray),
            (Place::BeforeRow { .. }, b'{' | b'[', _) => {
                self.depth = 1;
                Place::InRow
            }
            (_, other, _) => return Err(FramingError::Unexpected(other)),
        };
        Ok(())
    }

    /// Position behind the current row's last byte, if it is in the chunk.
    fn row_end(&mut self, chunk: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        while at < chunk.len() {
            if self.is_escaped {
                self.is_escaped = false;
                at += 1;
            } else if self.is_string {
                let found = at + memchr2(b'"', b'\\', &chunk[at..])?;
                self.is_escaped = chunk[found] == b'\\';
                self.is_string = self.is_escaped;
                at = found + 1;
            } else {
                match chunk[at] {
                    b'"' => self.is_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => {
                        self.depth -= 1;
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    _ => {}
                }
                at += 1;
            }
        }
        None
    }

    fn hold(&mut self, bytes: &[u8]) -> Result<(), FramingError> {
        if self.held.len() + bytes.len() > ROW_MAX_BYTES {
            return Err(FramingError::RowTooLong);
        }
        self.held.extend_from_slice(bytes);
        Ok(())
    }
}

fn emit_line(line: &[u8], on_row: &mut impl FnMut(&[u8])) {
    let row = line.trim_ascii();
    if !row.is_empty() {
        on_row(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Framing, body, its rows, how it ends.
    type Case<'a> = (Framing, String, Vec<&'a str>, Result<(), FramingError>);

    fn rows(framing: Framing, body: &[u8], step: usize) -> (Vec<String>, Result<(), FramingError>) {
        let mut rows = Vec::new();
        let mut on_row = |row: &[u8]| rows.push(String::from_utf8(row.to_vec()).unwrap());
        let mut reader = RowReader::new(framing);
        let read = body.chunks(step).try_for_each(|chunk| reader.push(chunk, &mut on_row));
        let end = read.and_then(|()| reader.finish(&mut on_row));
        (rows, end)
    }

    #[test]
    fn rows_are_the_same_however_the_body_is_cut() {
        use FramingError::{IsAnArray, NotAnArray, Truncated, Unexpected};
        let tricky = r#"{"a":"]},{\"","b":[{"c":"\\"}]}"#;
        let cases: [Case<'_>; 17] = [
            (Framing::Array, format!(" [{tricky} ,\n{{}}] "), vec![tricky, "{}"], Ok(())),
            (Framing::Array, "[]".into(), vec![], Ok(())),
            (Framing::Array, "[{}".into(), vec!["{}"], Err(Truncated)),
            (Framing::Array, "[{},]".into(), vec!["{}"], Err(Unexpected(b']'))),
            (Framing::Array, "[{} {}]".into(), vec!["{}"], Err(Unexpected(b'{'))),
            (Framing::Array, "[{}] x".into(), vec!["{}"], Err(Unexpected(b'x'))),
            (Framing::Array, "{}".into(), vec![], Err(NotAnArray)),
            (Framing::Array, String::new(), vec![], Err(Truncated)),
            (Framing::Documents, format!("{tricky}{{}}\n {{\"x\":1}}"), vec![tricky, "{}", r#"{"x":1}"#], Ok(())),
            (Framing::Documents, "[{}]".into(), vec![], Err(IsAnArray)),
            (Framing::Documents, "{}{\"a\":".into(), vec!["{}"], Err(Truncated)),
            (Framing::Documents, "{},{}".into(), vec!["{}"], Err(Unexpected(b','))),
            (Framing::Documents, String::new(), vec![], Ok(())),
            (Framing::Any, " [{}] ".into(), vec!["{}"], Ok(())),
            (Framing::Any, "{} {}".into(), vec!["{}", "{}"], Ok(())),
            (Framing::Any, " ".into(), vec![], Ok(())),
            (Framing::Lines, format!("{tricky}\n\n {{}}\r\nnot json"), vec![tricky, "{}", "not json"], Ok(())),
        ];
        for (framing, body, want, end) in cases {
            for step in [1, 2, 3, 7, 1000] {
                let (got, got_end) = rows(framing, body.as_bytes(), step);
                assert_eq!((&got, got_end), (&want.iter().map(|s| (*s).to_owned()).collect(), end), "{body} by {step}");
            }
        }
    }

    #[test]
    fn a_row_without_end_is_given_up() {
        let mut reader = RowReader::new(Framing::Documents);
        reader.push(b"{\"a\":\"", &mut |_| {}).unwrap();
        let chunk = vec![b'x'; 1 << 20];
        let refused = (0..101).find_map(|_| reader.push(&chunk, &mut |_| {}).err());
        assert_eq!(refused, Some(FramingError::RowTooLong));
    }
}
