//! A topic, a table and the judge who holds one against the other.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use loadlock::cli::produce::generate::{Device, device};
use loadlock_sandbox::{Call, EngineKind, Fault, FaultKind, Sandbox};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;

use super::loader::{Loader, last_lines, open_intents};
use super::records::{PARTITIONS, Produced, SEED};
use super::target::{Target, name_of};

/// Without a new row for so long, a wait fails.
const STALLED: Duration = Duration::from_secs(90);

/// Columns that are compared, as they stand in the table.
const COLUMNS: &str = "kafka_partition, kafka_offset, id, company_name, company_id, secret_key, model, amount, balance, \
                       traffic, online, remark, location, city, firmware, updated_at";

/// Where the JSON column is behind the position of the record.
const LOCATION: usize = 10;

/// Database of all tests; each has a table of its own in it.
const DATABASE: &str = "loadlock_e2e";

/// What a test needs of its engine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Nothing that an engine of one's own would not do.
    Engine,
    /// Faults and restarts on command.
    Sandbox,
}

/// One test's topic, group, engine and table.
pub(crate) struct World {
    /// The real broker.
    pub(crate) brokers: String,
    /// Topic of this test alone.
    pub(crate) topic: String,
    target: Target,
    table: String,
    dir: TempDir,
    config: PathBuf,
    loaders: Cell<u32>,
}

impl World {
    /// Topic, table and configuration; `None` if broker or engine are not what the test needs, said loudly.
    pub(crate) async fn start(
        name: &str,
        engine: EngineKind,
        needs: Needs,
        batch: &str,
        properties: &str,
    ) -> Option<Self> {
        let kind = name_of(engine);
        let skipped = |why: &str| eprintln!("SKIPPED end-to-end: {name} with {kind}: {why}");
        let Some(brokers) = std::env::var("KAFKA_BROKERS").ok().filter(|brokers| !brokers.is_empty()) else {
            skipped("KAFKA_BROKERS is not set (scripts/kafka up prints it)");
            return None;
        };
        let dir = TempDir::new().expect("directory");
        let Some(target) = Target::start(engine, &dir.path().join("engine")).await else {
            skipped("ENGINE_KIND names the other engine");
            return None;
        };
        if needs == Needs::Sandbox && target.sandbox().is_none() {
            skipped("it needs the sandbox's faults, and ENGINE_KIND names an engine");
            return None;
        }
        let topic = format!("e2e-{name}-{kind}-{}", std::process::id());
        create_topic(&brokers, &topic).await;
        let table = format!("ods_device_{}_{}", name.replace('-', "_"), std::process::id());
        target.run(&ddl_of(engine, &table)).await;
        let config = dir.path().join("loadlock.toml");
        let text = target
            .configured(include_str!("../../conf/starrocks.toml"))
            .replace("brokers = \"127.0.0.1:9092\"", &format!("brokers = \"{brokers}\""))
            .replace("topic = \"mzt_ods_cjm.ods_device\"", &format!("topic = \"{topic}\""))
            .replace("database = \"ods_cjm\"", &format!("database = \"{DATABASE}\""))
            .replace("table = \"ods_device\"", &format!("table = \"{table}\""))
            .replace(
                "[engine]",
                &format!("[kafka.properties]\n\"session.timeout.ms\" = 6000\n{properties}\n\n[engine]"),
            )
            .replace("age = \"5s\" ", &format!("{batch}\n"));
        std::fs::write(&config, text).expect("written");
        Some(Self { brokers, topic, target, table, dir, config, loaders: Cell::new(0) })
    }

    fn sandbox(&self) -> &Sandbox {
        self.target.sandbox().expect("the test has said that it needs one")
    }

    /// Takes the engine away for so long; it comes back with what was durable.
    pub(crate) async fn engine_away(mut self, away: Duration) -> Self {
        self.target = self.target.restarted(tokio::time::sleep(away)).await;
        self
    }

    /// From now on commits get lost on their way to the engine; true once one has been.
    pub(crate) fn commits_get_lost(&self) {
        self.sandbox().inject([Fault { times: 1_000, ..Fault::once(Call::Commit, FaultKind::DropBefore) }]);
    }

