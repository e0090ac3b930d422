//! Bodies: rows, counts and errors are the same however a body is cut.
//!
//! The first byte chooses engine and format, the second separators and quotes, the third how the body is cut.

use loadlock_sandbox::{DryOutcome, DryRun, EngineKind};

use super::house::DDL;

type Headers = [(&'static str, &'static str)];

const FORMATS: [&Headers; 8] = [
    &[("format", "json"), ("read_json_by_line", "true")],
    &[("format", "json"), ("strip_outer_array", "true")],
    &[("format", "json"), ("strip_outer_array", "true"), ("read_json_by_line", "true")],
    &[("format", "json"), ("json_root", "$.r"), ("strip_outer_array", "true")],
    &[("format", "json"), ("json_root", "$.r")],
    &[("format", "json"), ("jsonpaths", r#"["$.id","$.j.a[0]","$"]"#), ("columns", "id,v,j")],
    &[("format", "csv")],
    &[("format", "csv"), ("columns", "id,v,m")],
];

const FORMS: [&Headers; 8] = [
    &[("column_separator", ",")],
    &[("column_separator", ","), ("enclose", "\"")],
    &[("column_separator", ","), ("enclose", "\""), ("escape", "\\")],
    &[("column_separator", "||"), ("row_delimiter", "@@"), ("line_delimiter", "@@"), ("enclose", "\"")],
    &[("column_separator", "aab"), ("row_delimiter", "aac"), ("line_delimiter", "aac")],
    &[("column_separator", ","), ("skip_header", "1"), ("skip_lines", "1"), ("trim_double_quotes", "true")],
    &[("column_separator", "\\x01"), ("row_delimiter", "\\x02"), ("line_delimiter", "\\x02"), ("escape", "\\")],
    &[("column_separator", ","), ("enclose", "'"), ("trim_space", "true"), ("empty_field_as_null", "true")],
];

/// Takes one input.
pub(crate) fn run(data: &[u8]) {
    let Some(([format, form, cuts], body)) = data.split_first_chunk() else { return };
    let kind = if format & 1 == 0 { EngineKind::StarRocks } else { EngineKind::Doris };
    let strict = if format & 2 == 0 { "true" } else { "false" };
    let mut headers = vec![("strict_mode", strict), ("max_filter_ratio", "1")];
    headers.extend_from_slice(FORMATS[usize::from(format >> 2) % FORMATS.len()]);
    headers.extend_from_slice(FORMS[usize::from(*form) % FORMS.len()]);
    let Some(whole) = outcome(kind, &headers, [body]) else { return };
    assert_eq!(whole.total, whole.loaded + whole.filtered + whole.unselected, "{whole:?}");
    assert_eq!((whole.loaded, whole.bytes), (whole.rows.len() as u64, body.len() as u64));
    assert_eq!(outcome(kind, &headers, pieces(body, *cuts)).as_ref(), Some(&whole), "cut by {cuts}");
    assert_eq!(outcome(kind, &headers, body.chunks(1)).as_ref(), Some(&whole), "byte by byte");
}

fn outcome<'b>(kind: EngineKind, headers: &Headers, pieces: impl IntoIterator<Item = &'b [u8]>) -> Option<DryOutcome> {
    let mut run = DryRun::new(kind, DDL, headers).ok()?;
    pieces.into_iter().for_each(|piece| run.push(piece));
    Some(run.finish())
}

/// Pieces of different lengths, some of them empty.
fn pieces(mut body: &[u8], cuts: u8) -> Vec<&[u8]> {
    let mut state = u32::from(cuts) | 1;
    let mut pieces = Vec::new();
    while !body.is_empty() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (piece, rest) = body.split_at(body.len().min((state >> 28) as usize));
        pieces.push(piece);
        body = rest;
    }
    pieces
}
