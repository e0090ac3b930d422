//! Reads a load's body from the wire into the store, a piece at a time.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::cluster::Cluster;
use crate::delivery::pace;
use crate::faults::{FaultKind, When, current, hits};
use crate::loader::Loader;
use crate::nodes::Backend;
use crate::table::Table;
use crate::transactions::Transaction;

/// How long a body may stand still (StarRocks `streaming_load_rpc_max_alive_time_sec`).
const STILL_MAX: Duration = Duration::from_secs(1200);

/// How a body ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BodyEnd {
    /// All of it was read.
    Whole,
    /// The client went away, or a fault of the plan says so.
    Broken,
    /// What came is no HTTP, such as a chunk without a size.
    Garbled,
    /// The backend was restarted.
    Lost,
    /// A fault of the plan refuses the load, with this message.
    Refused(String),
}

/// Reads a body to its end. The first poll of the body is what sends `100 Continue`.
pub(crate) async fn pump(
    cluster: &Arc<Cluster>,
    own: Backend,
    mut body: Incoming,
    loader: &mut Loader,
    transaction: &Transaction,
    table: &Arc<Table>,
) -> BodyEnd {
    let mut life = Life::of(cluster, own);
    let before = loader.counts().bytes;
    let end = loop {
        if let Some(end) = strike(cluster, &mut life, loader.counts().bytes - before).await {
            break end;
        }
        let frame = tokio::select! {
            biased;
            () = life.lost() => break BodyEnd::Lost,
            frame = tokio::time::timeout(STILL_MAX, body.frame()) => frame,
        };
        match frame {
            Ok(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    loader.push(bytes);
                    dawdle(&mut life, bytes.len()).await;
                }
            }
            Ok(None) => break BodyEnd::Whole,
            Ok(Some(Err(error))) if is_garbled(&error) => break BodyEnd::Garbled,
            Ok(Some(Err(_))) | Err(_) => break BodyEnd::Broken,
        }
        if let Some(chunk) = loader.take_chunk(false) {
            cluster.append(transaction, table, chunk).await;
        }
    };
    if end == BodyEnd::Whole {
        loader.finish_body();
        if let Some(chunk) = loader.take_chunk(true) {
            cluster.append(transaction, table, chunk).await;
        }
    }
    cluster.drop_rows_if_over(transaction);
    end
}

/// True if the client is still there, but doesn't speak HTTP any more.
fn is_garbled(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<std::io::Error>());
    source.is_some_and(|source| matches!(source.kind(), ErrorKind::InvalidInput | ErrorKind::InvalidData))
}

/// The process that reads a body: it can be another one before the body ends.
struct Life<'a> {
    cluster: &'a Cluster,
    own: Backend,
    began: i64,
    /// Rung when any backend restarts.
    bell: watch::Receiver<()>,
}

impl<'a> Life<'a> {
    fn of(cluster: &'a Cluster, own: Backend) -> Self {
        Self { cluster, own, began: cluster.backend_start(own), bell: cluster.backend_starts() }
    }

    fn is_lost(&self) -> bool {
        self.cluster.backend_start(self.own) != self.began
    }

    /// Ends when the process has.
    async fn lost(&mut self) {
        while !self.is_lost() {
            if self.bell.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits, but not longer than the process lives.
    async fn pause(&mut self, pause: Duration) {
        tokio::select! {
            () = self.lost() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What a fault does in the middle of a body.
enum InBody {
    End(BodyEnd),
    Pause(Duration),
    Event(FaultKind),
}

/// Lets the faults of the plan strike that wait for so many bytes; an end if the body ends there.
async fn strike(cluster: &Arc<Cluster>, life: &mut Life<'_>, bytes: u64) -> Option<BodyEnd> {
    let hits = hits()?;
    while let Some(in_body) = hits.next(|kind| in_body(kind, bytes)) {
        match in_body {
            InBody::End(end) => return Some(end),
            InBody::Pause(pause) => life.pause(pause).await,
            InBody::Event(event) => hits.let_happen(cluster, &event).await,
        }
    }
    None
}

fn in_body(kind: &FaultKind, bytes: u64) -> Option<InBody> {
    let (after, strike) = if let FaultKind::RefuseInBody { after_bytes, message } = kind {
        (*after_bytes, InBody::End(BodyEnd::Refused(message.clone())))
    } else if let FaultKind::DropInBody { after_bytes } | FaultKind::ResetInBody { after_bytes } = kind {
        (*after_bytes, InBody::End(BodyEnd::Broken))
    } else if let FaultKind::StallBody { after_bytes, millis } = kind {
        (*after_bytes, InBody::Pause(Duration::from_millis(*millis)))
    } else if kind.when() == Some(When::InBody) {
        (1, InBody::Event(kind.clone()))
    } else {
        return None;
    };
    (bytes >= after).then_some(strike)
}

/// Takes its time over a piece of the body if the plan says so.
async fn dawdle(life: &mut Life<'_>, bytes: usize) {
    let rate =
        current(
            |kind| if let FaultKind::SlowBody { bytes_per_second } = kind { Some(*bytes_per_second) } else { None },
        );
    if let Some(rate) = rate {
        life.pause(pace(bytes, rate)).await;
    }
}
