//! `loadlock produce` against librdkafka's mock cluster: what is in the topic is what the route of the file expects, and
//! the summary tells the truth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use loadlock::cli::produce::encrypt::Wrapper;
use loadlock::cli::produce::generate::device;
use loadlock::config::{Cipher, Decrypt, Encoding, Secret, ValueForm};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const KEY: &str = "c2VjcmV0LWtleS0xNi1ieQ==";
const TOPIC: &str = "devices";
const PARTITIONS: i32 = 3;

struct Setting {
    cluster: MockCluster<'static, DefaultProducerContext>,
    directory: tempfile::TempDir,
}

impl Setting {
    fn new() -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(TOPIC, PARTITIONS, 1).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = format!(
            "[kafka]\nbrokers = {{ env = \"BROKERS\" }}\n[engine]\nkind = \"starrocks\"\nfrontends = [\"http://fe:8030\"]\n\
             user = \"root\"\npassword = \"\"\n[[topic2table]]\ntopic = \"{TOPIC}\"\ntable = \"db.devices\"\ncolumns = [\"id\"]\n\
             jsonpaths = [\"$.id\"]\ndecrypt = {{ cipher = \"aes-ecb\", key = {{ env = \"DEVICE_KEY\" }} }}\n"
        );
        std::fs::write(directory.path().join("loadlock.toml"), file).unwrap();
        Self { cluster, directory }
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn produce(&self, arguments: &[&str]) -> Output {
        self.loadlock("produce", arguments)
    }

    fn loadlock(&self, verb: &str, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_loadlock"))
            .args([verb, "-c", &self.path("loadlock.toml"), "--topic", TOPIC])
            .args(arguments)
            .env("BROKERS", self.cluster.bootstrap_servers())
            .env("DEVICE_KEY", KEY)
            .output()
            .unwrap()
    }

    /// Everything in the topic: key and value by (partition, offset).
    fn records(&self, expected: usize) -> BTreeMap<(i32, i64), (Option<String>, Vec<u8>)> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", "reader")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            assignment.add_partition_offset(TOPIC, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut records = BTreeMap::new();
        while records.len() < expected && Instant::now() < deadline {
            let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
            let record = record.unwrap();
            let key = record.key().map(|key| String::from_utf8(key.to_vec()).unwrap());
            records.insert((record.partition(), record.offset()), (key, record.payload().unwrap().to_vec()));
        }
        // One more look: nothing may come behind the last expected record.
        assert!(consumer.poll(Duration::from_millis(300)).is_none(), "more than {expected} records");
        assert_eq!(records.len(), expected);
        records
    }
}

fn json(output: &Output) -> serde_json::Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn generated_records_are_encrypted_as_the_route_says() {
    let setting = Setting::new();
    let arguments =
        ["--generate", "device", "--records", "300", "--seed", "5", "--size", "1024", "--corrupt-every", "100"];
    let summary = json(&setting.produce(&[&arguments[..], &["--json", "--check-retained"]].concat()));
    assert_eq!((&summary["records"], &summary["corrupt"], &summary["failed"]), (&300.into(), &3.into(), &0.into()));
    assert_eq!(
        summary["partitions"],
        serde_json::json!([
            { "partition": 0, "records": 100, "start": 0, "end": 100 },
            { "partition": 1, "records": 100, "start": 0, "end": 100 },
            { "partition": 2, "records": 100, "start": 0, "end": 100 },
        ])
    );

    let key = Secret::new(base64_simd::STANDARD.decode_to_vec(KEY).unwrap());
    let form = ValueForm {
        encoding: Encoding::Base64,
        decrypt: Some(Decrypt::one(Cipher::AesEcb, key)),
        ..ValueForm::default()
    };
    let wrapper = Wrapper { form: &form, quoted: false };
    for ((partition, offset), (key, value)) in setting.records(300) {
        let index = u64::try_from(offset * i64::from(PARTITIONS) + i64::from(partition)).unwrap();
        assert_eq!(key, Some((index + 1).to_string()));
        let json = device(5, index).json(Some(1024));
        let expected = wrapper.wrap(json.as_bytes(), [0; 16], index % 100 == 99).unwrap();
        assert_eq!(value, expected, "record {index}");
    }
}

