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

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::http::ACCEPT_PAUSE;
use crate::sql::Server;

/// Connections at a time (`qe_max_connection`).
const CONNECTIONS_MAX: usize = 1024;
/// What a statement under way gets when the sandbox stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Serves until `stop` changes.
pub(crate) async fn serve(listener: TcpListener, mut stop: watch::Receiver<bool>, server: Arc<Server>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                log_death(ended);
                continue;
            }
            _ = stop.changed() => break,
        };
        let _ = stream.set_nodelay(true);
        let is_full = connections.len() >= CONNECTIONS_MAX;
        connections.spawn(serve_one(stream, peer, Arc::clone(&server), stop.clone(), is_full));
    }
    drop(listener);
    let rest = async {
        while let Some(ended) = connections.join_next().await {
            log_death(ended);
        }
    };
    let _ = tokio::time::timeout(STOP_GRACE, rest).await;
    connections.abort_all();
}

fn log_death(ended: Result<(), JoinError>) {
    if let Err(died) = ended
        && died.is_panic()
    {
        tracing::error!(%died, "a MySQL connection died; this is a defect of the sandbox");
    }
}

/// Serves one connection; one too many is told so.
pub(crate) async fn serve_one<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    server: Arc<Server>,
    stop: watch::Receiver<bool>,
    is_full: bool,
) {
    let id = server.next_connection();
    let listed = Listed { server: &server, id };
    if let Err(error) = connection::run(stream, peer, id, &server, stop, is_full).await {
        tracing::debug!(%peer, %error, "a MySQL connection broke");
    }
    drop(listed);
}

/// A connection's place in the process list, which ends with it however it ends.
struct Listed<'s> {
    server: &'s Server,
    id: u32,
}

impl Drop for Listed<'_> {
    fn drop(&mut self) {
        self.server.connected().remove(&self.id);
    }
}
