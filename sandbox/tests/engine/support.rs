//! A small HTTP client that hides nothing: one connection per call, redirects followed by hand.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use loadlock_sandbox::{EngineKind, Sandbox};
use serde_json::Value;
use tokio::net::TcpStream;

/// How long a call or a condition may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Header names and values.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) location: Option<String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("no JSON ({e}): {}", self.text))
    }

    /// A field's text, `-` if it is absent.
    pub(crate) fn field(&self, name: &str) -> String {
        let value = &self.json()[name];
        if value.is_null() {
            return "-".to_owned();
        }
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }
}

/// One call; an error is a connection that ended without an answer.
pub(crate) async fn call(
    address: SocketAddr,
    method: Method,
    path: &str,
    headers: Headers<'_>,
    body: impl Into<Bytes>,
) -> Result<Answer, hyper::Error> {
    crate::watch::panics_are_fatal();
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(body.into())).unwrap();
    let response = tokio::time::timeout(DEADLINE, sender.send_request(request)).await.expect("no answer in time")?;
    let status = response.status().as_u16();
    let location = response.headers().get("location").map(|v| v.to_str().unwrap().to_owned());
    let body = response.into_body().collect().await?.to_bytes();
    connection.abort();
    Ok(Answer { status, location, text: String::from_utf8(body.to_vec()).unwrap() })
}

/// Where a redirect leads; it has to be the same path.
pub(crate) fn target(redirect: &Answer, path: &str) -> SocketAddr {
    let location = redirect.location.as_deref().expect("no Location");
    let rest = location.strip_prefix("http://").unwrap_or_else(|| panic!("{location}"));
    let (authority, rest) = rest.split_at(rest.find('/').unwrap());
    assert_eq!(rest, path, "{location}");
    authority.rsplit('@').next().unwrap().parse().unwrap_or_else(|_| panic!("{location}"))
}

/// The header of user root without a password.
pub(crate) const ROOT: (&str, &str) = ("authorization", "Basic cm9vdDo=");

/// A client of one sandbox: asks the first frontend without a body and goes where it is sent, to a backend with the
/// body.
pub(crate) struct Client<'a>(pub(crate) &'a Sandbox);

impl Client<'_> {
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: Headers<'_>,
        body: &str,
    ) -> Result<Answer, hyper::Error> {
        let mut all = vec![ROOT];
        all.extend_from_slice(headers);
        self.send_to(self.0.frontend, method, path, &all, body).await
    }

    /// The same beginning at any node. A follower sends to the leader, which may send to a backend.
    pub(crate) async fn send_to(
        &self,
        mut node: SocketAddr,
        method: Method,
        path: &str,
        headers: Headers<'_>,
        body: &str,
    ) -> Result<Answer, hyper::Error> {
        for _hop in 0..3 {
            let own_body = if self.0.backends.contains(&node) { body.to_owned() } else { String::new() };
            let answer = call(node, method.clone(), path, headers, own_body).await?;
            if answer.status != 307 {
                return Ok(answer);
            }
            node = target(&answer, path);
        }
        panic!("more than two redirects");
    }

    /// A transaction call of StarRocks on database `d`, table `t`.
    pub(crate) async fn txn(&self, op: &str, label: &str, more: Headers<'_>, body: &str) -> Answer {
        self.try_txn(op, label, more, body).await.unwrap_or_else(|e| panic!("{op} {label}: {e}"))
    }

    pub(crate) async fn try_txn(
        &self,
        op: &str,
        label: &str,
        more: Headers<'_>,
        body: &str,
    ) -> Result<Answer, hyper::Error> {
        let mut headers = vec![("label", label), ("db", "d"), ("table", "t")];
        headers.extend_from_slice(more);
        if op == "load" {
            headers.extend([("format", "json"), ("expect", "100-continue")]);
        }
        let method = if op == "load" { Method::PUT } else { Method::POST };
        self.send(method, &format!("/api/transaction/{op}"), &headers, body).await
    }

    /// State of a label in database `d`.
    pub(crate) async fn state(&self, label: &str) -> String {
        let answer = self.send(Method::GET, &format!("/api/d/get_load_state?label={label}"), &[], "").await.unwrap();
        match self.0.kind {
            EngineKind::StarRocks => answer.field("state"),
            EngineKind::Doris => answer.field("data"),
        }
    }

    /// A two-phase Stream Load of Doris into `d.t`.
    pub(crate) async fn put(&self, label: &str, more: Headers<'_>, body: &str) -> Result<Answer, hyper::Error> {
        let mut headers = vec![
            ("label", label),
            ("two_phase_commit", "true"),
            ("format", "json"),
            ("read_json_by_line", "true"),
            ("expect", "100-continue"),
        ];
        headers.retain(|(name, _)| more.iter().all(|(other, _)| other != name));
        headers.extend_from_slice(more);
        self.send(Method::PUT, "/api/d/t/_stream_load", &headers, body).await
    }

    /// A second phase of Doris.
    pub(crate) async fn second(&self, operation: &str, by: (&str, &str)) -> Answer {
        self.send(Method::PUT, "/api/d/t/_stream_load_2pc", &[("txn_operation", operation), by], "").await.unwrap()
    }
}

/// One cell of a query that returns one.
pub(crate) async fn one(sandbox: &Sandbox, sql: &str) -> String {
    let rows = sandbox.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    rows[0][0].clone().unwrap_or_else(|| "NULL".to_owned())
}

/// Rows as text, cells divided by `|`.
pub(crate) async fn rows(sandbox: &Sandbox, sql: &str) -> Vec<String> {
    let rows = sandbox.sql(sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    let line = |row: Vec<Option<String>>| {
        row.into_iter().map(|c| c.unwrap_or_else(|| "NULL".to_owned())).collect::<Vec<_>>().join("|")
    };
    rows.into_iter().map(line).collect()
}

/// Waits for a condition.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let started = Instant::now();
    while !condition().await {
        assert!(started.elapsed() < DEADLINE, "not within {DEADLINE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
