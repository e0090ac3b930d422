//! What a connection remembers between statements, and what all connections share.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::SqlError;
use super::schema_tables::SCHEMA;
use super::select::{Environment, Parameter};
use super::variables::Variables;
use super::words::Words;
use crate::cluster::Cluster;
use crate::table::EngineKind;
use sqlparser::tokenizer::Token;

/// What all sessions of a frontend share.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) kind: EngineKind,
    pub(crate) cluster: Arc<Cluster>,
    /// Which frontend it is.
    pub(crate) frontend: usize,
    /// Connections so far.
    connections: AtomicU32,
    connected: Mutex<BTreeMap<u32, Connected>>,
}

/// A connection as `SHOW PROCESSLIST` has it.
#[derive(Clone, Debug)]
pub(crate) struct Connected {
    pub(crate) peer: SocketAddr,
    pub(crate) since_ms: i64,
    pub(crate) database: Option<String>,
}

impl Server {
    pub(crate) fn new(kind: EngineKind, cluster: Arc<Cluster>, frontend: usize) -> Self {
        Self { kind, cluster, frontend, connections: AtomicU32::new(0), connected: Mutex::default() }
    }

    /// Where the leader's HTTP interface is, or was last, if this frontend doesn't lead.
    pub(crate) fn leader_elsewhere(&self) -> Option<SocketAddr> {
        let nodes = &self.cluster.nodes;
        (nodes.leader() != Some(self.frontend)).then(|| nodes.last_leader().http)
    }

    pub(crate) fn connected(&self) -> MutexGuard<'_, BTreeMap<u32, Connected>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of a new connection.
    pub(crate) fn next_connection(&self) -> u32 {
        self.connections.fetch_add(1, Ordering::Relaxed).wrapping_add(1)
    }

    /// A connection that begins now.
    pub(crate) fn now_connected(&self, peer: SocketAddr) -> Connected {
        Connected { peer, since_ms: self.cluster.clock.now_ms(), database: None }
    }

    /// The user that sessions have.
    pub(crate) fn user(&self) -> &str {
        self.cluster.user()
    }

    /// Databases with tables, by name.
    pub(crate) fn databases(&self) -> Vec<String> {
        self.cluster.stores().into_iter().map(|(name, _)| name).collect()
    }

    /// What a query of a session is translated against.
    pub(crate) fn environment<'a>(&'a self, session: &'a Session, parameters: Vec<Parameter>) -> Environment<'a> {
        Environment {
            kind: self.kind,
            databases: self.databases(),
            tables: self.cluster.tables(),
            database: session.database.clone(),
            user: self.user().to_owned(),
            version: self.cluster.settings.version.clone(),
            connection_id: session.id,
            variables: &session.variables,
            now_ms: self.cluster.clock.now_ms(),
            parameters,
            shown: None,
        }
    }
}

/// What a connection remembers.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: u32,
    pub(crate) database: Option<String>,
    pub(crate) variables: Variables,
    /// What the last statement failed with, for `SHOW WARNINGS`.
    pub(crate) last_error: Option<SqlError>,
}

impl Session {
    pub(crate) fn new(server: &Server, id: u32) -> Self {
        let variables = Variables::new(server.kind, &server.cluster.settings.version);
        Self { id, database: None, variables, last_error: None }
    }

    /// `USE`.
    ///
    /// # Errors
    /// When there is no such database.
    pub(crate) fn choose(&mut self, server: &Server, database: &str) -> Result<(), SqlError> {
        if database.eq_ignore_ascii_case(SCHEMA) {
            self.database = Some(SCHEMA.to_owned());
        } else if server.cluster.has_database(database) {
            self.database = Some(database.to_owned());
        } else {
            return Err(SqlError::unknown_database(server.kind, database));
        }
        if let Some(connected) = server.connected().get_mut(&self.id) {
            connected.database.clone_from(&self.database);
        }
        Ok(())
    }

    /// The database that a statement names, or the one in use.
    pub(crate) fn database_or(&self, named: Option<String>) -> Result<String, SqlError> {
        named.or_else(|| self.database.clone()).ok_or_else(SqlError::no_database)
    }

    /// `SET`, from behind the word: all of the list or nothing.
    pub(crate) fn set(&mut self, words: &mut Words<'_>) -> Result<(), SqlError> {
        let mut changed = self.variables.clone();
        loop {
            if words.take("NAMES") || words.take_all(&["CHARACTER", "SET"]) || words.take("CHARSET") {
                set_names(&mut changed, words)?;
            } else {
                let _ = words.take_any(&["SESSION", "GLOBAL", "LOCAL"]);
                if words.take("TRANSACTION") {
                    words.take_to_end();
                } else {
                    self.set_variable(&mut changed, words)?;
                }
            }
            if !words.take_token(&Token::Comma) {
                break;
            }
        }
        words.expect_end()?;
        self.variables = changed;
        Ok(())
    }

    /// `name = value`.
    fn set_variable(&self, changed: &mut Variables, words: &mut Words<'_>) -> Result<(), SqlError> {
        let mut name = words.name()?;
        while words.take_token(&Token::Period) {
            name = words.name()?;
        }
        if name.starts_with('@') && !name.starts_with("@@") || name.eq_ignore_ascii_case("PASSWORD") {
            return Err(SqlError::not_imitated(words.kind, &format!("SET {name}")));
        }
        if !words.take_token(&Token::Eq) && !words.take_token(&Token::Assignment) {
            return words.expected("=");
        }
        let name = name.trim_start_matches("@@");
        if words.take("DEFAULT") {
            return changed.reset(name);
        }
        let value = self.value(words)?;
        changed.set(name, &value)
    }

    /// What a variable is set to: a value, another variable, or several of them by `concat`.
    fn value(&self, words: &mut Words<'_>) -> Result<String, SqlError> {
        let parts = if words.take("CONCAT") {
            words.expect_token(&Token::LParen)?;
            let mut parts = vec![words.value()?];
            while words.take_token(&Token::Comma) {
                parts.push(words.value()?);
            }
            words.expect_token(&Token::RParen)?;
            parts
        } else {
            vec![words.value()?]
        };
        let known = |part: String| match part.strip_prefix("@@") {
            Some(other) => self.variables.get(other).ok_or_else(|| SqlError::unknown_variable(other)),
            None => Ok(part),
        };
        parts.into_iter().map(known).collect()
    }
}

/// `SET NAMES`, from behind the word.
fn set_names(changed: &mut Variables, words: &mut Words<'_>) -> Result<(), SqlError> {
    let charset = words.value()?;
    if !["utf8", "utf8mb4", "utf8mb3", "default", "latin1", "gbk"].contains(&charset.to_lowercase().as_str()) {
        return Err(SqlError::new(1115, "42000", format!("Unknown character set: '{charset}'")));
    }
    for name in ["character_set_client", "character_set_connection", "character_set_results"] {
        changed.set(name, &charset)?;
    }
    if words.take("COLLATE") {
        let collation = words.value()?;
        changed.set("collation_connection", &collation)?;
    }
    Ok(())
}
