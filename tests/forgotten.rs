//! What the engine has forgotten and what the group has lost, with real processes on a real Kafka. Needs `KAFKA_BROKERS`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, reason = "helpers of tests")]

#[path = "support/kafka.rs"]
mod kafka;

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kafka::{DEADLINE, Place, admin};
use loadlock_sandbox::{Call, EngineKind, Fault, FaultKind, Sandbox};
use rdkafka::admin::AdminOptions;
use tempfile::TempDir;

/// Longer than either engine remembers a finished load.
const LONG: Duration = Duration::from_secs(4 * 86_400);

const DDL: &str = "CREATE TABLE d.t (id BIGINT, of_topic VARCHAR(300), of_partition INT, of_offset BIGINT)
    DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1;";

/// Columns that tell where a row came from.
const ORIGIN: &str = ", { name = \"of_topic\", from = \"topic\" }, { name = \"of_partition\", from = \"partition\" }, \
                      { name = \"of_offset\", from = \"offset\" }";

struct World {
    place: Place,
    sandbox: Sandbox,
    dir: TempDir,
}

impl World {
    async fn start(test: &str, kind: EngineKind) -> Option<Self> {
        let place = Place::new(test, 1).await?;
        let sandbox = Sandbox::builder(kind).ddl(DDL).start().await.unwrap();
        Some(Self { place, sandbox, dir: TempDir::new().unwrap() })
    }

    fn produce(&self, ids: std::ops::Range<u32>) {
        let writer = self.place.writer();
        ids.for_each(|id| writer.value(0, format!("{{\"id\":{id}}}").as_bytes(), None));
        writer.flush();
    }

    /// A loader with these columns beside the id.
    fn loader(&self, columns: &str) -> Loader {
        let Self { place, sandbox, dir } = self;
        let kind = match sandbox.kind {
            EngineKind::StarRocks => "starrocks",
            EngineKind::Doris => "doris",
        };
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\nstart = \"earliest\"\n[kafka.properties]\n\"session.timeout.ms\" = 6000\n[engine]\n\
             kind = \"{kind}\"\nfrontends = [\"http://{}\"]\ndatabase = \"d\"\nuser = \"root\"\npassword = \"\"\n[batch]\n\
             age = \"100ms\"\n[[topic2table]]\ntopic = \"{}\"\ngroup = \"{}\"\ntable = \"t\"\ncolumns = [{{ name = \"id\", \
             path = \"$.id\" }}{columns}]\n",
            place.brokers, sandbox.frontend, place.topic, place.group,
        );
        let (config, log) = (dir.path().join("loadlock.toml"), dir.path().join("log"));
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_loadlock"));
        command.args(["run", "--log-format", "text", "-c"]).arg(config).env("NO_COLOR", "1").stdout(Stdio::null());
        Loader { child: command.stderr(File::create(&log).unwrap()).spawn().unwrap(), log }
    }

    async fn wait_for_rows(&self, rows: u32, loader: &Loader) {
        let deadline = Instant::now() + DEADLINE;
        while self.rows().await != rows {
            assert!(Instant::now() < deadline, "{} of {rows} rows\n{}", self.rows().await, loader.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn rows(&self) -> u32 {
        self.sandbox.sql("SELECT count(*) FROM d.t").await.unwrap()[0][0].as_deref().unwrap().parse().unwrap()
    }

    /// A load is interrupted behind its intent: committed and never asked for, or never committed. Then the engine
    /// forgets it.
    async fn forgotten_load(&self, columns: &str, committed: bool) {
        let (call, kind) =
            if committed { (Call::State, FaultKind::DropBefore) } else { (Call::Commit, FaultKind::DropBefore) };
        self.sandbox.inject([Fault { times: u32::MAX, ..Fault::once(call, kind) }]);
        let loader = self.loader(columns);
        let deadline = Instant::now() + DEADLINE;
        while self.sandbox.faults().iter().all(|count| count.hit == 0) {
            assert!(Instant::now() < deadline, "nothing was interrupted\n{}", loader.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // Killed, not drained.
        drop(loader);
        self.sandbox.clear_faults();
        // What is prepared times out at the first look, and is forgotten at the second.
        self.sandbox.advance(LONG).await;
        self.sandbox.advance(LONG).await;
        assert!(self.sandbox.transactions().is_empty(), "{:?}", self.sandbox.transactions());
    }
}

struct Loader {
    child: Child,
    log: std::path::PathBuf,
}

impl Loader {
    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for its end; the exit code and the log.
    async fn ended(mut self) -> (Option<i32>, String) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status.code(), self.log());
            }
            assert!(Instant::now() < deadline, "did not end\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn drained(self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let (code, log) = self.ended().await;
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// StarRocks' load history and the rows of a Doris table tell that a forgotten load was committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traces_of_a_committed_load_settle_it() {
    for (kind, columns, said) in [
        (EngineKind::StarRocks, "", "the load history says that it is finished"),
        (EngineKind::Doris, ORIGIN, "the table has 10 rows of the range"),
    ] {
        let Some(world) = World::start("traces", kind).await else { return };
        world.produce(0..10);
        world.forgotten_load(columns, true).await;
        assert_eq!(world.rows().await, 10);
        world.produce(10..15);
        let loader = world.loader(columns);
        world.wait_for_rows(15, &loader).await;
        let log = loader.drained().await;
        assert!(log.contains(said) && log.contains("settled an interrupted load"), "{log}");
        assert!(log.contains("EO-3 ") && !log.contains("VIOLATED"), "{log}");
    }
}

/// Nothing found proves nothing: a person has to decide, and is told where was looked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_traces_a_forgotten_load_stops_the_pipeline() {
    for (kind, said) in [
        (EngineKind::StarRocks, "no load history has it; the table has no row of the range"),
        (EngineKind::Doris, "no load history has it; the table has no row of the range"),
    ] {
        let Some(world) = World::start("no-traces", kind).await else { return };
        world.produce(0..10);
        world.forgotten_load(ORIGIN, false).await;
        let (code, log) = world.loader(ORIGIN).ended().await;
        assert_eq!(code, Some(65), "{log}");
        assert!(log.contains("outcome-unknown") && log.contains(said), "{log}");
        assert_eq!(world.rows().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_has_lost_its_positions_does_not_begin_anew() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let Some(world) = World::start("lost", kind).await else { return };
        world.produce(0..10);
        let loader = world.loader("");
        world.wait_for_rows(10, &loader).await;
        loader.drained().await;
        let deleted = admin(&world.place.brokers).delete_groups(&[&world.place.group], &AdminOptions::new()).await;
        assert!(deleted.unwrap().iter().all(Result::is_ok));
        let (code, log) = world.loader("").ended().await;
        assert_eq!(code, Some(65), "{log}");
        assert!(log.contains("positions-lost") && log.contains("loadlock-t-"), "{log}");
        assert_eq!(world.rows().await, 10);

        // Once nobody remembers them the group is taken for a new one; the table has to be looked after by a person.
        world.sandbox.advance(LONG).await;
        let loader = world.loader("");
        world.wait_for_rows(20, &loader).await;
        loader.drained().await;
    }
}
