//! Expressions of the headers `columns` and `where`: refused, or worked out for every row without a row lost.
//!
//! The first byte chooses the engine; then `columns`, `where` and a JSON body, divided by lines of `---`.

use loadlock_sandbox::{DryRun, EngineKind};

use super::house::DDL;

/// Takes one input.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let kind = if choice & 1 == 0 { EngineKind::StarRocks } else { EngineKind::Doris };
    let mut parts = text.split("\n---\n");
    let (columns, condition) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let body = parts.next().unwrap_or(r#"{"id":"1","v":"x","m":1.5,"day":"2024-02-03"}"#);
    let strict = if choice & 2 == 0 { "true" } else { "false" };
    let mut headers = vec![("format", "json"), ("strict_mode", strict), ("read_json_by_line", "true")];
    if !columns.is_empty() {
        headers.push(("columns", columns));
    }
    if !condition.is_empty() {
        headers.push(("where", condition));
    }
    let Ok(mut run) = DryRun::new(kind, DDL, &headers) else { return };
    run.push(body.as_bytes());
    let outcome = run.finish();
    assert_eq!(outcome.total, outcome.loaded + outcome.filtered + outcome.unselected, "{outcome:?}");
    assert_eq!(outcome.loaded, outcome.rows.len() as u64, "{outcome:?}");
}
