//! Tables of statements with what they give, for both engines; prepared statements; what survives a restart.

use loadlock_sandbox::{EngineKind, Sandbox};

use crate::client::{Client, Said};

/// A statement and the lines that it gives: `= row`, or `! part of the text`, with the code before it where the engines agree.
struct Case {
    line: usize,
    sql: String,
    want: Vec<String>,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        match (line.strip_prefix("= ").or(line.strip_prefix("! ").map(|_| line)), cases.last_mut()) {
            (Some(want), Some(case)) => case.want.push(want.to_owned()),
            (Some(_), None) => panic!("line {}: nothing was asked", number + 1),
            (None, Some(case)) if line.starts_with("  ") => case.sql.push_str(&format!("\n{line}")),
            (None, _) => cases.push(Case { line: number + 1, sql: line.to_owned(), want: Vec::new() }),
        }
    }
    cases
}

fn is_as_wanted(got: &Said, want: &[String]) -> bool {
    match (got, want) {
        (Said::Error(code, _, text), [want]) => {
            let Some(want) = want.strip_prefix("! ") else { return false };
            match want.split_once(' ') {
                Some((number, part)) if number.parse::<u16>().is_ok() => {
                    code.to_string() == number && text.contains(part)
                }
                _ => text.contains(want),
            }
        }
        (got, want) => got.lines() == want,
    }
}

