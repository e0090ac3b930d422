//! Each case is one record and the row or the reject that it becomes. Every row is made in both framings.

use loadlock::config::{Cipher, Column, ColumnKind, ColumnSource, Decrypt, Encoding, Secret, ValueForm};
use loadlock::decode::{Decoder, Framing, Scope};
use loadlock::record::{Chunk, RecordHead};
use serde::Deserialize;

use super::support::{chunk, route};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    columns: Vec<CaseColumn>,
    /// Text of the value; missing with `value_hex` missing, too: a tombstone.
    value: Option<String>,
    value_hex: Option<String>,
    encoding: Option<String>,
    cipher: Option<String>,
    key: Option<String>,
    record_key_hex: Option<String>,
    #[serde(default)]
    headers: Vec<(String, Option<String>)>,
    timestamp_ms: Option<i64>,
    row: Option<String>,
    reject: Option<(String, String)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseColumn {
    name: String,
    path: Option<String>,
    constant: Option<String>,
    meta: Option<String>,
    header: Option<String>,
    default: Option<String>,
    #[serde(default)]
    text: bool,
}

impl CaseColumn {
    fn column(self) -> Column {
        let from = match (self.path, self.constant, self.header, self.meta.as_deref()) {
            (Some(path), None, None, None) => ColumnSource::Path(path),
            (None, Some(json), None, None) => ColumnSource::Constant(json),
            (None, None, Some(header), None) => ColumnSource::Header(header),
            (None, None, None, Some("topic")) => ColumnSource::Topic,
            (None, None, None, Some("partition")) => ColumnSource::Partition,
            (None, None, None, Some("offset")) => ColumnSource::Offset,
            (None, None, None, Some("timestamp")) => ColumnSource::Timestamp,
            (None, None, None, Some("key")) => ColumnSource::Key,
            other => panic!("column {}: {other:?}", self.name),
        };
        let kind = if self.text { ColumnKind::Text } else { ColumnKind::AsIs };
        Column { name: self.name, from, default: self.default, kind }
    }
}

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

fn form(encoding: Option<&str>, cipher: Option<&str>, key: Option<&str>) -> ValueForm {
    let encoding = match encoding {
        None | Some("raw") => Encoding::Raw,
        Some("base64") => Encoding::Base64,
        Some(other) => panic!("encoding {other}"),
    };
    let cipher = cipher.map(|name| match name {
        "aes-ecb" => Cipher::AesEcb,
        "aes-cbc" => Cipher::AesCbc,
        "aes-gcm" => Cipher::AesGcm,
        other => panic!("cipher {other}"),
    });
    let decrypt = cipher.map(|cipher| Decrypt::one(cipher, Secret::new(hex(key.unwrap()))));
    ValueForm { encoding, decrypt, ..ValueForm::default() }
}

fn one_record(case: &Case) -> Chunk {
    let value = match (&case.value, &case.value_hex) {
        (Some(text), None) => Some(text.clone().into_bytes()),
        (None, Some(digits)) => Some(hex(digits)),
        (None, None) => None,
        (Some(_), Some(_)) => panic!("two values"),
    };
    let key = case.record_key_hex.as_deref().map(hex);
    let headers = case.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref().map(str::as_bytes)));
    let head = RecordHead { partition: 3, offset: 42, leader_epoch: 1, timestamp_ms: case.timestamp_ms };
    let mut chunk = chunk();
    chunk.push(head, key.as_deref(), value.as_deref(), headers);
    chunk
}

fn run(file: &str) {
    let cases: Vec<Case> = serde_json::from_str(file).unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let name = case.name.clone();
        let chunk = one_record(&case);
        let form = form(case.encoding.as_deref(), case.cipher.as_deref(), case.key.as_deref());
        let routes = [route(form, case.columns.into_iter().map(CaseColumn::column).collect())];
        for framing in [Framing::Lines, Framing::Array] {
            let decoder = Decoder::new(&routes, framing).unwrap_or_else(|error| panic!("{name}: {error}"));
            let decoded = decoder.decode(&chunk, &Scope::default());
            let body = String::from_utf8(decoded.rows[0].body.clone()).unwrap();
            let reject = decoded.rejects.first().map(|reject| (reject.stage.to_string(), reject.reason.clone()));
            assert_eq!(reject, case.reject, "{name}");
            let expected = case.row.as_deref().map_or(String::new(), |row| match framing {
                Framing::Lines => format!("{row}\n"),
                Framing::Array => format!(",{row}"),
            });
            assert_eq!(body, expected, "{name}");
            assert_eq!(decoded.rows[0].rows, u64::from(case.row.is_some()), "{name}");
            assert!(body.is_empty() || !body.trim_end_matches('\n').contains('\n'), "{name}: a line feed in a row");
            assert_eq!(decoded.read[&3].records, 1, "{name}: counts as read, row or not");
        }
    }
}

#[test]
fn values() {
    run(include_str!("../data/decode/values.json"));
}

#[test]
fn paths() {
    run(include_str!("../data/decode/paths.json"));
}

#[test]
fn metadata_and_constants() {
    run(include_str!("../data/decode/metadata.json"));
}

#[test]
fn wrapping_and_encryption() {
    run(include_str!("../data/decode/wrapping.json"));
}

#[test]
fn rejects() {
    run(include_str!("../data/decode/rejects.json"));
}
