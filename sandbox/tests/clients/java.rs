//! Java programs that use what others wrote. `SANDBOX_TEST_JARS` names a directory with the jars of `java/pom.xml`;
//! `scripts/test clients` fetches them with Maven.

use std::path::PathBuf;
use std::process::Command;

use loadlock_sandbox::{EngineKind, Sandbox};

use crate::shell::{PASSWORD, output, skipped};

const DDL: &str =
    "CREATE TABLE shop.orders (id BIGINT NOT NULL, name VARCHAR(64), amount DECIMAL(12,2), at DATETIME, price DOUBLE)";

/// A sandbox with an empty table of orders.
pub(crate) async fn start(kind: EngineKind) -> Sandbox {
    let key = if kind == EngineKind::StarRocks { "PRIMARY" } else { "UNIQUE" };
    let ddl = format!("{DDL} {key} KEY(id)");
    Sandbox::builder(kind).ddl(&ddl).account("root", PASSWORD).start().await.unwrap()
}

/// A program of `java/`, ready to be given arguments; `None` without jars or a Java that compiles, said loudly.
pub(crate) async fn program(name: &str, what: &str) -> Option<Command> {
    let Some(jars) = std::env::var_os("SANDBOX_TEST_JARS").map(PathBuf::from).filter(|jars| jars.is_dir()) else {
        skipped(what, "SANDBOX_TEST_JARS names no directory; scripts/test clients fetches the jars with Maven");
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
