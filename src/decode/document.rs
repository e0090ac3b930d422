//! From the bytes of a value to a validated document, for all routes that take the value in the same form.

use serde_json::Value;
use serde_json_path::JsonPath;

use super::charset;
use super::decrypt::Decryptor;
use super::delimited;
use super::explain::{Step, Watch};
use super::path::singular;
use super::project::{Span, project};
use super::query::{query, tree};
use super::reject::{Failure, Stage};
use super::scan::{Fault, Scanner};
use super::text::quote;
use super::trie::{Place, Trie};
use super::unwrap;
use crate::config::{Charset, Cipher, Encoding, Format, Framing, ValueForm};
use crate::record::Record;

/// Longest plain text, bytes: rows made of it stay below the 100 MB that StarRocks takes as one JSON body.
pub(super) const MAX_TEXT: usize = 64 << 20;

/// UTF-8's byte order mark. RFC 8259 forbids to send it and allows to ignore it: it is ignored.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// How values of one form become documents, and what is wanted of them.
pub(super) struct Reader {
    form: ValueForm,
    decryptor: Option<Decryptor>,
    /// What is wanted of every document.
    pub(super) paths: Paths,
}

/// Paths whose values a document is asked for.
pub(super) struct Paths {
    trie: Trie,
    queries: Vec<JsonPath>,
}

impl Default for Paths {
    fn default() -> Self {
        Self { trie: Trie::new(), queries: Vec::new() }
    }
}

/// Where a path's value will be found in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// At this place of the text.
    Place(Place),
    /// By this query of the tree.
    Query(usize),
}

/// A validated document with its wanted places.
pub(super) struct Document<'a> {
    text: &'a [u8],
    spans: &'a [Span],
    /// Where the text begins behind a byte order mark.
    start: usize,
    queries: &'a [JsonPath],
    /// Built if there is a query; `None` then means that a string of the document is no text (half a surrogate pair).
    tree: Option<Value>,
    /// White space stands between tokens.
    pub(super) spaced: bool,
    /// Escaped surrogates occur, paired or not.
    pub(super) surrogates: bool,
}

/// Memory that is used again for each record.
#[derive(Default)]
pub(super) struct Scratch {
    /// Bytes without wrapping and encryption.
    plain: Vec<u8>,
    /// Text made of bytes of another character set.
    recoded: String,
    /// Document made of a text that is no JSON.
    made: Vec<u8>,
    spans: Vec<Span>,
}

impl Reader {
    /// A reader for values of this form; `None` if the key's length is none of AES.
    pub(super) fn new(form: &ValueForm) -> Option<Self> {
        let decryptor = match &form.decrypt {
            Some(decrypt) => Some(Decryptor::new(decrypt)?),
            None => None,
        };
        Some(Self { form: form.clone(), decryptor, paths: Paths::default() })
    }

    /// True if values of `form` are read by this reader.
    pub(super) fn reads(&self, form: &ValueForm) -> bool {
        self.form == *form
    }

