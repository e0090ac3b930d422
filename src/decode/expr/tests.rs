//! Mistakes of expressions with their places; and that no text at all makes the compiler panic.

use proptest::prelude::*;
use serde::Deserialize;

use super::{Mistake, check, check_condition};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    expr: String,
    at: usize,
    what: String,
    hint: Option<String>,
}

#[test]
fn mistakes_are_told_with_their_place() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("../../../tests/data/expr/mistakes.json")).unwrap();
    assert!(cases.len() > 40);
    for Case { expr, at, what, hint } in cases {
        let mistake = check(&expr).expect_err(&expr);
        assert_eq!((mistake.at, mistake.what.as_str()), (at, what.as_str()), "{expr}");
        assert!(!mistake.hint.is_empty(), "{expr}");
        assert_eq!(hint.unwrap_or_else(|| mistake.hint.clone()), mistake.hint, "{expr}");
    }
}

#[test]
fn a_condition_is_neither_text_nor_number() {
    for (text, what) in [("trim($.a)", "this is a text, not a condition"), ("1", "this is a number, not a condition")] {
        assert_eq!(check_condition(text).unwrap_err().what, what, "{text}");
    }
    for text in ["$.a", "true", "null", "$.a = 1", "exists($.a)", "if($.a = 1, true, false)"] {
        assert_eq!(check_condition(text), Ok(()), "{text}");
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(
        &[
            "$",
            "$$",
            ".a",
            ".中",
            "[0]",
            "['b",
            "']",
            "..",
            "[?@.a",
            "==1",
            "]",
            "(",
            ")",
            ",",
            "'x'",
            "'",
            "\"",
            "-",
            "1",
            "1.5e",
            "9",
            "@",
            "@key",
            "@header",
            "trim",
            "concat",
            "if",
            "case",
            "exists",
            "datetime_from_epoch_ms",
            "parse_datetime",
            "'UTC'",
            "'%Y%z'",
            "and",
            "or",
            "not",
            "in",
            "like",
            "matches",
            "is",
            "null",
            " ",
            "=",
            "<",
            "中",
        ][..],
    );
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read_and_every_mistake_has_a_place(text in prop_oneof![pieces(), "\\PC{0,40}"]) {
        if let Err(Mistake { at, what, .. }) = check(&text) {
            prop_assert!(text.is_char_boundary(at), "{at} in {text:?}");
            prop_assert!(!what.is_empty());
        }
    }
}
