//! The JDBC drivers of MySQL and MariaDB, which BI tools use, with statements prepared by the client and by the server.

use loadlock_sandbox::EngineKind;

use crate::java::{program, start};
use crate::shell::{PASSWORD, output};

/// What every driver has to find, but for the catalogue.
const FOUND: &str = "\
types [id:BIGINT, name:VARCHAR, amount:DECIMAL, at:DATETIME, price:DOUBLE]
row 1 Zoë 12.50 2024-02-03 04:05:06.0 0.1
row 9007199254740993 null -3.00 null none
inserted 1
sums 3 9.60 9007199254740993
at most 1
";

async fn drive(what: &str, url: &str, describes: bool) {
    for kind in [EngineKind::StarRocks, EngineKind::Doris] {
        for prepares in [false, true] {
            let Some(mut command) = program("Shop.java", "starrocks", what).await else { return };
            let sandbox = start(kind).await;
            let rows = "INSERT INTO shop.orders VALUES (1, 'Zoë', 12.50, '2024-02-03 04:05:06', 0.1), \
                        (9007199254740993, NULL, -3, NULL, NULL)";
            crate::client::Client::log_in(sandbox.query, "root", PASSWORD, "").await.unwrap().query(rows).await;
            command.arg(format!("{url}&useServerPrepStmts={prepares}").replace("ADDRESS", &sandbox.query.to_string()));
            command.arg(PASSWORD).args(describes.then_some("columns"));
            let ran = output(command).await.expect("java");
            let said = String::from_utf8_lossy(&ran.stdout).into_owned();
            let about =
                format!("{kind}, prepared by the server: {prepares}\n{said}{}", String::from_utf8_lossy(&ran.stderr));
            assert!(ran.status.success(), "{about}");
            assert!(said.starts_with("valid true, database shop\n"), "{about}");
            let columns = "columns [id:-5, name:12, amount:3, at:93, price:8]\n";
            assert_eq!(said.contains(columns), describes, "{about}");
            assert!(said.contains(FOUND), "{about}");
            let code = if kind == EngineKind::StarRocks { 1064 } else { 1105 };
            assert!(said.ends_with(&format!("refused {code} true\nok\n")), "{about}");
            assert!(said.contains("all [orders:TABLE]"), "{about}");
            // Told that StarRocks is a MySQL 8, Connector/J finds tables by a HAVING on an alias that is a column's name,
            // too; StarRocks takes the column (`SelectAnalyzer.RewriteAliasVisitor`), and nothing is left.
            let listed = kind == EngineKind::Doris || !describes;
            assert!(said.contains(if listed { "\ntables [orders:TABLE]" } else { "\ntables []" }), "{about}");
            sandbox.stop().await;
        }
    }
}

#[tokio::test]
async fn mysql_connector_j() {
    drive("MySQL Connector/J", "jdbc:mysql://ADDRESS/shop?sslMode=DISABLED", true).await;
}

/// Without descriptions of columns: for them that driver casts to UNSIGNED, which StarRocks has no type for.
#[tokio::test]
async fn mariadb_connector_j() {
    drive("MariaDB Connector/J", "jdbc:mariadb://ADDRESS/shop?sslMode=disable", false).await;
}
