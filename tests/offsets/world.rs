//! One topic, two tables, real loader processes and the command under test. The judge reads the tables.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use loadlock_sandbox::{Call, Calls, EngineKind, Fault, FaultKind, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

use crate::kafka::{DEADLINE, Place, Writer, until};

/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 2;

/// Longer than any engine keeps a prepared load, or the memory of a finished one.
const LONG: Duration = Duration::from_secs(5 * 86_400);

/// The tables that every record goes into.
pub(crate) const TABLES: [&str; 2] = ["db.a", "db.b"];

/// What the engine does with the commits of an interrupted batch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commits {
    /// All are done, their answers are lost.
    Done,
    /// All are lost on their way.
    Lost,
    /// The first is done, the second is lost.
    OneEach,
}

pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) sandbox: Sandbox,
    dir: TempDir,
    config: PathBuf,
    produced: usize,
    loaders: u32,
}

impl World {
    /// Topic, tables and configuration; `None` if there is no broker, said loudly.
    pub(crate) async fn start(test: &str, engine: EngineKind, properties: &str) -> Option<Self> {
        let place = Place::new(test, PARTITIONS).await?;
        let kind = match engine {
            EngineKind::StarRocks => "starrocks",
            EngineKind::Doris => "doris",
        };
        let table = |name| {
            format!("CREATE TABLE {name} (id BIGINT, p INT, o BIGINT) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id);")
        };
        let sandbox = Sandbox::builder(engine).ddl(&TABLES.map(table).join("\n")).start().await.expect("sandbox");
        let dir = TempDir::new().expect("directory");
        let config = dir.path().join("loadlock.toml");
        let route = |name: &str| {
            format!(
                "[[topic2table]]\ntopic = \"{}\"\ngroup = \"{}\"\ntable = \"{name}\"\ncolumns = [\n\
                 {{ name = \"id\", path = \"$.id\" }},\n{{ name = \"p\", from = \"partition\" }},\n\
                 {{ name = \"o\", from = \"offset\" }},\n]\n",
                place.topic, place.group
            )
        };
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\nstart = \"earliest\"\n[kafka.properties]\n\"session.timeout.ms\" = 6000\n{properties}\n\
             [engine]\nkind = \"{kind}\"\nfrontends = [\"http://{}\"]\nuser = \"root\"\npassword = \"\"\n\
             [batch]\nrows = 1000000\nage = \"300ms\"\n[run]\ndrain = \"1s\"\n{}",
            place.brokers,
            sandbox.frontend,
            TABLES.map(route).join("")
        );
        let text = if properties.contains("group.protocol") {
            text.replace("\"session.timeout.ms\" = 6000\n", "")
        } else {
            text
        };
        std::fs::write(&config, text).expect("written");
        Some(Self { place, sandbox, dir, config, produced: 0, loaders: 0 })
    }

    /// Writes so many records to each partition.
    pub(crate) fn produce(&mut self, count: usize) {
        let writer = Writer::new(&self.place.brokers, &self.place.topic);
        for partition in 0..PARTITIONS {
            for number in 0..count {
                writer.value(partition, format!("{{\"id\": {number}}}").as_bytes(), None);
            }
        }
        writer.flush();
        self.produced += count;
    }

    /// Starts a loader process.
    pub(crate) fn loader(&mut self) -> Loader {
        self.loaders += 1;
        Loader::start(&self.config, self.dir.path().join(format!("loader-{}.log", self.loaders)))
    }

    /// Brings a batch to where its intent is stored and its commits were sent, and no answer came back. Gives the loader,
    /// which goes on asking in vain.
    pub(crate) async fn interrupt(&mut self, commits: Commits) -> Loader {
        let lost = Fault { times: 1_000_000, ..Fault::once(Call::Commit, FaultKind::DropBefore) };
        let done = |times| Fault { times, ..Fault::once(Call::Commit, FaultKind::DropAfter) };
        self.sandbox.inject(match commits {
            Commits::Done => vec![done(1_000_000)],
            Commits::Lost => vec![lost],
            Commits::OneEach => vec![done(1), Fault { skip: 1, ..lost }],
        });
        self.sandbox.inject([Fault { times: 1_000_000, ..Fault::once(Call::State, FaultKind::DropBefore) }]);
        let mut loader = self.loader();
        let sandbox = &self.sandbox;
        until("every commit was sent, and its state is asked in vain", || {
            let hits = |call| -> u32 {
                sandbox
                    .faults()
                    .iter()
                    .filter(|fault| fault.fault.call == Some(Calls::Only(call)))
                    .map(|fault| fault.hit)
                    .sum()
            };
            assert!(loader.child.try_wait().expect("waited").is_none(), "it ended\n{}", loader.log());
            (hits(Call::Commit) >= 2 && hits(Call::State) >= 2).then_some(())
        })
        .await;
        loader
    }

    /// From now on the engine answers again, and has forgotten whatever has ended.
    pub(crate) async fn forget(&self) {
        self.sandbox.clear_faults();
        // What is still prepared expires first, and is forgotten as well.
        self.sandbox.advance(LONG).await;
        self.sandbox.advance(LONG).await;
        assert!(self.sandbox.transactions().is_empty(), "{:?}", self.sandbox.transactions());
    }

    /// Runs `loadlock offsets` with the configuration and these arguments.
    pub(crate) fn offsets(&self, verb: &str, arguments: &[&str]) -> Shown {
        self.offsets_with(&self.config, verb, arguments)
    }

    /// The same with this text of the configuration replaced.
    pub(crate) fn offsets_where(&self, from: &str, to: &str, verb: &str, arguments: &[&str]) -> Shown {
        let other = self.dir.path().join("other.toml");
        std::fs::write(&other, self.config_where(from, to)).expect("written");
        self.offsets_with(&other, verb, arguments)
    }

    /// From now on this text of the configuration is replaced.
    pub(crate) fn reconfigure(&self, from: &str, to: &str) {
        std::fs::write(&self.config, self.config_where(from, to)).expect("written");
    }

    fn config_where(&self, from: &str, to: &str) -> String {
        let text = std::fs::read_to_string(&self.config).expect("read");
        assert!(text.contains(from), "{text}");
        text.replace(from, to)
    }

    fn offsets_with(&self, config: &std::path::Path, verb: &str, arguments: &[&str]) -> Shown {
        let output = Command::new(env!("CARGO_BIN_EXE_loadlock"))
            .args(["offsets", verb, "-c"])
            .arg(config)
            .args(["--topic", &self.place.topic])
            .args(arguments)
            .output()
            .expect("started");
        Shown::of(&output)
    }

    /// What `offsets show --json` prints of the one pipeline.
    pub(crate) fn snapshot(&self) -> Value {
        let shown = self.offsets("show", &["--json"]);
        assert_eq!(shown.code, 0, "{shown:?}");
        let document: Value = serde_json::from_str(&shown.out).expect("JSON");
        document["pipelines"][0].clone()
    }

    /// Starts a loader, waits until every record is in both tables, drains it, and judges the tables.
    pub(crate) async fn run_and_judge(&mut self) {
        let mut loader = self.loader();
        let wanted = self.produced * PARTITIONS as usize * TABLES.len();
        let deadline = Instant::now() + DEADLINE;
        while self.rows().await.len() < wanted || !loader.log().contains("\"message\":\"assigned\"") {
            assert!(Instant::now() < deadline, "{} of {wanted} rows\n{}", self.rows().await.len(), loader.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(loader.end().await, 0, "{}", loader.log());
        let mut times: BTreeMap<(String, i32, i64), u32> = BTreeMap::new();
        for row in self.rows().await {
            *times.entry(row).or_default() += 1;
        }
        for table in TABLES {
            for partition in 0..PARTITIONS {
                for offset in 0..self.produced {
                    let at = (table.to_owned(), partition, i64::try_from(offset).expect("small"));
                    assert_eq!(times.remove(&at), Some(1), "{at:?}");
                }
            }
        }
        assert!(times.is_empty(), "rows of no record: {times:?}");
    }

    /// Table, partition and offset of every row.
    async fn rows(&self) -> Vec<(String, i32, i64)> {
        let mut rows = Vec::new();
        for table in TABLES {
            for row in self.sandbox.sql(&format!("SELECT p, o FROM {table}")).await.expect("read") {
                let number = |column: usize| row[column].as_deref().expect("a value").parse::<i64>().expect("a number");
                rows.push((table.to_owned(), i32::try_from(number(0)).expect("small"), number(1)));
            }
        }
        rows
    }

    /// The table that has rows, and the one that has none.
    pub(crate) async fn loaded_and_empty(&self) -> (&'static str, &'static str) {
        let rows = self.rows().await;
        let has = |table: &str| rows.iter().any(|(found, _, _)| found == table);
        match TABLES {
            [a, b] if has(a) && !has(b) => (a, b),
            [a, b] if has(b) && !has(a) => (b, a),
            both => panic!("not one of {both:?}"),
        }
    }
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Shown {
    pub(crate) fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        Self { code: output.status.code().expect("ended"), out: text(&output.stdout), err: text(&output.stderr) }
    }

    /// Fails unless the command ended with this code and said this.
    pub(crate) fn says(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        for word in words {
            assert!(self.out.contains(word) || self.err.contains(word), "no `{word}`:\n{}\n{}", self.out, self.err);
        }
    }
}

/// A loader process; killed when dropped.
pub(crate) struct Loader {
    child: Child,
    log: PathBuf,
}

impl Loader {
    fn start(config: &std::path::Path, log: PathBuf) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_loadlock"))
            .args(["run", "--log-format", "json", "-c"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("log file"))
            .spawn()
            .expect("started");
        Self { child, log }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM; gives the exit code.
    pub(crate) async fn end(&mut self) -> i32 {
        self.signal("-TERM");
        self.ends().await
    }

    /// Sends a signal, as `kill` names it.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().expect("kill").success());
    }

    /// Waits until it ends by itself; gives the exit code.
    pub(crate) async fn ends(&mut self) -> i32 {
        let child = &mut self.child;
        let status = until("the loader ends", || child.try_wait().expect("waited")).await;
        status.code().expect("not killed")
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
