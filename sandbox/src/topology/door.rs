//! A port that a node listens on, and that can be shut and opened while the sandbox runs.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

type Serving = Pin<Box<dyn Future<Output = ()> + Send>>;
type Serve = Box<dyn Fn(TcpListener, watch::Receiver<bool>) -> Serving + Send + Sync>;

/// A port and what is served there.
pub(super) struct Door {
    pub(super) address: SocketAddr,
    serve: Serve,
    stop: watch::Receiver<bool>,
    state: State,
}

enum State {
    Open(JoinHandle<()>),
    /// Nobody listens. The port stays ours, so that nobody else gets it and a connection is refused.
    Shut(Option<TcpSocket>),
}

impl Door {
    /// Opens a port that is bound already; `serve` is to end when its second argument changes.
    pub(super) fn open<S>(
        (listener, address): (TcpListener, SocketAddr),
        stop: watch::Receiver<bool>,
        serve: impl Fn(TcpListener, watch::Receiver<bool>) -> S + Send + Sync + 'static,
    ) -> Self
    where
        S: Future<Output = ()> + Send + 'static,
    {
        let serve: Serve = Box::new(move |listener, stop| Box::pin(serve(listener, stop)));
        let running = tokio::spawn(serve(listener, stop.clone()));
        Self { address, serve, stop, state: State::Open(running) }
    }

    /// Breaks all connections and listens no longer.
    pub(super) async fn shut(&mut self) {
        let State::Open(running) = std::mem::replace(&mut self.state, State::Shut(None)) else { return };
        running.abort();
        // It ends by the abort, which is no news.
        let _ = running.await;
        self.state = State::Shut(reserve(self.address).ok());
    }

    /// Listens again.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        let State::Shut(reserved) = &mut self.state else { return Ok(()) };
        let socket = match reserved.take() {
            Some(socket) => socket,
            None => reserve(self.address)?,
        };
        let listener = socket.listen(BACKLOG)?;
        self.state = State::Open(tokio::spawn((self.serve)(listener, self.stop.clone())));
        Ok(())
    }

    /// Waits for what is served after a stop.
    pub(super) async fn ended(self) {
        if let State::Open(running) = self.state
            && let Err(error) = running.await
        {
            tracing::error!(%error, "a node of the sandbox died");
        }
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door").field("address", &self.address).finish_non_exhaustive()
    }
}

fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}
