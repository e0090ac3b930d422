//! The work bench: an embedded Kafka and an embedded engine, one topic, table and group for each route.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use loadlock::cli::produce::encrypt::Wrapper;
use loadlock::config::{Cipher, Decrypt, Encoding, Secret, ValueForm};
use loadlock_sandbox::{EngineKind, Kafka, Sandbox, Topic};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const DEADLINE: Duration = Duration::from_secs(60);

/// Base64 of 16 zero bytes.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

/// Encrypts with the key of the routes and wraps as producers do.
pub(crate) fn encrypted(json: &str) -> Vec<u8> {
    encrypt([0; 16], json.as_bytes())
}

pub(crate) fn encrypted_with(key: [u8; 16], json: &str) -> Vec<u8> {
    encrypt(key, json.as_bytes())
}

pub(crate) fn encrypt(key: [u8; 16], plain: &[u8]) -> Vec<u8> {
    let decrypt = Some(Decrypt::one(Cipher::AesEcb, Secret::new(key.to_vec())));
    let form = ValueForm { encoding: Encoding::Base64, decrypt, ..ValueForm::default() };
    Wrapper { form: &form, quoted: true }.wrap(plain, [0; 16], false).expect("a key that fits")
}

pub(crate) struct Bench {
    runtime: Runtime,
    sandbox: Sandbox,
    kafka: Kafka,
    dir: TempDir,
}

/// How a loader ended.
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// The line that says why.
    pub(crate) stopped: String,
    pub(crate) log: String,
}

pub(crate) struct Letter {
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: BTreeMap<String, String>,
}

impl Bench {
    pub(crate) fn start() -> Self {
        let runtime = Runtime::new().expect("runtime");
        let sandbox = runtime.block_on(Sandbox::builder(EngineKind::StarRocks).ddl(&ddl()).start()).expect("sandbox");
        let kafka = Kafka::start(&[Topic { name: "dead".to_owned(), partitions: 1 }]).expect("mock cluster");
        Self { runtime, sandbox, kafka, dir: TempDir::new().expect("directory") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A topic of one partition, a table and a group of that name, with this policy.
    pub(crate) fn route(&self, name: &'static str, policy: &str) -> Route<'_> {
        let producer = self.client().create().expect("producer");
        Route { bench: self, name, policy: policy.to_owned(), producer, running: Cell::new(0) }
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.kafka.brokers());
        client
    }

    /// What changes from run to run taken out.
    pub(crate) fn shown(&self, text: &str) -> String {
        let text = text.replace(&self.sandbox.frontend.to_string(), "FRONTEND");
        let text = text.replace(&self.sandbox.backend.to_string(), "BACKEND");
        let mut shown = String::new();
        for word in text.split_inclusive([' ', '\n', ',', '/', '"', '?']) {
            let is_label = word.starts_with("loadlock-") && word.len() > 60;
            let is_log = word.starts_with("file=error_log");
            shown.push_str(if is_label {
                "LABEL "
            } else if is_log {
                "LOG "
            } else {
                word
            });
        }
        shown
    }

    /// Waits for so many dead letters, in order.
    pub(crate) fn dead_letters(&self, wanted: usize) -> Vec<Letter> {
        let consumer: BaseConsumer =
            self.client().set("group.id", "reader").set("auto.offset.reset", "earliest").create().expect("consumer");
        consumer.subscribe(&["dead"]).expect("subscribed");
        let deadline = Instant::now() + DEADLINE;
        let mut letters = Vec::new();
        while letters.len() < wanted {
            assert!(Instant::now() < deadline, "{} of {wanted} dead letters", letters.len());
            let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
            let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            let headers =
                message.headers().expect("headers").iter().map(|h| (h.key.to_owned(), text(h.value))).collect();
            letters.push(Letter { value: message.payload().map(<[u8]>::to_vec), headers });
        }
        letters
    }

    fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.runtime.block_on(self.sandbox.sql(sql)).expect("sql")
    }
}

/// All routes of the cases: one table each, made before the sandbox starts.
fn ddl() -> String {
    let names = [
        "not_base64",
        "cut_base64",
        "another_key",
        "plain_json_instead_of_encrypted",
        "empty_value",
        "tombstone",
        "truncated_json",
        "trailing_garbage",
        "two_documents",
        "not_an_object",
        "leading_zero",
        "raw_control_character",
        "lone_surrogate",
        "not_utf8",
        "too_deep",
        "dead_letters",
        "dead_file",
        "too_many",
        "text_in_a_number",
        "number_out_of_range",
        "null_in_a_key",
        "text_too_long",
        "decimal_too_large",
        "odd",
    ];
    let table = |name: &str| {
        format!(
            "CREATE TABLE d.{name} (id BIGINT NOT NULL, amount DECIMAL(16,2), note VARCHAR(32)) DUPLICATE KEY(id) \
             DISTRIBUTED BY HASH(id) BUCKETS 1;\n"
        )
    };
    format!("CREATE DATABASE d;\n{}", names.map(table).concat())
}

pub(crate) struct Route<'b> {
    bench: &'b Bench,
    name: &'static str,
    policy: String,
    producer: BaseProducer,
    running: Cell<u32>,
}