#[test]
fn lines_are_sent_as_they_are_with_plain() {
    let setting = Setting::new();
    let file = setting.path("records.ndjson");
    std::fs::write(&file, "{\"id\":1,\"n\":12.50}\n\n{\"id\":\"二\"}\n").unwrap();
    let output = setting.produce(&["--file", &file, "--plain", "--key", "$.id"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.starts_with("2 records acknowledged, in "), "{shown}");
    let records: Vec<_> = setting.records(2).into_values().collect();
    assert!(records.contains(&(Some("1".to_owned()), b"{\"id\":1,\"n\":12.50}".to_vec())));
    assert!(records.contains(&(Some("二".to_owned()), "{\"id\":\"二\"}".as_bytes().to_vec())));
}

#[test]
fn one_key_one_partition() {
    let setting = Setting::new();
    let file = setting.path("records.ndjson");
    let lines: String = (0..60).map(|at| format!("{{\"k\":\"key {}\"}}\n", at % 5)).collect();
    std::fs::write(&file, lines).unwrap();
    json(&setting.produce(&["--file", &file, "--key", "$.k", "--by-key", "--quoted", "--json"]));
    let mut places: BTreeMap<String, i32> = BTreeMap::new();
    for ((partition, _), (key, value)) in setting.records(60) {
        assert_eq!(*places.entry(key.unwrap()).or_insert(partition), partition);
        assert!(value.starts_with(b"\"") && value.ends_with(b"\""));
    }
    assert_eq!(places.len(), 5);
}

/// The mock cluster keeps 5 MiB per partition and drops the oldest in silence: more than that must not pass as success.
#[test]
fn records_that_the_topic_dropped_are_noticed() {
    let setting = Setting::new();
    let output = setting.produce(&[
        "--generate",
        "device",
        "--records",
        "24000",
        "--size",
        "1024",
        "--check-retained",
        "--plain",
    ]);
    assert_eq!(output.status.code(), Some(65), "{}", String::from_utf8_lossy(&output.stdout));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains("dropped old records meanwhile"), "{shown}");
}

#[test]
fn nobody_listens() {
    let setting = Setting::new();
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let output = Command::new(env!("CARGO_BIN_EXE_loadlock"))
        .args(["produce", "-c", &setting.path("loadlock.toml"), "--topic", TOPIC, "--file", "/dev/null"])
        .env("BROKERS", format!("127.0.0.1:{port}"))
        .env("DEVICE_KEY", KEY)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains("the partitions of the topic devices can't be read"), "{shown}");
    assert!(Path::new(&setting.path("loadlock.toml")).exists());
}

/// What is in the topic can be looked at one by one, without a group.
#[test]
fn a_record_in_the_topic_is_explained() {
    let setting = Setting::new();
    json(&setting.produce(&["--generate", "device", "--records", "6", "--corrupt-every", "6", "--json"]));
    let explain = |partition: &str, offset: &str| {
        setting.loadlock("explain", &["--partition", partition, "--offset", offset, "--json"])
    };
    let sound = json(&explain("1", "1"));
    assert_eq!((&sound["partition"], &sound["offset"]), (&1.into(), &1.into()));
    let id = device(1, 4).id;
    assert_eq!(sound["routes"][0]["row"], serde_json::json!([{ "column": "id", "json": id.to_string() }]));

    let corrupt = explain("2", "1");
    assert_eq!(corrupt.status.code(), Some(65));
    let corrupt: serde_json::Value = serde_json::from_slice(&corrupt.stdout).unwrap();
    assert_eq!(corrupt["routes"][0]["reject"]["stage"], "decrypt");

    for (offset, said) in
        [("2", "at offset 2 is nothing yet"), ("7", "at offset 7 is nothing: the partition holds the")]
    {
        let missing = explain("0", offset);
        assert_eq!(missing.status.code(), Some(65));
        let missing = String::from_utf8(missing.stderr).unwrap();
        assert!(missing.contains("error[no-record]") && missing.contains(said), "{missing}");
    }
}
