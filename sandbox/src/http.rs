//! HTTP/1.1 listeners and the few helpers that every node needs.

use std::borrow::Cow;
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::ser::SerializeMap;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::delivery::{ResetSwitch, Wire, deliver};

/// A request as it arrives.
pub(crate) type HttpRequest = Request<Incoming>;
/// An answer; all of ours are small.
pub(crate) type HttpResponse = Response<Full<Bytes>>;

/// The connection is closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is dropped on purpose")]
pub(crate) struct HangUp;

/// How long open connections may go on after a stop.
const STOP_GRACE: Duration = Duration::from_secs(2);
/// Largest header block, as the frontends of both engines take it or more.
const HEADERS_MAX_BYTES: usize = 1 << 20;
/// Most header lines of one request.
const HEADERS_MAX: usize = 200;
/// How long a connection may take to send its headers, or stay idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(300);
/// Pause before the next connection is accepted when none could be: without file descriptors the error comes back at once.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What a node takes of a request's head, beyond which it says 400.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadLimits {
    /// Bytes of the first line.
    pub(crate) line: usize,
    /// Bytes of all header lines together.
    pub(crate) headers: usize,
}

impl HeadLimits {
    /// Whatever the listener takes.
    pub(crate) const NONE: Self = Self { line: usize::MAX, headers: usize::MAX };
    /// StarRocks' frontend (`http_max_initial_line_length`, `http_max_header_size`).
    pub(crate) const STARROCKS: Self = Self { line: 4096, headers: 32_768 };

    /// The frontend's page for a head that its decoder refuses (`HttpServerHandler::validateRequest`).
    fn refuse(self, request: &HttpRequest) -> Option<HttpResponse> {
        let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
        let line = request.method().as_str().len() + path + " ".len() + " HTTP/1.1".len();
        let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + 2 + value.len()).sum();
        let too_long = if line > self.line {
            format!("An HTTP line is larger than {} bytes.", self.line)
        } else if headers > self.headers {
            format!("HTTP header is larger than {} bytes.", self.headers)
        } else {
            return None;
        };
        let page = format!("Bad Request. <br/> {too_long}");
        let mut refusal = response(StatusCode::BAD_REQUEST, "text/html", page);
        refusal.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        Some(refusal)
    }
}

/// Binds and listens on a loopback port; 0 picks a free one.
pub(crate) async fn bind(port: u16) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// Serves until `stop` changes.
pub(crate) async fn serve<F, A>(listener: TcpListener, mut stop: watch::Receiver<bool>, limits: HeadLimits, answer: F)
where
    F: Fn(HttpRequest) -> A + Send + Sync + 'static,
    A: Future<Output = Result<HttpResponse, HangUp>> + Send + 'static,
{
    let answer = Arc::new(answer);
    // Gone when this future is dropped: so do requests end whose node was killed.
    let (_alive, killed) = watch::channel(());
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = stop.changed() => break,
        };
        let _ = stream.set_nodelay(true);
        let reset = ResetSwitch::default();
        let wire = Wire::new(stream, reset.clone());
        let ends = Ends { stop: stop.clone(), killed: killed.clone(), reset };
        connections.spawn(serve_one(wire, ends, limits, Arc::clone(&answer)));
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// What ends a connection before its client does.
#[derive(Clone, Debug)]
pub(crate) struct Ends {
    /// Changes when the sandbox stops: requests under way get a grace period.
    pub(crate) stop: watch::Receiver<bool>,
    /// Closed when the node's process dies: so do its requests.
    pub(crate) killed: watch::Receiver<()>,
    /// Set when a fault has it end with a reset.
    pub(crate) reset: ResetSwitch,
}

