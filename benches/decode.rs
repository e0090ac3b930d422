//! Decoding speed on one core, in bytes of plain JSON: `cargo bench --bench decode`.
//!
//! The steps one by one (each line does one thing more than the line before), the whole, and `serde_json` on the same
//! text for comparison. Records: 1 KiB with 45 keys of which 10 are wanted, and 200 bytes with 10 keys, all wanted.

#![expect(clippy::expect_used, reason = "a benchmark that can't be set up ends")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockModeEncrypt, KeyInit};
use base64_simd::STANDARD;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use loadlock::config::{Cipher, Column, ColumnKind, ColumnSource, Decrypt, Encoding, Route, Secret, ValueForm};
use loadlock::decode::{Decoder, Framing, Scope};
use loadlock::domain::Table;
use loadlock::record::{Chunk, RecordHead};
use serde::de::IgnoredAny;

const RECORDS: usize = 512;
const KEY: [u8; 16] = *b"0123456789abcdef";

/// About 200 bytes, ten keys.
fn small(n: usize) -> String {
    format!(
        r#"{{"id":{},"user_id":"u{:07}-eu-central-frankfurt","city":"{}","amount":{}.50,"state":{},"paid":true,"note":null,"created":{},"channel":"app \"x\"","phone":"138{:08}"}}"#,
        1_000_000_007_u64 * n as u64,
        n * 7919 % 9_999_999,
        ["北京", "上海", "Hamburg", "São Paulo"][n % 4],
        n * 31 % 100_000,
        n % 5,
        1_700_000_000_000_u64 + n as u64 * 977,
        n * 104_729 % 99_999_999,
    )
}

/// About 1 KiB, 45 keys, four of them in a nested object.
fn large(n: usize) -> String {
    let mut json = small(n);
    json.truncate(json.len() - 1);
    json +=
        &format!(r#","device":{{"os":"android","version":"{}.{}","rooted":false,"tags":["a","b"]}}"#, n % 14, n % 9);
    for field in 0..30 {
        json += &match field % 5 {
            0 => format!(r#","field_{field}":"value {} of {field}""#, n % 1000),
            1 => format!(r#","field_{field}":{}"#, n * (field + 3)),
            2 => format!(r#","field_{field}":"备注{}""#, n % 10),
            3 => format!(r#","field_{field}":{}.{:02}"#, n % 977, field),
            _ => format!(r#","field_{field}":null"#),
        };
    }
    json += &"x".repeat(1011_usize.saturating_sub(json.len()));
    json.truncate(json.trim_end_matches('x').len());
    json += &format!(r#","trace":"{}"}}"#, "0f".repeat(1010_usize.saturating_sub(json.len()) / 2));
    json
}

fn route(encoding: Encoding, encrypted: bool, paths: &[&str]) -> Route {
    let column = |path: &&str| Column {
        name: path.trim_start_matches("$.").replace('.', "_"),
        from: ColumnSource::Path((*path).into()),
        default: None,
        kind: ColumnKind::AsIs,
    };
    let decrypt = encrypted.then(|| Decrypt::one(Cipher::AesEcb, Secret::new(KEY.to_vec())));
    Route {
        delivery: loadlock::domain::Delivery::ExactlyOnce,
        table: Table { database: "d".into(), name: "t".into() },
        value: ValueForm { encoding, decrypt, ..ValueForm::default() },
        columns: paths.iter().map(column).collect(),
        filter: None,
        rows: None,
        load_headers: BTreeMap::new(),
        digest: String::new(),
    }
}

fn chunk(values: impl Iterator<Item = Vec<u8>>) -> Chunk {
    let mut chunk = Chunk::new(Arc::from("topic"), 0);
    for (offset, value) in (0..).zip(values) {
        let head = RecordHead { partition: 0, offset, leader_epoch: 0, timestamp_ms: None };
        chunk.push(head, None, Some(&value), std::iter::empty());
    }
    chunk
}

fn encrypt(plain: &str) -> Vec<u8> {
    let mut buffer = plain.as_bytes().to_vec();
    buffer.resize(plain.len() / 16 * 16 + 16, 0);
    let cipher = ecb::Encryptor::<aes::Aes128>::new(&KEY.into());
    cipher.encrypt_padded::<Pkcs7>(&mut buffer, plain.len()).expect("the buffer has room for the padding");
    buffer
}

fn quoted(bytes: &[u8]) -> Vec<u8> {
    format!("\"{}\"", STANDARD.encode_to_string(bytes)).into_bytes()
}

fn decode(group: &mut BenchmarkGroup<'_, WallTime>, name: &str, route: Route, chunk: &Chunk) {
    let decoder = Decoder::new(&[route], Framing::Lines).expect("the route compiles");
    let scope = Scope::default();
    assert_eq!(decoder.decode(chunk, &scope).rows[0].rows, RECORDS as u64, "every record becomes a row");
    group.bench_function(name, |bench| bench.iter(|| black_box(decoder.decode(black_box(chunk), &scope))));
}

fn records(criterion: &mut Criterion, name: &str, make: fn(usize) -> String, wanted: &[&str]) {
    let plain: Vec<String> = (0..RECORDS).map(make).collect();
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(plain.iter().map(|text| text.len() as u64).sum()));

    let raw = chunk(plain.iter().map(|text| text.clone().into_bytes()));
    let base64 = chunk(plain.iter().map(|text| quoted(text.as_bytes())));
    let cipher = chunk(plain.iter().map(|text| encrypt(text)));
    let both = chunk(plain.iter().map(|text| quoted(&encrypt(text))));
    decode(&mut group, "validate", route(Encoding::Raw, false, &["$.none"]), &raw);
    decode(&mut group, "validate, map", route(Encoding::Raw, false, wanted), &raw);
    decode(&mut group, "base64, validate, map", route(Encoding::Base64, false, wanted), &base64);
    decode(&mut group, "aes, validate, map", route(Encoding::Raw, true, wanted), &cipher);
    decode(&mut group, "base64, aes, validate, map", route(Encoding::Base64, true, wanted), &both);

    group.bench_function("serde_json validate", |bench| {
        bench.iter(|| plain.iter().all(|text| serde_json::from_str::<IgnoredAny>(black_box(text)).is_ok()));
    });
    group.bench_function("serde_json tree", |bench| {
        bench.iter(|| plain.iter().all(|text| serde_json::from_str::<serde_json::Value>(black_box(text)).is_ok()));
    });
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let ten = ["$.id", "$.user_id", "$.city", "$.amount", "$.state", "$.paid", "$.note", "$.created", "$.channel"];
    let small_wanted = [&ten[..], &["$.phone"]].concat();
    let large_wanted = [&ten[..9], &["$.device.version"]].concat();
    records(criterion, "200 B", small, &small_wanted);
    records(criterion, "1 KiB", large, &large_wanted);
}

criterion_group!(benches, all);
criterion_main!(benches);
