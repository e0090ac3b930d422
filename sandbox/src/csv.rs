//! CSV bodies: cut into lines while they arrive, lines split into fields.
//!
//! After StarRocks' `be/src/formats/csv/csv_reader.cpp` and Doris' `be/…/format/csv/csv_reader.cpp`. Only the line being
//! read is held.

use std::borrow::Cow;

use memchr::memmem;

use crate::json_rows::{FramingError, ROW_MAX_BYTES};

/// Longest separator or delimiter, bytes.
const DELIMITER_MAX_BYTES: usize = 50;

/// How a CSV body is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CsvForm {
    /// Between fields.
    pub(crate) column_separator: Vec<u8>,
    /// Behind lines.
    pub(crate) line_delimiter: Vec<u8>,
    /// Around fields that hold separators.
    pub(crate) enclose: Option<u8>,
    /// Before an enclosing byte that is text.
    pub(crate) escape: Option<u8>,
    /// StarRocks `trim_space`.
    pub(crate) trims_space: bool,
    /// Doris `trim_double_quotes`.
    pub(crate) trims_quotes: bool,
    /// Lines at the beginning that are none.
    pub(crate) skip_lines: u64,
    /// Doris `empty_field_as_null`.
    pub(crate) empty_is_null: bool,
    /// Doris takes a carriage return before the delimiter, and a byte order mark, for no text.
    pub(crate) is_lenient: bool,
}

