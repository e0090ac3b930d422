//! The handles: [`Loader`] for the process, [`Load`] for one transaction that is being filled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot, watch};

use super::engine::{Call, Engine, Reply, Response, Step};
use super::http::{Client, Network, Outcome, SetupError, Trouble, Upload};
use super::question::{Listed, Question, Unanswered};
use super::task::{self, Finished, Message};
use super::{Answer, Class, Doris, Failed, Failure, Prepared, Rows, StarRocks, Target, TxnName, TxnState};
use crate::config::{self, EngineKind, Timeouts};
use crate::decode::Framing;
use crate::random::Random;

/// Loads into one engine. Cheap to clone; one per process.
#[derive(Clone)]
pub struct Loader {
    shared: Arc<Shared>,
}

/// What all loads of a process share.
pub(super) struct Shared {
    pub(super) engine: Box<dyn Engine>,
    pub(super) http: Client,
    pub(super) timeouts: Timeouts,
    pub(super) random: Random,
    /// Load tasks that have not ended, roll-backs included.
    running: watch::Sender<usize>,
}

impl Loader {
    /// Sets the loader up; sends nothing.
    ///
    /// # Errors
    /// When the address list or the certificates can't be used.
    pub fn new(config: &config::Engine) -> Result<Self, SetupError> {
        Self::over(config, Network::tcp(config.ca_file.as_ref())?, Random::system())
    }

    /// The same over another network, with other randomness.
    ///
    /// # Errors
    /// When the address list can't be used.
    pub fn over(config: &config::Engine, network: Network, random: Random) -> Result<Self, SetupError> {
        let engine: Box<dyn Engine> = match config.kind {
            EngineKind::StarRocks => Box::new(StarRocks::new(config.timeouts)),
            EngineKind::Doris => Box::new(Doris::new(config.timeouts)),
        };
        Self::with(config, engine, network, random)
    }

    /// The same with a dialect that the caller has set up, whatever `config.kind` says.
    ///
    /// # Errors
    /// As [`Loader::new`].
    pub fn with_engine(config: &config::Engine, engine: Box<dyn Engine>) -> Result<Self, SetupError> {
        Self::with(config, engine, Network::tcp(config.ca_file.as_ref())?, Random::system())
    }

