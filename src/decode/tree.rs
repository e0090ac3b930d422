//! A document as a tree, for the paths that one pass can't answer (wildcards, slices, filters, descendants).

use serde_json::{Map, Value};

use super::scan::{Fault, Scanner};

/// Builds the tree of a text that has been validated, from its byte `start` on. Numbers keep their digits, and of equal
/// keys in one object the first counts, as for every other path. The keys of an object come in alphabetical order.
///
/// `None` if a string holds half a surrogate pair: that is no text, and a query may look at any string.
pub(super) fn tree(text: &[u8], start: usize) -> Option<Value> {
    let mut scanner = Scanner::new(text, start);
    scanner.space();
    let mut sound = true;
    let value = value(&mut scanner, text, &mut sound).ok()?;
    sound.then_some(value)
}

fn value(scanner: &mut Scanner<'_>, text: &[u8], sound: &mut bool) -> Result<Value, Fault> {
    match scanner.byte() {
        b'{' => {
            let mut members = Map::new();
            scanner.object(|scanner, key| {
                let name = serde_json::from_slice::<String>(key.literal).unwrap_or_else(|_| {
                    *sound = false;
                    String::new()
                });
                let value = value(scanner, text, sound)?;
                members.entry(name).or_insert(value);
                Ok(())
            })?;
            Ok(Value::Object(members))
        }
        b'[' => {
            let mut elements = Vec::new();
            scanner.array(|scanner, _| {
                elements.push(value(scanner, text, sound)?);
                Ok(())
            })?;
            Ok(Value::Array(elements))
        }
        _ => {
            let start = scanner.pos();
            scanner.skip()?;
            let scalar = serde_json::from_slice(&text[start..scanner.pos()]);
            *sound &= scalar.is_ok();
            Ok(scalar.unwrap_or_default())
        }
    }
}
