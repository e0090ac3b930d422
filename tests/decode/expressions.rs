//! Expressions: each case is one record and what a column becomes, or why it does not.

use loadlock::config::{Column, ColumnKind, ColumnSource};
use loadlock::decode::Scope;
use loadlock::record::RecordHead;
use proptest::prelude::*;
use serde::Deserialize;

use super::support::{chunk, column, decoder, plain};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    expr: String,
    value: String,
    /// The column's JSON text.
    row: Option<String>,
    reject: Option<String>,
}

fn expression(text: &str) -> Column {
    column("c", ColumnSource::Expression(text.into()))
}

/// The row, or the reason of the reject.
fn run(columns: Vec<Column>, value: &str) -> Result<String, String> {
    let mut chunk = chunk();
    let head = RecordHead { partition: 3, offset: 42, leader_epoch: 0, timestamp_ms: Some(1_700_000_000_000) };
    let headers = [("h", Some(b"x".as_slice()))];
    chunk.push(head, Some(b"k"), Some(value.as_bytes()), headers.into_iter());
    let scope = Scope { load_time_ms: 1_800_000_000_000, ..Scope::default() };
    let decoded = decoder(&[plain(columns)]).decode(&chunk, &scope);
    match decoded.rejects.first() {
        None => Ok(String::from_utf8(decoded.rows[0].body.clone()).unwrap().trim_end().to_owned()),
        Some(reject) => Err(reject.reason.clone()),
    }
}

#[test]
fn values() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../data/expr/values.json")).unwrap();
    assert!(cases.len() > 120);
    for Case { expr, value, row, reject } in cases {
        let expected = match (row, reject) {
            (Some(json), None) => Ok(format!("{{\"c\":{json}}}")),
            (None, Some(reason)) => Err(reason),
            other => panic!("{expr}: {other:?}"),
        };
        assert_eq!(run(vec![expression(&expr)], &value), expected, "{expr}");
    }
}

