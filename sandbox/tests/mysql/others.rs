//! Clients that others wrote: the `mysql` command line (Debian: default-mysql-client) and PyMySQL. Each is left out, by
//! name, where it isn't installed.

use std::process::{Command, Output};

use loadlock_sandbox::{EngineKind, Sandbox};

use crate::client::Client;

const DDL: &str =
    "CREATE TABLE shop.orders (id BIGINT NOT NULL, name VARCHAR(64), amount DECIMAL(12,2), at DATETIME, price DOUBLE)";

async fn start(kind: EngineKind) -> Sandbox {
    crate::watch::panics_are_fatal();
    let key = if kind == EngineKind::StarRocks { "PRIMARY" } else { "UNIQUE" };
    let ddl = format!("{DDL} {key} KEY(id)");
    let sandbox = Sandbox::builder(kind).ddl(&ddl).account("root", "s3cret").start().await.unwrap();
    let mut client = Client::log_in(sandbox.query, "root", "s3cret", "shop").await.unwrap();
    let rows = "(1, 'Zoë', 12.50, '2024-02-03 04:05:06', 0.1), (9007199254740993, NULL, -3, NULL, NULL)";
    client.query(&format!("INSERT INTO orders VALUES {rows}")).await;
    sandbox
}

async fn output(mut command: Command) -> Option<Output> {
    tokio::task::spawn_blocking(move || command.output().ok()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[expect(clippy::print_stdout, reason = "scripts/test repeats these lines")]
fn skipped(what: &str, hint: &str) {
    println!("SKIPPED {what}: not installed here ({hint})");
}

async fn mysql(sandbox: &Sandbox, arguments: &[&str]) -> Option<Output> {
    let mut command = Command::new("mysql");
    command.arg("--no-defaults").args(["-h127.0.0.1", "-uroot", &format!("-P{}", sandbox.query.port())]);
    command.args(arguments);
    output(command).await
}

#[tokio::test]
async fn the_mysql_command_line() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let sandbox = start(kind).await;
        let login = ["-ps3cret", "-Dshop", "-t", "-e"];
        let sql = "SELECT id, name, amount, at, price FROM orders ORDER BY id";
        let Some(shown) = mysql(&sandbox, &[&login[..], &[sql]].concat()).await else {
            return skipped("mysql command line", "apt-get install default-mysql-client");
        };
        let want = "\
+------------------+------+--------+---------------------+-------+
| id               | name | amount | at                  | price |
+------------------+------+--------+---------------------+-------+
|                1 | Zoë  |  12.50 | 2024-02-03 04:05:06 |   0.1 |
| 9007199254740993 | NULL |  -3.00 | NULL                |  NULL |
+------------------+------+--------+---------------------+-------+
";
        assert_eq!(text(&shown.stdout), want, "{kind}: {}", text(&shown.stderr));
        let version =
            mysql(&sandbox, &["-ps3cret", "-N", "-e", "SELECT @@version_comment; SHOW TABLES FROM shop;"]).await;
        let version = text(&version.unwrap().stdout);
        assert!(version.starts_with(&format!("{kind} version ")) && version.ends_with("orders\n"), "{version}");
        let wrong = mysql(&sandbox, &["-pwrong", "-e", "SELECT 1"]).await.unwrap();
        assert!(text(&wrong.stderr).contains("ERROR 1045 (28000): Access denied for user 'root"), "{wrong:?}");
        let unknown = mysql(&sandbox, &["-ps3cret", "-Dnope", "-e", "SELECT 1"]).await.unwrap();
        assert!(text(&unknown.stderr).contains("Unknown database 'nope'"), "{unknown:?}");
        sandbox.stop().await;
    }
}

const PYTHON: &str = r#"
import sys, datetime, decimal
try:
    import pymysql
except ImportError:
    sys.exit(99)
c = pymysql.connect(host="127.0.0.1", port=int(sys.argv[1]), user="root", password="s3cret", database="shop")
k = c.cursor()
k.execute("SELECT * FROM orders WHERE name = %s", ("Zoë",))
want = (1, "Zoë", decimal.Decimal("12.50"), datetime.datetime(2024, 2, 3, 4, 5, 6), 0.1)
row = k.fetchone()
assert row == want, row
assert k.execute("SELECT max(id), sum(amount) FROM orders") == 1
row = k.fetchone()
assert row == (9007199254740993, decimal.Decimal("9.50")), row
assert k.execute("INSERT INTO orders (id, name) VALUES (%s, %s), (%s, %s)", (2, "it's", 3, "a\\b\n\"c\"")) == 2
c.commit()
k.execute("SELECT name FROM orders WHERE id IN (2, 3) ORDER BY id")
assert k.fetchall() == (("it's",), ("a\\b\n\"c\"",)), k.fetchall()
try:
    k.execute("SELECT nope FROM orders")
    assert False, "not refused"
except pymysql.err.MySQLError as error:
    assert "nope" in error.args[1], error
c.ping()
c.close()
print("ok")
"#;

#[tokio::test]
async fn the_driver_of_another_language() {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        let sandbox = start(kind).await;
        let python = std::env::var("SANDBOX_TEST_PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let mut command = Command::new(python);
        command.args(["-c", PYTHON, &sandbox.query.port().to_string()]);
        let ran = output(command).await.filter(|ran| ran.status.code() != Some(99));
        let Some(ran) = ran else {
            return skipped("PyMySQL", "pip install pymysql, or SANDBOX_TEST_PYTHON names a Python that has it");
        };
        assert_eq!(text(&ran.stdout), "ok\n", "{kind}: {}", text(&ran.stderr));
        sandbox.stop().await;
    }
}
