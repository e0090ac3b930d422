//! A request whose body is streamed: held back until the server asks for it, watched while it moves, ended or broken off.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::channel::{Channel, Sender};
use hyper::ext::on_informational;
use tokio::sync::Notify;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use super::connect::{Connection, Progress};
use super::exchange::{ANSWER_LIMIT, Raw, exchange};
use super::redirect::Node;

/// Pieces of a body that wait for the connection.
const WAITING_PIECES: usize = 1;

/// Breaks a body off, so that the server can't take it for a whole one.
#[derive(Debug, thiserror::Error)]
#[error("the load was broken off")]
struct BrokenOff;

/// A body on its way. Dropped without [`Upload::finish`], the connection is closed and the server sees a torn request.
pub(crate) struct Upload {
    /// Server that takes the body.
    pub(crate) node: Node,
    body: Option<Sender<Bytes, BrokenOff>>,
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
    let (body, channel) = Channel::<Bytes, BrokenOff>::new(WAITING_PIECES);
    let mut request = head.map(|()| channel);
    let asked = Arc::new(Notify::new());
    let notify = Arc::clone(&asked);
    on_informational(&mut request, move |response| {
        if response.status() == http::StatusCode::CONTINUE {
            notify.notify_one();
        }
    });
    let progress = connection.progress;
    let exchange = Exchange::Running(tokio::spawn(exchange(connection.stream, request, ANSWER_LIMIT)));
    let mut upload = Upload { node, body: Some(body), exchange, progress, stall };
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
        let Some(body) = &mut self.body else { return Err(EndedEarly) };
        tokio::select! {
            biased;
            () = self.exchange.ended() => Err(EndedEarly),
            sent = body.send_data(piece) => sent.map_err(|_| EndedEarly),
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
        self.body = None;
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
        // First the body, then the connection: an end that looks whole must not slip out between the two.
        if let Some(body) = self.body.take() {
            body.abort(BrokenOff);
        }
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
