//! Whatever arrives: no panic, every record is a row or a reject, every row is sound.

use loadlock::config::{Cipher, Column, ColumnKind, Decrypt, Encoding, Secret, ValueForm};
use loadlock::decode::Scope;
use loadlock::record::RecordHead;
use proptest::prelude::*;

use super::support::{chunk, decoder, path, route};

fn columns() -> Vec<Column> {
    let text = |column: Column| Column { kind: ColumnKind::Text, ..column };
    let paths = [path("all", "$"), path("a", "$.a"), path("last", "$.a[-1]"), path("each", "$..a")];
    paths.iter().cloned().chain([text(path("all_text", "$")), text(path("a_text", "$.a"))]).collect()
}

fn forms() -> Vec<ValueForm> {
    let ciphers = [Cipher::AesEcb, Cipher::AesCbc, Cipher::AesGcm].map(|cipher| {
        let key = Secret::new(vec![7; 32]);
        Some(Decrypt::one(cipher, key))
    });
    let ciphers = ciphers.into_iter().chain([None]);
    let both = ciphers.flat_map(|decrypt| {
        [Encoding::Raw, Encoding::Base64].map(|encoding| ValueForm {
            encoding,
            decrypt: decrypt.clone(),
            ..ValueForm::default()
        })
    });
    both.collect()
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    let token = prop::sample::select(
        &[
            "{", "}", "[", "]", ",", ":", "\"a\"", "\"", " ", "\n", "1", "-0.5e3", "null", "\\u0061", "\\ud83d", "中",
            "😀",
        ][..],
    );
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        prop::collection::vec(token.clone(), 0..30).prop_map(|tokens| tokens.concat().into_bytes()),
        prop::collection::vec(token, 0..6)
            .prop_map(|tokens| format!("{{\"a\":[{}],\"b\" : 1}}", tokens.join(",")).into_bytes()),
        "[A-Za-z0-9+/]{0,90}={0,2}".prop_map(String::into_bytes),
    ]
}

proptest! {
    #[test]
    fn every_record_is_a_row_or_a_reject(values in prop::collection::vec(prop::option::of(value()), 0..8)) {
        let routes: Vec<_> = forms().into_iter().map(|form| route(form, columns())).collect();
        let mut chunk = chunk();
        for (offset, value) in (0..).zip(&values) {
            let head = RecordHead { partition: 0, offset, leader_epoch: 0, timestamp_ms: None };
            chunk.push(head, None, value.as_deref(), std::iter::empty());
        }
        let decoded = decoder(&routes).decode(&chunk, &Scope::default());
        for (route, rows) in decoded.rows.iter().enumerate() {
            let rejects = decoded.rejects.iter().filter(|reject| reject.route == route).count();
            prop_assert_eq!(rows.rows as usize + rejects, values.len());
            let body = std::str::from_utf8(&rows.body).unwrap();
            prop_assert_eq!(body.lines().count() as u64, rows.rows, "one line each");
            for row in body.lines() {
                let row: serde_json::Value = serde_json::from_str(row).unwrap();
                prop_assert_eq!(row.as_object().unwrap().len(), columns().len());
                let text: serde_json::Value = serde_json::from_str(row["all_text"].as_str().unwrap()).unwrap();
                prop_assert_eq!(&text, &row["all"], "text that is the document");
            }
        }
        let ordered = decoded.rejects.is_sorted_by_key(|reject| (reject.index, reject.route));
        prop_assert!(ordered, "record order, then route order");
    }
}