/// Serves one connection. Each request runs in a task of its own, so that an effect that has begun comes to its end when
/// the client goes away, as it does in an engine.
pub(crate) async fn serve_one<S, F, A>(stream: S, ends: Ends, limits: HeadLimits, answer: Arc<F>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: Fn(HttpRequest) -> A + Send + Sync + 'static,
    A: Future<Output = Result<HttpResponse, HangUp>> + Send + 'static,
{
    let Ends { mut stop, killed, reset } = ends;
    let service = service_fn(move |mut request: HttpRequest| {
        let running = match limits.refuse(&request) {
            Some(refusal) => Err(refusal),
            None => {
                make_text(request.headers_mut());
                Ok(tokio::spawn(unless_killed(killed.clone(), answer(request))))
            }
        };
        let reset = reset.clone();
        async move {
            let answer = match running {
                Err(refusal) => Ok(refusal),
                Ok(running) => running.await.unwrap_or_else(|died| {
                    tracing::error!(%died, "a request could not be answered; this is a defect of the sandbox");
                    Err(HangUp)
                }),
            };
            deliver(answer?, &reset).await
        }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    server.max_buf_size(HEADERS_MAX_BYTES).max_headers(HEADERS_MAX);
    let connection = server.serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = stop.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = tokio::time::timeout(STOP_GRACE, connection).await;
}

/// Makes every header UTF-8, as it is when a backend hands it to its frontend: what is none becomes a replacement character.
fn make_text(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        if let Cow::Owned(text) = String::from_utf8_lossy(value.as_bytes())
            && let Ok(text) = HeaderValue::from_bytes(text.as_bytes())
        {
            *value = text;
        }
    }
}

/// Comes to its end unless the node dies first.
async fn unless_killed(
    mut killed: watch::Receiver<()>,
    answer: impl Future<Output = Result<HttpResponse, HangUp>>,
) -> Result<HttpResponse, HangUp> {
    tokio::select! {
        biased;
        _ = killed.changed() => Err(HangUp),
        answered = answer => answered,
    }
}

/// An answer with a content type.
pub(crate) fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> HttpResponse {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// What a backend's HTTP library answers to a body that stops being HTTP (`evhttp_connection_incoming_fail`).
pub(crate) fn garbled() -> HttpResponse {
    let mut page = response(StatusCode::BAD_REQUEST, "text/html", "<h1>Bad Request</h1>");
    page.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    page
}

/// Plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> HttpResponse {
    response(status, "text/plain; charset=utf-8", body)
}

/// JSON on one line, HTTP 200.
pub(crate) fn json(body: &impl Serialize) -> HttpResponse {
    response(StatusCode::OK, "application/json", serde_json::to_vec(body).unwrap_or_default())
}

/// JSON indented by `indent` spaces with a line break behind it, HTTP 200.
pub(crate) fn pretty_json(body: &Object, indent: usize) -> HttpResponse {
    let indent = " ".repeat(indent);
    let mut bytes = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    // Writing to memory, of strings and numbers only.
    let _ = body.serialize(&mut serializer);
    bytes.push(b'\n');
    response(StatusCode::OK, "application/json; charset=UTF-8", bytes)
}

/// A JSON object that keeps the order of its fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object(Vec<(&'static str, Value)>);

impl Object {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.0.push((key, value.into()));
        self
    }
}

impl Serialize for Object {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// A header's text; `None` if it is absent. Of several with one name the first counts, as in the engines.
pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| str::from_utf8(value.as_bytes()).ok()).map(str::trim)
}

/// `Content-Length`, if it was sent.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    header(headers, "content-length")?.parse().ok()
}

/// True for `Transfer-Encoding: chunked`.
pub(crate) fn is_chunked(headers: &HeaderMap) -> bool {
    header(headers, "transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked"))
}

/// One parameter of the query, percent-decoded.
pub(crate) fn query_parameter(request: &HttpRequest, name: &str) -> Option<String> {
    let pair = request.uri().query()?.split('&').find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name));
    pair.map(|(_, value)| percent_decode(value))
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| tail.get(..2)).flatten();
        let decoded =
            escaped.and_then(|hex| std::str::from_utf8(hex).ok()).and_then(|h| u8::from_str_radix(h, 16).ok());
        match decoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The whole body, if it isn't larger than `max` bytes and arrives.
pub(crate) async fn read_small(body: Incoming, max: usize) -> Option<Bytes> {
    Limited::new(body, max).collect().await.ok().map(http_body_util::Collected::to_bytes)
}

/// Path pieces, percent-decoded, without the empty ones.
pub(crate) fn path_pieces(request: &HttpRequest) -> Vec<String> {
    request.uri().path().split('/').filter(|p| !p.is_empty()).map(percent_decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_coding() {
        assert_eq!(percent_encode("p@ss:w/ö~"), "p%40ss%3Aw%2F%C3%B6~");
        assert_eq!(percent_decode("p%40ss%3Aw%2F%C3%B6~+%zz%"), "p@ss:w/ö~ %zz%");
    }
}
