//! Paths that one pass can't answer (wildcards, slices, filters, descendants): asked of a tree, answered from the text.

use serde_json::{Map, Value};
use serde_json_path::{JsonPath, PathElement};

use super::path::Step;
use super::project::{Span, project};
use super::scan::{Fault, Scanner};
use super::trie::Trie;

/// Spans of what a path finds, in the order in which RFC 9535 lists it.
///
/// The tree only tells where the matches are; what is handed on stands in the text, digit for digit.
///
/// # Errors
/// When the text is not the one that the tree was built of.
pub(super) fn query(path: &JsonPath, tree: &Value, text: &[u8], start: usize) -> Result<Vec<Span>, Fault> {
    let mut trie = Trie::new();
    let located = path.query_located(tree);
    let places: Vec<_> = located
        .locations()
        .map(|location| {
            let steps: Vec<Step> = location.iter().map(step).collect();
            trie.insert(&steps)
        })
        .collect();
    let mut spans = Vec::new();
    project(&mut Scanner::new(text), start, &trie, &mut spans)?;
    Ok(places.into_iter().map(|place| spans[place as usize]).collect())
}

fn step(element: &PathElement<'_>) -> Step {
    match *element {
        PathElement::Name(name) => Step::Name(name.to_owned()),
        PathElement::Index(index) => Step::Index(index as i64),
    }
}

/// Builds the tree of a text that has been validated, from its byte `start` on. Of equal keys in one object the first
/// counts, as for every other path.
///
/// `None` if a string holds half a surrogate pair: that is no text, and a query may look at any string.
pub(super) fn tree(text: &[u8], start: usize) -> Option<Value> {
    let mut scanner = Scanner::new(text);
    let start = scanner.space(start);
    let mut sound = true;
    let (_, value) = value(&mut scanner, start, text, &mut sound).ok()?;
    sound.then_some(value)
}

/// The value at `start`, and where it ends. Clears `sound` if a string is no text.
fn value(scanner: &mut Scanner<'_>, start: usize, text: &[u8], sound: &mut bool) -> Result<(usize, Value), Fault> {
    match scanner.byte(start) {
        b'{' => {
            let mut members = Map::new();
            let end = scanner.object(start, |scanner, pos, key| {
                let name = serde_json::from_slice::<String>(key.literal).unwrap_or_else(|_| {
                    *sound = false;
                    String::new()
                });
                let (end, value) = value(scanner, pos, text, sound)?;
                members.entry(name).or_insert(value);
                Ok(end)
            })?;
            Ok((end, Value::Object(members)))
        }
        b'[' => {
            let mut elements = Vec::new();
            let (end, _) = scanner.array(start, |scanner, pos, _| {
                let (end, value) = value(scanner, pos, text, sound)?;
                elements.push(value);
                Ok(end)
            })?;
            Ok((end, Value::Array(elements)))
        }
        _ => {
            let end = scanner.skip(start)?;
            let scalar = serde_json::from_slice(&text[start..end]);
            *sound &= scalar.is_ok();
            Ok((end, scalar.unwrap_or_default()))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::json;
    use super::*;

    fn found<'a>(path: &str, text: &'a str) -> Vec<&'a str> {
        let tree = tree(text.as_bytes(), 0).unwrap();
        let spans = query(&JsonPath::parse(path).unwrap(), &tree, text.as_bytes(), 0).unwrap();
        spans.iter().map(|span| std::str::from_utf8(span.of(text.as_bytes()).unwrap()).unwrap()).collect()
    }

    #[test]
    fn matches_come_as_they_stand_in_the_text() {
        let text = r#" {"z":{"n":[12.50,1E+3,-0,123456789012345678901234567890.10,1e400]},"k":"\u0061","\u006b":2} "#;
        assert_eq!(found("$.z.n[*]", text), ["12.50", "1E+3", "-0", "123456789012345678901234567890.10", "1e400"]);
        assert_eq!(found("$.z.n[-2:]", text), ["123456789012345678901234567890.10", "1e400"]);
        assert_eq!(found("$..k", text), [r#""\u0061""#], "the first of equal keys");
        assert_eq!(found("$['k','k']", text), [r#""\u0061""#, r#""\u0061""#]);
        assert_eq!(found("$.z.n[?@ > 12]", text), ["12.50", "1E+3", "123456789012345678901234567890.10", "1e400"]);
        assert_eq!(found("$.nothing[*]", text), [""; 0]);
    }

    #[test]
    fn half_a_surrogate_pair_is_no_text() {
        assert_eq!(tree(br#"{"a":"\ud800"}"#, 0), None);
        assert_eq!(tree(br#"{"\ud800":1}"#, 0), None);
        assert!(tree(br#"{"a":"\ud83d\ude00"}"#, 0).is_some());
    }

    #[test]
    fn many_matches_take_no_quadratic_time() {
        let text = format!("[{}]", vec![r#"{"id":1}"#; 100_000].join(","));
        assert_eq!(found("$[*].id", &text).len(), 100_000);
        let keys: Vec<String> = (0..100_000).map(|n| format!("\"{n}\":{n}")).collect();
        assert_eq!(found("$.*", &format!("{{{}}}", keys.join(","))).len(), 100_000);
    }

    proptest! {
        #[test]
        fn spans_hold_what_the_tree_holds(text in json(), path in prop::sample::select(
            &["$.*", "$..*", "$..a", "$[*][0]", "$[1:]", "$[::-1]", "$['b','a',-1]", "$[?@.a]", "$..[?@ > 5]"][..]
        )) {
            let tree = tree(text.as_bytes(), 0).unwrap();
            let path = JsonPath::parse(path).unwrap();
            let spans = query(&path, &tree, text.as_bytes(), 0).unwrap();
            let again: Vec<Value> =
                spans.iter().map(|span| super::tree(span.of(text.as_bytes()).unwrap(), 0).unwrap()).collect();
            let direct = path.query(&tree).all();
            prop_assert_eq!(again.iter().collect::<Vec<_>>(), direct);
        }
    }
}
