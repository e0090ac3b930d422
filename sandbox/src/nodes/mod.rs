//! The cluster's nodes: their addresses, and which of them run as far as the frontends know.

mod membership;

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::clock::millis;
use crate::settings::Settings;

pub(crate) use membership::{Event, Member};
use membership::{Membership, Rules};

/// A frontend's interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frontend {
    /// HTTP.
    pub(crate) http: SocketAddr,
    /// MySQL.
    pub(crate) query: SocketAddr,
}

/// A backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    /// Its place in the list.
    pub(crate) index: usize,
    /// HTTP.
    pub(crate) http: SocketAddr,
}

impl Backend {
    /// `BackendId`.
    pub(crate) fn id(self) -> usize {
        10_001 + self.index
    }
}

/// Where all nodes are; there is at least one of each kind.
#[derive(Clone, Debug)]
pub(crate) struct Addresses {
    pub(crate) frontends: Vec<Frontend>,
    pub(crate) backends: Vec<SocketAddr>,
}

/// The nodes, and what the frontends know of them.
#[derive(Debug)]
pub(crate) struct Nodes {
    addresses: Addresses,
    /// When the cluster began, ms since the epoch.
    pub(crate) founded_ms: i64,
    membership: Mutex<Membership>,
}

impl Nodes {
    /// Nodes that begin now.
    pub(crate) fn new(addresses: Addresses, settings: &Settings, now_ms: i64) -> Self {
        let rules = Rules {
            heartbeat_ms: millis(settings.heartbeat_interval),
            misses_max: settings.heartbeat_misses_max.into(),
            abort_after_ms: millis(settings.abort_lost_backend_after),
            election_ms: millis(settings.election_time),
        };
        let membership = Membership::new(rules, addresses.frontends.len(), addresses.backends.len(), now_ms);
        Self { addresses, founded_ms: now_ms, membership: Mutex::new(membership) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Membership> {
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn frontends(&self) -> &[Frontend] {
        &self.addresses.frontends
    }

    pub(crate) fn backends(&self) -> impl Iterator<Item = Backend> {
        self.addresses.backends.iter().enumerate().map(|(index, http)| Backend { index, http: *http })
    }

    /// A backend by its place in the list; one that isn't there is taken for the first.
    pub(crate) fn backend(&self, index: usize) -> Backend {
        let index = if index < self.addresses.backends.len() { index } else { 0 };
        Backend { index, http: self.addresses.backends[index] }
    }

    /// The next backend in turn that is believed to run.
    pub(crate) fn choose_backend(&self) -> Option<Backend> {
        let chosen = self.lock().choose_backend();
        chosen.map(|index| self.backend(index))
    }

    /// True if a backend is believed to run.
    pub(crate) fn is_alive(&self, backend: Backend) -> bool {
        self.lock().backends.get(backend.index).is_some_and(|b| b.is_alive)
    }

    /// The frontend that leads, if there is one.
    pub(crate) fn leader(&self) -> Option<usize> {
        self.lock().leader()
    }

    /// The frontend that leads, or the one that led last: where followers send clients.
    pub(crate) fn last_leader(&self) -> Frontend {
        let index = self.lock().last_leader();
        self.addresses.frontends[index]
    }
}
