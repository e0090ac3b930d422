//! The digest of a route: equal digests mean that the same record becomes the same rows.

use sha2::{Digest, Sha256};

use super::{Cipher, Column, ColumnKind, ColumnSource, Encoding, ValueForm};
use crate::domain::Table;

/// Version of the canonical text. A change of it makes open intents of older versions foreign, so it is a last resort.
const VERSION: u32 = 1;

/// 16 hexadecimal digits over everything that decides which rows come out of a record, except the key: a key that is
/// changed beside its data changes no row, and a digest must not help to guess it.
pub(super) fn digest<'h>(
    table: &Table,
    value: &ValueForm,
    columns: &[Column],
    headers: impl Iterator<Item = (&'h String, &'h String)>,
) -> String {
    let columns: Vec<_> = columns.iter().map(column).collect();
    let headers: Vec<_> = headers.collect();
    let text = serde_json::json!([
        VERSION,
        &*table.database,
        &*table.name,
        encoding(value.encoding),
        value.decrypt.as_ref().map(|decrypt| cipher(decrypt.cipher)),
        columns,
        headers,
    ]);
    let hash = Sha256::digest(text.to_string().as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn column(column: &Column) -> serde_json::Value {
    let (source, detail) = match &column.from {
        ColumnSource::Path(path) => ("path", Some(path)),
        ColumnSource::Constant(json) => ("constant", Some(json)),
        ColumnSource::Topic => ("topic", None),
        ColumnSource::Partition => ("partition", None),
        ColumnSource::Offset => ("offset", None),
        ColumnSource::Timestamp => ("timestamp", None),
        ColumnSource::Key => ("key", None),
        ColumnSource::Header(name) => ("header", Some(name)),
    };
    let kind = match column.kind {
        ColumnKind::AsIs => "as-is",
        ColumnKind::Text => "text",
    };
    serde_json::json!([column.name, source, detail, column.default, kind])
}

/// Name of an encoding, as in the file.
pub(super) fn encoding(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Base64 => "base64",
        Encoding::Raw => "raw",
    }
}

/// Name of a cipher, as in the file.
pub(super) fn cipher(cipher: Cipher) -> &'static str {
    match cipher {
        Cipher::AesEcb => "aes-ecb",
        Cipher::AesCbc => "aes-cbc",
        Cipher::AesGcm => "aes-gcm",
    }
}
