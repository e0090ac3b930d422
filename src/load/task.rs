//! The task behind one [`super::Load`]: begin, send rows, prepare; roll back what nobody wants.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::engine::{Call, Reply, Step};
use super::http::Upload;
use super::loader::{Miss, Performed, Running, Shared};
use super::{Answer, Class, Counts, Failure, Prepared, Rows, Target, TxnName, TxnState, retry};
use crate::decode::Framing;
use crate::domain::Delivery;
use crate::telemetry::STEPS;

/// Pause before a call is repeated that found the label busy, and between two looks at a state.
const PAUSE: Duration = Duration::from_millis(500);
/// Times that a busy label is asked again.
const BUSY_LABEL_TRIES: u32 = 20;
/// Longest wait for the state of a prepare whose answer was lost.
const STATE_WAIT: Duration = Duration::from_secs(60);
/// Tries to roll a transaction back; what is left of it ends by its time-out.
const ROLL_BACK_TRIES: u32 = 5;

/// From the handle to the task.
pub(super) enum Message {
    Rows(Rows),
    Prepare(oneshot::Sender<Finished>),
}

/// From the task to the handle.
pub(super) struct Finished {
    pub(super) prepared: Prepared,
    /// Told once the handle has it; dropped unseen if nobody was there any more.
    pub(super) seen: oneshot::Sender<()>,
}

/// Runs a load to its end. The `Load` holds the other ends: of `inbox`, which closes when the load has failed, and of
/// `failure`, which it drops when nobody is interested any more.
pub(super) async fn run(
    running: Running,
    target: Target,
    mut inbox: mpsc::UnboundedReceiver<Message>,
    mut failure: oneshot::Sender<Failure>,
) {
    let txn = TxnName { table: target.table.clone(), label: target.label.clone(), id: None };
    let mut work = Work { shared: &running.0, target, txn, opened: false, rows: 0, bytes: 0 };
    let sent = tokio::select! {
        biased;
        () = failure.closed() => None,
        sent = Box::pin(work.send_rows(&mut inbox)) => Some(sent),
    };
    // A prepare is seen through even if nobody waits for it: broken off, it could still have its effect.
    let prepared = match sent {
        None => None,
        Some(Err(failed)) => Some(Err(failed)),
        Some(Ok((reply, counts))) => Some(Box::pin(work.prepare(counts)).await.map(|prepared| (reply, prepared))),
    };
    match prepared {
        None => {}
        Some(Ok((reply, prepared))) => {
            tracing::trace!(target: STEPS, point = "load.prepared");
            let (seen, taken) = oneshot::channel();
            if reply.send(Finished { prepared, seen }).is_ok() && taken.await.is_ok() {
                return;
            }
        }
        Some(Err(failed)) => {
            tracing::debug!(reason = %failed, class = ?failed.class, "load failed");
            let _ = failure.send(failed);
        }
    }
    drop(inbox);
    work.roll_back().await;
}

/// A load in progress.
struct Work<'a> {
    shared: &'a Shared,
    target: Target,
    txn: TxnName,
    /// A transaction may exist in the engine.
    opened: bool,
    rows: u64,
    bytes: u64,
}

