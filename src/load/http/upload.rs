//! A request whose body is streamed: held back until the server asks for it, watched while it moves, ended or broken off.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::ext::on_informational;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use super::body::{BodySender, streamed};
use super::connect::{Connection, Progress};
use super::exchange::{ANSWER_LIMIT, Raw, exchange};
use super::redirect::Node;

/// A body on its way. Dropped without [`Upload::finish`], the connection is closed and the server sees a torn request.
pub(crate) struct Upload {
    /// Server that takes the body.
    pub(crate) node: Node,
    body: Option<BodySender>,
    exchange: Exchange,
    progress: Progress,
    stall: Duration,
}

/// The running request, then its outcome.
enum Exchange {
    Running(JoinHandle<Result<Raw, String>>),
    Ended(Result<Raw, String>),
    Taken,
}

/// The server answered, or the connection broke, before the body had ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EndedEarly;

/// What the server says to the head of the request.
pub(super) enum Opening {
    /// It takes the body, or says nothing.
    Upload(Upload),
    /// It answers without having seen the body.
    Answered(Raw),
}

/// Sends the head of the request, then waits for `100 Continue` or an answer, at most for `wait`.
///
/// # Errors
/// Why there is no answer, for people.
pub(super) async fn open(
    node: Node,
    connection: Connection,
    head: Request<()>,
    wait: Duration,
    stall: Duration,
) -> Result<Opening, String> {
    let (sender, body) = streamed();
    let mut request = head.map(|()| body);
    let asked = Arc::new(Notify::new());
    let notify = Arc::clone(&asked);
    on_informational(&mut request, move |response| {
        if response.status() == http::StatusCode::CONTINUE {
            notify.notify_one();
        }
    });
    let progress = connection.progress;
    let exchange = Exchange::Running(tokio::spawn(exchange(connection.stream, request, ANSWER_LIMIT)));
    let mut upload = Upload { node, body: Some(sender), exchange, progress, stall };
    tokio::select! {
        biased;
        () = upload.exchange.ended() => return upload.exchange.take().map(Opening::Answered),
        () = asked.notified() => {}
        () = tokio::time::sleep(wait) => {
            tracing::debug!(node = %upload.node, ?wait, "no `100 Continue`: sending the rows anyway");
        }
    }
    Ok(Opening::Upload(upload))
}

impl Upload {
    /// Hands on a piece of the body; waits while the server is slower.
    ///
    /// # Errors
    /// When no more is taken: [`Upload::answer`] says why.
    pub(crate) async fn send(&mut self, piece: Bytes) -> Result<(), EndedEarly> {
        let Some(body) = &self.body else { return Err(EndedEarly) };
        tokio::select! {
            biased;
            () = self.exchange.ended() => Err(EndedEarly),
            sent = body.send(piece) => sent.map_err(|_| EndedEarly),
            () = self.progress.stalled(self.stall) => {
                self.break_off(format!("the body has not moved for {:?} (engine.timeouts.stall)", self.stall));
                Err(EndedEarly)
            }
        }
    }

    /// Resolves when the server has answered or the connection broke, or when sent bytes no longer move. Cancel-safe.
    pub(crate) async fn ended(&mut self) {
        tokio::select! {
            biased;
            () = self.exchange.ended() => {}
            () = self.progress.stalled(self.stall) => {
                self.break_off(format!("the body has not moved for {:?} (engine.timeouts.stall)", self.stall));
            }
        }
    }

    /// The answer that came before the body's end.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) async fn answer(mut self, limit: Duration) -> Result<Raw, String> {
        self.take_answer(limit).await
    }

    /// Ends the body and waits at most `limit` for the answer.
    ///
    /// # Errors
    /// Why there is none, for people.
    pub(crate) async fn finish(mut self, limit: Duration) -> Result<Raw, String> {
        if let Some(body) = self.body.take() {
            tokio::select! {
                biased;
                () = self.exchange.ended() => {}
                // If nobody takes the end, the answer says why.
                _ = body.end() => {}
                () = self.progress.stalled(self.stall) => {
                    return Err(format!("the body has not moved for {:?} (engine.timeouts.stall)", self.stall));
                }
            }
        }
        self.take_answer(limit).await
    }

    async fn take_answer(&mut self, limit: Duration) -> Result<Raw, String> {
        tokio::select! {
            biased;
            waited = timeout(limit, self.exchange.ended()) => match waited {
                Ok(()) => self.exchange.take(),
                Err(_) => Err(format!("no answer within {limit:?}")),
            },
            () = self.progress.stalled(self.stall) => {
                Err(format!("the body has not moved for {:?} (engine.timeouts.stall)", self.stall))
            }
        }
    }

    fn break_off(&mut self, why: String) {
        self.abort();
        self.exchange = Exchange::Ended(Err(why));
    }

    fn abort(&mut self) {
        // Without its end the body is broken off.
        self.body = None;
        if let Exchange::Running(task) = &self.exchange {
            task.abort();
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Exchange {
    /// Resolves when the request has ended. Cancel-safe.
    async fn ended(&mut self) {
        if let Self::Running(task) = self {
            let ended = task.await.unwrap_or_else(|error: JoinError| Err(error.to_string()));
            *self = Self::Ended(ended);
        }
    }

    fn take(&mut self) -> Result<Raw, String> {
        match std::mem::replace(self, Self::Taken) {
            Self::Ended(outcome) => outcome,
            Self::Running(_) | Self::Taken => Err("the request has not ended".to_owned()),
        }
    }
}