    /// Reads a record's value: unwrap, decrypt, decode, parse.
    pub(super) fn read<'a>(&'a self, record: &Record<'a>, scratch: &'a mut Scratch) -> Result<Document<'a>, Failure> {
        self.read_watched(record, scratch, &mut ())
    }

    /// As [`Reader::read`], and shows what each step has made.
    pub(super) fn read_watched<'a>(
        &'a self,
        record: &Record<'a>,
        scratch: &'a mut Scratch,
        watch: &mut impl Watch,
    ) -> Result<Document<'a>, Failure> {
        let Scratch { plain, recoded, made, spans } = scratch;
        let bytes = self.plain(record, plain, watch)?;
        let failed = |reason| Failure::new(Stage::Parse, reason);
        if bytes.is_empty() && self.form.format == Format::Json {
            return Err(failed("the plain text is empty".into()));
        }
        if bytes.len() > MAX_TEXT {
            return Err(failed(format!("the plain text has {} bytes, the limit is {MAX_TEXT}", bytes.len())));
        }
        let text = self.text(bytes, recoded, watch).map_err(failed)?;
        let document = self.document(text, made).map_err(failed)?;
        if self.form.format != Format::Json {
            watch.step(Step::Document, document);
        }
        self.parse(document, spans, watch).map_err(failed)
    }

    fn plain<'a>(
        &self,
        record: &Record<'a>,
        plain: &'a mut Vec<u8>,
        watch: &mut impl Watch,
    ) -> Result<&'a [u8], Failure> {
        let unwrapped = |reason| Failure::new(Stage::Unwrap, reason);
        let missing = || Failure::new(Stage::Parse, "the record has no value (a tombstone)");
        let mut value = record.value.ok_or_else(missing)?;
        if self.form.framing == Framing::SchemaRegistry {
            value = unwrap::schema_registry(value).map_err(unwrapped)?;
            watch.step(Step::Unframed, value);
        }
        if value.is_empty() && self.form.format == Format::Json {
            return Err(unwrapped("the value is empty".into()));
        }
        plain.clear();
        match (self.form.encoding, &self.decryptor) {
            (Encoding::Raw, None) => return Ok(value),
            (Encoding::Raw, Some(_)) => plain.extend_from_slice(value),
            (Encoding::Base64, _) => unwrap::base64(value, plain).map_err(unwrapped)?,
            (Encoding::Hex, _) => unwrap::hex(value, plain).map_err(unwrapped)?,
            (Encoding::JsonString, _) => unwrap::json_string(value, plain).map_err(unwrapped)?,
        }
        if self.form.encoding != Encoding::Raw {
            watch.step(Step::Unwrapped, plain);
        }
        match &self.decryptor {
            None => Ok(plain),
            Some(decryptor) => match decryptor.decrypt(record.headers, plain) {
                Ok(range) => {
                    watch.step(Step::Decrypted, &plain[range.clone()]);
                    Ok(&plain[range])
                }
                Err(reason) => Err(Failure::new(Stage::Decrypt, reason)),
            },
        }
    }

    /// The characters that the plain bytes stand for.
    fn text<'a>(&self, bytes: &'a [u8], recoded: &'a mut String, watch: &mut impl Watch) -> Result<&'a str, String> {
        let len = bytes.len();
        match self.form.charset {
            Charset::Utf8 => std::str::from_utf8(bytes).map_err(|error| {
                watch.fault(error.valid_up_to());
                format!("not UTF-8 at byte {} of {len}{}", error.valid_up_to(), self.hint())
            }),
            charset @ (Charset::Latin1 | Charset::Other(_)) => {
                recoded.clear();
                charset::utf8(charset, bytes, recoded).map_err(|at| {
                    watch.fault(at);
                    format!("not {} at byte {at} of {len}{}", charset.name(), self.hint())
                })?;
                watch.step(Step::Recoded, recoded.as_bytes());
                Ok(recoded)
            }
        }
    }

    /// The JSON text that stands for the plain one.
    fn document<'a>(&self, text: &'a str, made: &'a mut Vec<u8>) -> Result<&'a [u8], String> {
        made.clear();
        match &self.form.format {
            Format::Json => return Ok(text.as_bytes()),
            Format::Text => quote(text, made),
            Format::Delimited(form) => delimited::document(form, text, made)?,
        }
        if made.len() > MAX_TEXT {
            return Err(format!("with its escapes the text has {} bytes, the limit is {MAX_TEXT}", made.len()));
        }
        Ok(made)
    }

    /// `text` is UTF-8.
    fn parse<'a>(
        &'a self,
        text: &'a [u8],
        spans: &'a mut Vec<Span>,
        watch: &mut impl Watch,
    ) -> Result<Document<'a>, String> {
        let start = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let mut scanner = Scanner::new(text);
        if let Err(fault) = project(&mut scanner, start, &self.paths.trie, spans) {
            watch.fault(scanner.fault_at());
            return Err(self.not_json(fault, scanner.fault_at(), text.len()));
        }
        let root = spans.first().and_then(|root| root.of(text)).unwrap_or_default();
        if root.first() != Some(&b'{') && self.form.format == Format::Json {
            return Err(format!("the document is {}, not an object", kind_of(root)));
        }
        let tree = if self.paths.queries.is_empty() { None } else { tree(text, start) };
        let Scanner { spaced, surrogates, .. } = scanner;
        Ok(Document { text, spans, start, queries: &self.paths.queries, tree, spaced, surrogates })
    }

    fn not_json(&self, fault: Fault, at: usize, len: usize) -> String {
        if at == len {
            return format!("not JSON: the text ends too early, after {len} bytes");
        }
        let hint = if at == 0 { self.hint() } else { "" };
        format!("not JSON at byte {at} of {len}: {fault}{hint}")
    }

    /// Without an authentication tag a wrong key passes the check of the padding once in 256 times.
    fn hint(&self) -> &'static str {
        match self.form.decrypt.as_ref().map(|decrypt| decrypt.cipher) {
            Some(Cipher::AesEcb | Cipher::AesCbc) => " (a wrong key can look like this)",
            Some(Cipher::AesGcm) | None => "",
        }
    }
}

