//! The sandbox as a process of its own: its faults, its restarts, its clock.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::{Value, json};

use crate::Failure;
use crate::admin::Admin;
use crate::arguments;

/// Longest wait for the sandbox to be up.
const UP: Duration = Duration::from_secs(60);

/// Tables that the topic is loaded into, both with all of it.
pub(crate) const TABLES: [&str; 2] = ["orders", "orders_copy"];

/// Their database.
pub(crate) const DATABASE: &str = "conservation";

/// A running sandbox; killed when dropped.
pub(crate) struct Engine {
    kind: arguments::Engine,
    program: PathBuf,
    dir: PathBuf,
    ports: [u16; 3],
    child: Option<Child>,
    pub(crate) admin: Admin,
    /// What has happened to it, by name.
    pub(crate) happened: BTreeMap<String, u64>,
}

impl Engine {
    pub(crate) fn start(kind: arguments::Engine, program: PathBuf, dir: &Path) -> Result<Self, Failure> {
        let ports = free_ports()?;
        std::fs::write(dir.join("tables.sql"), ddl()).map_err(|error| error.to_string())?;
        let admin = Admin::new(ports[2])?;
        let dir = dir.to_owned();
        let mut engine = Self { kind, program, dir, ports, child: None, admin, happened: BTreeMap::new() };
        engine.up()?;
        Ok(engine)
    }

    /// Address of the frontend.
    pub(crate) fn frontend(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Starts the process, with what is durable.
    pub(crate) fn up(&mut self) -> Result<(), Failure> {
        let ready = self.dir.join("engine.json");
        let _absent = std::fs::remove_file(&ready);
        let log = File::options().create(true).append(true).open(self.dir.join("engine.log"));
        let log = log.map_err(|error| error.to_string())?;
        let [frontend, backend, admin] = self.ports.map(|port| port.to_string());
        let child = Command::new(&self.program)
            .args(["up", "--engine", self.kind.name(), "--fe-port", &frontend, "--be-port", &backend])
            .args(["--admin-port", &admin, "--ddl"])
            .arg(self.dir.join("tables.sql"))
            .arg("--dir")
            .arg(self.dir.join("tables"))
            .arg("--ready-file")
            .arg(&ready)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("{}: {error}", self.program.display()))?;
        self.child = Some(child);
        let deadline = Instant::now() + UP;
        while !ready.exists() {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("the sandbox is not up, see {}", self.dir.join("engine.log").display()));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// SIGKILL: the whole cluster at once.
    pub(crate) fn kill(&mut self) {
        self.collect();
        self.count("process killed");
        self.end();
    }

    /// Restarts a node inside the process.
    pub(crate) fn restart(&mut self, node: &str) {
        if self.admin.ask(Method::POST, &format!("restart?node={node}"), String::new()).is_ok() {
            self.count(&format!("{node} restarted"));
        }
    }

    /// Moves the clock.
    pub(crate) fn advance(&mut self, seconds: u64, why: &str) {
        if self.admin.ask(Method::POST, "clock", json!({"advance_seconds": seconds}).to_string()).is_ok() {
            self.count(why);
        }
    }

    /// Plans a fault.
    pub(crate) fn inject(&mut self, fault: &Value) {
        self.collect();
        // A sandbox that is being restarted takes none; nothing is lost by that.
        let _ = self.admin.ask(Method::POST, "faults", json!([fault]).to_string());
    }

    /// Counts the faults that have hit a call, and takes all away.
    pub(crate) fn collect(&mut self) {
        let Ok(Value::Array(counts)) = self.admin.ask(Method::GET, "faults", String::new()) else { return };
        let _ = self.admin.ask(Method::DELETE, "faults", String::new());
        for count in counts {
            let text = |name: &str| count["fault"][name].as_str().unwrap_or_default().to_owned();
            let hit = count["hit"].as_u64().unwrap_or(0);
            if hit > 0 {
                *self.happened.entry(format!("{} {}", text("call"), text("kind"))).or_default() += hit;
            }
        }
    }

    fn count(&mut self, what: &str) {
        *self.happened.entry(what.to_owned()).or_default() += 1;
    }

    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Already gone is as good.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.end();
    }
}

/// Every row is kept, so that nothing could hide a record that came twice.
fn ddl() -> String {
    let table = |name: &str| {
        format!(
            "CREATE TABLE {DATABASE}.{name} (id BIGINT NOT NULL, note VARCHAR(64), kafka_topic VARCHAR(128), \
             kafka_partition INT, kafka_offset BIGINT) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 4 \
             PROPERTIES (\"replication_num\" = \"1\");\n"
        )
    };
    format!("CREATE DATABASE {DATABASE};\n{}", TABLES.map(table).concat())
}

fn free_ports() -> Result<[u16; 3], Failure> {
    let listen = || TcpListener::bind(("127.0.0.1", 0)).map_err(|error| error.to_string());
    let port = |listener: &TcpListener| listener.local_addr().map(|at| at.port()).map_err(|error| error.to_string());
    let listeners = [listen()?, listen()?, listen()?];
    Ok([port(&listeners[0])?, port(&listeners[1])?, port(&listeners[2])?])
}
