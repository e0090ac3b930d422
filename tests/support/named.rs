//! The engine that the environment names, for tests that take any.
//!
//! `ENGINE_KIND` (starrocks or doris), `ENGINE_HTTP` (`host:port` of a frontend, several divided by commas), `ENGINE_QUERY`
//! (its MySQL port), `ENGINE_USER`, `ENGINE_PASSWORD`, and `ENGINE_REWRITE` (`as it is named=as it is reached`, divided by commas) name
//! one; `scripts/engines` prints them.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::net::{SocketAddr, ToSocketAddrs};

use loadlock_sandbox::EngineKind;

/// Where an engine is, and who logs in there.
pub(crate) struct Named {
    pub(crate) kind: EngineKind,
    /// `host:port` of each.
    pub(crate) frontends: Vec<String>,
    pub(crate) query: SocketAddr,
    pub(crate) user: String,
    pub(crate) password: String,
    /// As it is named, as it is reached.
    pub(crate) rewrite: Vec<(String, String)>,
}

impl Named {
    /// The engine of the environment, if it names one.
    ///
    /// # Panics
    /// Variables that can't be read: a test never takes a sandbox for the engine that was meant.
    pub(crate) fn of_environment() -> Option<Self> {
        let kind = match variable("ENGINE_KIND")?.as_str() {
            "starrocks" => EngineKind::StarRocks,
            "doris" => EngineKind::Doris,
            other => panic!("ENGINE_KIND is starrocks or doris, not {other:?}"),
        };
        let needed = |name: &str| {
            variable(name)
                .unwrap_or_else(|| panic!("ENGINE_KIND is set and {name} is not; scripts/engines prints both"))
        };
        let frontends = needed("ENGINE_HTTP");
        let frontends = frontends.split(',').map(|one| one.trim().trim_start_matches("http://").trim_end_matches('/'));
        let query = needed("ENGINE_QUERY");
        let query = query.to_socket_addrs().ok().and_then(|mut found| found.next());
        let rewrite = variable("ENGINE_REWRITE").unwrap_or_default();
        let rewrite = rewrite.split(',').filter(|entry| !entry.is_empty()).map(|entry| {
            let (from, to) = entry.split_once('=').expect("ENGINE_REWRITE: named=reached");
            (from.to_owned(), to.to_owned())
        });
        Some(Self {
            kind,
            frontends: frontends.map(str::to_owned).collect(),
            query: query.expect("ENGINE_QUERY is host:port"),
            user: variable("ENGINE_USER").unwrap_or_else(|| "root".to_owned()),
            password: variable("ENGINE_PASSWORD").unwrap_or_default(),
            rewrite: rewrite.collect(),
        })
    }
}

/// As configuration and variables have it.
pub(crate) fn name_of(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::StarRocks => "starrocks",
        EngineKind::Doris => "doris",
    }
}

/// A variable of the environment, unless it is empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
