//! HTTP/1.1 by hand: what is sent is what a case says, and `100 Continue` is seen.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::HttpAnswer;

/// How long a connection or an answer may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);
/// Most header lines of an answer.
const HEADERS_MAX: usize = 64;
/// Largest answer.
const ANSWER_MAX_BYTES: usize = 16 << 20;

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Ready {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    }

    /// Waits for `100 Continue` before its body.
    fn waits(&self) -> bool {
        self.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
    }

    /// Request line and headers.
    pub(crate) fn head(&self, host: &str) -> String {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        format!("{} {} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n", self.method, self.path)
    }

    /// A piece of the body, framed.
    fn framed(&self, piece: &[u8]) -> Vec<u8> {
        if !self.is_chunked() || piece.is_empty() {
            return piece.to_vec();
        }
        [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
    }

    fn end(&self) -> &'static [u8] {
        if self.is_chunked() { b"0\r\n\r\n" } else { b"" }
    }
}

/// A request under way.
pub(crate) struct Exchange {
    stream: TcpStream,
    read: Vec<u8>,
    ready: Ready,
    node: String,
    continued: bool,
}

/// What came of the first part of a request.
pub(crate) enum Sent {
    /// The answer came before the body was sent.
    Answered(HttpAnswer),
    /// The body may be sent.
    Open(Exchange),
}

/// Sends a request and waits for the answer; an error says why there is none.
pub(crate) async fn exchange(node: &str, ready: Ready) -> Result<HttpAnswer, String> {
    let body = ready.body.clone();
    match open(node, ready).await? {
        Sent::Answered(answer) => Ok(answer),
        Sent::Open(exchange) => exchange.finish(&body).await,
    }
}

/// Sends the head of a request, and waits for `100 Continue` if the request does.
pub(crate) async fn open(node: &str, ready: Ready) -> Result<Sent, String> {
    within(async {
        let stream = TcpStream::connect(node).await.map_err(|error| format!("no connection to {node}: {error}"))?;
        let _ = stream.set_nodelay(true);
        let head = ready.head(node);
        let waits = ready.waits();
        let mut exchange = Exchange { stream, read: Vec::new(), ready, node: node.to_owned(), continued: false };
        exchange.stream.write_all(head.as_bytes()).await.map_err(|error| error.to_string())?;
        if waits {
            let (status, headers) = exchange.read_head().await?;
            if status != 100 {
                return exchange.read_answer(status, headers).await.map(Sent::Answered);
            }
            exchange.continued = true;
        }
        Ok(Sent::Open(exchange))
    })
    .await
}

async fn within<T>(work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    tokio::time::timeout(DEADLINE, work).await.unwrap_or_else(|_| Err(format!("nothing within {DEADLINE:?}")))
}

impl Exchange {
    /// Sends a piece of the body, which goes on.
    pub(crate) async fn push(&mut self, piece: &[u8]) -> Result<(), String> {
        let framed = self.ready.framed(piece);
        within(async { self.stream.write_all(&framed).await.map_err(|error| error.to_string()) }).await
    }

