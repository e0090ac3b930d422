//! One request and its answer over one connection.
//!
//! Each request has a connection of its own. A load is minutes of work for a handful of requests, so a pool would save
//! nothing that can be measured; without one there is no idle connection that the server may be closing just as a
//! request goes out, and a request that fails is never sent twice behind our back.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::connect::Stream;
use crate::load::engine::Response;

/// Most that is read of an answer, in bytes: engine messages can carry long stack traces.
pub(super) const ANSWER_LIMIT: usize = 256 << 10;

/// An answer as it came, redirects included.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) response: Response,
    /// `Location` of a redirect that keeps method and body (307, 308).
    pub(crate) location: Option<String>,
}

/// Sends the request and reads the answer. An answer that comes before the request's body ends is taken as it is.
///
/// # Errors
/// Why there is no answer, for people. The request may or may not have had its effect.
pub(super) async fn exchange<B>(stream: Box<dyn Stream>, request: Request<B>, limit: usize) -> Result<Raw, String>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| causes(&e))?;
    let answer = async move {
        let response = sender.send_request(request).await.map_err(|e| causes(&e))?;
        read(response, limit).await
    };
    // When the connection ends, what it has read still waits to be taken.
    let connection = async move {
        let _ = connection.await;
        std::future::pending::<Infallible>().await
    };
    let (answer, connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        biased;
        answer = answer => answer,
        never = connection => match never {},
    }
}

async fn read(response: http::Response<Incoming>, limit: usize) -> Result<Raw, String> {
    let status = response.status().as_u16();
    let location = response.headers().get(header::LOCATION);
    let location = location.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    if let Some(location) = location.filter(|_| matches!(status, 307 | 308)) {
        return Ok(Raw { response: Response { status, body: String::new() }, location: Some(location) });
    }
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while bytes.len() < limit {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => bytes.extend_from_slice(frame.data_ref().map_or(&[], Bytes::as_ref)),
            // Of an answer cut short the beginning is worth showing.
            Some(Err(_)) if !bytes.is_empty() => break,
            Some(Err(error)) => return Err(format!("the answer (HTTP {status}) broke off: {}", causes(&error))),
        }
    }
    bytes.truncate(limit);
    let body = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Raw { response: Response { status, body }, location: None })
}

/// An error with its causes in one line.
pub(super) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