/// Reads a separator: StarRocks takes hexadecimal digits behind `\x` or `0x` and else the text as it is
/// (`Delimiter.convertDelimiter`); Doris knows Java's escapes, too (`Separator.convertSeparator`).
///
/// # Errors
/// The engine's text.
pub(crate) fn delimiter(text: &str, unescapes: bool) -> Result<Vec<u8>, String> {
    let hex = ["\\x", "\\X", "0x", "0X"].iter().find_map(|prefix| text.strip_prefix(prefix));
    let bytes = match hex {
        Some("") => return Err(format!("Invalid delimiter '{text}: empty hex string")),
        Some(hex) if hex.len() % 2 != 0 => {
            return Err(format!("Invalid delimiter '{text}: hex length must be a even number"));
        }
        Some(hex) => {
            let pairs = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
            let bytes = pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect::<Option<Vec<_>>>();
            bytes.ok_or_else(|| format!("Invalid delimiter '{text}': invalid hex format"))?
        }
        None if unescapes => {
            let text = text.replace("\\t", "\t").replace("\\n", "\n").replace("\\r", "\r");
            text.replace("\\\\", "\\").into_bytes()
        }
        None => text.as_bytes().to_vec(),
    };
    match bytes.len() {
        0 => Err("Delimiter cannot be empty or null".to_owned()),
        1..=DELIMITER_MAX_BYTES => Ok(bytes),
        _ => Err(format!("the delimiter's length exceeds the limit of {DELIMITER_MAX_BYTES} bytes")),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    FieldStart,
    Plain,
    Enclosed,
}

/// Cuts one body into lines.
#[derive(Debug)]
pub(crate) struct CsvReader {
    form: CsvForm,
    /// The beginning of the current line.
    held: Vec<u8>,
    /// How much of it has been looked at.
    seen: usize,
    place: Place,
    skips: u64,
    is_first: bool,
}

impl CsvReader {
    /// A reader at the beginning of a body.
    #[must_use]
    pub(crate) fn new(form: CsvForm) -> Self {
        let skips = form.skip_lines;
        Self { form, held: Vec::new(), seen: 0, place: Place::FieldStart, skips, is_first: true }
    }

    /// Reads a piece of the body and hands out the lines that end in it.
    ///
    /// # Errors
    /// When a line is too long.
    pub(crate) fn push(&mut self, chunk: &[u8], on_row: &mut impl FnMut(&[u8])) -> Result<(), FramingError> {
        self.held.extend_from_slice(chunk);
        let mut start = 0;
        while let Some(end) = self.line_end(false) {
            self.emit(start, end, on_row);
            start = end + self.form.line_delimiter.len();
            (self.seen, self.place) = (start, Place::FieldStart);
        }
        self.held.drain(..start);
        self.seen -= start;
        if self.held.len() > ROW_MAX_BYTES { Err(FramingError::RowTooLong) } else { Ok(()) }
    }

    /// Ends the body; a last line may lack its delimiter.
    pub(crate) fn finish(mut self, on_row: &mut impl FnMut(&[u8])) {
        let end = self.line_end(true).unwrap_or(self.held.len());
        self.emit(0, end, on_row);
    }

    fn emit(&mut self, start: usize, end: usize, on_row: &mut impl FnMut(&[u8])) {
        let mut line = &self.held[start..end];
        if std::mem::take(&mut self.is_first) && self.form.is_lenient && self.skips == 0 {
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        if self.skips > 0 {
            self.skips -= 1;
            return;
        }
        if self.form.is_lenient && self.form.line_delimiter == b"\n" {
            line = line.strip_suffix(b"\r").unwrap_or(line);
        }
        if !line.is_empty() {
            on_row(line);
        }
    }

    /// Where the current line ends, if that is known; looks on from where it stopped before.
    fn line_end(&mut self, is_last: bool) -> Option<usize> {
        let form = &self.form;
        if form.enclose.is_none() && form.escape.is_none() {
            let found = memmem::find(&self.held[self.seen..], &form.line_delimiter).map(|at| self.seen + at);
            let kept = form.line_delimiter.len() - 1;
            self.seen = self.held.len().saturating_sub(kept).max(self.seen);
            return found;
        }
        // Enough to tell a delimiter, a separator or a doubled byte apart.
        let ahead = form.line_delimiter.len().max(form.column_separator.len()).max(2);
        while self.seen < self.held.len() && (is_last || self.held.len() - self.seen >= ahead) {
            let rest = &self.held[self.seen..];
            if self.place != Place::Enclosed && rest.starts_with(&form.line_delimiter) {
                return Some(self.seen);
            }
            let (step, place) = form.step(rest, self.place);
            (self.seen, self.place) = (self.seen + step, place);
        }
        None
    }
}

impl CsvForm {
    /// How many bytes belong together at the beginning of `rest`, and where they lead.
    fn step(&self, rest: &[u8], place: Place) -> (usize, Place) {
        let is_escape = self.escape == Some(rest[0]);
        let is_enclose = self.enclose == Some(rest[0]);
        match place {
            Place::Enclosed if is_escape && rest.len() > 1 => (2, place),
            Place::Enclosed if is_enclose && rest.get(1) == Some(&rest[0]) => (2, place),
            Place::Enclosed if is_enclose => (1, Place::Plain),
            Place::Enclosed => (1, place),
            Place::FieldStart | Place::Plain if rest.starts_with(&self.column_separator) => {
                (self.column_separator.len(), Place::FieldStart)
            }
            Place::FieldStart if is_enclose => (1, Place::Enclosed),
            Place::FieldStart if self.trims_space && rest[0] == b' ' => (1, place),
            Place::FieldStart | Place::Plain if is_escape && rest.len() > 1 => (2, Place::Plain),
            Place::FieldStart | Place::Plain => (1, Place::Plain),
        }
    }

    /// The fields of a line. `\N` is NULL, enclosed or not.
    #[must_use]
    pub(crate) fn split<'a>(&self, line: &'a [u8]) -> Vec<Option<Cow<'a, [u8]>>> {
        let mut fields = Vec::new();
        let mut start = 0;
        let (mut at, mut place) = (0, Place::FieldStart);
        while at < line.len() {
            let (step, next) = self.step(&line[at..], place);
            if next == Place::FieldStart && line[at..].starts_with(&self.column_separator) {
                fields.push(self.field(&line[start..at]));
                start = at + step;
            }
            (at, place) = (at + step, next);
        }
        fields.push(self.field(&line[start..]));
        fields
    }

    fn field<'a>(&self, raw: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let mut raw = raw;
        if self.trims_space {
            raw = raw.trim_ascii();
        }
        let mut field = Cow::Borrowed(raw);
        if let Some(enclose) = self.enclose
            && let Some(inner) = raw.strip_prefix(&[enclose]).and_then(|rest| rest.strip_suffix(&[enclose]))
        {
            field = self.unescape(inner);
        } else if !self.is_lenient && self.escape.is_some() {
            field = self.unescape(raw);
        }
        if self.trims_quotes
            && let Some(inner) = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""))
        {
            field = Cow::Borrowed(inner);
        }
        let is_null = field.as_ref() == b"\\N" || (self.empty_is_null && field.is_empty());
        (!is_null).then_some(field)
    }

    fn unescape<'a>(&self, text: &'a [u8]) -> Cow<'a, [u8]> {
        let is_special = |byte: &u8| Some(*byte) == self.escape || Some(*byte) == self.enclose;
        if !text.iter().any(is_special) {
            return Cow::Borrowed(text);
        }
        let mut out = Vec::with_capacity(text.len());
        let mut at = 0;
        while at < text.len() {
            let is_doubled = Some(text[at]) == self.enclose && text.get(at + 1) == Some(&text[at]);
            let is_escape = Some(text[at]) == self.escape && at + 1 < text.len();
            at += usize::from(is_doubled || is_escape);
            out.push(text[at]);
            at += 1;
        }
        Cow::Owned(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(separator: &str, delimiter: &str, enclose: Option<u8>, escape: Option<u8>) -> CsvForm {
        CsvForm {
            column_separator: separator.into(),
            line_delimiter: delimiter.into(),
            enclose,
            escape,
            trims_space: false,
            trims_quotes: false,
            skip_lines: 0,
            empty_is_null: false,
            is_lenient: false,
        }
    }

    fn rows(form: &CsvForm, body: &str, step: usize) -> Vec<String> {
        let mut rows = Vec::new();
        let mut on_row = |line: &[u8]| {
            let fields = form.split(line).into_iter().map(|field| match field {
                Some(field) => String::from_utf8(field.into_owned()).unwrap(),
                None => "NULL".to_owned(),
            });
            rows.push(fields.collect::<Vec<_>>().join("~"));
        };
        let mut reader = CsvReader::new(form.clone());
        body.as_bytes().chunks(step).for_each(|chunk| reader.push(chunk, &mut on_row).unwrap());
        reader.finish(&mut on_row);
        rows
    }

    #[test]
    fn rows_are_the_same_however_the_body_is_cut() {
        let quote = Some(b'"');
        let plain = form(",", "\n", None, None);
        let enclosed = form(",", "\n", quote, None);
        let escaped = form(",", "\n", quote, Some(b'\\'));
        let long = form("||", "\r\n;", None, None);
        let long_enclosed = form("||", "@@", quote, None);
        let spaced = CsvForm { trims_space: true, ..form(",", "\n", quote, None) };
        let doris = CsvForm { is_lenient: true, skip_lines: 1, empty_is_null: true, ..plain.clone() };
        let marked = CsvForm { is_lenient: true, ..plain.clone() };
        let cases: [(&CsvForm, &str, &[&str]); 12] = [
            (&plain, "1,a\n\n2,\\N\n3,", &["1~a", "2~NULL", "3~"]),
            (&plain, "1,\"a,b\"\r\n", &["1~\"a~b\"\r"]),
            (&enclosed, "1,\"a,\nb\"\n2,\"x\"\"y\"\n", &["1~a,\nb", "2~x\"y"]),
            (&enclosed, "\"\",b\n\"\\N\",c", &["~b", "NULL~c"]),
            (&escaped, "1,\"a\\\"b\\\\\"\n2,a\\,b\n", &["1~a\"b\\", "2~a,b"]),
            (&long, "1||a|b\r\n;2||c\r\n", &["1~a|b", "2~c\r\n"]),
            (&long_enclosed, "1||\"a||b@@\"@@2||@c@@", &["1~a||b@@", "2~@c"]),
            (&spaced, " 1 , \" a \" \n", &["1~ a "]),
            (&doris, "id,name\r\n1,\r\n", &["1~NULL"]),
            (&marked, "\u{feff}1,a\r\n2,b", &["1~a", "2~b"]),
            (&plain, "", &[]),
            (&plain, "\n\n", &[]),
        ];
        for (form, body, want) in cases {
            for step in [1, 2, 3, 1000] {
                assert_eq!(rows(form, body, step), want, "{body:?} by {step}");
            }
        }
    }

    #[test]
    fn delimiters() {
        assert_eq!(delimiter("\\x01", false), Ok(vec![1]));
        assert_eq!(delimiter("0x0D0A", false), Ok(b"\r\n".to_vec()));
        assert_eq!(delimiter("||", false), Ok(b"||".to_vec()));
        assert_eq!(delimiter("\\t", true), Ok(b"\t".to_vec()));
        assert_eq!(delimiter("\\t", false), Ok(b"\\t".to_vec()), "StarRocks takes it for two characters");
        for (text, want) in [
            ("", "Delimiter cannot be empty or null"),
            ("\\x", "empty hex string"),
            ("\\x1", "even number"),
            ("\\xzz", "invalid hex format"),
            (&"x".repeat(51), "exceeds the limit"),
        ] {
            assert!(delimiter(text, false).unwrap_err().contains(want), "{text}");
        }
    }
}
