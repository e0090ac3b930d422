//! What loads do to tables: cases of both engines, each a table, its loads one behind the other, and what it holds then.
//!
//! A case is a block of lines: `case NAME`, `ddl TEXT` (its table is `d.t`), and loads. A load is `load HEADERS` with
//! lines of its body behind `>`, then `counts TOTAL LOADED FILTERED UNSELECTED` and pieces of its answer or error log
//! behind `says`. `row` lines end the case: all rows, ordered by their text. `part HEADERS` is a load that shares its
//! transaction with the next one (StarRocks).

use hyper::Method;
use loadlock_sandbox::{EngineKind, Sandbox};

use crate::support::{Answer, Client, call, rows};

#[derive(Default)]
struct Case<'a> {
    name: &'a str,
    ddl: String,
    loads: Vec<Load<'a>>,
    rows: Vec<&'a str>,
}

#[derive(Default)]
struct Load<'a> {
    headers: Vec<(&'a str, &'a str)>,
    is_part: bool,
    body: Vec<&'a str>,
    counts: Option<&'a str>,
    says: Vec<&'a str>,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if word == "case" {
            cases.push(Case { name: rest, ..Case::default() });
            continue;
        }
        let case = cases.last_mut().unwrap_or_else(|| panic!("line {}: {line}", number + 1));
        match (word, case.loads.last_mut()) {
            ("ddl", _) => case.ddl = rest.replace("d.t", &format!("d.c{}", number + 1)),
            ("load" | "part", _) => {
                let headers = rest.split("; ").filter(|h| !h.is_empty()).map(|h| h.split_once(": ").expect(h));
                case.loads.push(Load { headers: headers.collect(), is_part: word == "part", ..Load::default() });
            }
            (">", Some(load)) => load.body.push(rest),
            ("counts", Some(load)) => load.counts = Some(rest),
            ("says", Some(load)) => load.says.push(rest),
            ("row", _) => case.rows.push(rest),
            _ => panic!("line {}: {line}", number + 1),
        }
    }
    cases
}

fn table(case: &Case<'_>) -> String {
    case.ddl.split("d.").nth(1).unwrap().split([' ', '(']).next().unwrap().to_owned()
}

/// Runs one load; all but the last part of a StarRocks transaction say nothing of rows.
async fn run(client: &Client<'_>, table: &str, label: &str, load: &Load<'_>, part: Option<usize>) -> Answer {
    let mut body = load.body.join("\n");
    let has_own_delimiter = load.headers.iter().any(|(name, _)| name.ends_with("_delimiter"));
    if !body.is_empty() && !has_own_delimiter {
        body.push('\n');
    }
    let mut headers = vec![("label", label), ("expect", "100-continue"), ("timezone", "UTC")];
    headers.extend_from_slice(&load.headers);
    let Some(part) = part else {
        return client.send(Method::PUT, &format!("/api/d/{table}/_stream_load"), &headers, &body).await.unwrap();
    };
    headers.extend([("db", "d"), ("table", table)]);
    if part == 0 {
        let begun = client.send(Method::POST, "/api/transaction/begin", &headers, "").await.unwrap();
        assert_eq!(begun.field("Status"), "OK", "{}", begun.text);
    }
    let loaded = client.send(Method::PUT, "/api/transaction/load", &headers, &body).await.unwrap();
    if load.is_part || loaded.field("Status") != "OK" {
        return loaded;
    }
    let prepared = client.send(Method::POST, "/api/transaction/prepare", &headers, "").await.unwrap();
    if prepared.field("Status") == "OK" {
        let committed = client.send(Method::POST, "/api/transaction/commit", &headers, "").await.unwrap();
        assert_eq!(committed.field("Status"), "OK", "{}", committed.text);
    }
    prepared
}

/// The answer with the error log behind it.
async fn with_log(sandbox: &Sandbox, answer: &Answer) -> String {
    let url = answer.field("ErrorURL");
    let Some(path) = url.strip_prefix(&format!("http://{}", sandbox.backend)) else { return answer.text.clone() };
    let log = call(sandbox.backend, Method::GET, path, &[], "").await.unwrap().text;
    format!("{}\n{log}", answer.text)
}

async fn check(kind: EngineKind, text: &str) {
    let cases = cases(text);
    let ddl: String = cases.iter().map(|case| format!("{};", case.ddl)).collect();
    let sandbox = Sandbox::builder(kind).ddl(&ddl).start().await.unwrap();
    let client = Client(&sandbox);
    let mut wrong = Vec::new();
    for case in &cases {
        let table = table(case);
        let (mut label, mut part) = (String::new(), None);
        for (number, load) in case.loads.iter().enumerate() {
            part = match part {
                None if load.is_part => Some(0),
                None => None,
                Some(part) => Some(part + 1),
            };
            if part.is_none_or(|part| part == 0) {
                label = format!("{table}-{number}");
            }
            let answer = run(&client, &table, &label, load, part).await;
            if !load.is_part {
                part = None;
            }
            let names = ["NumberTotalRows", "NumberLoadedRows", "NumberFilteredRows", "NumberUnselectedRows"];
            let counts = names.map(|name| answer.field(name)).join(" ");
            let all = with_log(&sandbox, &answer).await;
            if load.counts.is_some_and(|want| want != counts) {
                wrong.push(format!("{}, load {number}: counts {counts}: {all}", case.name));
            }
            let unsaid = load.says.iter().filter(|piece| !all.contains(**piece));
            wrong.extend(unsaid.map(|piece| format!("{}, load {number}: no {piece} in {all}", case.name)));
        }
        let mut got = rows(&sandbox, &format!("SELECT * FROM {table}")).await;
        got.sort();
        if got != case.rows {
            wrong.push(format!("{}: {got:?}, not {:?}", case.name, case.rows));
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
    sandbox.stop().await;
}

#[tokio::test]
async fn starrocks_loads() {
    check(EngineKind::StarRocks, include_str!("../data/loads/starrocks.txt")).await;
}

#[tokio::test]
async fn doris_loads() {
    check(EngineKind::Doris, include_str!("../data/loads/doris.txt")).await;
}