    fn with(
        config: &config::Engine,
        engine: Box<dyn Engine>,
        network: Network,
        random: Random,
    ) -> Result<Self, SetupError> {
        let http = Client::new(config, network)?;
        let shared = Shared { engine, http, timeouts: config.timeouts, random, running: watch::Sender::new(0) };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// How rows have to stand in the bytes given to [`Load::push`].
    pub fn framing(&self) -> Framing {
        self.shared.engine.framing()
    }

    /// Where its random bits come from.
    pub fn random(&self) -> &Random {
        &self.shared.random
    }

    /// Opens a load and returns at once. The work runs in a task of its own, which outlives a dropped [`Load`] for as
    /// long as it takes to roll the transaction back. While no frontend can be reached it waits: nothing has been sent,
    /// so the label is not burnt. Must be called inside a Tokio runtime.
    pub fn open(&self, target: Target) -> Load {
        let (inbox, messages) = mpsc::unbounded_channel();
        let (failure, failed) = oneshot::channel();
        let running = Running::enter(&self.shared);
        tokio::spawn(task::run(running, target, messages, failure));
        Load { inbox, failed }
    }

    /// Asks once that a prepared transaction be made visible, redirects included. Another frontend is asked only if
    /// nothing can have been sent. The answer is never the final word: read [`Loader::state`] afterwards.
    pub async fn commit(&self, txn: &TxnName) -> Answer {
        match self.shared.engine.commit(txn) {
            Ok(call) => self.shared.answer(&call, txn).await,
            Err(failure) => Answer::Refused(failure),
        }
    }

    /// Asks once that a transaction be rolled back; as [`Loader::commit`], the answer is never the final word.
    pub async fn abort(&self, txn: &TxnName) -> Answer {
        self.shared.abort(txn).await
    }

    /// Reads the state of a label, at any frontend that answers.
    ///
    /// # Errors
    /// When no frontend gives an answer that can be read.
    pub async fn state(&self, txn: &TxnName) -> Result<TxnState, Failure> {
        self.shared.state(txn).await
    }

    /// Asks in SQL, at any frontend that answers. For questions that help and decide nothing alone.
    ///
    /// # Errors
    /// When no frontend has answered, or the engine refuses the question: it is too old, or the user has no right.
    pub async fn query(&self, sql: &str) -> Result<Listed, Unanswered> {
        let engine = &self.shared.engine;
        self.shared.question(&engine.query(sql), |answer| engine.listed(answer)).await
    }

    /// The engine's version, in its own words.
    ///
    /// # Errors
    /// As [`Loader::query`].
    pub async fn version(&self) -> Result<String, Unanswered> {
        let listed = self.query(self.shared.engine.version()).await?;
        let none = || Unanswered { what: "the answer has no version".to_owned(), passing: false };
        listed.first().map(ToOwned::to_owned).ok_or_else(none)
    }

    /// These settings of the frontends; those that it does not know are absent.
    ///
    /// # Errors
    /// As [`Loader::query`].
    pub async fn settings(&self, names: &[&str]) -> Result<BTreeMap<String, String>, Unanswered> {
        let engine = &self.shared.engine;
        let questions = engine.settings(names);
        let answers = questions.iter().map(|question| self.shared.question(question, |a| engine.settings_in(a)));
        let answers: Vec<_> = join_all(answers).await.into_iter().collect::<Result<_, _>>()?;
        Ok(answers.into_iter().flatten().filter(|(name, _)| names.contains(&name.as_str())).collect())
    }

    /// True if the engine's load history says that this load became visible.
    ///
    /// # Errors
    /// When the history has no such entry and a part of it could not be asked; false needs all of it.
    pub async fn history_has(&self, txn: &TxnName) -> Result<bool, Unanswered> {
        let mut missing = None;
        for sql in self.shared.engine.history(txn) {
            match self.query(&sql).await {
                Ok(listed) if !listed.rows.is_empty() => return Ok(true),
                Ok(_) => {}
                Err(unanswered) => missing = Some(unanswered),
            }
        }
        missing.map_or(Ok(false), Err)
    }

    /// A label like this pattern that the engine remembers in the database; `%` is any text.
    ///
    /// # Errors
    /// As [`Loader::query`].
    pub async fn label_like(&self, database: &str, pattern: &str) -> Result<Option<String>, Unanswered> {
        let listed = self.query(&self.shared.engine.labels_like(database, pattern)).await?;
        let label = listed.column("label").next().map(ToOwned::to_owned);
        Ok(label)
    }

    /// Waits until no load is open and every roll-back in the background has ended, at most for `limit`; true if so.
    /// For the end of the process: a prepared transaction that nobody rolls back stays for up to a day.
    pub async fn idle(&self, limit: Duration) -> bool {
        let mut running = self.shared.running.subscribe();
        tokio::time::timeout(limit, running.wait_for(|count| *count == 0)).await.is_ok_and(|seen| seen.is_ok())
    }
}

/// A load task that has not ended.
pub(super) struct Running(pub(super) Arc<Shared>);

impl Running {
    fn enter(shared: &Arc<Shared>) -> Self {
        shared.running.send_modify(|count| *count += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.send_modify(|count| *count = count.saturating_sub(1));
    }
}

/// An open load. Dropping it abandons the load.
pub struct Load {
    inbox: mpsc::UnboundedSender<Message>,
    failed: oneshot::Receiver<Failure>,
}

impl Load {
    /// Hands rows to the load, in order, and does not wait: what is under way is bounded by the memory budget that the
    /// rows hold a share of.
    ///
    /// # Errors
    /// When the load has failed: [`Load::prepare`] says why.
    pub fn push(&self, rows: Rows) -> Result<(), Failed> {
        self.inbox.send(Message::Rows(rows)).map_err(|_| Failed)
    }

