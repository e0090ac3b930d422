//! Bodies and headers of good form with bad things in them.

use bytes::Bytes;
use hyper::Method;
use loadlock_sandbox::{EngineKind, Sandbox};

use super::Guarded;
use crate::support::{Answer, Client, Headers, ROOT, call, rows};

/// A one-phase load into `d.t`.
async fn load(sandbox: &Sandbox, label: &str, headers: &[(String, String)], body: impl Into<Bytes>) -> Answer {
    let mut all = vec![ROOT, ("label", label), ("expect", "100-continue"), ("max_filter_ratio", "1")];
    all.extend(headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    call(sandbox.backend, Method::PUT, "/api/d/t/_stream_load", &all, body).await.unwrap()
}

fn deep(levels: usize) -> String {
    format!("{}{}", "[".repeat(levels), "]".repeat(levels))
}

/// Name, headers, body, and for StarRocks and Doris: `loaded/filtered` or a piece of the answer.
type Case = (&'static str, Vec<(String, String)>, Vec<u8>, [&'static str; 2]);

fn cases() -> Vec<Case> {
    let with = |more: &[(&str, &str)]| -> Vec<(String, String)> {
        let json = [("format", "json"), ("read_json_by_line", "true")];
        json.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let csv = || vec![("column_separator".to_owned(), ",".to_owned()), ("columns".to_owned(), "id,v".to_owned())];
    let same = |want| [want, want];
    let json = |name, body: String, want| (name, with(&[]), body.into_bytes(), want);
    let chain = "1=1".to_owned() + &" AND 1=1".repeat(20_000);
    let nested = format!("{}1=1{}", "(".repeat(2000), ")".repeat(2000));
    let wide = (0..50_000).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(",");
    let wildcards = format!("id, w, v = if(w like '{}b', 'y', 'n')", "%a".repeat(50));
    let digits = "9".repeat(100_000);
    vec![
        json("JSON of 1,000 levels", format!("{{\"id\":1,\"j\":{}}}", deep(1000)), same("1/0")),
        json("JSON of 10,000 levels", format!("{{\"id\":1,\"j\":{}}}", deep(10_000)), same("1/0")),
        json("a million levels", format!("{{\"id\":1,\"j\":{}}}", deep(1_000_000)), same("1/0")),
        json("levels that no column wants", format!("{{\"id\":1,\"x\":{}}}", deep(100_000)), same("1/0")),
        json("an array of arrays for numbers", format!("{{\"id\":1,\"a\":{}}}", deep(10_000)), same("1/0")),
        json("levels without an end", format!("{{\"id\":1,\"j\":{}", "[".repeat(100_000)), ["Fail", "0/1"]),
        json("a map of 50,000 keys", format!("{{\"id\":1,\"m\":{{{wide}}}}}"), same("1/0")),
        json(
            "numbers beyond all types",
            format!("{{\"id\":{digits},\"n\":{digits}.5,\"f\":1e999,\"s\":-1e99}}"),
            same("1/0"),
        ),
        json("exponents beyond all numbers", "{\"id\":1,\"n\":1e-99999999999,\"f\":1E99999999999}".into(), same("1/0")),
        json("no number", "{\"id\":NaN}".into(), ["Fail", "0/1"]),
        json("a number with a sign", "{\"id\":+1}".into(), ["Fail", "0/1"]),
        json("a date of digits", format!("{{\"id\":1,\"at\":\"{digits}\"}}"), same("1/0")),
        json("one half of a character", "{\"id\":1,\"v\":\"\\ud800\"}".into(), same("1/0")),
        json("a string without an end", "{\"id\":1,\"v\":\"".into(), ["Fail", "0/1"]),
        json("brackets that don't match", "{\"id\":[1}}".into(), ["Fail", "0/1"]),
        ("JSON that isn't UTF-8", with(&[]), b"{\"id\":1,\"v\":\"\xff\xfe\"}".to_vec(), ["Fail", "0/1"]),
        ("half a character of UTF-8", with(&[]), b"{\"id\":1,\"v\":\"\xe2\x82\"}".to_vec(), ["Fail", "0/1"]),
        ("NULs", with(&[]), b"\0\0\0\0".to_vec(), ["Fail", "0/1"]),
        ("CSV that isn't UTF-8", csv(), b"1,\xff\xfe\n2,ok\n\xe2\x82,x\n".to_vec(), same("1/2")),
        ("CSV with NULs", csv(), b"1,\0\n\0,2\n".to_vec(), same("2/0")),
        ("a line of 100,000 fields", csv(), "1,".repeat(100_000).into_bytes(), same("0/1")),
        ("a chain of conditions", with(&[("where", &chain)]), b"{\"id\":1}".to_vec(), same("more than 2000 words")),
        ("parentheses", with(&[("where", &nested)]), b"{\"id\":1}".to_vec(), same("more than 2000 words")),
        (
            "parentheses within the words",
            with(&[("where", &nested[1500..2503])]),
            b"{}".to_vec(),
            same("cannot be read"),
        ),
        (
            "wildcards",
            with(&[("columns", &wildcards)]),
            format!("{{\"id\":1,\"w\":\"{}\"}}", "a".repeat(5000)).into_bytes(),
            same("1/0"),
        ),
        (
            "a text that grows",
            with(&[("columns", "id, w, v = replace(w, 'a', w)")]),
            format!("{{\"id\":1,\"w\":\"{}\"}}", "a".repeat(100_000)).into_bytes(),
            same("1/0"),
        ),
        (
            "a path of 10,000 steps",
            with(&[("jsonpaths", &format!("[\"${}\"]", ".a".repeat(10_000))), ("columns", "id")]),
            b"{\"a\":1}".to_vec(),
            ["1/0", "0/1"],
        ),
        ("a zone beyond the day", with(&[("timezone", "+99999999999:00")]), b"{}".to_vec(), same("time zone")),
        ("half an expression", with(&[("columns", "id, v = (1 + ")]), b"{}".to_vec(), same("cannot be read")),
        ("jsonpaths that are no JSON", with(&[("jsonpaths", "[[[[")]), b"{}".to_vec(), same("Invalid json path")),
    ]
}

async fn check(kind: EngineKind) {
    let mut guarded = Guarded::start(kind).await;
    let mut wrong = Vec::new();
    for (number, (name, headers, body, want)) in cases().into_iter().enumerate() {
        let answer = load(&guarded.sandbox, &format!("l{number}"), &headers, body).await;
        let want = want[usize::from(kind == EngineKind::Doris)];
        let counts = format!("{}/{}", answer.field("NumberLoadedRows"), answer.field("NumberFilteredRows"));
        if counts != want && !answer.text.contains(want) {
            wrong.push(format!("{name}: {counts} and not {want}: {}", &answer.text[..answer.text.len().min(600)]));
        }
    }
    assert!(wrong.is_empty(), "{kind}:\n{}", wrong.join("\n"));
    guarded.serves("all of them").await;
    guarded.sandbox.stop().await;
}

#[tokio::test]
async fn starrocks_bodies() {
    check(EngineKind::StarRocks).await;
}

#[tokio::test]
async fn doris_bodies() {
    check(EngineKind::Doris).await;
}

#[tokio::test]
async fn headers_are_utf_8() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let guarded = Guarded::start(kind).await;
        let headers = [("format", "json"), ("read_json_by_line", "true"), ("columns", "id, größe, v = größe")];
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let answer = load(&guarded.sandbox, "l", &headers, "{\"id\":7,\"größe\":\"weit\"}").await;
        assert_eq!(answer.field("Status"), "Success", "{}", answer.text);
        assert_eq!(rows(&guarded.sandbox, "SELECT id, v FROM d.t").await, ["7|weit"], "{kind}");
        guarded.sandbox.stop().await;
    }
}

