//! `up`: an engine, with a Kafka beside it if topics are named.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;

use loadlock_sandbox::{EngineKind, Kafka, Sandbox, Topic};
use serde_json::json;

use super::{Failure, Ready, until_stopped};

/// Most nodes of a kind.
const NODES_MAX: i64 = 16;

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    /// Engine to stand in for
    #[arg(long, value_enum)]
    engine: EngineKind,
    /// Version to stand in for: 3.3, 3.3.10, starrocks-3.3; a line alone means its newest release
    #[arg(long, value_name = "VERSION")]
    version: Option<String>,
    /// File with CREATE TABLE statements; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    ddl: Vec<PathBuf>,
    /// Directory that keeps rows and transactions; without it they go with the process
    #[arg(long)]
    dir: Option<PathBuf>,
    /// The one user
    #[arg(long, default_value = "root")]
    user: String,
    /// Password of the user
    #[arg(long, default_value = "", env = "SANDBOX_PASSWORD", hide_env_values = true)]
    password: String,
    /// Frontends, the leader first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=NODES_MAX))]
    frontends: u8,
    /// Backends
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=NODES_MAX))]
    backends: u8,
    /// Port of the frontend; 0 picks a free one, and further frontends get the ports behind it
    #[arg(long, default_value_t = 0)]
    fe_port: u16,
    /// Port of the backend; 0 picks a free one, and further backends get the ports behind it
    #[arg(long, default_value_t = 0)]
    be_port: u16,
    /// Port of the frontend's MySQL interface; 0 picks a free one, and further frontends get the ports behind it
    #[arg(long, default_value_t = 0)]
    query_port: u16,
    /// Port for SQL, faults and the clock; 0 picks a free one
    #[arg(long, default_value_t = 0)]
    admin_port: u16,
    /// Count rows and keep none, for measuring what sends them
    #[arg(long)]
    discard: bool,
    /// Also run a Kafka (in memory) with this topic; may be given several times
    #[arg(long, value_name = "NAME:PARTITIONS")]
    kafka_topic: Vec<Topic>,
    #[command(flatten)]
    ready: Ready,
}

impl Up {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let mut builder = Sandbox::builder(self.engine);
        if let Some(version) = &self.version {
            builder = builder.version(version)?;
        }
        let mut builder = builder
            .account(&self.user, &self.password)
            .frontends(self.frontends.into())
            .backends(self.backends.into())
            .ports(self.fe_port, self.be_port, self.admin_port)
            .query_port(self.query_port)
            .settings(|settings| settings.discard = self.discard);
        for path in &self.ddl {
            let ddl = std::fs::read_to_string(path).map_err(|e| format!("cannot read {}: {e}", path.display()))?;
            builder = builder.ddl(&ddl);
        }
        if let Some(dir) = &self.dir {
            builder = builder.dir(dir);
        }
        let sandbox = builder.start().await?;
        let kafka = if self.kafka_topic.is_empty() { None } else { Some(Kafka::start(&self.kafka_topic)?) };
        let brokers = kafka.as_ref().map(Kafka::brokers);
        self.banner(out, &sandbox, brokers.as_deref())?;
        self.ready.write(&json!({
            "engine": self.engine,
            "version": sandbox.profile.version().to_string(),
            "frontend": sandbox.frontend.to_string(),
            "backend": sandbox.backend.to_string(),
            "query": sandbox.query.to_string(),
            "frontends": texts(&sandbox.frontends),
            "backends": texts(&sandbox.backends),
            "queries": texts(&sandbox.queries),
            "admin": sandbox.admin.to_string(),
            "user": self.user,
            "kafka": brokers,
            "pid": std::process::id(),
        }))?;
        until_stopped().await?;
        sandbox.stop().await;
        writeln!(out, "stopped")?;
        Ok(())
    }

    fn banner(&self, out: &mut impl Write, sandbox: &Sandbox, brokers: Option<&str>) -> Result<(), Failure> {
        let password = if self.password.is_empty() { "no password" } else { "the password given" };
        let rows = match (&self.dir, self.discard) {
            (_, true) => "counted and discarded".to_owned(),
            (Some(dir), false) => format!("kept in {}", dir.display()),
            (None, false) => "kept until this process ends (--dir keeps them longer)".to_owned(),
        };
        writeln!(out, "{} {} sandbox is up", self.engine, sandbox.profile.version())?;
        for (index, frontend) in sandbox.frontends.iter().enumerate() {
            match index {
                0 => writeln!(out, "  frontend  http://{frontend}   user {}, {password}", self.user)?,
                _ => writeln!(out, "  frontend  http://{frontend}   follower")?,
            }
        }
        for query in &sandbox.queries {
            let (host, port) = (query.ip(), query.port());
            writeln!(out, "  mysql     {query}   try: mysql -h{host} -P{port} -u{}", self.user)?;
        }
        for backend in &sandbox.backends {
            writeln!(out, "  backend   http://{backend}   redirects lead here")?;
        }
        writeln!(out, "  admin     http://{}   try: loadlock-sandbox sql --admin {0} \"SELECT …\"", sandbox.admin)?;
        if let Some(brokers) = brokers {
            let topics = self.kafka_topic.iter().map(|t| format!("{} ({})", t.name, t.partitions));
            writeln!(out, "  kafka     {brokers}   {}", topics.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(out, "  rows      {rows}")?;
        out.flush()?;
        Ok(())
    }
}

fn texts(addresses: &[SocketAddr]) -> Vec<String> {
    addresses.iter().map(SocketAddr::to_string).collect()
}