    /// True once the load has failed by itself.
    pub fn has_failed(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Resolves once the load has failed by itself: the engine refused, or a connection was lost. Cancel-safe.
    pub async fn failed(&self) {
        self.inbox.closed().await;
    }

    /// Ends the load and prepares the transaction, then compares the engine's row count with the rows written. If the
    /// returned future is dropped, the transaction is rolled back in the background, whatever prepare was answered.
    ///
    /// # Errors
    /// Why the load is not prepared. What is left of it is rolled back in the background.
    pub async fn prepare(self) -> Result<Prepared, Failure> {
        let Self { inbox, failed } = self;
        let gone = || Failure::new(Class::Unclear, "the load ended without a word: the process is shutting down");
        let (reply, finished) = oneshot::channel();
        // A failed load takes no message; then `failed` holds the reason, as it does when the reply is dropped.
        let sent = inbox.send(Message::Prepare(reply));
        if sent.is_ok()
            && let Ok(Finished { prepared, seen }) = finished.await
        {
            // No await between here and the return: what is acknowledged is also handed over.
            let _ = seen.send(());
            return Ok(prepared);
        }
        Err(failed.await.unwrap_or_else(|_| gone()))
    }

    /// Drops the load: the connection is closed and the transaction rolled back in the background.
    pub fn abandon(self) {
        drop(self);
    }
}

/// A call that got through to an engine node.
pub(super) enum Performed {
    Replied { at: String, reply: Reply },
    Upload(Upload),
}

/// A call that did not.
pub(super) enum Miss {
    /// No frontend can be reached: nothing was sent.
    Unreachable(Failure),
    Failed(Failure),
}

impl Miss {
    pub(super) fn into_failure(self) -> Failure {
        match self {
            Self::Unreachable(failure) | Self::Failed(failure) => failure,
        }
    }
}

impl Shared {
    /// Which call failed, for people.
    pub(super) fn failure(&self, class: Class, step: Step, txn: &TxnName, what: &str) -> Failure {
        let (engine, step) = (self.engine.name(), step.word());
        Failure::new(class, format!("{engine} {step} for table {}, label {}: {what}", txn.table, txn.label))
    }

    /// Performs a call, at the next frontend if one does not lead or nothing can have been sent. A question has no
    /// effect, so it goes on until a frontend gives an answer that can be read.
    pub(super) async fn perform(&self, call: &Call, txn: &TxnName) -> Result<Performed, Miss> {
        let mut last = None;
        let mut unreachable = true;
        let question = call.step == Step::State;
        for number in self.http.frontends() {
            let fail = |class, what: &str| self.failure(class, call.step, txn, what);
            match self.http.send(number, call).await {
                Ok(Outcome::Upload(upload)) => {
                    self.http.stay_with(number);
                    return Ok(Performed::Upload(upload));
                }
                Ok(Outcome::Answered { at, response, first }) => match self.engine.read(call.step, &response) {
                    Reply::Elsewhere(what) => {
                        unreachable = false;
                        last = Some(fail(Class::Away, &format!("{at}: {what}")));
                    }
                    Reply::Done { .. } if call.streams() => return Err(Miss::Failed(fail_early(first, &at, fail))),
                    Reply::Failed { class: class @ (Class::Away | Class::Unclear), what, .. } if question => {
                        unreachable = false;
                        last = Some(fail(class, &format!("{at}: {what}")));
                    }
                    reply @ Reply::Failed { class: Class::Away, .. } => {
                        self.http.pass_over(number);
                        return Ok(Performed::Replied { at, reply });
                    }
                    reply @ (Reply::Done { .. } | Reply::State(_) | Reply::Again(_) | Reply::Failed { .. }) => {
                        self.http.stay_with(number);
                        return Ok(Performed::Replied { at, reply });
                    }
                },
                Err(Trouble::NotSent { what, frontend }) => {
                    unreachable &= frontend;
                    last = Some(fail(Class::Away, &what));
                }
                Err(Trouble::Lost(what)) if question => {
                    unreachable = false;
                    last = Some(fail(Class::Away, &what));
                }
                Err(Trouble::Lost(what)) => {
                    self.http.pass_over(number);
                    return Err(Miss::Failed(fail(Class::Unclear, &what)));
                }
                Err(Trouble::Refused(what)) => return Err(Miss::Failed(fail(Class::Refused, &what))),
            }
        }
        let last = last.unwrap_or_else(|| self.failure(Class::Refused, call.step, txn, "there is no frontend"));
        Err(if unreachable { Miss::Unreachable(last) } else { Miss::Failed(last) })
    }

