//! Routes and chunks made from a few words.

use std::collections::BTreeMap;
use std::sync::Arc;

use loadlock::config::{Column, ColumnKind, ColumnSource, Decrypt, Encoding, Route, ValueForm};
use loadlock::decode::{Decoder, Framing};
use loadlock::domain::{Offset, Partition, Table};
use loadlock::record::{Chunk, RecordHead};

/// A column that holds what stands at a path.
pub(crate) fn path(name: &str, path: &str) -> Column {
    column(name, ColumnSource::Path(path.into()))
}

/// A column handed on as it is.
pub(crate) fn column(name: &str, from: ColumnSource) -> Column {
    Column { name: name.into(), from, default: None, kind: ColumnKind::AsIs }
}

/// A route with plain values.
pub(crate) fn plain(columns: Vec<Column>) -> Route {
    route(ValueForm { encoding: Encoding::Raw, decrypt: None, ..ValueForm::default() }, columns)
}

/// A route with encrypted values in base64.
pub(crate) fn encrypted(decrypt: Decrypt, columns: Vec<Column>) -> Route {
    route(ValueForm { encoding: Encoding::Base64, decrypt: Some(decrypt), ..ValueForm::default() }, columns)
}

/// A route of any form.
pub(crate) fn route(value: ValueForm, columns: Vec<Column>) -> Route {
    Route {
        delivery: loadlock::domain::Delivery::ExactlyOnce,
        table: Table { database: "db".into(), name: "t".into() },
        value,
        columns,
        filter: None,
        rows: None,
        load_headers: BTreeMap::new(),
        digest: String::new(),
    }
}

/// The routes compiled for line framing.
pub(crate) fn decoder(routes: &[Route]) -> Decoder {
    Decoder::new(routes, Framing::Lines).unwrap()
}

/// An empty chunk of topic `orders`.
pub(crate) fn chunk() -> Chunk {
    Chunk::new(Arc::from("orders"), 0)
}

/// Adds a record that has only a value; its leader epoch is ten times its partition.
pub(crate) fn push(chunk: &mut Chunk, partition: Partition, offset: Offset, value: &str) {
    let head = RecordHead { partition, offset, leader_epoch: partition * 10, timestamp_ms: None };
    chunk.push(head, None, Some(value.as_bytes()), std::iter::empty());
}