    /// Sends the rest of the body and reads the answer.
    pub(crate) async fn finish(mut self, rest: &[u8]) -> Result<HttpAnswer, String> {
        let mut last = self.ready.framed(rest);
        last.extend_from_slice(self.ready.end());
        within(async {
            // A node that has answered may read no further; the answer tells more than the broken pipe.
            let _ = self.stream.write_all(&last).await;
            loop {
                let (status, headers) = self.read_head().await?;
                if status != 100 {
                    return self.read_answer(status, headers).await;
                }
                self.continued = true;
            }
        })
        .await
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> Result<bool, String> {
        if self.read.len() > ANSWER_MAX_BYTES {
            return Err("the answer is too long".to_owned());
        }
        match self.stream.read_buf(&mut self.read).await {
            Ok(count) => Ok(count > 0),
            Err(error) => Err(format!("the connection broke: {error}")),
        }
    }

    /// Takes status and headers off what was read.
    async fn read_head(&mut self) -> Result<(u16, Vec<(String, String)>), String> {
        loop {
            let mut slots = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut head = httparse::Response::new(&mut slots);
            let parsed = head.parse(&self.read).map_err(|error| format!("no HTTP: {error}"))?;
            if let httparse::Status::Complete(length) = parsed {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                let headers = head.headers.iter().map(|header| (header.name.to_owned(), text(header.value))).collect();
                let status = head.code.ok_or("no status")?;
                self.read.drain(..length);
                return Ok((status, headers));
            }
            if !self.more().await? {
                return Err("the connection ended without an answer".to_owned());
            }
        }
    }

    async fn read_answer(&mut self, status: u16, headers: Vec<(String, String)>) -> Result<HttpAnswer, String> {
        let header = |name: &str| {
            headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        let body = if self.ready.method == "HEAD" || matches!(status, 204 | 304) {
            Vec::new()
        } else if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            self.read_chunks().await?
        } else {
            let length = header("content-length").map(|value| value.parse::<usize>());
            let length = length.transpose().map_err(|_| "a Content-Length that is no number".to_owned())?;
            self.read_body(length).await?
        };
        Ok(HttpAnswer {
            status,
            headers,
            text: String::from_utf8_lossy(&body).into_owned(),
            continued: self.continued,
            path: self.ready.path.clone(),
            way: vec![self.node.clone()],
        })
    }

    /// A body of a known length, or up to the end of the connection.
    async fn read_body(&mut self, length: Option<usize>) -> Result<Vec<u8>, String> {
        while length.is_none_or(|length| self.read.len() < length) {
            if !self.more().await? {
                match length {
                    None => break,
                    Some(_) => return Err("the connection ended in the middle of the answer".to_owned()),
                }
            }
        }
        let length = length.unwrap_or(self.read.len());
        Ok(self.read.drain(..length).collect())
    }

    async fn read_chunks(&mut self) -> Result<Vec<u8>, String> {
        let mut body = Vec::new();
        loop {
            match httparse::parse_chunk_size(&self.read).map_err(|_| "a chunk without its size".to_owned())? {
                httparse::Status::Complete((at, size)) => {
                    let size = usize::try_from(size).map_err(|_| "a chunk is too long".to_owned())?;
                    self.read.drain(..at);
                    body.extend(self.read_body(Some(size)).await?);
                    self.read_body(Some(2)).await?;
                    if size == 0 {
                        return Ok(body);
                    }
                }
                httparse::Status::Partial => {
                    if !self.more().await? {
                        return Err("the connection ended in the middle of the answer".to_owned());
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    /// A node that answers each connection with a text, whatever is asked; what it was sent.
    async fn node(answer: &'static [u8]) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = vec![0; 4096];
            let count = stream.read(&mut got).await.unwrap();
            stream.write_all(answer).await.unwrap();
            let mut rest = Vec::new();
            let _ = tokio::time::timeout(Duration::from_millis(50), stream.read_to_end(&mut rest)).await;
            String::from_utf8([&got[..count], &rest[..]].concat()).unwrap()
        });
        (address, task)
    }

    fn ready(headers: &[(&str, &str)], body: &str) -> Ready {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ready { method: "PUT".to_owned(), path: "/a".to_owned(), headers, body: body.as_bytes().to_vec() }
    }

    #[tokio::test]
    async fn a_body_waits_for_continue() {
        let expect = ("Expect", "100-continue");
        let (address, sent) =
            node(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        let answer = exchange(&address, ready(&[expect, ("Content-Length", "3")], "abc")).await.unwrap();
        assert_eq!((answer.status, answer.text.as_str(), answer.continued), (200, "ok", true));
        assert!(sent.await.unwrap().ends_with("\r\n\r\nabc"));
        let (address, sent) = node(b"HTTP/1.1 307 R\r\nLocation: x\r\ncontent-length: 0\r\n\r\n").await;
        let answer = exchange(&address, ready(&[expect, ("Content-Length", "3")], "abc")).await.unwrap();
        assert_eq!((answer.status, answer.header("location"), answer.continued), (307, Some("x"), false));
        assert!(sent.await.unwrap().ends_with("\r\n\r\n"), "no body behind a refusal");
    }

    #[tokio::test]
    async fn chunks_both_ways_and_bodies_up_to_the_end() {
        let (address, sent) =
            node(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n").await;
        let answer = exchange(&address, ready(&[("Transfer-Encoding", "chunked")], "xy")).await.unwrap();
        assert_eq!(answer.text, "abcd");
        assert!(sent.await.unwrap().ends_with("\r\n\r\n2\r\nxy\r\n0\r\n\r\n"));
        let (address, _) = node(b"HTTP/1.1 200 OK\r\n\r\nrest").await;
        assert_eq!(exchange(&address, ready(&[], "")).await.unwrap().text, "rest");
        let (address, _) = node(b"").await;
        assert!(exchange(&address, ready(&[], "")).await.unwrap_err().contains("without an answer"));
        let (address, _) = node(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nrest").await;
        assert!(exchange(&address, ready(&[], "")).await.unwrap_err().contains("middle"));
    }
}
