//! What the cases run against: a sandbox of this process, or an engine whose addresses the environment gives.

use std::time::{Duration, Instant};

use loadlock_sandbox::{Builder, EngineKind, Sandbox, Settings};

use crate::answer::Came;
use crate::http::{Ready, exchange};
use crate::mysql::{Client, Said};
use crate::named::Named;
use crate::script::{Line, Setting};
use crate::when::{Place, Version};

/// How long a new engine may take until it takes loads.
const LOADABLE_WITHIN: Duration = Duration::from_secs(180);
/// Most redirects of one request.
pub(crate) const HOPS_MAX: usize = 5;
/// The account of a sandbox; its password has what a `Location` must escape.
const ACCOUNT: (&str, &str) = ("loader", "p@ss:w/rd");

/// An engine, and a database in it that is the run's own.
pub(crate) struct Target {
    pub(crate) kind: EngineKind,
    pub(crate) version: Version,
    pub(crate) place: Place,
    pub(crate) at: Named,
    pub(crate) backends: Vec<String>,
    pub(crate) database: String,
    /// Twelve signs that no other run has.
    pub(crate) run: String,
    pub(crate) sandbox: Option<Sandbox>,
}

impl Target {
    /// Starts a sandbox of a version, with settings.
    pub(crate) async fn sandbox(kind: EngineKind, version: &str, config: &[Line<Setting>]) -> Result<Self, String> {
        let nodes = |name: &str| {
            let found = config.iter().find(|line| line.what.name == name);
            found.map_or(Ok(1), |line| usize::try_from(line.what.value)).map_err(|error| error.to_string())
        };
        let set = |settings: &mut Settings| config.iter().try_for_each(|line| apply(settings, &line.what));
        let mut refused = Ok(());
        let sandbox = builder(kind)
            .version(version)
            .map_err(|error| error.to_string())?
            .frontends(nodes("frontends")?)
            .backends(nodes("backends")?)
            .settings(|settings| refused = set(settings))
            .start()
            .await
            .map_err(|error| error.to_string())?;
        refused?;
        let mut target = Self::at(address_of(&sandbox), Some(&sandbox.profile.version().to_string())).await?;
        target.place = Place::Sandbox;
        target.sandbox = Some(sandbox);
        Ok(target)
    }

    /// Asks an engine for its version, unless it is given, and for its nodes, and makes a database.
    pub(crate) async fn at(address: Named, version: Option<&str>) -> Result<Self, String> {
        let mut number = [0; 6];
        getrandom::fill(&mut number).map_err(|error| error.to_string())?;
        let run: String = number.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut target = Self {
            kind: address.kind,
            version: Version { major: 0, minor: 0, patch: None },
            place: Place::Real,
            database: format!("loadlock_suite_{run}"),
            run,
            backends: Vec::new(),
            at: address,
            sandbox: None,
        };
        let mut client = target.log_in("").await?;
        let said = match version {
            Some(version) => version.to_owned(),
            None => target.ask_version(&mut client).await?,
        };
        target.version = Version::find(&said).ok_or_else(|| format!("no version in {said}"))?;
        target.backends = target.ask_backends(&mut client).await?;
        let made = statement(&mut client, &format!("CREATE DATABASE {}", target.database)).await;
        match made {
            Came::SqlError(error) => Err(format!("no database for the cases: {error}")),
            Came::Rows(..) | Came::Http(_) | Came::Closed(_) => Ok(target),
        }
    }

