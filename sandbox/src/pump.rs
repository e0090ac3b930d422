//! Reads a load's body from the wire into the store, a piece at a time.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::cluster::Cluster;
use crate::faults::FaultKind;
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
    cluster: &Cluster,
    own: Backend,
    mut body: Incoming,
    loader: &mut Loader,
    transaction: &Transaction,
    table: &Arc<Table>,
    faults: &[FaultKind],
) -> BodyEnd {
    let mut restarts = cluster.backend_starts();
    let started = cluster.backend_start(own);
    let before = loader.counts().bytes;
    let end = loop {
        if let Some(end) = fault_at(faults, loader.counts().bytes - before) {
            break end;
        }
        let frame = tokio::select! {
            biased;
            _ = restarts.changed() => {
                if cluster.backend_start(own) != started {
                    break BodyEnd::Lost;
                }
                continue;
            }
            frame = tokio::time::timeout(STILL_MAX, body.frame()) => frame,
        };
        match frame {
            Ok(Some(Ok(frame))) => {
                if let Some(bytes) = frame.data_ref() {
                    loader.push(bytes);
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

fn fault_at(faults: &[FaultKind], bytes: u64) -> Option<BodyEnd> {
    faults.iter().find_map(|fault| match fault {
        FaultKind::RefuseInBody { after_bytes, message } if bytes >= *after_bytes => {
            Some(BodyEnd::Refused(message.clone()))
        }
        FaultKind::DropInBody { after_bytes } if bytes >= *after_bytes => Some(BodyEnd::Broken),
        FaultKind::RefuseInBody { .. }
        | FaultKind::DropInBody { .. }
        | FaultKind::DropBefore
        | FaultKind::DropAfter
        | FaultKind::Status { .. }
        | FaultKind::Delay { .. }
        | FaultKind::RefuseAtHeader { .. } => None,
    })
}
