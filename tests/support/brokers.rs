//! Brokers of a test's own, which it may stop, kill and start again.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]
#![allow(clippy::expect_used, clippy::print_stderr, reason = "helpers of tests")]

use std::process::{Command, Output};

use super::kafka::{real_brokers, unique};

/// Exit code of `scripts/kafka` where no broker can be had.
const SKIPPED: i32 = 3;

/// A cluster that ends with the test.
pub struct Brokers {
    name: String,
    /// Its addresses.
    pub addresses: String,
}

impl Brokers {
    /// Starts so many brokers, of the version that is under test (`KAFKA_VERSION`).
    pub fn up(test: &str, count: usize) -> Option<Self> {
        // Where there is no broker at all nobody asked for these tests.
        real_brokers(test)?;
        let mut cluster = Self { name: unique(test), addresses: String::new() };
        let count = count.to_string();
        let mut arguments = vec!["up", "--brokers", &count];
        let version = std::env::var("KAFKA_VERSION").unwrap_or_default();
        if !version.is_empty() {
            arguments.extend(["--version", &version]);
        }
        let output = cluster.script(&arguments);
        if output.status.code() == Some(SKIPPED) {
            eprintln!("SKIPPED broker: {test}: {}", String::from_utf8_lossy(&output.stderr).trim());
            return None;
        }
        let line = String::from_utf8(succeeded(output).stdout).expect("text");
        cluster.addresses = line.trim().strip_prefix("KAFKA_BROKERS=").expect("addresses").to_owned();
        Some(cluster)
    }

    /// Kills a broker, as the loss of a process would.
    pub fn kill(&self, node: i32) {
        succeeded(self.script(&["kill", "--node", &node.to_string()]));
    }

    /// Ends a broker in order.
    pub fn stop(&self, node: i32) {
        succeeded(self.script(&["stop", "--node", &node.to_string()]));
    }

    /// Starts a broker again, on its data and its port.
    pub fn start(&self, node: i32) {
        succeeded(self.script(&["start", "--node", &node.to_string()]));
    }

    fn script(&self, arguments: &[&str]) -> Output {
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/kafka"))
            .args(arguments)
            .args(["--name", &self.name])
            .env_remove("KAFKA_BROKERS")
            .output()
            .expect("scripts/kafka runs")
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        let output = self.script(&["down"]);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

fn succeeded(output: Output) -> Output {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}
