//! The nodes of a sandbox: frontends with HTTP and MySQL interfaces, backends and the admin port, each on a loopback
//! port of its own.

mod connect;
mod door;
mod listen;
mod machines;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::admin::{self, TransactionView};
use crate::auth::Account;
use crate::cluster::Cluster;
use crate::ddl::{self, DdlError};
use crate::faults::{Fault, FaultCount, Node, keep_time};
use crate::http::{HeadLimits, serve};
use crate::profile::{Profile, VersionError};
use crate::settings::Settings;
use crate::sql::Server;
use crate::store::{StoreError, definitions};
use crate::table::{EngineKind, Table};

pub use connect::Port;
pub(crate) use machines::Machines;
pub use machines::{NodeError, NodeView};

use listen::{Listeners, Ports, listen};

/// How often the clock is read to see whether a sweep is due.
const TICK: Duration = Duration::from_millis(200);

/// Why a sandbox doesn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The DDL can't be read.
    #[error(transparent)]
    Ddl(#[from] DdlError),
    /// A port or the directory can't be had.
    #[error("cannot {what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The directory's content can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No version that is known.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// A version brings settings of its own, so it can't be chosen when some were changed.
    #[error("the version must be chosen before settings are changed")]
    VersionAfterSettings,
}

/// Sets a sandbox up.
#[derive(Debug)]
pub struct Builder {
    kind: EngineKind,
    ddl: String,
    dir: Option<PathBuf>,
    user: String,
    password: String,
    frontends: usize,
    backends: usize,
    ports: Ports,
    profile: Profile,
    settings: Settings,
    /// Settings were changed.
    is_set: bool,
}

impl Builder {
    pub(crate) fn new(kind: EngineKind) -> Self {
        let profile = Profile::default_of(kind);
        Self {
            kind,
            ddl: String::new(),
            dir: None,
            user: "root".to_owned(),
            password: String::new(),
            frontends: 1,
            backends: 1,
            ports: Ports { frontend: 0, backend: 0, admin: 0, query: 0 },
            profile,
            settings: Settings::of(profile),
            is_set: false,
        }
    }

    /// The tables, as `CREATE TABLE` statements of the engine; may be called several times.
    #[must_use]
    pub fn ddl(mut self, ddl: &str) -> Self {
        self.ddl.push_str(ddl);
        self.ddl.push_str("\n;\n");
        self
    }

    /// Where rows and transactions are kept; without it a directory that goes with the sandbox.
    #[must_use]
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// The one account; `root` without a password unless set.
    #[must_use]
    pub fn account(mut self, user: &str, password: &str) -> Self {
        user.clone_into(&mut self.user);
        password.clone_into(&mut self.password);
        self
    }

    /// How many frontends there are, the leader first; one unless set, and at least one.
    #[must_use]
    pub fn frontends(mut self, count: usize) -> Self {
        self.frontends = count.max(1);
        self
    }

    /// How many backends there are; one unless set, and at least one.
    #[must_use]
    pub fn backends(mut self, count: usize) -> Self {
        self.backends = count.max(1);
        self
    }

    /// Ports of frontend, backend and admin; 0, the default, picks a free one. Further nodes get the ports behind a
    /// given one.
    #[must_use]
    pub fn ports(mut self, frontend: u16, backend: u16, admin: u16) -> Self {
        self.ports = Ports { frontend, backend, admin, ..self.ports };
        self
    }

    /// Port of the frontend's MySQL interface; 0, the default, picks a free one. Further frontends get the ports
    /// behind a given one.
    #[must_use]
    pub fn query_port(mut self, port: u16) -> Self {
        self.ports.query = port;
        self
    }

    /// Stands in for a version: `3.3`, `3.3.10`, `starrocks-3.3`. Comes before [`Builder::settings`], as it sets all
    /// of them to that version's defaults.
    ///
    /// # Errors
    /// When the version isn't known, or settings were changed already.
    pub fn version(mut self, version: &str) -> Result<Self, StartError> {
        if self.is_set {
            return Err(StartError::VersionAfterSettings);
        }
        self.profile = Profile::read(self.kind, version)?;
        self.settings = Settings::of(self.profile);
        Ok(self)
    }

