//! A loader process of its own, with its log in a file.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::judge::World;
use super::records::KEY;

/// Longest wait for a drain or a log line.
const DEADLINE: Duration = Duration::from_secs(60);

/// A running loader; killed when dropped.
pub(crate) struct Loader {
    child: Option<Child>,
    log: PathBuf,
}

impl Loader {
    /// Starts `loadlock run` with this configuration.
    pub(crate) fn start(config: &Path, password: &str, log: PathBuf) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_loadlock"))
            .args(["run", "--log-format", "json", "-c"])
            .arg(config)
            .env("DEVICE_KEY", KEY)
            .env("ENGINE_PASSWORD", password)
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("log file"))
            .spawn()
            .expect("started");
        Self { child: Some(child), log }
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until its log has this text.
    pub(crate) async fn wait_for_line(&self, text: &str, world: &World) {
        let deadline = Instant::now() + DEADLINE;
        while !self.log().contains(text) {
            assert!(Instant::now() < deadline, "no `{text}` within {DEADLINE:?}\n{}", world.tail(self));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// SIGTERM; it has to finish what is open and exit with 0. Gives back its log.
    pub(crate) async fn drain(mut self) -> String {
        let mut child = self.child.take().expect("running");
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        let deadline = Instant::now() + DEADLINE;
        let status = loop {
            if let Some(status) = child.try_wait().expect("waited") {
                break status;
            }
            if Instant::now() >= deadline {
                let _ = child.kill();
                panic!("did not drain within {DEADLINE:?}\n{}", last_lines(&self.log()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        assert!(status.success(), "ended with {status}\n{}", last_lines(&self.log()));
        self.log()
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Intents that `loadlock offsets show` finds in the group's positions.
pub(crate) fn open_intents(config: &Path, password: &str) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadlock"));
    command.args(["offsets", "show", "--json", "-c"]).arg(config);
    let shown = command.env("DEVICE_KEY", KEY).env("ENGINE_PASSWORD", password).output().expect("run");
    assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
    let document: Value = serde_json::from_slice(&shown.stdout).expect("JSON");
    let pipelines = document["pipelines"].as_array().expect("pipelines");
    assert_eq!(pipelines.len(), 1, "{document}");
    pipelines.iter().flat_map(|one| one["intents"].as_array().expect("intents").clone()).collect()
}

/// The end of a log, for the message of a failed test.
pub(crate) fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
}
