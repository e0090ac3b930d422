//! What the engine says of the loads of open intents.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};

use super::Names;
use crate::commit::Tag;
use crate::commit::metadata::Fate;
use crate::commit::resolve::OpenIntent;
use crate::domain::{Nonce, TxnState};
use crate::load::{Answer, Class, Failure, Loader, TxnName, retry};

/// Questions under way at a time.
const AT_ONCE: usize = 8;

/// Longest time for the engine's answer about one load, and for the end of one that is aborted.
const ANSWER: Duration = Duration::from_secs(30);

/// One load of an open intent.
pub(super) type LoadKey = (Nonce, Tag);

/// What the engine was asked, and what it said.
pub(super) type States = BTreeMap<LoadKey, Result<TxnState, Failure>>;

/// The loads that the intents themselves say nothing about, as far as they can be named.
fn open_loads<'i>(names: &Names, intents: &'i [OpenIntent]) -> Vec<(LoadKey, TxnName)> {
    let of = |intent: &'i OpenIntent| intent.tables.iter().map(move |(tag, table)| (intent.nonce, *tag, *table));
    let open = intents.iter().flat_map(of).filter(|(_, _, table)| table.fate == Fate::Open);
    open.filter_map(|(nonce, tag, table)| Some(((nonce, tag), names.load(nonce, tag, table.txn)?))).collect()
}

/// Asks once about each load, for a picture of the moment.
pub(super) async fn look(loader: &Loader, names: &Names, intents: &[OpenIntent]) -> States {
    let ask = |(key, txn): (LoadKey, TxnName)| async move { (key, loader.state(&txn).await) };
    stream::iter(open_loads(names, intents)).map(ask).buffer_unordered(AT_ONCE).collect().await
}

/// Asks about each load until the engine answers. UNKNOWN is believed when it was said several times.
pub(super) async fn ask(loader: &Loader, names: &Names, intents: &[OpenIntent]) -> States {
    let ask = |(key, txn): (LoadKey, TxnName)| async move { (key, state(loader, &txn, Instant::now() + ANSWER).await) };
    stream::iter(open_loads(names, intents)).map(ask).buffer_unordered(AT_ONCE).collect().await
}

/// Aborts a load and asks until the engine has ended it. Whatever the abort is answered, only the state counts.
pub(super) async fn end(loader: &Loader, txn: &TxnName) -> Result<TxnState, Failure> {
    let deadline = Instant::now() + ANSWER;
    let mut tries = 0;
    loop {
        let answer = loader.abort(txn).await;
        match state(loader, txn, deadline).await? {
            TxnState::Prepared | TxnState::Loading => {
                tries += 1;
                if !pause(loader, Class::Unclear, tries, deadline).await {
                    let answer = match answer {
                        Answer::Done => "it says that it has".to_owned(),
                        Answer::Refused(failure) | Answer::Unclear(failure) => failure.what,
                    };
                    let what = format!("the engine does not end the load {} of {}: {answer}", txn.label, txn.table);
                    return Err(Failure::new(Class::Unclear, what));
                }
            }
            ended @ (TxnState::Unknown | TxnState::Committed | TxnState::Visible | TxnState::Aborted { .. }) => {
                return Ok(ended);
            }
        }
    }
}

async fn state(loader: &Loader, txn: &TxnName, deadline: Instant) -> Result<TxnState, Failure> {
    let (mut unknown, mut failures) = (0, 0);
    loop {
        match loader.state(txn).await {
            Ok(TxnState::Unknown) if unknown + 1 < retry::UNKNOWN_MEANS_IT => {
                unknown += 1;
                pause(loader, Class::Unclear, unknown, deadline).await;
            }
            Ok(state) => return Ok(state),
            Err(failure) => {
                failures += 1;
                if !pause(loader, Class::Away, failures, deadline).await {
                    return Err(failure);
                }
            }
        }
    }
}

/// Waits before the next try; false if that would be past the deadline.
async fn pause(loader: &Loader, class: Class, tries: u32, deadline: Instant) -> bool {
    let wait = retry::delay(class, tries, loader.random().jitter()).unwrap_or_default();
    let in_time = Instant::now() + wait < deadline;
    if in_time {
        tokio::time::sleep(wait).await;
    }
    in_time
}
