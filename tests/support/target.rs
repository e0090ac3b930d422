//! The engine that a test loads into: a sandbox of its own, or the one that the environment names.
//!
//! `ENGINE_KIND` (starrocks or doris), `ENGINE_HTTP` (`host:port` of a frontend, several divided by commas), `ENGINE_QUERY`
//! (its MySQL port), `ENGINE_USER`, `ENGINE_PASSWORD`, and `ENGINE_REWRITE` (`as it is named=as it is reached`, divided by commas) name
//! one; `scripts/engines` prints them. Statements go through the MySQL port in either case.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use loadlock_sandbox::{EngineKind, Sandbox};

#[path = "../../sandbox/tests/mysql/client.rs"]
#[allow(clippy::unwrap_used, dead_code, reason = "shared with the tests of the sandbox's MySQL interface")]
mod client;

use client::{Client, Said};

/// A running engine.
pub(crate) struct Target {
    pub(crate) kind: EngineKind,
    frontends: Vec<String>,
    query: SocketAddr,
    user: String,
    password: String,
    rewrite: Vec<(String, String)>,
    sandbox: Option<(Sandbox, PathBuf)>,
}

impl Target {
    /// The engine of the environment, if it is of this kind; without one a sandbox with its data in `dir`. `None` if the
    /// environment names an engine of the other kind.
    ///
    /// # Panics
    /// Variables that can't be read: a test never takes a sandbox for the engine that was meant.
    pub(crate) async fn start(kind: EngineKind, dir: &Path) -> Option<Self> {
        let Some(named) = variable("ENGINE_KIND") else {
            let sandbox = Sandbox::builder(kind).dir(dir).start().await.expect("sandbox");
            return Some(Self {
                kind,
                frontends: vec![sandbox.frontend.to_string()],
                query: sandbox.query,
                user: "root".to_owned(),
                password: String::new(),
                rewrite: Vec::new(),
                sandbox: Some((sandbox, dir.to_owned())),
            });
        };
        (named == name_of(kind)).then(|| Self::given(kind)).or_else(|| {
            assert!(
                ["starrocks", "doris"].contains(&named.as_str()),
                "ENGINE_KIND is starrocks or doris, not {named:?}"
            );
            None
        })
    }

    fn given(kind: EngineKind) -> Self {
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
        Self {
            kind,
            frontends: frontends.map(str::to_owned).collect(),
            query: query.expect("ENGINE_QUERY is host:port"),
            user: variable("ENGINE_USER").unwrap_or_else(|| "root".to_owned()),
            password: variable("ENGINE_PASSWORD").unwrap_or_default(),
            rewrite: rewrite.collect(),
            sandbox: None,
        }
    }

    /// The sandbox, where it is one of the test's own.
    pub(crate) fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref().map(|(sandbox, _)| sandbox)
    }

    /// Stops the sandbox, does what takes its time, and starts it with what was durable.
    pub(crate) async fn restarted(mut self, meanwhile: impl Future<Output = ()>) -> Self {
        let (sandbox, dir) = self.sandbox.take().expect("a sandbox");
        let (frontend, backend, admin, query) = (sandbox.frontend, sandbox.backend, sandbox.admin, sandbox.query);
        sandbox.stop().await;
        meanwhile.await;
        let builder = Sandbox::builder(self.kind).dir(&dir).query_port(query.port());
        let builder = builder.ports(frontend.port(), backend.port(), admin.port());
        self.sandbox = Some((builder.start().await.expect("sandbox again"), dir));
        self
    }

    /// The loader's configuration, pointed at this engine; the password is read from `ENGINE_PASSWORD`.
    pub(crate) fn configured(&self, text: &str) -> String {
        let entries = self.rewrite.iter().map(|(from, to)| format!("\"{from}\" = \"{to}\"")).collect::<Vec<_>>();
        let rewrite = match entries.as_slice() {
            [] => String::new(),
            entries => format!("\nrewrite = {{ {} }}", entries.join(", ")),
        };
        let frontends = self.frontends.iter().map(|one| format!("\"http://{one}\"")).collect::<Vec<_>>().join(", ");
        text.replace("kind = \"starrocks\"", &format!("kind = \"{}\"{rewrite}", name_of(self.kind)))
            .replace("\"http://127.0.0.1:8030\"", &frontends)
            .replace("user = \"root\"", &format!("user = \"{}\"", self.user))
    }

    /// What the loader finds in `ENGINE_PASSWORD`.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// Runs the statements of a file, divided by `;` at the ends of lines.
    pub(crate) async fn run(&self, file: &str) {
        let lines = file.lines().filter(|line| !line.trim_start().starts_with("--"));
        let text = lines.collect::<Vec<_>>().join("\n");
        for statement in text.split(";\n").map(|part| part.trim().trim_end_matches(';')).filter(|part| !part.is_empty())
        {
            match self.said(statement).await {
                Said::Ok(_) => {}
                other @ (Said::Error(..) | Said::Rows(..)) => panic!("{statement}\n{other:?}"),
            }
        }
    }

    /// The rows of a query.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        match self.said(sql).await {
            Said::Rows(_, rows) => rows,
            other @ (Said::Error(..) | Said::Ok(_)) => panic!("{sql}\n{other:?}"),
        }
    }

    /// A connection for each statement: an engine that was away leaves none behind that is half-open.
    async fn said(&self, sql: &str) -> Said {
        let client = Client::log_in(self.query, &self.user, &self.password, "").await;
        client.unwrap_or_else(|said| panic!("login as {}: {said:?}", self.user)).query(sql).await
    }
}

/// As configuration and variables have it.
pub(crate) fn name_of(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::StarRocks => "starrocks",
        EngineKind::Doris => "doris",
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
