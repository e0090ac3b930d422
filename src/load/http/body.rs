//! The streamed body of a request: pieces as they come, whole only if its end was said.
//!
//! Not the channel of `http-body-util` (0.1.5): it looks for a piece first and then for the end, so that a piece which is sent
//! between these two looks, as the last one, is lost, and the body ends as if it were whole.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// Pieces of a body that wait for the connection.
const WAITING_PIECES: usize = 1;

/// Breaks a body off, so that the server can't take it for a whole one.
#[derive(Debug, thiserror::Error)]
#[error("the load was broken off")]
pub(super) struct BrokenOff;

/// Nobody reads the body any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unread;

enum Piece {
    Rows(Bytes),
    End,
}

/// Writes a body. Dropped without [`BodySender::end`], it breaks the body off.
pub(super) struct BodySender(mpsc::Sender<Piece>);

/// The body that the connection sends.
pub(super) struct StreamedBody(mpsc::Receiver<Piece>);

/// A body, and what writes it.
pub(super) fn streamed() -> (BodySender, StreamedBody) {
    let (sender, receiver) = mpsc::channel(WAITING_PIECES);
    (BodySender(sender), StreamedBody(receiver))
}

impl BodySender {
    /// Hands on a piece; waits until the one before it has been taken. Dropped while it waits, the piece is not sent.
    pub(super) async fn send(&self, piece: Bytes) -> Result<(), Unread> {
        self.0.send(Piece::Rows(piece)).await.map_err(|_| Unread)
    }

    /// Says that the body is whole.
    pub(super) async fn end(self) -> Result<(), Unread> {
        self.0.send(Piece::End).await.map_err(|_| Unread)
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        Poll::Ready(match ready!(self.0.poll_recv(cx)) {
            Some(Piece::Rows(rows)) => Some(Ok(Frame::data(rows))),
            Some(Piece::End) => None,
            None => Some(Err(BrokenOff)),
        })
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_lost_whenever_the_end_is_said() {
        for round in 0..20_000_u32 {
            let (sender, body) = streamed();
            let reader = tokio::spawn(body.collect());
            // The reader is at another place of its look each time.
            for _ in 0..round % 50 {
                std::hint::spin_loop();
            }
            sender.send(Bytes::from_static(b"first")).await.unwrap();
            sender.send(Bytes::from_static(b"last")).await.unwrap();
            sender.end().await.unwrap();
            assert_eq!(reader.await.unwrap().unwrap().to_bytes(), "firstlast", "round {round}");
        }
    }

    #[tokio::test]
    async fn without_its_end_a_body_is_broken_off() {
        let (sender, body) = streamed();
        sender.send(Bytes::from_static(b"rows")).await.unwrap();
        drop(sender);
        assert!(matches!(body.collect().await, Err(BrokenOff)));
    }

    #[tokio::test]
    async fn a_body_that_nobody_reads_takes_nothing() {
        let (sender, body) = streamed();
        drop(body);
        assert_eq!(sender.send(Bytes::from_static(b"rows")).await, Err(Unread));
        assert_eq!(sender.end().await, Err(Unread));
    }
}