impl Work<'_> {
    fn failure(&self, class: Class, step: Step, what: &str) -> Failure {
        Failure { id: self.txn.id, ..self.shared.failure(class, step, &self.txn, what) }
    }

    /// Opens the transaction and sends rows until prepare is asked for.
    async fn send_rows(
        &mut self,
        inbox: &mut mpsc::UnboundedReceiver<Message>,
    ) -> Result<(oneshot::Sender<Finished>, Option<Counts>), Failure> {
        self.begin().await?;
        tracing::trace!(target: STEPS, point = "load.begun");
        let mut counts = None;
        let Some(mut next) = inbox.recv().await else { return nobody_is_left().await };
        loop {
            match next {
                Message::Rows(first) => (next, counts) = self.body(first, inbox).await?,
                Message::Prepare(reply) if self.rows > 0 => return Ok((reply, counts)),
                Message::Prepare(_) => {
                    return Err(self.failure(Class::Refused, Step::Prepare, "no row was written"));
                }
            }
        }
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        let Some(call) = self.shared.engine.begin(&self.target) else { return Ok(()) };
        let (at, reply) = match self.perform(&call).await? {
            Performed::Replied { at, reply } => (at, reply),
            Performed::Upload(_) => return Err(self.failure(Class::Unclear, Step::Begin, "asked for a body")),
        };
        match reply.into_done() {
            Ok((id, _)) => {
                self.txn.id = id;
                Ok(())
            }
            Err(reply) => {
                let failure = self.failure_in(Step::Begin, &at, reply).await;
                // Plainly refused: there is nothing to roll back.
                self.opened = failure.class == Class::Unclear;
                Err(failure)
            }
        }
    }

    /// Sends one body, `first` in front, until it is full or prepare is asked for. Gives back the message that ended it.
    async fn body(
        &mut self,
        first: Rows,
        inbox: &mut mpsc::UnboundedReceiver<Message>,
    ) -> Result<(Message, Option<Counts>), Failure> {
        let call = self.shared.engine.load(&self.target);
        let mut upload = match self.perform(&call).await? {
            Performed::Upload(upload) => upload,
            Performed::Replied { at, reply } => return Err(self.failure_in(call.step, &at, reply).await),
        };
        let array = self.shared.engine.framing() == Framing::Array;
        let limit = self.shared.engine.body_limit(&self.target).unwrap_or(u64::MAX);
        let mut sent = 0_u64;
        let mut rows = first;
        let next = loop {
            let start = array && sent == 0;
            sent += rows.bytes.len() as u64;
            self.rows += rows.rows;
            self.bytes += rows.bytes.len() as u64;
            if !send(&mut upload, rows, start).await {
                return Err(self.ended_early(call.step, upload).await);
            }
            tracing::trace!(target: STEPS, point = "load.rows");
            tokio::select! {
                biased;
                () = upload.ended() => return Err(self.ended_early(call.step, upload).await),
                message = inbox.recv() => match message {
                    Some(Message::Rows(more)) if sent + more.bytes.len() as u64 <= limit => rows = more,
                    end => break end,
                },
            }
        };
        let Some(next) = next else {
            // Not ended but torn: the engine must not take it for a whole body.
            drop(upload);
            return nobody_is_left().await;
        };
        if array && upload.send(Bytes::from_static(b"]")).await.is_err() {
            return Err(self.ended_early(call.step, upload).await);
        }
        let counts = match self.finish(call.step, upload).await {
            // Only a load in one phase has its effect here, so only its lost answer is worth asking for.
            Err(failure) if failure.class == Class::Unclear && call.step == Step::LoadAtOnce => {
                self.await_state(failure).await?;
                None
            }
            done => done?,
        };
        tracing::trace!(target: STEPS, point = "load.sent");
        Ok((next, counts))
    }

    /// Ends a body and reads what the engine says to it.
    async fn finish(&mut self, step: Step, upload: Upload) -> Result<Option<Counts>, Failure> {
        let at = upload.node.to_string();
        let raw = match upload.finish(self.shared.timeouts.prepare).await {
            Ok(raw) => raw,
            Err(why) => return Err(self.failure(Class::Unclear, step, &format!("{at}: {why}"))),
        };
        match self.shared.engine.read(step, &raw.response).into_done() {
            Ok((id, counts)) => {
                self.txn.id = id.or(self.txn.id);
                Ok(counts)
            }
            Err(reply) => Err(self.failure_in(step, &at, reply).await),
        }
    }

    /// Why the engine answered, or the connection broke, while rows were still being sent.
    async fn ended_early(&mut self, step: Step, upload: Upload) -> Failure {
        let at = upload.node.to_string();
        let raw = match upload.answer(self.shared.timeouts.call).await {
            Ok(raw) => raw,
            Err(why) => return self.failure(Class::Away, step, &format!("{at}: {why}")),
        };
        if raw.location.is_some() {
            return self.failure(Class::Away, step, &format!("{at} redirected after rows had been sent to it"));
        }
        match self.shared.engine.read(step, &raw.response).into_done() {
            Ok(_) => {
                let what = format!("{at} said that the load is done before all rows were sent");
                self.failure(Class::Unclear, step, &what)
            }
            Err(reply) => self.failure_in(step, &at, reply).await,
        }
    }

    /// Prepares the transaction, unless the answer to the load has said so already, and compares the row counts.
    async fn prepare(&mut self, counts: Option<Counts>) -> Result<Prepared, Failure> {
        let counts = match self.shared.engine.prepare(&self.target) {
            None => counts,
            Some(call) => match self.call_prepare(&call).await {
                Ok(counts) => counts,
                Err(failure) if failure.class == Class::Unclear => {
                    self.await_state(failure).await?;
                    None
                }
                Err(failure) => return Err(failure),
            },
        };
        let Self { rows, bytes, .. } = *self;
        match counts {
            Some(Counts { total, .. }) if total != rows => {
                let visible = match self.target.delivery {
                    Delivery::ExactlyOnce => "none of them is visible",
                    Delivery::AtLeastOnce => "what it counted is visible",
                };
                let what = format!("the engine counted {total} rows where {rows} were sent; {visible}");
                Err(self.failure(Class::Refused, Step::Prepare, &what))
            }
            counts => Ok(Prepared { id: self.txn.id, rows, bytes, counts }),
        }
    }

    async fn call_prepare(&mut self, call: &Call) -> Result<Option<Counts>, Failure> {
        let (at, reply) = match self.perform(call).await? {
            Performed::Replied { at, reply } => (at, reply),
            Performed::Upload(_) => return Err(self.failure(Class::Unclear, Step::Prepare, "asked for a body")),
        };
        match reply.into_done() {
            Ok((id, counts)) => {
                self.txn.id = id.or(self.txn.id);
                Ok(counts)
            }
            Err(reply) => Err(self.failure_in(Step::Prepare, &at, reply).await),
        }
    }

    /// After an unclear answer to a prepare, or to a load in one phase: waits until the state tells. A single "unknown"
    /// can come from a frontend that is only just taking over, so it counts when it is seen twice.
    async fn await_state(&mut self, failure: Failure) -> Result<(), Failure> {
        let deadline = Instant::now() + STATE_WAIT.min(self.shared.timeouts.prepare);
        let at_once = self.target.delivery == Delivery::AtLeastOnce;
        let mut unknown = 0;
        let ended = loop {
            match self.shared.state(&self.txn).await {
                Ok(TxnState::Prepared) if !at_once => return Ok(()),
                Ok(TxnState::Committed | TxnState::Visible) if at_once => return Ok(()),
                Ok(TxnState::Unknown) if unknown > 0 => {
                    break "the engine does not know the transaction any more".into();
                }
                Ok(TxnState::Unknown) => unknown += 1,
                Ok(TxnState::Aborted { reason }) => {
                    break format!("the transaction is aborted ({})", reason.as_deref().unwrap_or("no reason given"));
                }
                Ok(state @ (TxnState::Committed | TxnState::Visible)) => {
                    break format!("the transaction is {state:?}, which nobody has asked for");
                }
                Ok(TxnState::Loading | TxnState::Prepared) | Err(_) => {}
            }
            if Instant::now() >= deadline {
                break format!("the transaction did not become {}", if at_once { "visible" } else { "prepared" });
            }
            sleep(PAUSE).await;
        };
        Err(Failure { what: format!("{}; {ended}", failure.what), ..failure })
    }

    /// Performs a call, waiting quietly while no frontend can be reached, and asking again while the label is busy.
    /// Without an open transaction the wait ends when the handle is dropped.
    async fn perform(&mut self, call: &Call) -> Result<Performed, Failure> {
        // An open transaction does not live for ever; before it, waiting costs nothing.
        let deadline = self.opened.then(|| Instant::now() + self.shared.timeouts.prepare);
        let mut outage = Outage::default();
        let mut busy = 0;
        loop {
            let opened = std::mem::replace(&mut self.opened, true);
            match self.shared.perform(call, &self.txn).await {
                Err(Miss::Unreachable(failure)) => {
                    self.opened = opened;
                    if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                        return Err(failure);
                    }
                    outage.wait(&failure, self.shared.random.jitter()).await;
                }
                Err(Miss::Failed(failure)) => return Err(Failure { id: failure.id.or(self.txn.id), ..failure }),
                Ok(Performed::Replied { reply: Reply::Again(_), .. }) if busy < BUSY_LABEL_TRIES => {
                    busy += 1;
                    sleep(PAUSE).await;
                }
                Ok(performed) => {
                    outage.over(self.shared.engine.name());
                    return Ok(performed);
                }
            }
        }
    }

    /// The failure in a reply that is none of those expected. Remembers the transaction's id for the roll-back.
    async fn failure_in(&mut self, step: Step, at: &str, reply: Reply) -> Failure {
        let failure = self.shared.failure_in(step, &self.txn, at, reply).await;
        let failure = failure.unwrap_or_else(|| self.shared.failure(Class::Unclear, step, &self.txn, "done too early"));
        self.txn.id = self.txn.id.or(failure.id);
        Failure { id: self.txn.id, ..failure }
    }

    /// Rolls back whatever the engine has of this load. Best effort: nothing depends on it, but what is left holds a
    /// slot until it times out.
    async fn roll_back(&self) {
        if !self.opened {
            return;
        }
        tracing::trace!(target: STEPS, point = "load.roll-back");
        for attempt in 1..=ROLL_BACK_TRIES {
            match self.shared.abort(&self.txn).await {
                Answer::Done => return tracing::debug!(label = %self.txn.label, "rolled back"),
                Answer::Refused(answer) => {
                    return tracing::debug!(label = %self.txn.label, %answer, "nothing to roll back");
                }
                Answer::Unclear(answer) => {
                    tracing::debug!(label = %self.txn.label, %answer, "roll-back is not confirmed")
                }
            }
            // Known to have ended, or never to have been: asking again changes nothing.
            let state = self.shared.state(&self.txn).await;
            if matches!(state, Ok(TxnState::Unknown | TxnState::Aborted { .. })) {
                return;
            }
            if let Some(pause) = retry::delay(Class::Away, attempt, self.shared.random.jitter()) {
                sleep(pause).await;
            }
        }
        tracing::warn!(
            label = %self.txn.label, table = %self.txn.table,
            "a load that was given up could not be rolled back; the engine ends it by its time-out"
        );
    }
}

