//! Logins, databases, and commands beside statements.

use loadlock_sandbox::{EngineKind, Sandbox};

use crate::client::{CAPABILITIES, Client, Said};

const DDL: &str = "CREATE TABLE shop.t (id BIGINT, name VARCHAR(20)) DUPLICATE KEY(id)";

async fn start(kind: EngineKind, password: &str) -> Sandbox {
    crate::watch::panics_are_fatal();
    Sandbox::builder(kind).ddl(DDL).account("root", password).start().await.unwrap()
}

fn refused(login: Result<Client, Said>) -> String {
    match login {
        Err(Said::Error(code, state, text)) => format!("{code} {state} {text}"),
        Err(said) => format!("{said:?}"),
        Ok(_) => "let in".to_owned(),
    }
}

#[tokio::test]
async fn passwords() {
    let engines = [
        (EngineKind::StarRocks, "", "5501 42602 Getting analyzing error. Detail message: Unknown database 'nope'."),
        (EngineKind::Doris, "@127.0.0.1", "1049 42000 errCode = 2, detailMessage = Unknown database 'nope'"),
    ];
    for (kind, host, unknown) in engines {
        let sandbox = start(kind, "s3cret").await;
        let address = sandbox.query;
        for (user, password, using) in [("root", "wrong", "YES"), ("root", "", "NO"), ("eve", "s3cret", "YES")] {
            let said = refused(Client::log_in(address, user, password, "").await);
            assert_eq!(said, format!("1045 28000 Access denied for user '{user}{host}' (using password: {using})"));
        }
        assert_eq!(refused(Client::log_in(address, "root", "s3cret", "nope").await), unknown);
        let mut client = Client::log_in(address, "root", "s3cret", "shop").await.unwrap();
        assert_eq!(client.query("SELECT database(), count(*) FROM t").await.lines(), ["shop|0"]);
        sandbox.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_begins_with_another_plugin_is_asked_to_switch() {
    let sandbox = start(EngineKind::StarRocks, "").await;
    let (mut client, challenge) = Client::greeted(sandbox.query).await;
    let mut payload = CAPABILITIES.to_le_bytes().to_vec();
    payload.extend_from_slice(&[0; 28]);
    payload.extend_from_slice(b"root\0\x05tokenshop\0caching_sha2_password\0");
    client.write(&payload).await;
    let asked = client.read().await.unwrap();
    assert_eq!(asked[0], 0xfe);
    assert_eq!(&asked[1..], [b"mysql_native_password\0", challenge.as_slice(), b"\0"].concat());
    client.write(b"").await;
    assert_eq!(client.said(false).await, Said::Ok(0));
    sandbox.stop().await;
}

#[tokio::test]
async fn commands_beside_statements() {
    let sandbox = start(EngineKind::Doris, "").await;
    let mut client = Client::root(sandbox.query).await;
    assert_eq!(client.query("SELECT * FROM t").await.lines(), ["ERROR 1046 No database selected"]);
    // COM_INIT_DB, COM_PING, COM_FIELD_LIST, COM_RESET_CONNECTION, then one that there is not.
    client.command(0x02, b"internal.shop").await;
    assert_eq!(client.said(false).await, Said::Ok(0));
    client.command(0x0e, b"").await;
    assert_eq!(client.said(false).await, Said::Ok(0));
    client.command(0x04, b"t\0").await;
    let first = client.read().await.unwrap();
    assert!(first.windows(2).any(|w| w == b"id") && first.last() == Some(&0xfb), "{first:?}");
    client.read().await.unwrap();
    assert_eq!(client.read().await.unwrap()[0], 0xfe);
    client.command(0x1f, b"").await;
    assert_eq!(client.said(false).await, Said::Ok(0));
    assert_eq!(client.query("SELECT database()").await.lines(), ["NULL"]);
    client.command(0x77, b"").await;
    assert_eq!(client.said(false).await, Said::Error(1047, "08S01".into(), "Unknown command".into()));
    client.command(0x01, b"").await;
    assert_eq!(client.read().await, None);
    sandbox.stop().await;
}

#[tokio::test]
async fn sessions_do_not_share_what_they_set() {
    let sandbox = start(EngineKind::StarRocks, "").await;
    let (mut a, mut b) = (Client::root(sandbox.query).await, Client::root(sandbox.query).await);
    assert_eq!(a.query("INSERT INTO shop.t VALUES (1, 'x'), (2, 'y')").await, Said::Ok(2));
    assert_eq!(
        a.query("SET sql_select_limit = 1, nonsense = 1").await.lines()[0],
        "ERROR 1193 Unknown system variable 'nonsense'"
    );
    assert_eq!(
        a.query("SELECT id FROM shop.t ORDER BY id").await.lines(),
        ["1", "2"],
        "nothing of a refused SET holds"
    );
    assert_eq!(a.query("USE shop").await, Said::Ok(0));
    assert_eq!(a.query("SET SESSION sql_select_limit = 1").await, Said::Ok(0));
    assert_eq!(a.query("SELECT id FROM t ORDER BY id").await.lines(), ["1"]);
    assert_eq!(b.query("SELECT id FROM shop.t ORDER BY id").await.lines(), ["1", "2"]);
    assert_eq!(b.query("SELECT database(), @@session.sql_select_limit").await.lines(), ["NULL|9223372036854775807"]);
    let shown = b.query("SHOW PROCESSLIST WHERE Db = 'shop'").await.lines();
    assert!(shown.len() == 1 && shown[0].contains("|root|127.0.0.1:"), "{shown:?}");
    sandbox.stop().await;
}
