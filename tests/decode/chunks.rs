//! What a whole chunk comes to: rows per route, rejects, and what counts as read.

use std::collections::BTreeMap;

use loadlock::config::{Cipher, Column, ColumnKind, ColumnSource, Decrypt, Secret};
use loadlock::decode::{Decoded, Decoder, Framing, Read, Scope, Stage};
use loadlock::domain::{Offset, Partition};

use super::support::{chunk, column, decoder, encrypted, path, plain, push};

fn bodies(decoded: &Decoded) -> Vec<&str> {
    decoded.rows.iter().map(|rows| std::str::from_utf8(&rows.body).unwrap()).collect()
}

fn read(first: Option<Offset>, end: Offset, records: u64, leader_epoch: i32) -> Read {
    Read { first, end, records, leader_epoch }
}

fn until(partition: Partition, offset: Offset) -> Scope {
    Scope { until: BTreeMap::from([(partition, offset)]), ..Scope::default() }
}

/// Two routes; the second one only takes records whose `b` is sound text.
fn two_routes() -> Decoder {
    decoder(&[plain(vec![path("a", "$.a")]), plain(vec![path("b", "$.b")])])
}

const LONE: &str = r#"{"a":0,"b":"\ud800"}"#;

#[test]
fn rows_stand_in_their_framing() {
    let routes = [plain(vec![path("a", "$.a")])];
    let mut chunk = chunk();
    push(&mut chunk, 0, 1, r#"{"a":1}"#);
    push(&mut chunk, 0, 2, r#"{"a":2}"#);
    let decode = |framing| Decoder::new(&routes, framing).unwrap().decode(&chunk, &Scope::default());
    assert_eq!(bodies(&decode(Framing::Lines)), ["{\"a\":1}\n{\"a\":2}\n"]);
    assert_eq!(bodies(&decode(Framing::Array)), [r#",{"a":1},{"a":2}"#]);
}

#[test]
fn what_was_read_is_told_by_partition() {
    let mut chunk = chunk();
    push(&mut chunk, 1, 10, r#"{"a":1}"#);
    push(&mut chunk, 2, 5, r#"{"a":2}"#);
    push(&mut chunk, 1, 14, "no JSON");
    chunk.reached = BTreeMap::from([(1, 12), (2, 9), (3, 77)]);
    let decoded = decoder(&[plain(vec![path("a", "$.a")])]).decode(&chunk, &Scope::default());
    let expected = [(1, read(Some(10), 15, 2, 10)), (2, read(Some(5), 9, 1, 20)), (3, read(None, 77, 0, -1))];
    assert_eq!(decoded.read, BTreeMap::from(expected));
    assert_eq!(decoded.rows[0].rows, 2);
    let reject = &decoded.rejects[0];
    assert_eq!((reject.route, reject.partition, reject.offset, reject.index), (0, 1, 14, 2));
    assert_eq!(reject.stage, Stage::Parse);
}

#[test]
fn an_empty_chunk_is_read_as_far_as_it_reached() {
    let mut chunk = chunk();
    assert!(two_routes().decode(&chunk, &Scope::default()).read.is_empty());
    chunk.reached = BTreeMap::from([(0, 3)]);
    let decoded = two_routes().decode(&chunk, &Scope::default());
    assert_eq!(decoded.read, BTreeMap::from([(0, read(None, 3, 0, -1))]));
    assert_eq!(bodies(&decoded), ["", ""]);
    assert_eq!(decoded.rejects, []);
}

#[test]
fn a_route_that_rejects_does_not_hold_up_the_others() {
    let mut chunk = chunk();
    push(&mut chunk, 0, 0, r#"{"a":1,"b":2}"#);
    push(&mut chunk, 0, 1, LONE);
    push(&mut chunk, 0, 2, "broken");
    let decoded = two_routes().decode(&chunk, &Scope::default());
    assert_eq!(bodies(&decoded), ["{\"a\":1}\n{\"a\":0}\n", "{\"b\":2}\n"]);
    let rejects: Vec<_> = decoded.rejects.iter().map(|it| (it.index, it.route, it.stage)).collect();
    assert_eq!(rejects, [(1, 1, Stage::Map), (2, 0, Stage::Parse), (2, 1, Stage::Parse)]);
}

#[test]
fn only_the_routes_asked_for() {
    let mut chunk = chunk();
    push(&mut chunk, 0, 0, r#"{"a":1,"b":2}"#);
    push(&mut chunk, 0, 1, LONE);
    let scope = Scope { routes: Some(vec![0]), ..Scope::default() };
    let decoded = two_routes().decode(&chunk, &scope);
    assert_eq!(bodies(&decoded), ["{\"a\":1}\n{\"a\":0}\n", ""]);
    assert_eq!(decoded.rejects, [], "of a route that is not asked for");
    assert_eq!(decoded.read[&0].records, 2);
}

#[test]
fn stops_at_the_first_reject_of_a_partition() {
    let mut chunk = chunk();
    push(&mut chunk, 0, 7, r#"{"a":1,"b":1}"#);
    push(&mut chunk, 1, 1, LONE);
    push(&mut chunk, 0, 8, LONE);
    push(&mut chunk, 0, 9, "broken");
    push(&mut chunk, 1, 2, r#"{"a":2,"b":2}"#);
    push(&mut chunk, 2, 0, r#"{"a":3,"b":3}"#);
    chunk.reached = BTreeMap::from([(0, 20), (1, 20), (2, 20)]);
    let decoded = two_routes().decode(&chunk, &Scope { stop_at_reject: true, ..Scope::default() });
    assert_eq!(bodies(&decoded), ["{\"a\":1}\n{\"a\":3}\n", "{\"b\":1}\n{\"b\":3}\n"]);
    assert_eq!(decoded.rows.iter().map(|rows| rows.rows).collect::<Vec<_>>(), [2, 2]);
    let rejects: Vec<_> = decoded.rejects.iter().map(|it| (it.partition, it.offset, it.route)).collect();
    assert_eq!(rejects, [(1, 1, 1), (0, 8, 1)]);
    assert_eq!(decoded.read, BTreeMap::from([(0, read(Some(7), 8, 1, 0)), (2, read(Some(0), 20, 1, 20))]));
}

#[test]
fn nothing_at_or_behind_until() {
    let mut chunk = chunk();
    push(&mut chunk, 0, 3, r#"{"a":3}"#);
    push(&mut chunk, 0, 5, r#"{"a":5}"#);
    push(&mut chunk, 0, 6, "broken");
    push(&mut chunk, 1, 6, r#"{"a":6}"#);
    chunk.reached = BTreeMap::from([(0, 9)]);
    let decoded = decoder(&[plain(vec![path("a", "$.a")])]).decode(&chunk, &until(0, 5));
    assert_eq!(bodies(&decoded), ["{\"a\":3}\n{\"a\":6}\n"]);
    assert_eq!(decoded.rejects, []);
    assert_eq!(decoded.read[&0], read(Some(3), 5, 1, 0), "4 is a gap of the log, hence read");
    assert_eq!(decoded.read[&1], read(Some(6), 7, 1, 10));
}

#[test]
fn a_record_behind_until_shows_that_until_is_reached() {
    let mut chunk = chunk();
    push(&mut chunk, 0, 12, r#"{"a":1}"#);
    let decoded = two_routes().decode(&chunk, &until(0, 10));
    assert_eq!(decoded.read, BTreeMap::from([(0, read(None, 10, 0, -1))]));
    chunk.reached = BTreeMap::from([(0, 13)]);
    assert_eq!(two_routes().decode(&chunk, &until(0, 10)).read[&0].end, 10);
    assert_eq!(two_routes().decode(&chunk, &until(0, 20)).read[&0].end, 13);
}

#[test]
fn routes_with_other_keys_read_the_same_topic() {
    let decrypt = |byte: u8| Decrypt::one(Cipher::AesEcb, Secret::new(vec![byte; 16]));
    let constant = vec![column("p", ColumnSource::Partition)];
    let routes = [
        encrypted(decrypt(1), vec![path("a", "$.a")]),
        plain(vec![path("a", "$.a")]),
        encrypted(decrypt(2), vec![path("a", "$.a")]),
        encrypted(decrypt(1), constant),
    ];
    let mut chunk = chunk();
    push(&mut chunk, 0, 0, "AAAAAAAAAAAAAAAAAAAAAA==");
    let decoded = decoder(&routes).decode(&chunk, &Scope::default());
    let rejects: Vec<_> = decoded.rejects.iter().map(|it| (it.route, it.stage)).collect();
    assert_eq!(rejects, [(0, Stage::Decrypt), (1, Stage::Parse), (2, Stage::Decrypt)], "in route order");
    assert_eq!(bodies(&decoded), ["", "", "", "{\"p\":0}\n"], "a row that needs no value does not fail with it");
}

#[test]
fn routes_that_make_no_sense_are_not_compiled() {
    let bad_key = Decrypt::one(Cipher::AesGcm, Secret::new(vec![0; 15]));
    let constant = |json: &str| column("c", ColumnSource::Constant(json.into()));
    let default = Column { default: Some("{1}".into()), kind: ColumnKind::Text, ..path("c", "$.a") };
    for (route, reason) in [
        (encrypted(bad_key, vec![path("a", "$")]), "table db.t: the key has to have 16, 24 or 32 bytes"),
        (plain(vec![]), "table db.t: there are no columns"),
        (
            plain(vec![constant("'x'")]),
            r#"table db.t: column "c", constant: not JSON at byte 0 of 3: a value is expected"#,
        ),
        (
            plain(vec![constant(r#""\ud800""#)]),
            r#"table db.t: column "c", constant: an escaped half of a surrogate pair, which is no text"#,
        ),
        (
            plain(vec![default]),
            r#"table db.t: column "c", path $.a, default: not JSON at byte 1 of 3: a key in double quotes is expected"#,
        ),
    ] {
        let error = Decoder::new(&[route], Framing::Lines).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some(reason));
    }
    let error = Decoder::new(&[plain(vec![path("c", "$.a-b")])], Framing::Lines).err().unwrap().to_string();
    assert!(error.starts_with(r#"table db.t: column "c", path $.a-b: "#), "{error}");
}

#[test]
fn values_and_rows_have_a_limit() {
    const MIB: usize = 1 << 20;
    let columns = [path("a", "$.a"), path("b", "$.a"), path("c", "$.a")];
    let nested = [path("d", "$..*")];
    let decode = |columns: &[Column], len: usize| {
        let mut chunk = chunk();
        push(&mut chunk, 0, 0, &format!(r#"{{"a":["{}"]}}"#, "x".repeat(len - 10)));
        let mut decoded = decoder(&[plain(columns.to_vec())]).decode(&chunk, &Scope::default());
        assert_eq!(decoded.rows[0].body.is_empty(), decoded.rows[0].rows == 0, "no part of a row");
        decoded.rejects.pop().map(|reject| (reject.stage, reject.reason))
    };
    assert_eq!(decode(&columns[..1], 64 * MIB), None);
    let reason = "the plain text has 67108865 bytes, the limit is 67108864".into();
    assert_eq!(decode(&columns[..1], 64 * MIB + 1), Some((Stage::Parse, reason)));
    assert_eq!(decode(&columns[..2], 30 * MIB), None);
    let reason = r#"column "c", path $.a: with this value the row is longer than 67108864 bytes"#.into();
    assert_eq!(decode(&columns[..3], 30 * MIB), Some((Stage::Map, reason)));
    assert_eq!(decode(&nested, 30 * MIB), None);
    let reason = r#"column "d", path $..*: the matches have more than 67108864 bytes"#.into();
    assert_eq!(decode(&nested, 33 * MIB), Some((Stage::Map, reason)));
}
