//! What becomes of values in columns: tables of cases for both engines, through the whole sandbox.

use loadlock_sandbox::{EngineKind, Sandbox};

use crate::support::{Client, rows};

/// Marks a row that is refused.
const FILTERED: &str = "FILTERED";

/// Column type | JSON value | kept when strict | kept when not strict.
struct Case<'a> {
    line: usize,
    ty: &'a str,
    value: &'a str,
    strict: &'a str,
    lenient: &'a str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(number, line)| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [ty, value, strict, lenient] = cells[..] else { panic!("line {}: {line}", number + 1) };
            let lenient = if lenient == "same" { strict } else { lenient };
            Case { line: number + 1, ty, value, strict, lenient }
        })
        .collect()
}

/// Loads every case as a row of its own label-free table and reads it back.
async fn check(kind: EngineKind, text: &str) {
    let cases = cases(text);
    let ddl: String = cases.iter().map(|c| format!("CREATE TABLE d.c{} (v {});", c.line, c.ty)).collect();
    let sandbox = Sandbox::builder(kind).ddl(&ddl).start().await.unwrap();
    let client = Client(&sandbox);
    let mut wrong = Vec::new();
    for case in &cases {
        for (strict, want) in [("true", case.strict), ("false", case.lenient)] {
            let table = format!("c{}", case.line);
            let label = format!("{table}-{strict}");
            let headers = [
                ("label", label.as_str()),
                ("format", "json"),
                ("expect", "100-continue"),
                ("strict_mode", strict),
                ("timezone", "UTC"),
            ];
            let path = format!("/api/d/{table}/_stream_load");
            let body = format!("{{\"v\":{}}}", case.value);
            let answer = client.send(hyper::Method::PUT, &path, &headers, &body).await.unwrap();
            let got = match answer.field("Status").as_str() {
                "Success" => rows(&sandbox, &format!("SELECT v FROM {table}")).await.pop().unwrap(),
                _ if answer.field("NumberFilteredRows") == "1" => FILTERED.to_owned(),
                _ => answer.text,
            };
            if got != want {
                wrong
                    .push(format!("line {}: {} {} strict={strict}: {got}, not {want}", case.line, case.ty, case.value));
            }
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
    sandbox.stop().await;
}

#[tokio::test]
async fn starrocks_values() {
    check(EngineKind::StarRocks, include_str!("../data/types/starrocks.txt")).await;
}

#[tokio::test]
async fn doris_values() {
    check(EngineKind::Doris, include_str!("../data/types/doris.txt")).await;
}