    /// Waits until a commit got lost, then lets all through again.
    pub(crate) async fn a_commit_was_lost(&self) {
        let deadline = Instant::now() + STALLED;
        while self.sandbox().faults().iter().all(|fault| fault.hit == 0) {
            assert!(Instant::now() < deadline, "no commit within {STALLED:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.sandbox().clear_faults();
    }

    /// Loaders that start from now on seal with these bounds.
    pub(crate) fn seals_with(&self, from: &str, to: &str) {
        let text = std::fs::read_to_string(&self.config).expect("read");
        assert!(text.contains(from), "{text}");
        std::fs::write(&self.config, text.replace(from, to)).expect("written");
    }

    /// Starts one more loader process.
    pub(crate) fn loader(&self) -> Loader {
        self.loaders.set(self.loaders.get() + 1);
        let log = self.dir.path().join(format!("loader-{}.log", self.loaders.get()));
        Loader::start(&self.config, self.target.password(), log)
    }

    /// Loaders that start from now on load in one phase.
    pub(crate) fn at_least_once(&self) {
        self.seals_with("[[topic2table]]", "[[topic2table]]\ndelivery = \"at-least-once\"");
    }

    /// Places of which the table has a row.
    pub(crate) async fn places(&self) -> BTreeMap<(i32, i64), u64> {
        let place = "kafka_partition, kafka_offset";
        let sql = format!("SELECT {place}, count(*) FROM {DATABASE}.{} GROUP BY {place}", self.table);
        let number =
            |text: &Option<String>| text.as_deref().and_then(|text| text.parse::<i64>().ok()).expect("a number");
        let rows = self.target.rows(&sql).await;
        let place = |row: &Vec<Option<String>>| match row.as_slice() {
            [partition, offset, times] => {
                ((i32::try_from(number(partition)).expect("a partition"), number(offset)), number(times).unsigned_abs())
            }
            other => panic!("{other:?}"),
        };
        rows.iter().map(place).collect()
    }

    /// Rows in the table.
    pub(crate) async fn rows(&self) -> u64 {
        let rows = self.target.rows(&format!("SELECT count(*) FROM {DATABASE}.{}", self.table)).await;
        rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).expect("a number")
    }

    /// Waits until the table has at least so many rows.
    pub(crate) async fn wait_for_rows(&self, wanted: u64, loaders: &[&Loader]) {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            let rows = self.rows().await;
            if rows >= wanted {
                return;
            }
            if rows > last {
                (last, moved) = (rows, Instant::now());
            }
            if moved.elapsed() > STALLED {
                let logs: Vec<String> = loaders.iter().map(|loader| self.tail(loader)).collect();
                panic!("{rows} of {wanted} rows, and no new one for {STALLED:?}\n{}", logs.join("\n---\n"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The end of a loader's log.
    pub(crate) fn tail(&self, loader: &Loader) -> String {
        last_lines(&loader.log())
    }

    /// The table, and nothing left open: no load in the sandbox, no intent in the group's positions.
    pub(crate) async fn judge(&self, produced: &Produced) {
        self.judge_rows(produced).await;
        let open = self.target.sandbox().map(Sandbox::transactions).unwrap_or_default();
        let open: Vec<_> = open.into_iter().filter(|txn| txn.state.starts_with("PRE")).collect();
        assert!(open.is_empty(), "loads were left open: {open:?}");
        let open = open_intents(&self.config, self.target.password());
        assert!(open.is_empty(), "intents were left open: {open:?}");
    }

    /// Each committed record once, none of the aborted, every field as it was produced. (A process that was killed leaves
    /// loads open that only their time-out ends.)
    pub(crate) async fn judge_rows(&self, produced: &Produced) {
        assert!(produced.aborted > 0, "nothing was aborted, so nothing is shown of aborted records");
        let mut missing: BTreeMap<(i32, i64), u64> = produced.committed.clone();
        let mut problems = Vec::new();
        for partition in 0..PARTITIONS {
            let sql = format!("SELECT {COLUMNS} FROM {DATABASE}.{} WHERE kafka_partition = {partition}", self.table);
            for row in self.target.rows(&sql).await {
                if let Err(problem) = check_row(&row, &mut missing, produced) {
                    problems.push(problem);
                }
            }
        }
        problems.extend(missing.iter().take(5).map(|(at, index)| format!("{at:?} (record {index}) is missing")));
        let shown: Vec<&String> = problems.iter().take(10).collect();
        assert!(problems.is_empty(), "{} problems, {} missing: {shown:#?}", problems.len(), missing.len());
        assert_eq!(self.rows().await, produced.committed.len() as u64, "rows of partitions that do not exist");
    }
}

fn check_row(
    row: &[Option<String>],
    missing: &mut BTreeMap<(i32, i64), u64>,
    produced: &Produced,
) -> Result<(), String> {
    let text = |column: usize| row.get(column).cloned().flatten();
    let number = |column: usize| text(column).and_then(|text| text.parse::<i64>().ok()).unwrap_or(-1);
    let at = (i32::try_from(number(0)).unwrap_or(-1), number(1));
    let Some(index) = missing.remove(&at) else {
        let why = if produced.committed.contains_key(&at) { "is there twice" } else { "was never committed" };
        return Err(format!("{at:?} {why}: id {:?}", text(2)));
    };
    let expected = expected_row(&device(SEED, index));
    let mut found: Vec<Option<String>> = row.iter().skip(2).cloned().collect();
    // Each engine shows JSON with spaces of its own.
    if let Some(location) = found.get_mut(LOCATION) {
        let value = location.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        *location = value.map(|value| value.to_string());
    }
    if found == expected { Ok(()) } else { Err(format!("{at:?} differs:\n found {found:?}\n expected {expected:?}")) }
}

/// What the table holds of a device, as SQL shows it.
fn expected_row(device: &Device) -> Vec<Option<String>> {
    let location: serde_json::Value = serde_json::from_str(&device.location).expect("JSON");
    let city = location["city"].as_str().map(str::to_owned);
    vec![
        Some(device.id.to_string()),
        Some(device.company_name.clone()),
        Some(device.company_id.to_string()),
        Some(device.secret_key.clone()),
        Some(device.model.clone()),
        Some(device.amount.clone()),
        Some(device.balance.clone()),
        Some(device.traffic.clone()),
        Some(u8::from(device.online).to_string()),
        device.remark.clone(),
        Some(location.to_string()),
        city,
        Some(device.firmware.clone().unwrap_or_else(|| "unknown".to_owned())),
        Some(device.updated_at.to_string()),
    ]
}

/// The table of the quickstart's configuration under another name.
fn ddl_of(engine: EngineKind, table: &str) -> String {
    let text = match engine {
        EngineKind::StarRocks => include_str!("../../conf/ods_device.starrocks.sql"),
        EngineKind::Doris => include_str!("../../conf/ods_device.doris.sql"),
    };
    text.replace("ods_cjm.ods_device", &format!("{DATABASE}.{table}")).replace("ods_cjm", DATABASE)
}

async fn create_topic(brokers: &str, topic: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("admin client");
    let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
    let results = admin.create_topics([&new], &AdminOptions::new()).await.expect("asked");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}
