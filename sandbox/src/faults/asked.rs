//! What a request names: its path, database, table and label. Faults have conditions on them.

use hyper::HeaderMap;

use crate::http::{HttpRequest, header, path_pieces, query_parameter};

/// What a request names; empty where it doesn't.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    pub(crate) path: String,
    pub(crate) database: String,
    pub(crate) table: String,
    pub(crate) label: String,
    /// Doris' `txn_id`.
    pub(crate) id: Option<i64>,
    /// Header `Host`: where the client sent the request.
    pub(super) host: String,
    /// The path with its query.
    pub(super) target: String,
}

impl Asked {
    /// Reads what a request names.
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let headers = request.headers();
        let get = |headers: &HeaderMap, name| header(headers, name).unwrap_or_default().to_owned();
        let pieces = path_pieces(request);
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let (database, table) = match pieces.as_slice() {
            ["api", "transaction", ..] => (get(headers, "db"), get(headers, "table")),
            ["api", database, "get_load_state" | "_cancel" | "_stream_load_2pc"] => {
                ((*database).to_owned(), String::new())
            }
            ["api", "query", ..] => (String::new(), String::new()),
            ["api", database, table, _] => ((*database).to_owned(), (*table).to_owned()),
            _ => (String::new(), String::new()),
        };
        let label = query_parameter(request, "label").unwrap_or_else(|| get(headers, "label"));
        Self {
            path: request.uri().path().to_owned(),
            database,
            table,
            label,
            id: header(headers, "txn_id").and_then(|id| id.parse().ok()),
            host: get(headers, "host"),
            target: request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        }
    }
}

/// True if a text is as a pattern says: `*` stands for any characters, `?` for one.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star stands, and the text that it has eaten up to.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, eaten)) => {
                    star = Some((at, eaten + 1));
                    (p, t) = (at + 1, eaten + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*ab*ab", "xabyabab", true),
            ("*ab*ab", "xab", false),
            ("d.?*", "d.t", true),
            ("d.?*", "d.", false),
            ("ö?", "öß", true),
        ];
        for (pattern, text, want) in cases {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }
}