    /// The failure in a reply, with the engine's error log; `None` if the call was done.
    pub(super) async fn failure_in(&self, step: Step, txn: &TxnName, at: &str, reply: Reply) -> Option<Failure> {
        let fail = |class, what: &str| Some(self.failure(class, step, txn, &format!("{at}: {what}")));
        match reply {
            Reply::Done { .. } => None,
            Reply::State(state) => fail(Class::Unclear, &format!("the answer is a state, {state:?}")),
            Reply::Again(what) | Reply::Elsewhere(what) => fail(Class::Away, &what),
            Reply::Failed { class, what, error_url, id } => {
                let error_log = match error_url {
                    Some(url) => self.http.error_log(&url).await,
                    None => None,
                };
                fail(class, &what).map(|failure| Failure { error_log, id, ..failure })
            }
        }
    }

    async fn answer(&self, call: &Call, txn: &TxnName) -> Answer {
        let failure = match self.perform(call, txn).await {
            Ok(Performed::Replied { at, reply }) => self.failure_in(call.step, txn, &at, reply).await,
            Ok(Performed::Upload(_)) => Some(self.failure(Class::Unclear, call.step, txn, "asked for a body")),
            Err(miss) => Some(miss.into_failure()),
        };
        match failure {
            None => Answer::Done,
            Some(failure) => match failure.class {
                Class::Refused | Class::NotCommittable => Answer::Refused(failure),
                Class::Away | Class::Busy | Class::Unclear => Answer::Unclear(failure),
            },
        }
    }

    /// Asks one frontend after the other until one answers; a frontend that can't read at the moment is passed over.
    async fn question<T>(
        &self,
        question: &Question,
        read: impl Fn(&Response) -> Result<T, String>,
    ) -> Result<T, Unanswered> {
        let mut last = Unanswered { what: "there is no frontend".to_owned(), passing: false };
        for number in self.http.frontends() {
            match self.http.ask(number, question).await {
                Ok((at, answer)) => match read(&answer) {
                    Ok(answer) => return Ok(answer),
                    Err(what) => {
                        let passing = matches!(answer.status, 502..=504);
                        last = Unanswered { what: format!("{at}: {what}"), passing };
                        if !passing {
                            return Err(last);
                        }
                    }
                },
                Err(what) => last = Unanswered { what, passing: true },
            }
        }
        Err(last)
    }

    pub(super) async fn abort(&self, txn: &TxnName) -> Answer {
        let answer = self.answer(&self.engine.abort(txn), txn).await;
        match (&answer, self.engine.cancel(txn)) {
            (Answer::Unclear(_), Some(call)) => match self.answer(&call, txn).await {
                Answer::Done => Answer::Done,
                Answer::Refused(_) | Answer::Unclear(_) => answer,
            },
            (Answer::Done | Answer::Refused(_) | Answer::Unclear(_), _) => answer,
        }
    }

    pub(super) async fn state(&self, txn: &TxnName) -> Result<TxnState, Failure> {
        let unclear = |what| self.failure(Class::Unclear, Step::State, txn, what);
        match self.perform(&self.engine.state(txn), txn).await {
            Ok(Performed::Replied { reply: Reply::State(state), .. }) => Ok(state),
            Ok(Performed::Replied { at, reply }) => match self.failure_in(Step::State, txn, &at, reply).await {
                Some(failure) => Err(failure),
                None => Err(unclear("the answer has no state")),
            },
            Ok(Performed::Upload(_)) => Err(unclear("asked for a body")),
            Err(miss) => Err(miss.into_failure()),
        }
    }
}

/// A load that is said to be done before a row was sent.
fn fail_early(first: bool, at: &str, fail: impl Fn(Class, &str) -> Failure) -> Failure {
    if first {
        let what = format!(
            "{at} answered the load itself instead of redirecting it to a backend; engine.frontends has to name the \
             frontends themselves, not a proxy that follows their redirects"
        );
        return fail(Class::Refused, &what);
    }
    fail(Class::Unclear, &format!("{at} said that the load is done before it was sent the rows"))
}
