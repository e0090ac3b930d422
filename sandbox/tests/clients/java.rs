//! Java programs that use what others wrote. `SANDBOX_TEST_JARS` names a directory that has the jars of `java/starrocks.xml`
//! and `java/doris.xml` in directories of these names; `scripts/test clients` fetches them with Maven.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use loadlock_sandbox::{EngineKind, Sandbox};

use crate::client::Client;
use crate::shell::{PASSWORD, output, skipped};

/// Longest wait for a step of a program.
const DEADLINE: Duration = Duration::from_secs(60);

/// What `Load.java` and `Checkpoints.java` load: number of rows and sum of their amounts.
pub(crate) const ALL: [&str; 2] = ["1000", "499750.00"];

const DDL: &str =
    "CREATE TABLE shop.orders (id BIGINT NOT NULL, name VARCHAR(64), amount DECIMAL(12,2), at DATETIME, price DOUBLE)";

/// A sandbox with an empty table of orders.
pub(crate) async fn start(kind: EngineKind) -> Sandbox {
    crate::watch::panics_are_fatal();
    let key = if kind == EngineKind::StarRocks { "PRIMARY" } else { "UNIQUE" };
    let ddl = format!("{DDL} {key} KEY(id)");
    Sandbox::builder(kind).ddl(&ddl).account("root", PASSWORD).start().await.unwrap()
}

/// A program of `java/` with one of the sets of jars, ready to be given arguments; `None` without jars or a Java that compiles, said loudly.
pub(crate) async fn program(name: &str, jars: &str, what: &str) -> Option<Command> {
    let jars = std::env::var_os("SANDBOX_TEST_JARS").map(|all| PathBuf::from(all).join(jars));
    let Some(jars) = jars.filter(|jars| jars.is_dir()) else {
        skipped(what, "SANDBOX_TEST_JARS does not have its jars; scripts/test clients fetches them with Maven");
        return None;
    };
    let mut modules = Command::new("java");
    modules.arg("--list-modules");
    let listed =
        output(modules).await.is_some_and(|ran| String::from_utf8_lossy(&ran.stdout).contains("jdk.compiler@"));
    if !listed {
        skipped(what, "no JDK of version 11 or newer (apt-get install openjdk-17-jdk-headless)");
        return None;
    }
    let mut command = Command::new("java");
    command.args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Duser.timezone=UTC", "-Dfile.encoding=UTF-8"]);
    command.arg("-cp").arg(jars.join("*"));
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/clients/java").join(name));
    Some(command)
}

/// Runs a program that stops between two phases until its input ends: what `between` finds as soon as the sandbox has as many
/// loads in `state` (or the program has ended), and all that it wrote.
pub(crate) async fn in_two_phases<F: Future<Output = Vec<String>>>(
    mut command: Command,
    sandbox: &Sandbox,
    (state, loads): (&str, usize),
    between: impl FnOnce() -> F,
) -> (Vec<String>, String) {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let deadline = Instant::now() + DEADLINE;
    let is_ready = || sandbox.transactions().iter().filter(|txn| txn.state == state).count() == loads;
    while !is_ready() && child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let found = if is_ready() { between().await } else { vec![format!("{:?}", sandbox.transactions())] };
    drop(child.stdin.take());
    let ran = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let ran = tokio::time::timeout(DEADLINE, ran).await.expect("it did not end in time").unwrap();
    (found, String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr))
}

/// Number of rows in the table of orders and sum of their amounts.
pub(crate) async fn loaded(sandbox: &Sandbox) -> Vec<String> {
    let mut client = Client::log_in(sandbox.query, "root", PASSWORD, "").await.unwrap();
    let lines = client.query("SELECT count(*), sum(amount) FROM shop.orders").await.lines();
    lines.iter().flat_map(|line| line.split('|').map(str::to_owned).collect::<Vec<_>>()).collect()
}
