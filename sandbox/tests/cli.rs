//! The binary as a script uses it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

const DEADLINE: Duration = Duration::from_secs(20);

fn sandbox(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadlock-sandbox"));
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A process that is killed if a test fails before it has ended.
struct Running(Option<Child>);

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        Self(Some(sandbox(arguments).spawn().unwrap()))
    }

    fn terminate(mut self) -> Output {
        let child = self.0.take().unwrap();
        let killed = Command::new("kill").arg(child.id().to_string()).status().unwrap();
        assert!(killed.success());
        child.wait_with_output().unwrap()
    }
}

fn ready(file: &Path) -> Value {
    let started = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            return serde_json::from_str(&text).expect("the file is whole when it appears");
        }
        assert!(started.elapsed() < DEADLINE, "no ready file");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn partitions(brokers: &str, topic: &str) -> usize {
    let consumer: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap();
    consumer.fetch_metadata(Some(topic), DEADLINE).unwrap().topics()[0].partitions().len()
}

#[test]
fn up_then_sql_then_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let (ddl, file) = (dir.path().join("t.sql"), dir.path().join("ready.json"));
    std::fs::write(&ddl, "CREATE TABLE shop.orders (id BIGINT, name STRING) PRIMARY KEY(id)").unwrap();
    let (ddl, file_name) = (ddl.to_str().unwrap(), file.to_str().unwrap());
    let up = ["up", "--engine", "starrocks", "--ddl", ddl, "--ready-file", file_name, "--password", "s3cret"];
    let running = Running::start(&[&up[..], &["--kafka-topic", "orders:3"]].concat());
    let addresses = ready(&file);
    let admin = addresses["admin"].as_str().unwrap();
    assert_eq!(partitions(addresses["kafka"].as_str().unwrap(), "orders"), 3);

    let found = sandbox(&["sql", "--admin", admin, "SELECT count(*) AS n FROM shop.orders"]).output().unwrap();
    assert_eq!(String::from_utf8(found.stdout).unwrap(), "+---+\n| n |\n+---+\n| 0 |\n+---+\n1 row\n");
    let refused = sandbox(&["sql", "--admin", admin, "DROP TABLE shop.orders"]).output().unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr).unwrap().starts_with("error: "));

    let ended = running.terminate();
    let said = String::from_utf8(ended.stdout).unwrap();
    assert!(ended.status.success(), "{said}");
    assert!(said.starts_with("StarRocks 4.0.7 sandbox is up\n") && said.ends_with("stopped\n"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");
}

#[test]
fn kafka_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ready.json");
    let running =
        Running::start(&["kafka", "--topic", "a:1", "--topic", "b.c:5", "--ready-file", file.to_str().unwrap()]);
    let brokers = ready(&file)["kafka"].as_str().unwrap().to_owned();
    assert_eq!((partitions(&brokers, "a"), partitions(&brokers, "b.c")), (1, 5));
    assert!(running.terminate().status.success());
}

#[test]
fn mistakes_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let ddl = dir.path().join("t.sql");
    std::fs::write(&ddl, "CREATE TABLE orders (id BIGINT)").unwrap();
    let ddl = ddl.to_str().unwrap();
    let cases: [(&[&str], &str); 3] = [
        (&["up", "--engine", "doris", "--ddl", ddl], "table `orders` has no database"),
        (&["up", "--engine", "doris", "--ddl", "no-such-file.sql"], "cannot read no-such-file.sql"),
        (&["kafka", "--topic", "a"], "a topic is NAME:PARTITIONS"),
    ];
    for (arguments, want) in cases {
        let output = sandbox(arguments).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(want), "{arguments:?}: {said}");
    }
}
