//! A raw TCP server that speaks just enough HTTP to misbehave on purpose.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Head of a request.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// Last piece of the path, without the query.
    pub(crate) fn step(&self) -> &str {
        self.path.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default()
    }
}

/// One accepted connection, its request's head already read.
pub(crate) struct Conn {
    stream: TcpStream,
    /// Read behind the head.
    rest: Vec<u8>,
}

impl Conn {
    /// Answers 200 with a body and closes.
    pub(crate) async fn answer(&mut self, body: &str) {
        self.answer_with("200 OK", "", body).await;
    }

    pub(crate) async fn answer_with(&mut self, status: &str, headers: &str, body: &str) {
        let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    pub(crate) async fn redirect(&mut self, location: &str) {
        self.answer_with("307 Temporary Redirect", &format!("location: {location}\r\n"), "").await;
    }

    pub(crate) async fn say_continue(&mut self) {
        let _ = self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    }

    /// Reads a chunked body; `None` if it is torn.
    pub(crate) async fn body(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = usize::from_str_radix(line.trim(), 16).expect("a chunk size");
            while self.rest.len() < size + 2 {
                self.fill().await?;
            }
            body.extend(self.rest.drain(..size));
            self.rest.drain(..2);
            if size == 0 {
                return Some(body);
            }
        }
    }

    async fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|pair| pair == b"\r\n") {
                let line = self.rest.drain(..end + 2).collect();
                return String::from_utf8(line).ok();
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.rest).await.ok()?;
        (read > 0).then_some(())
    }

    /// Reads at least this much of whatever comes, or to the end.
    pub(crate) async fn swallow(&mut self, bytes: usize) {
        while self.rest.len() < bytes && self.fill().await.is_some() {}
    }

    /// What came behind the head so far, after waiting for it a little: used to show that nothing came.
    pub(crate) async fn early_bytes(&mut self, wait: Duration) -> usize {
        let _ = tokio::time::timeout(wait, self.fill()).await;
        self.rest.len()
    }

    /// Closes with a reset, as a server does that has not read all it was sent.
    pub(crate) fn reset(self) {
        self.stream.set_zero_linger().expect("a socket option");
    }

    /// Keeps the connection open without reading until the peer is done with it.
    pub(crate) async fn hold(self) {
        let mut one = [0; 1];
        while self.stream.peek(&mut one).await.is_ok_and(|n| n > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A server on a loopback port of its own.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Head>>>,
}

impl Server {
    pub(crate) async fn start<F, H>(handler: F) -> Self
    where
        F: Fn(Head, Conn) -> H + Send + Sync + 'static,
        H: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        Self::on(listener, handler)
    }

    pub(crate) fn on<F, H>(listener: TcpListener, handler: F) -> Self
    where
        F: Fn(Head, Conn) -> H + Send + Sync + 'static,
        H: Future<Output = ()> + Send + 'static,
    {
        let server = Self { address: listener.local_addr().expect("an address"), seen: Arc::default() };
        let seen = Arc::clone(&server.seen);
        let handler = Arc::new(handler);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, handler) = (Arc::clone(&seen), Arc::clone(&handler));
                tokio::spawn(async move {
                    if let Some((head, conn)) = accept(stream).await {
                        seen.lock().expect("no panic").push(head.clone());
                        handler(head, conn).await;
                    }
                });
            }
        });
        server
    }

    /// A frontend that redirects every call to `to`.
    pub(crate) async fn redirecting(to: SocketAddr) -> Self {
        Self::start(move |head, mut conn| async move { conn.redirect(&format!("http://{to}{}", head.path)).await })
            .await
    }

    pub(crate) fn seen(&self) -> Vec<Head> {
        self.seen.lock().expect("no panic").clone()
    }

    /// Last pieces of the paths asked for, in order.
    pub(crate) fn steps(&self) -> Vec<String> {
        self.seen().iter().map(|head| head.step().to_owned()).collect()
    }
}

async fn accept(mut stream: TcpStream) -> Option<(Head, Conn)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let rest = bytes.split_off(end + 4);
    let text = String::from_utf8(bytes).expect("a head in UTF-8");
    let mut lines = text.trim_end().split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
    let mut headers = BTreeMap::new();
    for line in lines {
        let (name, value) = line.split_once(": ").expect("a header");
        let twice = headers.insert(name.to_lowercase(), value.to_owned());
        assert_eq!(twice, None, "header {name} stands twice");
    }
    Some((Head { method, path, headers }, Conn { stream, rest }))
}

/// Waits until the condition holds; panics after the deadline.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
