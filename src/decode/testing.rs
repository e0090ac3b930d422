//! Strategies of the property tests: JSON text as nasty as it may be, and what is left of it after damage.

use proptest::prelude::*;

use super::path::Step;

/// Valid JSON text with white space, escapes, equal keys, long numbers.
pub(super) fn json() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,9})?([eE][+-]?[0-9]{1,3})?",
        string(),
    ];
    let value = scalar.prop_recursive(6, 48, 6, |inner| {
        let element =
            (blank(), inner.clone(), blank()).prop_map(|(before, value, behind)| before + &value + &behind).boxed();
        let member = (blank(), key(), blank(), element.clone())
            .prop_map(|(before, key, behind, value)| before + &key + &behind + ":" + &value);
        prop_oneof![
            (blank(), prop::collection::vec(element, 0..6)).prop_map(|(blank, all)| list('[', &blank, &all, ']')),
            (blank(), prop::collection::vec(member, 0..6)).prop_map(|(blank, all)| list('{', &blank, &all, '}')),
        ]
    });
    (blank(), value, blank()).prop_map(|(before, value, behind)| before + &value + &behind)
}

fn one_of(texts: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(texts).prop_map(str::to_owned)
}

fn list(open: char, blank: &str, items: &[String], close: char) -> String {
    if items.is_empty() { format!("{open}{blank}{close}") } else { format!("{open}{}{close}", items.join(",")) }
}

fn blank() -> impl Strategy<Value = String> {
    prop_oneof![6 => one_of(&[""]), 1 => one_of(&[" ", "\r\n\t "])]
}

fn key() -> impl Strategy<Value = String> {
    let common = &[r#""a""#, r#""b""#, r#""\u0061""#, r#""longer_name""#, r#""longer\u005fname""#, r#""中""#, r#""""#];
    prop_oneof![4 => one_of(common), 1 => string()]
}

fn string() -> impl Strategy<Value = String> {
    let escape = one_of(&[r"\n", r#"\""#, r"\\", r"\/", r"\u0000", r"\uABcd", r"\ud83d\ude00"]);
    let piece = prop_oneof![
        "[ !#-\\[\\]-~]{0,20}".prop_map(String::from),
        "[中文é😀\u{7f}\u{2028}]{0,4}".prop_map(String::from),
        escape,
    ];
    prop::collection::vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// JSON text with a byte changed, removed or put in, or cut off.
pub(super) fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(&b"\"\\{}[],: \n0-.eEtu"[..])];
    (json(), any::<prop::sample::Index>(), byte, 0..4_u8).prop_map(|(text, at, byte, how)| {
        let mut text = text.into_bytes();
        let at = at.index(text.len());
        match how {
            0 => text[at] = byte,
            1 => drop(text.remove(at)),
            2 => text.insert(at, byte),
            _ => text.truncate(at),
        }
        text
    })
}

/// Singular paths that have a chance to find something in [`json`].
pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let name = one_of(&["a", "b", "longer_name", "中", ""]);
    let step = prop_oneof![
        3 => name.prop_map(Step::Name),
        2 => (-3_i64..3).prop_map(Step::Index),
    ];
    prop::collection::vec(step, 0..4)
}
