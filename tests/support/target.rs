//! The engine that a test loads into: a sandbox of its own, or the one that the environment names. Statements go through
//! the MySQL port in either case.

use std::path::{Path, PathBuf};

use loadlock_sandbox::{EngineKind, Sandbox};

#[path = "../../sandbox/tests/mysql/client.rs"]
#[allow(clippy::unwrap_used, dead_code, reason = "shared with the tests of the sandbox's MySQL interface")]
mod client;
#[path = "named.rs"]
mod named;

use client::{Client, Said};
use named::Named;
pub(crate) use named::name_of;

/// A running engine.
pub(crate) struct Target {
    pub(crate) kind: EngineKind,
    at: Named,
    sandbox: Option<(Sandbox, PathBuf)>,
}

impl Target {
    /// The engine of the environment, if it is of this kind; without one a sandbox with its data in `dir`. `None` if the
    /// environment names an engine of the other kind.
    ///
    /// # Panics
    /// Variables that can't be read: a test never takes a sandbox for the engine that was meant.
    pub(crate) async fn start(kind: EngineKind, dir: &Path) -> Option<Self> {
        let Some(at) = Named::of_environment() else {
            let sandbox = Sandbox::builder(kind).dir(dir).start().await.expect("sandbox");
            let at = Named {
                kind,
                frontends: vec![sandbox.frontend.to_string()],
                query: sandbox.query,
                user: "root".to_owned(),
                password: String::new(),
                rewrite: Vec::new(),
            };
            return Some(Self { kind, at, sandbox: Some((sandbox, dir.to_owned())) });
        };
        (at.kind == kind).then_some(Self { kind, at, sandbox: None })
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
        let entries = self.at.rewrite.iter().map(|(from, to)| format!("\"{from}\" = \"{to}\"")).collect::<Vec<_>>();
        let rewrite = match entries.as_slice() {
            [] => String::new(),
            entries => format!("\nrewrite = {{ {} }}", entries.join(", ")),
        };
        let frontends = self.at.frontends.iter().map(|one| format!("\"http://{one}\"")).collect::<Vec<_>>().join(", ");
        text.replace("kind = \"starrocks\"", &format!("kind = \"{}\"{rewrite}", name_of(self.kind)))
            .replace("\"http://127.0.0.1:8030\"", &frontends)
            .replace("user = \"root\"", &format!("user = \"{}\"", self.at.user))
    }

    /// What the loader finds in `ENGINE_PASSWORD`.
    pub(crate) fn password(&self) -> &str {
        &self.at.password
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
        let client = Client::log_in(self.at.query, &self.at.user, &self.at.password, "").await;
        client.unwrap_or_else(|said| panic!("login as {}: {said:?}", self.at.user)).query(sql).await
    }
}