async fn check(kind: EngineKind, text: &str) {
    crate::watch::panics_are_fatal();
    let sandbox = Sandbox::builder(kind).ddl("CREATE DATABASE shop").start().await.unwrap();
    let mut client = Client::root(sandbox.query).await;
    let mut wrong = Vec::new();
    let cases = cases(text);
    assert!(cases.len() > 20, "only {} cases were read", cases.len());
    for Case { line, sql, want } in cases {
        let got = client.query(&sql).await;
        if !is_as_wanted(&got, &want) {
            wrong.push(format!("line {line}: {sql}\n  got  {:?}\n  want {want:?}", got.lines()));
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
    sandbox.stop().await;
}

#[tokio::test]
async fn starrocks_statements() {
    let text = [include_str!("../data/sql/both.txt"), include_str!("../data/sql/starrocks.txt")].concat();
    check(EngineKind::StarRocks, &text).await;
}

#[tokio::test]
async fn doris_statements() {
    let text = [include_str!("../data/sql/both.txt"), include_str!("../data/sql/doris.txt")].concat();
    let text = text.replace("PRIMARY KEY", "UNIQUE KEY");
    check(EngineKind::Doris, &text).await;
}

#[tokio::test]
async fn columns_have_their_types() {
    let sandbox = Sandbox::builder(EngineKind::StarRocks)
        .ddl("CREATE TABLE d.t (b BOOLEAN, i INT, n BIGINT, l LARGEINT, m DECIMAL(12,2), f DOUBLE, day DATE, at DATETIME, s VARCHAR(9))")
        .start()
        .await
        .unwrap();
    let mut client = Client::root(sandbox.query).await;
    let sql = "SELECT b, i, n, l, m, f, day, at, s, count(*) OVER_ALL, sum(m) AS total FROM d.t GROUP BY b, i, n, l, m, f, day, at, s";
    let Said::Rows(columns, _) = client.query(sql).await else { panic!("no rows") };
    let types: Vec<String> =
        columns.iter().map(|c| format!("{}.{} {:x}/{}/{}", c.table, c.name, c.code, c.charset, c.decimals)).collect();
    let want = [
        "t.b 1/63/0",
        "t.i 3/63/0",
        "t.n 8/63/0",
        "t.l fe/33/0",
        "t.m f6/63/2",
        "t.f 5/63/31",
        "t.day a/63/0",
        "t.at c/63/6",
        "t.s fd/33/0",
        ".OVER_ALL 8/63/0",
        ".total f6/63/2",
    ];
    assert_eq!(types, want);
    sandbox.stop().await;
}

#[tokio::test]
async fn prepared_statements() {
    let sandbox = Sandbox::builder(EngineKind::Doris)
        .ddl("CREATE TABLE d.t (id BIGINT, m DECIMAL(12,2), f DOUBLE, day DATE, at DATETIME, s VARCHAR(99)) UNIQUE KEY(id)")
        .start()
        .await
        .unwrap();
    let mut client = Client::root(sandbox.query).await;
    let rows =
        "(1, 12.5, 0.5, '2024-02-03', '2024-02-03 04:05:06', 'it''s'), (9007199254740993, -3, NULL, NULL, NULL, NULL)";
    assert_eq!(client.query(&format!("INSERT INTO d.t VALUES {rows}")).await, Said::Ok(2));
    let (id, columns) = client.prepare("SELECT * FROM d.t WHERE id = ? AND '?' = '?'").await;
    assert_eq!(columns.len(), 6);
    let big = 9_007_199_254_740_993_i64.to_le_bytes();
    let all = client.execute(id, &[(0x08, Some(&1_i64.to_le_bytes()))]).await;
    assert_eq!(all.lines(), ["1|12.50|0.5|[232, 7, 2, 3]|[232, 7, 2, 3, 4, 5, 6]|it's"]);
    assert_eq!(client.execute(id, &[(0x08, Some(&big))]).await.lines(), ["9007199254740993|-3.00|NULL|NULL|NULL|NULL"]);
    assert_eq!(client.execute(id, &[(0x08, None)]).await.lines(), [""; 0]);

    let (other, _) = client.prepare("SELECT id FROM d.t WHERE s = ? OR day = ? ORDER BY id LIMIT ?").await;
    let quote = b"\x04it's";
    let day = [4, 0xe8, 7, 2, 3];
    let one = 1_i32.to_le_bytes();
    let said = client.execute(other, &[(0xfd, Some(quote)), (0x0a, Some(&day)), (0x03, Some(&one))]).await;
    assert_eq!(said.lines(), ["1"]);
    let injected = b"\x0b' OR 1=1 -- ";
    let injected = [&[12], &injected[1..]].concat();
    let said = client.execute(other, &[(0xfd, Some(&injected)), (0x0a, None), (0x03, Some(&one))]).await;
    assert_eq!(said.lines(), [""; 0]);
    // Closed statements are gone.
    client.command(0x19, &id.to_le_bytes()).await;
    assert!(matches!(client.execute(id, &[(0x08, None)]).await, Said::Error(1243, ..)));
    sandbox.stop().await;
}

#[tokio::test]
async fn tables_that_were_made_by_sql_outlive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let start = || Sandbox::builder(EngineKind::StarRocks).ddl("CREATE TABLE d.a (id INT)").dir(dir.path()).start();
    let sandbox = start().await.unwrap();
    let mut client = Client::root(sandbox.query).await;
    for sql in [
        "CREATE DATABASE shop",
        "CREATE TABLE shop.t (id BIGINT, v DECIMAL(10,2)) PRIMARY KEY (id) DISTRIBUTED BY HASH(id)",
        "CREATE TABLE shop.gone (id BIGINT)",
        "DROP TABLE shop.gone",
    ] {
        assert_eq!(client.query(sql).await, Said::Ok(0), "{sql}");
    }
    assert_eq!(client.query("INSERT INTO shop.t VALUES (1, 0.1), (2, 0.2)").await, Said::Ok(2));
    assert_eq!(client.query("DELETE FROM shop.t WHERE v < 0.15").await, Said::Ok(1));
    sandbox.stop().await;

    let sandbox = start().await.unwrap();
    let mut client = Client::root(sandbox.query).await;
    assert_eq!(client.query("SELECT * FROM shop.t").await.lines(), ["2|0.20"]);
    assert_eq!(client.query("SHOW TABLES FROM shop").await.lines(), ["t"]);
    assert_eq!(client.query("TRUNCATE TABLE shop.t").await, Said::Ok(0));
    assert_eq!(client.query("SELECT count(*) FROM shop.t").await.lines(), ["0"]);
    sandbox.stop().await;
}
