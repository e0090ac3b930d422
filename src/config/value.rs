//! The form of a route's values: how the bytes of a record become a document.

use std::fmt;

use super::decrypt::{self, Decrypt};
use super::reader::{Item, Section};

/// How the bytes of a record's value become a document; the steps in the order in which they are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ValueForm {
    /// What stands in front of everything else.
    pub framing: Framing,
    /// How the bytes are wrapped.
    pub encoding: Encoding,
    /// Decryption; `None` for plain values.
    pub decrypt: Option<Decrypt>,
    /// How the plain bytes stand for characters.
    pub charset: Charset,
    /// What the plain text is.
    pub format: Format,
}

/// What stands in front of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    #[default]
    None,
    /// A zero byte and the four bytes of a schema's id, as serialisers with a schema registry write them; passed over.
    SchemaRegistry,
}

/// Wrapping of a value, taken off before decryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Base64 text, bare or inside a JSON string literal (found by its first byte). The default of encrypted values.
    Base64,
    /// Hexadecimal digits, bare or inside a JSON string literal.
    Hex,
    /// A JSON string literal whose content is the value: what a producer sends that serialises a text once more.
    JsonString,
    /// The bytes as they are. The default of plain values.
    #[default]
    Raw,
}

/// A character set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8.
    #[default]
    Utf8,
    /// ISO 8859-1: each byte is the character of that number.
    Latin1,
    /// Another one of the WHATWG Encoding Standard.
    Other(&'static encoding_rs::Encoding),
}

impl Charset {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Latin1 => "latin1",
            Self::Other(encoding) => encoding.name(),
        }
    }
}

impl fmt::Debug for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a plain text is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// A JSON document.
    #[default]
    Json,
    /// Any text: the document is one string, found at `$`.
    Text,
    /// Fields joined by a delimiter: the document is an object of strings by the fields' names.
    Delimited(Delimited),
}

/// Delimited text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delimited {
    /// Names of the fields, in order.
    pub fields: Vec<String>,
    /// What stands between two fields; not empty.
    pub delimiter: String,
    /// The text that means NULL, where it stands alone in a field; `None`: no text does.
    pub null: Option<String>,
    /// The character around fields that may hold delimiters; doubled inside of them.
    pub quote: Option<char>,
}

impl Format {
    /// Its name, as in the file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Text => "text",
            Self::Delimited(_) => "delimited",
        }
    }
}

impl Encoding {
    /// Its name, as in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Base64 => "base64",
            Self::Hex => "hex",
            Self::JsonString => "json-string",
            Self::Raw => "raw",
        }
    }
}

/// Reads the keys of a route that say what its values look like. `names` are the columns, if they are a list of names
/// without paths: then they are the fields of delimited text, too.
pub(super) fn read(route: &mut Section<'_>, names: Option<Vec<String>>) -> Option<ValueForm> {
    let framing = route.take("framing").map_or(Some(Framing::None), |item| framing(&item));
    let encoding = route.take("encoding").map(|item| encoding(&item));
    let decrypt = route.take("decrypt").map_or(Some(None), |item| {
        let section = item.section("a table: { cipher = \"aes-ecb\", key = { env = \"NAME\" } }");
        section.and_then(decrypt::read).map(|decrypt| Some((decrypt, item)))
    });
    let charset = route.take("charset").map_or(Some(Charset::Utf8), |item| charset(&item));
    let format = route.take("format").map_or(Some(Format::Json), |item| format(&item, names));

    let decrypt = decrypt?;
    let encoding = match encoding {
        Some(encoding) => encoding?,
        None if decrypt.is_some() => Encoding::Base64,
        None => Encoding::Raw,
    };
    let (charset, format) = (charset?, format?);
    if let Some((decrypt, item)) = &decrypt
        && format != Format::Json
        && decrypt.guesses()
    {
        let what =
            format!("only JSON tells whether the right key was tried; this route's values are {}", format.name());
        item.problem(what, "name the key by a header (`key_id`), or use \"aes-gcm\", which knows its key");
        return None;
    }
    Some(ValueForm { framing: framing?, encoding, decrypt: decrypt.map(|(decrypt, _)| decrypt), charset, format })
}

