//! How an answer goes over the wire: whole, or slowly, cut, silent, with a wrong length; and connections that end with a
//! reset.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::Response;
use hyper::body::{Body, Frame};
use hyper::header::{CONTENT_LENGTH, HeaderValue};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::http::{HangUp, HttpResponse};

/// Pieces per second of an answer that comes slowly.
const PIECES_PER_SECOND: u64 = 10;

/// Pause before an answer that breaks off does: hyper sends what it has when it has to wait, and drops it at an error.
const FLUSH: Duration = Duration::from_millis(20);

/// What a connection sends.
pub(crate) type WireBody = Either<Full<Bytes>, Pieces>;

/// A body that comes piece by piece; ends when nothing sends any more. (The channel of `http-body-util` 0.1.5 can lose the piece
/// before the end.)
#[derive(Debug)]
pub(crate) struct Pieces(mpsc::Receiver<Result<Bytes, HangUp>>);

impl Body for Pieces {
    type Data = Bytes;
    type Error = HangUp;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HangUp>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }
}

/// How an answer is sent; lies in the answer's extensions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Delivery {
    /// The connection is reset, nothing is sent.
    is_reset: bool,
    /// The body comes at this pace.
    pub(crate) bytes_per_second: Option<u64>,
    /// The body doesn't come; the connection is closed after this time.
    pub(crate) silence: Option<Duration>,
    /// The body ends here.
    pub(crate) cut_after: Option<u64>,
    /// What is added to the true `Content-Length`.
    pub(crate) length_by: i64,
}

impl Delivery {
    /// An answer that is none: the connection is reset.
    pub(crate) fn reset() -> HttpResponse {
        let mut response = Response::new(Full::new(Bytes::new()));
        response.extensions_mut().insert(Self { is_reset: true, ..Self::default() });
        response
    }
}

/// The answer as it goes over the wire.
pub(crate) async fn deliver(mut response: HttpResponse, reset: &ResetSwitch) -> Result<Response<WireBody>, HangUp> {
    let Some(delivery) = response.extensions_mut().remove::<Delivery>() else {
        return Ok(response.map(Either::Left));
    };
    if delivery.is_reset {
        reset.0.store(true, Ordering::Relaxed);
        return Err(HangUp);
    }
    let (mut head, body) = response.into_parts();
    // A body of bytes in memory can't fail.
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let told = (body.len() as u64).saturating_add_signed(delivery.length_by);
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(told));
    let (sender, pieces) = mpsc::channel(1);
    tokio::spawn(send(sender, body, told, delivery));
    Ok(Response::from_parts(head, Either::Right(Pieces(pieces))))
}

async fn send(sender: mpsc::Sender<Result<Bytes, HangUp>>, mut body: Bytes, told: u64, delivery: Delivery) {
    if let Some(cut) = delivery.cut_after {
        body.truncate(usize::try_from(cut).unwrap_or(usize::MAX));
    }
    if let Some(silence) = delivery.silence {
        tokio::time::sleep(silence).await;
        return break_off(&sender).await;
    }
    let is_whole = body.len() as u64 >= told;
    let piece = delivery.bytes_per_second.map_or(body.len() as u64, |rate| rate.div_ceil(PIECES_PER_SECOND));
    let piece = usize::try_from(piece).unwrap_or(usize::MAX).max(1);
    while !body.is_empty() {
        if let Some(rate) = delivery.bytes_per_second {
            tokio::time::sleep(pace(piece.min(body.len()), rate)).await;
        }
        let next = body.split_to(piece.min(body.len()));
        // The client has gone.
        if sender.send(Ok(next)).await.is_err() {
            return;
        }
    }
    if !is_whole {
        tokio::time::sleep(FLUSH).await;
        break_off(&sender).await;
    }
}

async fn break_off(sender: &mpsc::Sender<Result<Bytes, HangUp>>) {
    // If it fails, the client has gone.
    let _ = sender.send(Err(HangUp)).await;
}

/// The time that so many bytes take at a rate per second.
pub(crate) fn pace(bytes: usize, rate: u64) -> Duration {
    Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / rate.max(1))
}

/// Whether a connection ends with a reset.
#[derive(Clone, Debug, Default)]
pub(crate) struct ResetSwitch(Arc<AtomicBool>);

/// A connection that can end with a reset.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    reset: ResetSwitch,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, reset: ResetSwitch) -> Self {
        Self { stream, reset }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.reset.0.load(Ordering::Relaxed)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::warn!(%error, "a connection could not be reset");
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.reset.0.load(Ordering::Relaxed) { Poll::Ready(Ok(())) } else { self.stream().poll_shutdown(cx) }
    }
}
