//! Just enough HTTP to be an engine over a stream in memory: one request for each connection.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

/// Head of a request.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: BTreeMap<String, String>,
}

impl Head {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(String::as_str).unwrap_or_default()
    }

    /// Path without its query.
    pub(crate) fn plain_path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// Value of the query's parameter `label`; labels need no decoding.
    pub(crate) fn label_asked(&self) -> &str {
        self.path.split_once("label=").map(|(_, label)| label).unwrap_or_default()
    }
}

/// A connection whose request's head has been read.
pub(crate) struct Connection {
    stream: DuplexStream,
    rest: Vec<u8>,
}

impl Connection {
    pub(crate) async fn accept(mut stream: DuplexStream) -> Option<(Head, Self)> {
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
        let text = String::from_utf8(bytes).ok()?;
        let mut lines = text.trim_end().split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, path) = (first.next()?.to_owned(), first.next()?.to_owned());
        let header = |line: &str| line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()));
        let headers = lines.filter_map(header).collect();
        Some((Head { method, path, headers }, Self { stream, rest }))
    }

    pub(crate) async fn answer(&mut self, status: &str, headers: &str, body: &str) {
        let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len());
        // Whoever asked may be gone.
        let _ = self.stream.write_all(text.as_bytes()).await;
    }

    pub(crate) async fn say_continue(&mut self) {
        let _ = self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await;
    }

    /// Keeps silent until the client gives up.
    pub(crate) async fn hold(mut self) {
        let mut sink = [0; 256];
        while self.stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
    }

    /// Reads a chunked body; `None` if it is torn.
    pub(crate) async fn body(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line().await?;
            let size = usize::from_str_radix(line.trim(), 16).ok()?;
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
                return String::from_utf8(self.rest.drain(..end + 2).collect()).ok();
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.rest).await.ok()?;
        (read > 0).then_some(())
    }
}
