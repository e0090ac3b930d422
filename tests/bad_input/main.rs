//! Every bad input: what the user sees, and that no row around it is lost. Embedded Kafka, embedded engine, real process.
#![allow(clippy::expect_used, clippy::panic, reason = "a test")]

mod bench;

use bench::{Bench, Outcome, encrypted, encrypted_with};

/// Good records before and behind the bad one, all in one partition.
const BEFORE: u64 = 10;
const BEHIND: u64 = 5;

struct Case {
    name: &'static str,
    value: Option<Vec<u8>>,
}

fn case(name: &'static str, value: impl Into<Vec<u8>>) -> Case {
    Case { name, value: Some(value.into()) }
}

/// Records that can't become rows: one for each way in which a record can be bad.
fn bad_records() -> Vec<Case> {
    let good = r#"{"id":1,"amount":"1.00","note":"a"}"#;
    let cut = encrypted(good);
    let deep = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    vec![
        case("not_base64", b"\"this is not base64!\"".to_vec()),
        case("cut_base64", cut[..cut.len() - 6].to_vec()),
        case("another_key", encrypted_with([9; 16], good)),
        case("plain_json_instead_of_encrypted", good.as_bytes().to_vec()),
        case("empty_value", Vec::new()),
        Case { name: "tombstone", value: None },
        case("truncated_json", encrypted(r#"{"id":1,"amount":"#)),
        case("trailing_garbage", encrypted(r#"{"id":1} x"#)),
        case("two_documents", encrypted(r#"{"id":1}{"id":2}"#)),
        case("not_an_object", encrypted("[1,2,3]")),
        case("leading_zero", encrypted(r#"{"id":007}"#)),
        case("raw_control_character", encrypted("{\"note\":\"a\u{1}b\"}")),
        case("lone_surrogate", encrypted(r#"{"id":1,"note":"\ud800"}"#)),
        case("not_utf8", encrypted_bytes()),
        case("too_deep", encrypted(&format!(r#"{{"id":1,"note":{deep}}}"#))),
    ]
}

fn encrypted_bytes() -> Vec<u8> {
    bench::encrypt([0; 16], b"{\"id\":1,\"note\":\"\xff\xfe\"}")
}

#[test]
fn stop_names_the_record_and_loads_what_is_before_it() {
    // Side by side: the embedded Kafka lets each group wait three seconds for its first member.
    let bad = bad_records();
    std::thread::scope(|scope| {
        for cases in bad.chunks(4) {
            scope.spawn(move || {
                let bench = Bench::start();
                cases.iter().for_each(|case| stops_at(&bench, case));
            });
        }
    });
}

fn stops_at(bench: &Bench, case: &Case) {
    let run = bench.route(case.name, "on_reject = \"stop\"");
    run.good(1..=BEFORE);
    run.record(case.value.as_deref());
    run.good(BEFORE + 1..=BEFORE + BEHIND);
    let Outcome { code, stopped, log } = run.until_it_ends();
    assert_eq!(code, 65, "{}: {log}", case.name);
    assert_eq!(run.ids(), (1..=BEFORE).collect::<Vec<_>>(), "{}: exactly what is before it", case.name);
    assert!(!log.contains("amount\":"), "{}: the payload is in the log: {log}", case.name);
    insta::assert_snapshot!(format!("stop_{}", case.name), bench.shown(&stopped));

    // Whoever lets rejects pass loses no row: the next start goes on from the bad record.
    let run = run.with("on_reject = { skip = 1, of = 1000 }");
    run.until_rows(BEFORE + BEHIND);
    assert_eq!(run.ids(), (1..=BEFORE + BEHIND).collect::<Vec<_>>(), "{}", case.name);
}

#[test]
fn dead_letters_carry_the_record_and_the_reason() {
    let bench = Bench::start();
    let run = bench.route("dead_letters", "on_reject = { dead_letter = \"dead\" }");
    let cases = bad_records();
    for (at, case) in cases.iter().enumerate() {
        run.good(at as u64..=at as u64);
        run.record(case.value.as_deref());
    }
    run.until_rows(cases.len() as u64);
    let letters = bench.dead_letters(cases.len());
    let mut shown = String::new();
    for (case, letter) in cases.iter().zip(&letters) {
        assert_eq!(letter.value, case.value, "{}: the record as it was", case.name);
        let header = |name: &str| letter.headers.get(name).cloned().unwrap_or_default();
        assert_eq!(header("loadlock.offset"), header("__connect.errors.offset"));
        shown.push_str(&format!(
            "{}: offset {} {} {}\n",
            case.name,
            header("loadlock.offset"),
            header("loadlock.stage"),
            header("loadlock.reason")
        ));
    }
    insta::assert_snapshot!("dead_letters", bench.shown(&shown));
}

#[test]
fn dead_letters_go_to_a_file_too() {
    let bench = Bench::start();
    let path = bench.path("dead.ndjson");
    let run = bench.route("dead_file", &format!("on_reject = {{ dead_letter_file = \"{}\" }}", path.display()));
    run.good(1..=3);
    run.record(Some(b"nonsense"));
    run.good(4..=5);
    run.until_rows(5);
    let text = std::fs::read_to_string(&path).expect("the file");
    let letter: serde_json::Value = serde_json::from_str(text.trim()).expect("one JSON object");
    assert_eq!((letter["offset"].as_i64(), letter["value_base64"].as_str()), (Some(3), Some("bm9uc2Vuc2U=")));
    assert_eq!(letter["stage"], "decrypt", "base64 of 6 bytes, which is no whole block");
}

#[test]
fn skip_stops_when_there_are_too_many() {
    let bench = Bench::start();
    let run = bench.route("too_many", "on_reject = { skip = 2, of = 100 }");
    run.good(1..=10);
    for _ in 0..3 {
        run.record(Some(b"nonsense"));
    }
    run.good(11..=20);
    let Outcome { code, stopped, log } = run.until_it_ends();
    assert_eq!(code, 65, "{log}");
    insta::assert_snapshot!("too_many_rejects", bench.shown(&stopped));
    let run = run.with("on_reject = { skip = 3, of = 100 }");
    run.until_rows(20);
    assert_eq!(run.ids(), (1..=20).collect::<Vec<_>>());
}

/// Records that are good JSON and that the engine refuses: the route stops with the engine's own reason.
#[test]
fn what_the_engine_refuses_stops_with_its_reason() {
    let bench = Bench::start();
    let cases = [
        ("text_in_a_number", r#"{"id":"abc","amount":"1.00"}"#),
        ("number_out_of_range", r#"{"id":1e400,"amount":"1.00"}"#),
        ("null_in_a_key", r#"{"amount":"1.00"}"#),
        ("text_too_long", r#"{"id":3,"note":"0123456789012345678901234567890123456789"}"#),
        ("decimal_too_large", r#"{"id":4,"amount":"123456789012345678901234567890"}"#),
    ];
    for (name, json) in cases {
        // The policy speaks of records that can't become rows; it does not let a refused load pass.
        let run = bench.route(name, "on_reject = { skip = 100, of = 1000 }");
        run.good(1..=3);
        run.record(Some(&encrypted(json)));
        run.good(4..=5);
        let Outcome { code, stopped, log } = run.until_it_ends();
        assert_eq!(code, 65, "{name}: {log}");
        assert!(run.ids().is_empty(), "{name}: nothing of a refused load is visible");
        insta::assert_snapshot!(format!("refused_{name}"), bench.shown(&stopped));
    }
}

/// Values that look odd and are right: they arrive digit for digit, character for character.
#[test]
fn odd_values_arrive_as_they_are() {
    let bench = Bench::start();
    let run = bench.route("odd", "on_reject = \"stop\"");
    for json in [
        r#"{"id":1,"amount":12.50,"note":"中文 😀 \"quoted\" \\ \/ \u4e2d"}"#,
        r#"{"id":2,"amount":1E+3,"note":{"b":1.10,"a":[1, 2]}}"#,
        r#"{"id":3,"amount":"0.10","note":12345678901234567890}"#,
        r#"{"id":4,"note":null}"#,
        r#"{"id":5,"amount":-0.00,"note":"a\u0000b"}"#,
        r#"{"id":6,"amount":99999999999999.99,"note":true,"note":false}"#,
    ] {
        run.record(Some(&encrypted(json)));
    }
    run.until_rows(6);
    insta::assert_snapshot!("odd_values", run.table());
}
