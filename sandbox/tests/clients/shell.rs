//! Commands of a manual, typed in as they stand: only names of hosts, accounts and files are filled in.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use loadlock_sandbox::{EngineKind, Sandbox};
use serde_json::Value;
use tempfile::TempDir;

/// Longest time that a command may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// Password of the one account.
pub(crate) const PASSWORD: &str = "s3cret";

/// A sandbox and a directory in which commands run.
pub(crate) struct Shell {
    pub(crate) sandbox: Sandbox,
    dir: TempDir,
}

impl Shell {
    /// `None` without curl, said loudly.
    pub(crate) async fn start(kind: EngineKind, ddl: &str) -> Option<Self> {
        let mut version = Command::new("curl");
        version.arg("--version");
        if output(version).await.is_none() {
            skipped("curl", "apt-get install curl");
            return None;
        }
        crate::watch::panics_are_fatal();
        let sandbox = Sandbox::builder(kind).ddl(ddl).account("root", PASSWORD).start().await.unwrap();
        Some(Self { sandbox, dir: TempDir::new().unwrap() })
    }

    /// Writes a file that a command loads.
    pub(crate) fn file(&self, name: &str, text: &str) {
        std::fs::write(self.dir.path().join(name), text).unwrap();
    }

    /// Runs a command of a manual; what it wrote to stdout, as JSON.
    pub(crate) async fn run(&self, command: &str) -> Value {
        let text = self.text(command).await;
        serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{command}\nis answered by no JSON ({error}): {text}"))
    }

    /// Runs a command of a manual; what it wrote to stdout.
    pub(crate) async fn text(&self, command: &str) -> String {
        let frontend = self.sandbox.frontend.to_string();
        let account = format!("root:{PASSWORD}");
        let mut filled = command.to_owned();
        for named in ["<username>:<password>", "<jack>:<123456>", "<doris_user>:<doris_password>", "user:passwd"] {
            filled = filled.replace(named, &account);
        }
        for named in ["<fe_host>:<fe_http_port>", "<fe_ip>:<fe_http_port>", "fe_host:http_port"] {
            filled = filled.replace(named, &frontend);
        }
        filled = filled.replace("<table_url_prefix>", &format!("http://{frontend}"));
        let mut shell = Command::new("bash");
        shell.args(["-c", &filled]).current_dir(self.dir.path()).env("no_proxy", "127.0.0.1");
        let ran = output(shell).await.expect("bash");
        assert!(ran.status.success(), "{command}\n{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8(ran.stdout).unwrap()
    }

    /// Waits until a query gives this one value.
    pub(crate) async fn until(&self, sql: &str, value: &str) {
        let deadline = Instant::now() + DEADLINE;
        while self.rows(sql).await != [value] {
            assert!(Instant::now() < deadline, "{sql}: {:?} in place of {value}", self.rows(sql).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Rows of a table as lines, cells divided by `|`.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let rows = self.sandbox.sql(sql).await.unwrap();
        let cell = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "NULL".to_owned());
        rows.iter().map(|row| row.iter().map(cell).collect::<Vec<_>>().join("|")).collect()
    }
}

/// Runs a command to its end; `None` if there is no such program.
pub(crate) async fn output(mut command: Command) -> Option<Output> {
    let ran = tokio::task::spawn_blocking(move || command.output().ok());
    tokio::time::timeout(DEADLINE, ran).await.expect("it did not end in time").unwrap()
}

/// Says that something was left out.
#[expect(clippy::print_stdout, reason = "scripts/test repeats these lines")]
pub(crate) fn skipped(what: &str, hint: &str) {
    println!("SKIPPED {what}: not to be had here ({hint})");
}

/// True if an answer has the fields of the manual's answer, each of the same JSON type; `but` names those that it lacks.
pub(crate) fn answers_like(answer: &Value, manual: &str, but: &[&str]) {
    let manual: Value = serde_json::from_str(manual).expect("the manual's answer");
    let kind = |value: &Value| std::mem::discriminant(value);
    for (name, value) in manual.as_object().expect("an object") {
        let found = answer.get(name);
        if but.contains(&name.as_str()) {
            assert!(found.is_none(), "the manual's {name} is in the answer after all: {answer}");
        } else {
            assert_eq!(found.map(kind), Some(kind(value)), "{name} in {answer}");
        }
    }
}
