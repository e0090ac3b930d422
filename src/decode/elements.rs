//! One record to several rows: the elements of an array, each a document of its own.

use serde_json_path::JsonPath;

use super::document::{Document, Paths, Wanted, kind_of};
use super::expr::Mistake;
use super::path::singular;
use super::project::Span;
use super::reject::{Failure, Stage};
use super::scan::Scanner;
use super::trie::Place;

/// The array whose elements become rows, and what is wanted of each.
pub(super) struct Elements {
    /// The path as it was written, for reasons.
    path: String,
    array: Place,
    pub(super) paths: Paths,
}

/// The path of the array in `$.items[*]`.
fn array_path(rows: &str) -> Option<&str> {
    let path = rows.strip_suffix("[*]")?;
    JsonPath::parse(path).ok()?;
    singular(path).filter(|steps| !steps.is_empty())?;
    Some(path)
}

/// Checks `rows` of the configuration.
///
/// # Errors
/// That it names no array's elements.
pub(crate) fn check_rows(rows: &str) -> Result<(), Mistake> {
    match array_path(rows) {
        Some(_) => Ok(()),
        None => Err(Mistake {
            at: 0,
            what: "rows are the elements of one array of the record".to_owned(),
            hint: "the path of the array and [*]: rows = \"$.items[*]\", or \"$.order.items[*]\"".to_owned(),
        }),
    }
}

impl Elements {
    /// Makes every document carry the array.
    ///
    /// # Errors
    /// When `rows` is no path that [`check_rows`] takes.
    pub(super) fn new(rows: &str, paths: &mut Paths) -> Result<Self, String> {
        let array = match array_path(rows).map(|path| paths.want(path)) {
            Some(Ok(Wanted::Place(array))) => array,
            _ => return Err(format!("rows: {rows} names no array's elements")),
        };
        Ok(Self { path: rows.to_owned(), array, paths: Paths::default() })
    }

    /// The JSON texts of the elements, in order; none where nothing or null stands in the array's place.
    ///
    /// # Errors
    /// When something else than an array stands there.
    pub(super) fn of<'d>(&self, document: &'d Document<'_>) -> Result<Vec<&'d [u8]>, Failure> {
        let failed = |reason: String| Failure::new(Stage::Map, format!("rows, path {}: {reason}", self.path));
        let json = match document.at(self.array) {
            None | Some([b'n', ..]) => return Ok(Vec::new()),
            Some(json @ [b'[', ..]) => json,
            Some(other) => return Err(failed(format!("{} stands there, not an array", kind_of(other)))),
        };
        let mut elements = Vec::new();
        let mut scanner = Scanner::new(json);
        let passed = scanner.array(0, |scanner, pos, _| {
            let end = scanner.skip(pos)?;
            elements.push(&json[pos..end]);
            Ok(end)
        });
        passed.map_err(|fault| failed(fault.to_string()))?;
        Ok(elements)
    }

    /// An element as a document.
    ///
    /// # Errors
    /// When it is no JSON text, which no element is.
    pub(super) fn document<'a>(&'a self, json: &'a [u8], spans: &'a mut Vec<Span>) -> Result<Document<'a>, Failure> {
        self.paths.find(json, spans).map_err(|fault| Failure::new(Stage::Map, fault.to_string()))
    }
}