#[tokio::test]
async fn logins_that_aren_t() {
    let long = format!("Basic {}", "QUFB".repeat(2000));
    let logins: [Headers<'_>; 8] = [
        &[],
        &[("authorization", "")],
        &[("authorization", "Basic")],
        &[("authorization", "Basic cm9vdDp4")],
        &[("authorization", "Basic /////w==")],
        &[("authorization", "Basic cm9vdA==")],
        &[("authorization", "Bearer cm9vdDo=")],
        &[("authorization", &long)],
    ];
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let mut guarded = Guarded::start(kind).await;
        let sandbox = &guarded.sandbox;
        for login in logins {
            let call_of = [("label", "l"), ("db", "d"), ("table", "t"), ("expect", "100-continue")];
            let headers = [login, &call_of, &[("txn_operation", "commit"), ("txn_id", "1")]].concat();
            for (address, method, path) in [
                (sandbox.frontend, Method::PUT, "/api/d/t/_stream_load"),
                (sandbox.frontend, Method::GET, "/api/d/get_load_state?label=l"),
                (sandbox.frontend, Method::POST, "/api/transaction/begin"),
                (sandbox.frontend, Method::PUT, "/api/d/_stream_load_2pc"),
                (sandbox.backend, Method::PUT, "/api/d/t/_stream_load"),
                (sandbox.backend, Method::POST, "/api/transaction/begin"),
                (sandbox.backend, Method::PUT, "/api/d/_stream_load_2pc"),
            ] {
                let answer = call(address, method, path, &headers, "{\"id\":1}").await.unwrap();
                let refused = ["Access denied", "Need auth", "Basic auth", "Not Found", "no valid Basic"];
                assert!(refused.iter().any(|said| answer.text.contains(said)), "{kind} {path} {login:?}: {answer:?}");
            }
        }
        assert_eq!(Client(sandbox).state("l").await, "UNKNOWN", "nothing was begun");
        guarded.serves("wrong logins").await;
        guarded.sandbox.stop().await;
    }
}

