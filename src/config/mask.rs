//! Lines of the file for showing, without the secrets that stand in it. Pure.
//!
//! A secret can stand where no key expects one: behind a misspelt key, without quotes, in a line that is no TOML. So the
//! line is judged as text, on top of the places where a secret was read.

use std::ops::Range;

use super::problem::Excerpt;

/// What stands in place of a secret.
const MASK: char = '…';

/// Words that announce a secret when they stand left of `=`, with the edits that still count as that word.
const WORDS: [(&str, usize); 8] = [
    ("password", 2),
    ("passphrase", 2),
    ("secret", 2),
    ("key", 1),
    ("token", 1),
    ("pem", 0),
    ("jaas", 1),
    ("authorization", 2),
];

/// True if a key of that name may hold a secret, or nearly has the name of one that does.
pub(super) fn is_sensitive(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let parts = name.split(|c: char| !c.is_ascii_alphanumeric());
    parts
        .filter(|part| !part.is_empty())
        .any(|part| WORDS.iter().any(|(word, edits)| part.contains(word) || strsim::osa_distance(part, word) <= *edits))
}

/// The line of `text` in which `place` begins, with everything secret left out.
///
/// `secrets` are the places where secrets were read.
pub(super) fn excerpt(text: &str, place: &Range<usize>, secrets: &[Range<usize>]) -> Option<Excerpt> {
    let start = place.start.min(text.len());
    let line_start = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let line_end = text.get(start..)?.find('\n').map_or(text.len(), |at| start + at);
    let line = text.get(line_start..line_end)?.trim_end_matches('\r');
    let announced = announced(line).map_or(line_end, |at| line_start + at);

    let mut shown = String::new();
    let (mut before, mut width) = (0, 0);
    for (at, c) in line.char_indices() {
        let at = line_start + at;
        let secret = at >= announced || secrets.iter().any(|secret| secret.contains(&at));
        if secret && shown.ends_with(MASK) {
            continue;
        }
        let c = if secret { MASK } else { c };
        // A tab would put the caret in another column than the text.
        shown.push(if c == '\t' { ' ' } else { c });
        before += usize::from(at < place.start);
        width += usize::from(at >= place.start && at < place.end);
    }
    // A line with nothing to see only takes room.
    if shown.chars().all(|c| c == MASK || c == ' ') {
        return None;
    }
    Some(Excerpt { line: shown.trim_end().to_owned(), before, width: width.max(1) })
}

/// A text for a person that repeats a value, cut where the value announces a secret: with a quote missing, half a line can
/// be one value.
pub(super) fn text(text: String) -> String {
    match announced(&text).and_then(|at| text.get(..at)) {
        Some(start) => format!("{start}{MASK}"),
        None => text,
    }
}

/// Where the secret begins that a word announces, or that a URL with a user holds: from there to its end the line is not
/// shown. A reference to a variable or a file is no secret.
fn announced(line: &str) -> Option<usize> {
    if let Some((url, _)) = line.find("://").zip(line.rfind('@')).filter(|(url, at)| url < at) {
        return Some(url);
    }
    let mut from = 0;
    while let Some(equals) = line.get(from..).and_then(|rest| rest.find('=')).map(|at| from + at) {
        let left = line.get(from..equals).unwrap_or_default();
        let name = left.rsplit([',', '{', '[']).next().unwrap_or_default();
        let right = line.get(equals + 1..).unwrap_or_default();
        let table = right.trim_start().strip_prefix('{').map(str::trim_start);
        let reference = table.is_some_and(|table| table.starts_with("env") || table.starts_with("file"));
        if is_sensitive(name) && !reference {
            return Some(equals + 1 + (right.len() - right.trim_start().len()));
        }
        from = equals + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        excerpt(line, &(0..1), &[]).unwrap().line
    }

    #[test]
    fn announced_secrets_are_left_out() {
        for line in [
            r#"password = "hunter2""#,
            "password = hunter2",
            r#"password = "hunter2"#,
            r#"pasword="hunter2""#,
            r#"passwrod = 'hunter2' # hunter2"#,
            r#""sasl.password" = "hunter2""#,
            r#"sasl.jaas.config = "… password=hunter2;""#,
            r#"decrypt = { cipher = "aes-ecb", key = "hunter2" }"#,
            r#"decrypt = { cipher = "aes-ecb", kye = "hunter2" }"#,
            r#"decrypt = { cypher = "x", key = hunter2, format = "hex" }"#,
            r#"Authorization = "Basic hunter2""#,
            r#"frontends = ["http://root:hunter2@fe:8030]"#,
        ] {
            assert!(!shown(line).contains("hunter2"), "{}", shown(line));
        }
    }

    #[test]
    fn the_rest_is_shown() {
        for line in [
            r#"age = "5 parsecs""#,
            r#"password = { env = "ENGINE_PASSWORD" }"#,
            r#"decrypt = { cipher = "rot13", key = { file = "key.txt" } }"#,
            r#"jsonpaths = ["$.id", "$.secret_key"]"#,
        ] {
            assert_eq!(shown(line), line);
        }
    }

    #[test]
    fn places_of_secrets_are_left_out_and_the_caret_follows() {
        let text = "a = 1\nb = [\"hunter2\", 5]\n";
        let secret = text.find("\"hunter2").unwrap()..text.find(", 5").unwrap();
        let five = text.find('5').unwrap();
        let excerpt = excerpt(text, &(five..five + 1), &[secret]).unwrap();
        assert_eq!(excerpt.line, "b = […, 5]");
        assert_eq!(excerpt.line.chars().nth(excerpt.before), Some('5'));
    }
}
