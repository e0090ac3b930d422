//! The sandbox's admin port.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::Value;
use tokio::runtime::Runtime;

use crate::Failure;

/// Longest wait for an answer; the judge's questions take seconds.
const DEADLINE: Duration = Duration::from_secs(120);

/// Asks the sandbox. One question at a time, from the runner's only thread.
pub(crate) struct Admin {
    runtime: Runtime,
    client: Client<HttpConnector, Full<Bytes>>,
    at: String,
}

#[derive(Deserialize)]
struct Rows {
    rows: Vec<Vec<Option<String>>>,
}

impl Admin {
    pub(crate) fn new(port: u16) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Ok(Self { runtime, client, at: format!("http://127.0.0.1:{port}/sandbox") })
    }

    /// Sends a request and reads the answer as JSON.
    pub(crate) fn ask(&self, method: Method, path: &str, body: String) -> Result<Value, Failure> {
        let text = self.text(method, path, body)?;
        serde_json::from_slice(&text).map_err(|error| format!("{path}: {error}"))
    }

    /// Runs a SELECT.
    pub(crate) fn sql(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, Failure> {
        let text = self.text(Method::POST, "sql", sql.to_owned())?;
        let found: Rows = serde_json::from_slice(&text).map_err(|error| format!("{sql}: {error}"))?;
        Ok(found.rows)
    }

    fn text(&self, method: Method, path: &str, body: String) -> Result<Bytes, Failure> {
        let request = Request::builder().method(method).uri(format!("{}/{path}", self.at)).body(Full::from(body));
        let request = request.map_err(|error| error.to_string())?;
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| format!("{path}: {error}"))?;
            let good = response.status().is_success();
            let body = response.into_body().collect().await.map_err(|error| format!("{path}: {error}"))?.to_bytes();
            if good { Ok(body) } else { Err(format!("{path}: {}", String::from_utf8_lossy(&body))) }
        };
        self.runtime.block_on(async {
            tokio::time::timeout(DEADLINE, answer).await.map_err(|_| format!("{path}: no answer in {DEADLINE:?}"))?
        })
    }
}
