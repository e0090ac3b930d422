//! The nodes as processes: they can be killed and started again one by one.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::Mutex;

use super::door::Door;
use crate::cluster::Cluster;
use crate::faults::Node;

/// Why a node can't be killed or started.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// There is no such node.
    #[error("there is no {0:?} of number {1}; the first is 0")]
    Unknown(Node, usize),
    /// It doesn't run, or most frontends don't.
    #[error("frontend {0} can't lead: it doesn't run")]
    CannotLead(usize),
    /// Its port is taken by somebody else.
    #[error("a node can't listen again: {0}")]
    Port(#[from] io::Error),
}

/// A node as the admin port shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// What it is.
    pub node: Node,
    /// Its place in the list of its kind.
    pub index: usize,
    /// Its HTTP interface.
    pub http: String,
    /// Its process runs.
    pub is_up: bool,
    /// The frontends believe that it runs.
    pub is_alive: bool,
    /// It is the frontend that leads.
    pub is_leader: bool,
}

/// The processes of all nodes.
#[derive(Debug)]
pub(crate) struct Machines {
    cluster: Arc<Cluster>,
    doors: Mutex<Doors>,
}

/// The ports of each node.
#[derive(Debug, Default)]
pub(super) struct Doors {
    pub(super) frontends: Vec<Vec<Door>>,
    pub(super) backends: Vec<Vec<Door>>,
}

impl Doors {
    fn of(&mut self, node: Node, index: usize) -> Result<&mut Vec<Door>, NodeError> {
        let doors = match node {
            Node::Frontend => &mut self.frontends,
            Node::Backend => &mut self.backends,
        };
        doors.get_mut(index).ok_or(NodeError::Unknown(node, index))
    }
}

impl Machines {
    pub(super) fn new(cluster: Arc<Cluster>, doors: Doors) -> Self {
        Self { cluster, doors: Mutex::new(doors) }
    }

    /// Kills a node's process: its connections break, its ports refuse others, what it holds in memory is gone.
    pub(crate) async fn kill(&self, node: Node, index: usize) -> Result<(), NodeError> {
        let mut doors = self.doors.lock().await;
        let doors = doors.of(node, index)?;
        match node {
            Node::Frontend => self.cluster.kill_frontend(index),
            Node::Backend => self.cluster.kill_backend(index),
        }
        for door in doors {
            door.shut().await;
        }
        Ok(())
    }

    /// Starts a node's process if it doesn't run.
    pub(crate) async fn start(&self, node: Node, index: usize) -> Result<(), NodeError> {
        let mut doors = self.doors.lock().await;
        let doors = doors.of(node, index)?;
        match node {
            Node::Frontend => self.cluster.start_frontend(index),
            Node::Backend => self.cluster.start_backend(index),
        }
        for door in doors {
            door.reopen()?;
        }
        Ok(())
    }

    /// Restarts a node's process so quickly that nobody misses it and no connection of a frontend breaks.
    pub(crate) async fn restart(&self, node: Node, index: usize) -> Result<(), NodeError> {
        self.doors.lock().await.of(node, index)?;
        match node {
            Node::Frontend => self.cluster.restart_frontend(index),
            Node::Backend => self.cluster.restart_backend(index),
        }
        Ok(())
    }

    /// Makes a frontend the leader.
    pub(crate) async fn lead(&self, index: usize) -> Result<(), NodeError> {
        self.doors.lock().await.of(Node::Frontend, index)?;
        if self.cluster.lead(index) { Ok(()) } else { Err(NodeError::CannotLead(index)) }
    }

    /// All nodes.
    pub(crate) fn views(&self) -> Vec<NodeView> {
        let nodes = &self.cluster.nodes;
        let membership = nodes.lock();
        let leader = membership.leader();
        let frontends = nodes.frontends().iter().zip(&membership.frontends).enumerate();
        let frontends = frontends.map(|(index, (at, member))| NodeView {
            node: Node::Frontend,
            index,
            http: at.http.to_string(),
            is_up: member.is_up,
            is_alive: member.is_alive,
            is_leader: leader == Some(index),
        });
        let backends = nodes.backends().zip(&membership.backends).map(|(at, member)| NodeView {
            node: Node::Backend,
            index: at.index,
            http: at.http.to_string(),
            is_up: member.is_up,
            is_alive: member.is_alive,
            is_leader: false,
        });
        frontends.chain(backends).collect()
    }

    /// Waits for all nodes after a stop.
    pub(super) async fn ended(&self) {
        let Doors { frontends, backends } = std::mem::take(&mut *self.doors.lock().await);
        for door in frontends.into_iter().chain(backends).flatten() {
            door.ended().await;
        }
    }
}