#[test]
fn as_text_makes_a_string_of_any_value() {
    let text =
        |expr: &str| run(vec![Column { kind: ColumnKind::Text, ..expression(expr) }], r#"{"o":{"a": 1.50},"n":1}"#);
    for (expr, row) in [
        ("$.o", r#"{"c":"{\"a\":1.50}"}"#),
        ("$.n", r#"{"c":"1"}"#),
        ("$.n = 1", r#"{"c":"true"}"#),
        ("$.none", r#"{"c":null}"#),
        ("trim('x')", r#"{"c":"x"}"#),
    ] {
        assert_eq!(text(expr).as_deref(), Ok(row), "{expr}");
    }
}

/// Expressions over everything that a record may hold at `$.a` and `$.b`.
const EXPRESSIONS: &[&str] = &[
    "trim($.a)",
    "lower($.a)",
    "upper($.a)",
    "substring($.a, $.b)",
    "substring($.a, 2, $.b)",
    "length($.a)",
    "concat($.a, $.b)",
    "coalesce($.a, $.b)",
    "replace($.a, $.b, 'x')",
    "mask($.a, 1, $.b)",
    "if($.a, 1, 2)",
    "case($.a, 1, $.b, 2)",
    "number($.a)",
    "text($.a)",
    "datetime_from_epoch_ms($.a, 'UTC')",
    "datetime_from_epoch_s($.a, 'Asia/Shanghai')",
    "parse_datetime($.a, '%Y-%m-%d')",
    "md5($.a)",
    "sha256($.a)",
    "to_json($.a)",
    "from_json($.a)",
    "from_json(to_json($.a))",
    "exists($.a)",
    "$.a = $.b",
    "$.a < $.b",
    "$.a in ($.b, 1)",
    "$.a like '%a_'",
    "$.a matches '\\d+'",
    "not $.a",
    "$.a and $.b",
    "$.a or $.b",
    "$..a",
    "$$.a is null",
];

fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        prop::sample::select(
            &["null", "true", "false", "0", "-0", "1e999999999999999999999", "-1e18", "\"\\ud800\"", "\"\\u4e2d\""][..]
        )
        .prop_map(str::to_owned),
        "-?[1-9][0-9]{0,30}(\\.[0-9]{1,5})?(e-?[0-9]{1,3})?",
        "[a-z0-9 中é😀-]{0,12}".prop_map(|text| format!("\"{text}\"")),
        "-?[0-9]{1,20}".prop_map(|text| format!("\"{text}\"")),
    ];
    scalar.prop_recursive(3, 12, 3, |inner| {
        prop::collection::vec(inner, 0..3).prop_map(|all| format!("[ {}]", all.join(", ")))
    })
}

proptest! {
    #[test]
    fn whatever_is_there_a_value_or_a_reject(a in json(), b in json()) {
        let value = format!("{{\"a\":{a},\"b\" : {b}}}");
        for expr in EXPRESSIONS {
            match run(vec![expression(expr)], &value) {
                Ok(row) => {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&row).is_ok(), "{}: {}", expr, row);
                    prop_assert!(!row.contains('\n'));
                }
                Err(reason) => prop_assert!(reason.starts_with("column \"c\", "), "{}", reason),
            }
        }
    }

    #[test]
    fn json_as_text_and_back_is_the_same(a in json()) {
        let value = format!("{{\"a\":{a}}}");
        let there = run(vec![expression("$.a")], &value);
        let back = run(vec![expression("from_json(to_json($.a))")], &value);
        prop_assert_eq!(there, back);
    }
}

/// A condition over records of one route: rows, filtered records, reasons of rejects.
fn filtered(condition: &str, values: &[Option<&str>]) -> (u64, u64, Vec<String>) {
    let mut route = plain(vec![column("id", ColumnSource::Path("$.id".into()))]);
    route.filter = Some(condition.to_owned());
    let mut chunk = chunk();
    for (offset, value) in (0..).zip(values) {
        let head = RecordHead { partition: 0, offset, leader_epoch: 0, timestamp_ms: None };
        let kind = if offset % 2 == 0 { "even" } else { "odd" };
        let headers = [("kind", Some(kind.as_bytes()))];
        chunk.push(head, None, value.map(str::as_bytes), headers.into_iter());
    }
    let decoded = decoder(&[route]).decode(&chunk, &Scope::default());
    let rejects: Vec<_> = decoded.rejects.iter().map(|reject| reject.reason.clone()).collect();
    let (rows, left_out) = (decoded.rows[0].rows, decoded.rows[0].filtered);
    assert_eq!(rows + left_out + rejects.len() as u64, decoded.read[&0].records, "read = rows + filtered + rejects");
    assert_eq!(decoded.rows[0].body.iter().filter(|byte| **byte == b'\n').count() as u64, rows);
    (rows, left_out, rejects)
}

#[test]
fn records_that_the_condition_leaves_out_are_counted() {
    let values = [
        Some(r#"{"id":1,"op":"i","amount":"12.50"}"#),
        Some(r#"{"id":2,"op":"d","amount":5}"#),
        Some(r#"{"id":3,"op":"u","amount":0.00}"#),
        Some(r#"{"id":4,"op":"u"}"#),
        Some(r#"{"id":5,"amount":1}"#),
        Some(r#"{"id":6,"op":"u","amount":"many"}"#),
    ];
    let reason = "where: a comparison: a text can't be compared with a number".to_owned();
    assert_eq!(filtered("$.op != 'd' and $.amount > 0", &values), (1, 4, vec![reason]));
    assert_eq!(filtered("coalesce($.op, 'u') != 'd'", &values), (5, 1, vec![]));
    assert_eq!(filtered("null", &values), (0, 6, vec![]));
}

#[test]
fn a_condition_without_paths_is_asked_before_the_value_is_read() {
    let values = [Some(r#"{"id":1}"#), Some("not json"), Some("[]"), None];
    let reason = "the document is an array, not an object".to_owned();
    assert_eq!(filtered("@header('kind') = 'even'", &values), (1, 2, vec![reason]));
}

/// Rows of one record, and whether it counts as filtered.
fn elements(condition: Option<&str>, value: &str) -> Result<(Vec<String>, u64), String> {
    let columns = vec![
        column("n", ColumnSource::Path("$.n".into())),
        column("order", ColumnSource::Expression("$$.id".into())),
        column("tags", ColumnSource::Path("$.tags[*].t".into())),
    ];
    let mut route = plain(columns);
    (route.rows, route.filter) = (Some("$.items[*]".to_owned()), condition.map(str::to_owned));
    let mut chunk = chunk();
    super::support::push(&mut chunk, 0, 0, value);
    let decoded = decoder(&[route]).decode(&chunk, &Scope::default());
    if let Some(reject) = decoded.rejects.first() {
        assert!(decoded.rows[0].body.is_empty(), "nothing of a rejected record is loaded");
        return Err(reject.reason.clone());
    }
    let rows: Vec<_> = std::str::from_utf8(&decoded.rows[0].body).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(decoded.rows[0].rows, rows.len() as u64);
    Ok((rows, decoded.rows[0].filtered))
}

#[test]
fn each_element_becomes_a_row() {
    let value = r#"{"id":7,"items":[{"n":1.50,"tags":[{"t":"a"}]}, {"n":[ 2 ]} , 3, {"n":"x"}]}"#;
    let all = [
        r#"{"n":1.50,"order":7,"tags":["a"]}"#,
        r#"{"n":[2],"order":7,"tags":[]}"#,
        r#"{"n":null,"order":7,"tags":[]}"#,
        r#"{"n":"x","order":7,"tags":[]}"#,
    ];
    assert_eq!(elements(None, value), Ok((all.map(str::to_owned).to_vec(), 0)));
    assert_eq!(elements(Some("$.n is null and $$.id = 7"), value), Ok((vec![all[2].to_owned()], 0)));
    assert_eq!(elements(Some("$$.id = 8"), value), Ok((vec![], 1)));
    for nothing in [r#"{"items":[]}"#, r#"{"items":null}"#, "{}"] {
        assert_eq!(elements(None, nothing), Ok((vec![], 1)), "{nothing}");
    }
    let reason = "rows, path $.items[*]: an object stands there, not an array";
    assert_eq!(elements(None, r#"{"items":{}}"#), Err(reason.to_owned()));
    let reason = "element 4: where: a comparison: a text can't be compared with a number";
    assert_eq!(
        elements(Some("coalesce(text($.n), '0') >= '0' and $.n > 0"), &value.replace("[ 2 ]", "2")),
        Err(reason.to_owned())
    );
}
