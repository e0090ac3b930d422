//! Connections to a sandbox's ports without a socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::io::DuplexStream;
use tokio::sync::watch;

use super::Sandbox;
use super::listen::{backend, frontend, head_limits};
use crate::delivery::ResetSwitch;
use crate::http::{Ends, HeadLimits, serve_one};
use crate::nodes::Backend;
use crate::{admin, mysql};

/// Bytes that may be on their way in each direction.
const IN_FLIGHT_BYTES: usize = 64 << 10;

/// Where a client can knock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// The first frontend's HTTP interface.
    Frontend,
    /// The first backend's HTTP interface, where bodies go.
    Backend,
    /// The first frontend's MySQL interface.
    Query,
    /// The sandbox's own HTTP interface.
    Admin,
}

impl Sandbox {
    /// A connection to a port that needs no socket: what is written to it arrives there, byte for byte.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn connect(&self, port: Port) -> DuplexStream {
        let (own, theirs) = tokio::io::duplex(IN_FLIGHT_BYTES);
        let (server, stop) = (Arc::clone(&self.servers[0]), self.stop.subscribe());
        let (cluster, machines) = (Arc::clone(&self.cluster), Arc::clone(&self.machines));
        let first = Backend { index: 0, http: self.backend };
        let kind = self.kind;
        tokio::spawn(async move {
            // No node's death ends this connection.
            let (_alive, killed) = watch::channel(());
            let ends = Ends { stop: stop.clone(), killed, reset: ResetSwitch::default() };
            match port {
                Port::Frontend => {
                    let answer = Arc::new(move |request| frontend(Arc::clone(&server), request));
                    serve_one(theirs, ends, head_limits(kind), answer).await;
                }
                Port::Backend => {
                    let answer = Arc::new(move |request| backend(Arc::clone(&cluster), first, request));
                    serve_one(theirs, ends, HeadLimits::NONE, answer).await;
                }
                Port::Admin => {
                    let answer =
                        Arc::new(move |request| admin::answer(Arc::clone(&cluster), Arc::clone(&machines), request));
                    serve_one(theirs, ends, HeadLimits::NONE, answer).await;
                }
                Port::Query => {
                    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                    mysql::serve_one(theirs, nobody, server, stop, false).await;
                }
            }
        });
        own
    }
}