    /// Changes timeouts, limits and retention.
    #[must_use]
    pub fn settings(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        self.is_set = true;
        change(&mut self.settings);
        self
    }

    /// The tables that the DDL declares, as `db.table`, without starting anything.
    ///
    /// # Errors
    /// When the DDL can't be read.
    pub fn tables(&self) -> Result<Vec<String>, DdlError> {
        Ok(ddl::read(self.kind, &self.ddl)?.tables.iter().map(Table::full_name).collect())
    }

    /// Opens the store, binds the ports and serves.
    ///
    /// # Errors
    /// When the DDL can't be read, a port is taken, or the directory can't be used.
    pub async fn start(self) -> Result<Sandbox, StartError> {
        let mut schema = ddl::read(self.kind, &self.ddl)?;
        let io = |what: &str| {
            let what = what.to_owned();
            move |source| StartError::Io { what, source }
        };
        let (dir, temporary) = match self.dir {
            Some(dir) => (dir, None),
            None => {
                let temporary = TempDir::with_prefix("loadlock-sandbox-").map_err(io("make a temporary directory"))?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        std::fs::create_dir_all(&dir).map_err(io(&format!("make the directory {}", dir.display())))?;
        for (database, made) in definitions(&dir)? {
            for ddl in made {
                schema.add_unless_declared(ddl::read(self.kind, &ddl)?);
            }
            schema.add_database(&database);
        }
        let listeners = Listeners::bind(self.ports, self.frontends, self.backends).await?;
        let (admin_listener, admin) = listen(self.ports.admin).await?;
        let addresses = listeners.addresses();
        let account = Account { user: self.user, password: self.password };
        let cluster = Cluster::open(self.profile, self.settings, account, schema, addresses.clone(), &dir)?;

        let (stop, stopped) = watch::channel(false);
        let servers = listeners.servers(&cluster);
        let doors = listeners.open(&servers, &stopped);
        let machines = Arc::new(Machines::new(Arc::clone(&cluster), doors));
        cluster.faults.set_machines(&machines);
        let (c, m) = (Arc::clone(&cluster), Arc::clone(&machines));
        let tasks = vec![
            tokio::spawn(serve(admin_listener, stopped.clone(), HeadLimits::NONE, move |request| {
                admin::answer(Arc::clone(&c), Arc::clone(&m), request)
            })),
            tokio::spawn(keep_time(Arc::clone(&cluster), stopped.clone())),
            tokio::spawn(housekeeping(Arc::clone(&cluster), stopped)),
        ];
        Ok(Sandbox {
            kind: self.kind,
            profile: cluster.profile,
            frontend: addresses.frontends[0].http,
            backend: addresses.backends[0],
            query: addresses.frontends[0].query,
            admin,
            frontends: addresses.frontends.iter().map(|f| f.http).collect(),
            backends: addresses.backends,
            queries: addresses.frontends.iter().map(|f| f.query).collect(),
            cluster,
            machines,
            servers,
            stop,
            tasks,
            _temporary: temporary,
        })
    }
}

/// Looks after nodes, sweeps and cleans by the sandbox's clock.
async fn housekeeping(cluster: Arc<Cluster>, mut stopped: watch::Receiver<bool>) {
    let millis = crate::clock::millis;
    let (sweep_ms, clean_ms) = (millis(cluster.settings.sweep_interval), millis(cluster.settings.label_clean_interval));
    let (mut swept, mut cleaned) = (cluster.clock.now_ms(), cluster.clock.now_ms());
    while tokio::time::timeout(TICK, stopped.changed()).await.is_err() {
        cluster.tick().await;
        let now = cluster.clock.now_ms();
        if now - swept >= sweep_ms {
            cluster.sweep().await;
            swept = now;
        }
        if now - cleaned >= clean_ms {
            cluster.clean_labels();
            cleaned = now;
        }
    }
}

/// A running sandbox. Dropping it stops it as well, without waiting for calls under way.
#[derive(Debug)]
pub struct Sandbox {
    /// Which engine it stands in for.
    pub kind: EngineKind,
    /// Which version it stands in for.
    pub profile: Profile,
    /// The first frontend's address.
    pub frontend: SocketAddr,
    /// The first backend's address, where redirects lead.
    pub backend: SocketAddr,
    /// The address of the first frontend's MySQL interface.
    pub query: SocketAddr,
    /// The admin port's address.
    pub admin: SocketAddr,
    /// All frontends' addresses.
    pub frontends: Vec<SocketAddr>,
    /// All backends' addresses.
    pub backends: Vec<SocketAddr>,
    /// The addresses of all frontends' MySQL interfaces.
    pub queries: Vec<SocketAddr>,
    cluster: Arc<Cluster>,
    machines: Arc<Machines>,
    servers: Vec<Arc<Server>>,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
    _temporary: Option<TempDir>,
}

impl Sandbox {
    /// Sets up a sandbox for an engine.
    #[must_use]
    pub fn builder(kind: EngineKind) -> Builder {
        Builder::new(kind)
    }

    /// Runs a SELECT; `db.table` and, where it is clear, `table` name a table. Values are texts, `None` is NULL.
    ///
    /// # Errors
    /// When SQLite refuses it.
    pub async fn sql(&self, sql: &str) -> Result<Vec<Vec<Option<String>>>, StoreError> {
        Ok(admin::select(&self.cluster, sql).await?.rows)
    }

    /// The transactions that are remembered, oldest first.
    #[must_use]
    pub fn transactions(&self) -> Vec<TransactionView> {
        self.cluster.transactions().into_iter().map(Into::into).collect()
    }

    /// Adds faults to the plan.
    pub fn inject(&self, faults: impl IntoIterator<Item = Fault>) {
        self.cluster.faults.add(faults.into_iter().collect());
    }

    /// Takes all faults out of the plan.
    pub fn clear_faults(&self) {
        self.cluster.faults.clear();
    }

    /// The plan and how often each fault was met.
    #[must_use]
    pub fn faults(&self) -> Vec<FaultCount> {
        self.cluster.faults.counts()
    }

    /// Moves the clock forward, aborts what has expired and forgets what is past its retention.
    pub async fn advance(&self, by: Duration) {
        admin::advance(&self.cluster, by).await;
    }

    /// Forgets the finished transactions whose labels are as a pattern says (`*` stands for any characters, `?` for one);
    /// returns how many.
    pub fn forget_labels(&self, pattern: &str) -> usize {
        self.cluster.forget_labels(pattern)
    }

    /// A restart of the first frontend: if it leads, transactions in PREPARE and the memory of backends are lost.
    pub fn restart_frontend(&self) {
        self.cluster.restart_frontend(0);
    }

    /// A restart of the first backend: loads under way break, contexts are lost; what is prepared stays.
    pub fn restart_backend(&self) {
        self.cluster.restart_backend(0);
    }

    /// Kills a frontend or a backend, counted from 0: its connections break and its ports refuse others.
    ///
    /// # Errors
    /// When there is no such node.
    pub async fn kill(&self, node: Node, index: usize) -> Result<(), NodeError> {
        self.machines.kill(node, index).await
    }

    /// Starts a node that was killed, on the same ports.
    ///
    /// # Errors
    /// When there is no such node, or a port was taken meanwhile.
    pub async fn revive(&self, node: Node, index: usize) -> Result<(), NodeError> {
        self.machines.start(node, index).await
    }

    /// Makes a frontend the leader. As after the death of the old one, transactions in PREPARE are lost.
    ///
    /// # Errors
    /// When there is no such frontend, or it doesn't run.
    pub async fn lead(&self, frontend: usize) -> Result<(), NodeError> {
        self.machines.lead(frontend).await
    }

    /// All nodes, frontends first.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        self.machines.views()
    }

    /// Ends calls under way, or breaks them after a grace period, and closes the store.
    pub async fn stop(mut self) {
        // Nobody listens any more if all tasks have ended.
        let _ = self.stop.send(true);
        self.machines.ended().await;
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await {
                tracing::error!(%error, "a node of the sandbox died");
            }
        }
        let cluster = Arc::clone(&self.cluster);
        if let Err(error) = tokio::task::spawn_blocking(move || cluster.close()).await {
            tracing::error!(%error, "the store could not be closed");
        }
    }
}