impl Paths {
    /// Makes every document carry the value of a path.
    ///
    /// # Errors
    /// When the path is not JSONPath (RFC 9535).
    pub(super) fn want(&mut self, path: &str) -> Result<Wanted, String> {
        let query = JsonPath::parse(path).map_err(|error| error.to_string())?;
        Ok(self.add(path, query))
    }

    /// As [`Paths::want`].
    ///
    /// # Errors
    /// The byte from which on the path makes no sense.
    pub(super) fn want_placed(&mut self, path: &str) -> Result<Wanted, usize> {
        let query = JsonPath::parse(path).map_err(|error| {
            // A place within a character is that character's.
            (0..=error.position().min(path.len())).rev().find(|at| path.is_char_boundary(*at)).unwrap_or(0)
        })?;
        Ok(self.add(path, query))
    }

    /// Finds the paths in JSON text.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(super) fn find<'a>(&'a self, text: &'a [u8], spans: &'a mut Vec<Span>) -> Result<Document<'a>, Fault> {
        let mut scanner = Scanner::new(text);
        project(&mut scanner, 0, &self.trie, spans)?;
        let tree = if self.queries.is_empty() { None } else { tree(text, 0) };
        let Scanner { spaced, surrogates, .. } = scanner;
        Ok(Document { text, spans, start: 0, queries: &self.queries, tree, spaced, surrogates })
    }

    fn add(&mut self, path: &str, query: JsonPath) -> Wanted {
        match singular(path) {
            Some(steps) => Wanted::Place(self.trie.insert(&steps)),
            None => {
                self.queries.push(query);
                Wanted::Query(self.queries.len() - 1)
            }
        }
    }
}

impl Document<'_> {
    /// JSON text at a place; `None` if the document has no such place.
    #[inline]
    pub(super) fn at(&self, place: Place) -> Option<&[u8]> {
        self.spans.get(place as usize).and_then(|span| span.of(self.text))
    }

    /// Matches of a query as the JSON text of an array, with white space where the document has some, and their number.
    ///
    /// # Errors
    /// When the document can't be looked at as a tree, or the matches (which may overlap) are longer than a document.
    pub(super) fn matches(&self, number: usize) -> Result<(Vec<u8>, usize), String> {
        let (Some(tree), Some(path)) = (&self.tree, self.queries.get(number)) else {
            return Err("the document has an escaped half of a surrogate pair, which is no text".into());
        };
        let spans = query(path, tree, self.text, self.start).map_err(|fault| fault.to_string())?;
        let mut json = vec![b'['];
        for (index, span) in spans.iter().enumerate() {
            if index > 0 {
                json.push(b',');
            }
            json.extend_from_slice(span.of(self.text).unwrap_or_default());
            if json.len() > MAX_TEXT {
                return Err(format!("the matches have more than {MAX_TEXT} bytes"));
            }
        }
        json.push(b']');
        Ok((json, spans.len()))
    }
}

/// Says of valid JSON text what it is.
pub(super) fn kind_of(json: &[u8]) -> &'static str {
    match json.first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}
