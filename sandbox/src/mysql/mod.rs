//! The frontend's MySQL interface (`query_port`): packets, login, commands, results.
//!
//! Written here and not taken from a crate: the two servers that exist on the registry have had no release since 2024,
//! answer what they don't know with OK and a failed login with a code of their own, and don't bound a packet. The
//! protocol's server side is small: packets, one way to log in, a dozen commands.

mod answer;
mod connection;
mod handshake;
mod packet;
mod prepared;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::sql::Server;

/// Connections at a time (`qe_max_connection`).
const CONNECTIONS_MAX: usize = 1024;
/// What a statement under way gets when the sandbox stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Serves until `stop` changes.
pub(crate) async fn serve(listener: TcpListener, mut stop: watch::Receiver<bool>, server: Arc<Server>) {
    let ids = AtomicU32::new(1);
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    continue;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            _ = stop.changed() => break,
        };
        let _ = stream.set_nodelay(true);
        let is_full = connections.len() >= CONNECTIONS_MAX;
        let id = ids.fetch_add(1, Ordering::Relaxed);
        let (server, stop) = (Arc::clone(&server), stop.clone());
        connections.spawn(async move {
            if let Err(error) = connection::run(stream, peer, id, &server, stop, is_full).await {
                tracing::debug!(%peer, %error, "a MySQL connection broke");
            }
            server.connected().remove(&id);
        });
    }
    drop(listener);
    let rest = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_GRACE, rest).await;
    connections.abort_all();
}