fn framing(item: &Item<'_>) -> Option<Framing> {
    match item.string("\"none\" or \"schema-registry\"")? {
        "none" => Some(Framing::None),
        "schema-registry" => Some(Framing::SchemaRegistry),
        other => {
            item.error(format!("expected \"none\" or \"schema-registry\", found {other:?}"));
            None
        }
    }
}

fn encoding(item: &Item<'_>) -> Option<Encoding> {
    const FORMS: &str = "\"base64\", \"hex\", \"json-string\" or \"raw\"";
    match item.string(FORMS)? {
        "base64" => Some(Encoding::Base64),
        "hex" => Some(Encoding::Hex),
        "json-string" => Some(Encoding::JsonString),
        "raw" => Some(Encoding::Raw),
        other => {
            item.error(format!("expected {FORMS}, found {other:?}"));
            None
        }
    }
}

fn charset(item: &Item<'_>) -> Option<Charset> {
    let name = item.words("the name of a character set")?;
    if matches!(name.to_ascii_lowercase().as_str(), "latin1" | "latin-1" | "iso-8859-1" | "iso8859-1") {
        return Some(Charset::Latin1);
    }
    match encoding_rs::Encoding::for_label(name.as_bytes()) {
        Some(encoding) if encoding == encoding_rs::UTF_8 => Some(Charset::Utf8),
        // `replacement` stands for encodings that browsers refuse.
        Some(encoding) if encoding != encoding_rs::REPLACEMENT => Some(Charset::Other(encoding)),
        Some(_) | None => {
            item.problem(
                format!("unknown character set {name:?}"),
                "\"utf-8\", \"gb18030\", \"gbk\", \"big5\", \"shift_jis\", \"euc-kr\", \"latin1\", \"windows-1252\" and \
                 the others of the WHATWG Encoding Standard",
            );
            None
        }
    }
}

fn format(item: &Item<'_>, names: Option<Vec<String>>) -> Option<Format> {
    const FORMS: &str = "\"json\", \"text\" or { delimited = \"\\t\", fields = [\"id\", …] }";
    if let Some(text) = item.value().as_str() {
        return match text {
            "json" => Some(Format::Json),
            "text" => Some(Format::Text),
            other => {
                item.error(format!("expected {FORMS}, found {other:?}"));
                None
            }
        };
    }
    let mut section = item.section(FORMS)?;
    let delimiter = section.require("delimited", "what stands between two fields: delimited = \"\\t\"");
    let fields = section.take("fields");
    let null = section.take("null").map(|item| item.string("the text that means NULL").map(str::to_owned));
    let quote = section.take("quote").map(|item| quote(&item));
    if fields.is_none() && names.is_none() {
        section.problem(
            "nothing names the fields",
            "fields = [\"id\", \"name\"], in their order; or columns = [\"id\", \"name\"] without paths",
        );
    }
    section.finish();
    let fields = match fields {
        Some(item) => field_names(&item),
        None => names,
    };
    let delimiter = delimiter.and_then(|item| {
        let text = item.string("what stands between two fields")?;
        if text.is_empty() || text.contains(['\r', '\n']) {
            item.error("a delimiter is one character or more, none of them a line break");
            return None;
        }
        Some(text.to_owned())
    });
    let (null, quote) = (null.map_or(Some(None), |null| null.map(Some)), quote.map_or(Some(None), |q| q.map(Some)));
    Some(Format::Delimited(Delimited { fields: fields?, delimiter: delimiter?, null: null?, quote: quote? }))
}

fn quote(item: &Item<'_>) -> Option<char> {
    let text = item.string("one character")?;
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(quote), None) if !quote.is_alphanumeric() && !quote.is_control() => Some(quote),
        _ => {
            item.error("expected one character that is neither letter nor digit, like '\"'");
            None
        }
    }
}

fn field_names(item: &Item<'_>) -> Option<Vec<String>> {
    let items = item.list("the names of the fields")?;
    let names = super::reader::all(items.iter().map(|item| item.words("the name of a field").map(str::to_owned)));
    let names: Vec<String> = names?;
    let repeated = items.iter().zip(&names).enumerate().find(|(at, (_, name))| names[..*at].contains(name));
    if let Some((_, (item, name))) = repeated {
        item.error(format!("there are two fields named {name:?}"));
        return None;
    }
    if names.is_empty() {
        item.error("a line without fields can't become a row");
        return None;
    }
    Some(names)
}
