//! The ports of a sandbox's nodes, and who answers there.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use super::StartError;
use super::door::Door;
use super::machines::Doors;
use crate::cluster::Cluster;
use crate::http::{HangUp, HeadLimits, HttpRequest, HttpResponse, bind, serve};
use crate::nodes::{Addresses, Backend, Frontend};
use crate::sql::Server;
use crate::table::EngineKind;
use crate::{doris, mysql, starrocks};

/// A port that is bound.
pub(super) type Bound = (TcpListener, SocketAddr);

/// Which ports to listen on; 0 picks a free one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) frontend: u16,
    pub(super) backend: u16,
    pub(super) admin: u16,
    pub(super) query: u16,
}

/// The ports of all nodes.
pub(super) struct Listeners {
    frontends: Vec<(Bound, Bound)>,
    backends: Vec<Bound>,
}

/// Listens on a port.
pub(super) async fn listen(port: u16) -> Result<Bound, StartError> {
    bind(port).await.map_err(|source| StartError::Io { what: format!("listen on port {port}"), source })
}

/// The port of the n-th node: the given one and those behind it, or a free one.
fn nth(first: u16, index: usize) -> Result<u16, StartError> {
    let behind = u16::try_from(index).ok().and_then(|index| first.checked_add(index));
    match (first, behind) {
        (0, _) => Ok(0),
        (_, Some(port)) => Ok(port),
        (_, None) => Err(StartError::Io {
            what: format!("listen on {} ports from {first} on", index + 1),
            source: std::io::ErrorKind::InvalidInput.into(),
        }),
    }
}

impl Listeners {
    /// Listens for that many nodes.
    pub(super) async fn bind(ports: Ports, frontends: usize, backends: usize) -> Result<Self, StartError> {
        let mut listeners = Self { frontends: Vec::new(), backends: Vec::new() };
        for index in 0..frontends {
            let http = listen(nth(ports.frontend, index)?).await?;
            let query = listen(nth(ports.query, index)?).await?;
            listeners.frontends.push((http, query));
        }
        for index in 0..backends {
            listeners.backends.push(listen(nth(ports.backend, index)?).await?);
        }
        Ok(listeners)
    }

    /// Where they listen.
    pub(super) fn addresses(&self) -> Addresses {
        let frontend = |(http, query): &(Bound, Bound)| Frontend { http: http.1, query: query.1 };
        Addresses {
            frontends: self.frontends.iter().map(frontend).collect(),
            backends: self.backends.iter().map(|(_, address)| *address).collect(),
        }
    }

    /// The frontends.
    pub(super) fn servers(&self, cluster: &Arc<Cluster>) -> Vec<Arc<Server>> {
        let server = |index| Arc::new(Server::new(cluster.profile.kind(), Arc::clone(cluster), index));
        (0..self.frontends.len()).map(server).collect()
    }

    /// Serves until `stop` changes.
    pub(super) fn open(self, servers: &[Arc<Server>], stop: &watch::Receiver<bool>) -> Doors {
        let cluster = Arc::clone(&servers[0].cluster);
        let frontends = self.frontends.into_iter().zip(servers).map(|((http, query), server)| {
            let (server, sql) = (Arc::clone(server), Arc::clone(server));
            vec![
                Door::open(http, stop.clone(), move |listener, stop| {
                    serve_frontend(listener, stop, Arc::clone(&server))
                }),
                Door::open(query, stop.clone(), move |listener, stop| mysql::serve(listener, stop, Arc::clone(&sql))),
            ]
        });
        let frontends = frontends.collect();
        let backends = self.backends.into_iter().enumerate().map(|(index, bound)| {
            let (own, cluster) = (Backend { index, http: bound.1 }, Arc::clone(&cluster));
            vec![Door::open(bound, stop.clone(), move |listener, stop| {
                serve_backend(listener, stop, Arc::clone(&cluster), own)
            })]
        });
        Doors { frontends, backends: backends.collect() }
    }
}

async fn serve_frontend(listener: TcpListener, stop: watch::Receiver<bool>, server: Arc<Server>) {
    let limits = head_limits(server.kind);
    serve(listener, stop, limits, move |request| frontend(Arc::clone(&server), request)).await;
}

async fn serve_backend(listener: TcpListener, stop: watch::Receiver<bool>, cluster: Arc<Cluster>, own: Backend) {
    serve(listener, stop, HeadLimits::NONE, move |request| backend(Arc::clone(&cluster), own, request)).await;
}

/// What a frontend takes of a request's head.
pub(super) fn head_limits(kind: EngineKind) -> HeadLimits {
    match kind {
        EngineKind::StarRocks => HeadLimits::STARROCKS,
        // As much as the listener takes (`jetty_server_max_http_header_size`).
        EngineKind::Doris => HeadLimits::NONE,
    }
}

/// Answers as a frontend.
pub(super) async fn frontend(server: Arc<Server>, request: HttpRequest) -> Result<HttpResponse, HangUp> {
    match server.kind {
        EngineKind::StarRocks => starrocks::frontend::answer(server, request).await,
        EngineKind::Doris => doris::frontend::answer(server, request).await,
    }
}

/// Answers as a backend.
pub(super) async fn backend(cluster: Arc<Cluster>, own: Backend, request: HttpRequest) -> Result<HttpResponse, HangUp> {
    match cluster.profile.kind() {
        EngineKind::StarRocks => starrocks::backend::answer(cluster, own, request).await,
        EngineKind::Doris => doris::backend::answer(cluster, own, request).await,
    }
}