impl Route<'_> {
    /// The same route with another policy.
    pub(crate) fn with(mut self, policy: &str) -> Self {
        policy.clone_into(&mut self.policy);
        self
    }

    pub(crate) fn record(&self, value: Option<&[u8]>) {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(self.name).partition(0).key(b"k");
        record.payload = value;
        self.producer.send(record).map_err(|(error, _)| error).expect("queued");
        self.producer.flush(DEADLINE).expect("flushed");
    }

    pub(crate) fn good(&self, ids: RangeInclusive<u64>) {
        for id in ids {
            self.record(Some(&encrypted(&format!(r#"{{"id":{id},"amount":"1.10","note":"第 {id} 行"}}"#))));
        }
    }

    pub(crate) fn ids(&self) -> Vec<u64> {
        let rows = self.bench.sql(&format!("SELECT id FROM d.{}", self.name));
        let mut ids: Vec<u64> =
            rows.iter().filter_map(|row| row.first().cloned().flatten()).filter_map(|id| id.parse().ok()).collect();
        ids.sort_unstable();
        ids
    }

    /// The whole table as text.
    pub(crate) fn table(&self) -> String {
        let mut rows = self.bench.sql(&format!("SELECT id, amount, note FROM d.{}", self.name));
        rows.sort();
        rows.iter().map(|row| format!("{row:?}\n")).collect()
    }

    /// Runs the loader until it ends by itself.
    pub(crate) fn until_it_ends(&self) -> Outcome {
        let (mut child, log) = self.start();
        let code = wait(&mut child, &log).unwrap_or(-1);
        let log = std::fs::read_to_string(log).unwrap_or_default();
        let stopped = log.lines().filter(|line| line.contains("stopped: ")).map(without_time).collect::<Vec<_>>();
        Outcome { code, stopped: stopped.join("\n"), log }
    }

    /// Runs the loader until the table has so many rows, then drains it.
    pub(crate) fn until_rows(&self, rows: u64) {
        let (mut child, log) = self.start();
        let deadline = Instant::now() + DEADLINE;
        while (self.ids().len() as u64) < rows {
            let ended = child.try_wait().expect("waited");
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            if ended.is_some() || Instant::now() >= deadline {
                let _ = child.kill();
                panic!("{}: {} of {rows} rows, ended {ended:?}\n{text}", self.name, self.ids().len());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill").success());
        assert_eq!(wait(&mut child, &log), Some(0), "{}", std::fs::read_to_string(&log).unwrap_or_default());
    }

    fn start(&self) -> (Child, PathBuf) {
        let Self { bench, name, policy, .. } = self;
        self.running.set(self.running.get() + 1);
        let config = bench.path(&format!("{name}.toml"));
        let log = bench.path(&format!("{name}-{}.log", self.running.get()));
        let text = format!(
            "[kafka]\nbrokers = \"{}\"\nstart = \"earliest\"\n[kafka.properties]\n\"session.timeout.ms\" = 4500\n\
             [engine]\nkind = \"starrocks\"\nfrontends = [\"http://{}\"]\ndatabase = \"d\"\nuser = \"root\"\npassword = \"\"\n\
             [batch]\nage = \"300ms\"\n[[topic2table]]\ntopic = \"{name}\"\ntable = \"{name}\"\n{policy}\n\
             decrypt = {{ cipher = \"aes-ecb\", key = {{ env = \"KEY\" }} }}\n\
             columns = [\"id\", \"amount\", \"note\"]\njsonpaths = [\"$.id\", \"$.amount\", \"$.note\"]\n",
            bench.kafka.brokers(),
            bench.sandbox.frontend,
        );
        std::fs::write(&config, text).expect("written");
        let child = Command::new(env!("CARGO_BIN_EXE_loadlock"))
            .args(["run", "--log-format", "text", "-c"])
            .arg(&config)
            .env("KEY", KEY)
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("log file"))
            .spawn()
            .expect("started");
        (child, log)
    }
}

fn wait(child: &mut Child, log: &PathBuf) -> Option<i32> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("waited") {
            return status.code();
        }
        if Instant::now() >= deadline {
            let _ = child.kill();
            panic!("did not end within {DEADLINE:?}\n{}", std::fs::read_to_string(log).unwrap_or_default());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn without_time(line: &str) -> &str {
    line.find("stopped: ").map_or(line, |at| line.get(at..).unwrap_or(line))
}