#[tokio::test]
async fn types_that_are_too_deep() {
    crate::watch::panics_are_fatal();
    let ddl = |levels: usize| {
        format!("CREATE TABLE d.t (id INT, a {}INT{}) DUPLICATE KEY(id)", "ARRAY<".repeat(levels), ">".repeat(levels))
    };
    for (kind, levels_max) in [(EngineKind::StarRocks, 14), (EngineKind::Doris, 8)] {
        let tables = |levels| Sandbox::builder(kind).ddl(&ddl(levels)).tables();
        assert_eq!(tables(levels_max).unwrap(), ["d.t"]);
        for levels in [levels_max + 1, 100_000] {
            let refused = tables(levels).unwrap_err().to_string();
            assert!(refused.contains("Type exceeds the maximum nesting depth"), "{kind} {levels}: {refused}");
        }
    }
}

#[tokio::test]
async fn the_admin_port_takes_anything() {
    let mut guarded = Guarded::start(EngineKind::Doris).await;
    let post = |path: &'static str, body: String| call(guarded.sandbox.admin, Method::POST, path, &[], body);
    for body in [deep(100_000), "{\"advance_seconds\":-1}".into(), "{\"advance_seconds\":1e99}".into(), "\0".into()] {
        assert_eq!(post("/sandbox/clock", body.clone()).await.unwrap().status, 400);
        assert_eq!(post("/sandbox/faults", body).await.unwrap().status, 400);
    }
    for _ in 0..3 {
        let moved = post("/sandbox/clock", format!("{{\"advance_seconds\":{}}}", u64::MAX)).await.unwrap();
        assert_eq!(moved.status, 200, "{}", moved.text);
    }
    for sql in [
        String::new(),
        "(".repeat(500_000),
        format!("SELECT 1{}", "+1".repeat(400_000)),
        format!("SELECT {}1", "NOT ".repeat(200_000)),
        format!("SELECT * FROM {}d.t{}", "(SELECT * FROM ".repeat(5000), ")".repeat(5000)),
        format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(20_000)),
        "SELECT hex(zeroblob(1000000000))".into(),
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r".into(),
        "SELECT '".into(),
        "\0\0\0".into(),
    ] {
        let refused = post("/sandbox/sql", sql.clone()).await.unwrap();
        assert_eq!(refused.status, 400, "{}: {}", &sql[..sql.len().min(60)], refused.text);
    }
    guarded.serves("all of them").await;
    guarded.sandbox.stop().await;
}