/// Time with no frontend in reach: one line when it begins, one when it is over.
#[derive(Default)]
struct Outage {
    attempts: u32,
}

impl Outage {
    async fn wait(&mut self, failure: &Failure, jitter: f64) {
        self.attempts = self.attempts.saturating_add(1);
        if self.attempts == 1 {
            tracing::warn!(reason = %failure, "no frontend can be reached; waiting for it");
        }
        if let Some(pause) = retry::delay(Class::Away, self.attempts, jitter) {
            sleep(pause).await;
        }
    }

    fn over(&self, engine: &str) {
        if self.attempts > 0 {
            tracing::info!(engine, attempts = self.attempts, "a frontend answers again");
        }
    }
}

/// The handle is gone: the select in [`run`] drops this future.
async fn nobody_is_left<T>() -> T {
    std::future::pending().await
}

/// Sends one piece. The memory that its permit stands for is given back when the last of its bytes is in the socket.
async fn send(upload: &mut Upload, rows: Rows, start: bool) -> bool {
    let Rows { bytes, permit, .. } = rows;
    if bytes.is_empty() {
        return true;
    }
    let bytes = match permit {
        Some(permit) => Bytes::from_owner(Held { bytes, _permit: permit }),
        None => bytes,
    };
    if !start {
        return upload.send(bytes).await.is_ok();
    }
    // The array's bracket takes the place of the comma in front of the first row.
    upload.send(Bytes::from_static(b"[")).await.is_ok() && upload.send(bytes.slice(1..)).await.is_ok()
}

struct Held {
    bytes: Bytes,
    _permit: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