    /// Waits until a table takes a load.
    pub(crate) async fn wait_loadable(&self) -> Result<(), String> {
        let mut client = self.log_in(&self.database).await?;
        let key = if self.kind == EngineKind::StarRocks { "PRIMARY" } else { "UNIQUE" };
        let table = format!(
            "CREATE TABLE probe (id BIGINT NOT NULL) {key} KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1 \
             PROPERTIES (\"replication_num\" = \"1\")"
        );
        let began = Instant::now();
        let mut why = String::new();
        while began.elapsed() < LOADABLE_WITHIN {
            match statement(&mut client, &table).await {
                Came::SqlError(error) if !error.contains("exist") => why = error,
                Came::SqlError(_) | Came::Rows(..) | Came::Http(_) | Came::Closed(_) => match self.probe().await {
                    Ok(()) => return Ok(()),
                    Err(error) => why = error,
                },
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        Err(format!("no table takes a load within {LOADABLE_WITHIN:?}: {why}"))
    }

    async fn probe(&self) -> Result<(), String> {
        let headers = [
            ("Authorization", self.basic()),
            ("Expect", "100-continue".to_owned()),
            ("format", "json".to_owned()),
            ("Content-Length", "8".to_owned()),
        ];
        let ready = Ready {
            method: "PUT".to_owned(),
            path: format!("/api/{}/probe/_stream_load", self.database),
            headers: headers.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            body: b"{\"id\":1}".to_vec(),
        };
        let mut node = self.at.frontends[0].clone();
        for _ in 0..HOPS_MAX {
            let answer = exchange(&node, ready.clone()).await?;
            match answer.header("location").and_then(|location| self.follow(location)) {
                Some((next, _)) if answer.status == 307 => node = next,
                _ if answer.text.contains("\"Success\"") => return Ok(()),
                _ => return Err(answer.text),
            }
        }
        Err("redirected in circles".to_owned())
    }

    /// Drops the database.
    pub(crate) async fn clean_up(&self) -> Result<(), String> {
        let mut client = self.log_in("").await?;
        match statement(&mut client, &format!("DROP DATABASE {} FORCE", self.database)).await {
            Came::SqlError(error) => Err(format!("database {} could not be dropped: {error}", self.database)),
            Came::Rows(..) | Came::Http(_) | Came::Closed(_) => Ok(()),
        }
    }

    /// A connection of the MySQL interface.
    pub(crate) async fn log_in(&self, database: &str) -> Result<Client, String> {
        Client::log_in(self.at.query, &self.at.user, &self.at.password, database)
            .await
            .map_err(|said| format!("no login at {}: {}", self.at.query, said.lines().join(" ")))
    }

    async fn ask_version(&self, client: &mut Client) -> Result<String, String> {
        let sql = match self.kind {
            EngineKind::StarRocks => "SELECT current_version()",
            EngineKind::Doris => "SELECT @@version_comment",
        };
        match statement(client, sql).await {
            came @ Came::Rows(..) => Ok(came.text()),
            other @ (Came::Http(_) | Came::Closed(_) | Came::SqlError(_)) => Err(format!("{sql}: {other}")),
        }
    }

    async fn ask_backends(&self, client: &mut Client) -> Result<Vec<String>, String> {
        let came = statement(client, "SHOW BACKENDS").await;
        let Came::Rows(columns, rows) = came else { return Err(format!("SHOW BACKENDS: {came}")) };
        let column = |names: &[&str]| columns.iter().position(|column| names.contains(&column.as_str()));
        let (host, port) = match (column(&["IP", "Host"]), column(&["HttpPort"])) {
            (Some(host), Some(port)) => (host, port),
            _ => return Err(format!("SHOW BACKENDS has no host or port: {}", columns.join(", "))),
        };
        let cell = |row: &[Option<String>], at: usize| row[at].clone().unwrap_or_default();
        let nodes = rows.iter().map(|row| self.reach(&format!("{}:{}", cell(row, host), cell(row, port))));
        let nodes: Vec<String> = nodes.collect();
        if nodes.is_empty() { Err("the engine has no backends".to_owned()) } else { Ok(nodes) }
    }

    /// The header of the account.
    pub(crate) fn basic(&self) -> String {
        let pair = format!("{}:{}", self.at.user, self.at.password);
        format!("Basic {}", base64_simd::STANDARD.encode_to_string(pair))
    }

    /// Where a node can be reached.
    fn reach(&self, said: &str) -> String {
        self.at.rewrite.iter().find(|(from, _)| from == said).map_or_else(|| said.to_owned(), |(_, to)| to.clone())
    }

    /// Node and path of a `Location` by plain HTTP.
    pub(crate) fn follow(&self, location: &str) -> Option<(String, String)> {
        let rest = location.strip_prefix("http://")?;
        let (authority, path) = rest.split_at(rest.find('/')?);
        let node = authority.rsplit_once('@').map_or(authority, |(_, node)| node);
        Some((self.reach(node), path.to_owned()))
    }
}

/// A sandbox with the account of [`address_of`].
pub(crate) fn builder(kind: EngineKind) -> Builder {
    Sandbox::builder(kind).account(ACCOUNT.0, ACCOUNT.1)
}

/// Where a sandbox is, as the environment would name it.
pub(crate) fn address_of(sandbox: &Sandbox) -> Named {
    Named {
        kind: sandbox.kind,
        frontends: sandbox.frontends.iter().map(ToString::to_string).collect(),
        query: sandbox.query,
        user: ACCOUNT.0.to_owned(),
        password: ACCOUNT.1.to_owned(),
        rewrite: Vec::new(),
    }
}

/// Runs a statement.
pub(crate) async fn statement(client: &mut Client, sql: &str) -> Came {
    match client.query(sql).await {
        Said::Rows(columns, rows) => Came::Rows(columns.into_iter().map(|column| column.name).collect(), rows),
        Said::Ok(_) => Came::Rows(Vec::new(), Vec::new()),
        Said::Error(code, _, text) => Came::SqlError(format!("{code} {text}")),
    }
}

/// Sets what the engines call by these names; the last five are the sandbox's own.
fn apply(settings: &mut Settings, Setting { name, value }: &Setting) -> Result<(), String> {
    let seconds = Duration::from_secs(*value);
    let count = usize::try_from(*value).map_err(|error| error.to_string())?;
    match name.as_str() {
        "stream_load_default_timeout_second" => settings.load_timeout = seconds,
        "prepared_transaction_default_timeout_second" | "stream_load_default_precommit_timeout_second" => {
            settings.prepared_timeout = seconds;
        }
        "label_keep_max_second" | "streaming_label_keep_max_second" => settings.label_keep = seconds,
        "label_keep_max_num" | "label_num_threshold" => settings.label_keep_max = count,
        "max_running_txn_num_per_db" => settings.max_running = count,
        "streaming_load_max_batch_size_mb" | "streaming_load_json_max_mb" => settings.json_max_bytes = value << 20,
        "streaming_load_max_mb" => settings.body_max_bytes = value << 20,
        "publish_delay_second" => settings.publish_delay = seconds,
        "publish_wait_second" => settings.publish_wait = seconds,
        "frontends" | "backends" => {}
        "is_cloud" => settings.is_cloud = *value != 0,
        other => return Err(format!("there is no setting {other}")),
    }
    Ok(())
}
