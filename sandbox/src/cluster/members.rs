//! What the life and death of nodes does to the cluster.

use tokio::sync::watch;

use super::{Cluster, StepError};
use crate::nodes::{Backend, Event};
use crate::transactions::State;

/// Where frontends take the calls of backends (`rpc_port`); nothing of it but this number shows.
const RPC_PORT: u16 = 9020;

impl Cluster {
    /// Looks after the nodes: an election, heartbeats, and what follows from them.
    pub(crate) async fn tick(&self) {
        let events = self.nodes.lock().tick(self.clock.now_ms());
        for event in events {
            match event {
                Event::Elected(_) => self.change_leader(),
                Event::BackendLost(backend) => {
                    self.abort_unprepared_of(backend, i64::MAX, "coordinate BE is down").await;
                }
                Event::BackendRestarted(backend) if self.profile.aborts_after_backend_restart() => {
                    let started_ms = self.backend_start(self.nodes.backend(backend));
                    self.abort_unprepared_of(backend, started_ms, "coordinate BE restart").await;
                }
                Event::BackendRestarted(_) => {}
            }
        }
    }

    /// Fails as a backend's call to the leader does, when there is none.
    pub(crate) fn leader_answers(&self) -> Result<(), String> {
        let nodes = self.nodes.lock();
        if nodes.leader().is_some() {
            return Ok(());
        }
        let ip = self.nodes.frontends()[nodes.last_leader()].http.ip();
        Err(format!("Couldn't open transport for {ip}:{RPC_PORT} (connect() failed: Connection refused)"))
    }

    /// Aborts what a backend began before a moment and can't go on with.
    async fn abort_unprepared_of(&self, backend: usize, before_ms: i64, reason: &str) {
        let lost = self.ledger().unprepared_of(backend, before_ms);
        for id in lost {
            if let Err(StepError::Store(error)) = self.abort(id, reason).await {
                tracing::error!(id, %error, "a transaction of a lost backend could not be aborted");
            }
        }
    }

    /// A frontend's restart. The leader's loses transactions in PREPARE, and which backend a label went to.
    pub(crate) fn restart_frontend(&self, index: usize) {
        let mut nodes = self.nodes.lock();
        nodes.restart_frontend(index, self.clock.now_ms());
        let leads = nodes.leader() == Some(index);
        drop(nodes);
        if leads {
            self.change_leader();
        }
    }

    /// What is lost when a leader begins: all that no journal has.
    pub(crate) fn change_leader(&self) {
        let mut ledger = self.ledger();
        for lost in ledger.forget_unprepared() {
            if let Some(store) = self.store(&lost.database) {
                store.drop_rows(lost.id);
            }
        }
        self.memory.restart_frontend(ledger.all().filter(|t| t.state == State::Prepared).map(|t| t.id));
    }

    /// What a backend's restart loses: loads under way and rows that aren't prepared. The transactions stay in
    /// PREPARE, as they do when a backend comes back before its frontend has missed it.
    pub(crate) fn restart_backend(&self, index: usize) {
        self.nodes.lock().start_backend(index, self.clock.now_ms());
        self.memory.forget_contexts(index);
        self.backend_starts.send_modify(|_| ());
    }

    /// Rung when a backend restarts.
    pub(crate) fn backend_starts(&self) -> watch::Receiver<()> {
        self.backend_starts.subscribe()
    }

    /// When a backend's process began.
    pub(crate) fn backend_start(&self, backend: Backend) -> i64 {
        self.nodes.lock().backends.get(backend.index).map_or(0, |b| b.started_ms)
    }

    pub(crate) fn kill_frontend(&self, index: usize) {
        self.nodes.lock().kill_frontend(index, self.clock.now_ms());
    }

    pub(crate) fn start_frontend(&self, index: usize) {
        let mut nodes = self.nodes.lock();
        if nodes.frontends.get(index).is_some_and(|f| f.is_up) {
            return;
        }
        let elected = nodes.start_frontend(index, self.clock.now_ms());
        drop(nodes);
        self.on_elected(elected);
    }

    pub(crate) fn lead(&self, index: usize) -> bool {
        let mut nodes = self.nodes.lock();
        let elected = nodes.lead(index, self.clock.now_ms());
        let leads = nodes.leader() == Some(index);
        drop(nodes);
        self.on_elected(elected);
        leads
    }

    pub(crate) fn on_elected(&self, event: Option<Event>) {
        if event.is_some() {
            self.change_leader();
        }
    }

    pub(crate) fn kill_backend(&self, index: usize) {
        self.nodes.lock().kill_backend(index);
        self.memory.forget_contexts(index);
    }

    pub(crate) fn start_backend(&self, index: usize) {
        let is_up = self.nodes.lock().backends.get(index).is_some_and(|b| b.is_up);
        if !is_up {
            self.restart_backend(index);
        }
    }
}
