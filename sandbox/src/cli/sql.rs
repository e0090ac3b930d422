//! `sql`: a SELECT against a running sandbox, shown as a table.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use loadlock_sandbox::QueryResult;
use tokio::net::TcpStream;

use super::Failure;

/// How long the answer may take; the sandbox itself gives a query a minute.
const TIME_MAX: Duration = Duration::from_secs(90);

#[derive(Debug, clap::Args)]
pub(crate) struct Sql {
    /// Admin address of the sandbox, as its banner and its ready file give it
    #[arg(long, value_name = "HOST:PORT")]
    admin: String,
    /// SELECT statement; tables are named as table or database.table
    query: String,
}

impl Sql {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), Failure> {
        let asked = tokio::time::timeout(TIME_MAX, self.ask()).await;
        let result = asked.map_err(|_| format!("no answer from {} within {TIME_MAX:?}", self.admin))??;
        out.write_all(table(&result).as_bytes())?;
        Ok(())
    }

    async fn ask(&self) -> Result<QueryResult, Failure> {
        let stream = TcpStream::connect(&self.admin)
            .await
            .map_err(|e| format!("cannot reach a sandbox's admin port at {}: {e}", self.admin))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::post("/sandbox/sql")
            .header("host", &self.admin)
            .body(Full::new(Bytes::from(self.query.clone())))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        connection.abort();
        if !status.is_success() {
            return Err(String::from_utf8_lossy(&body).into_owned().into());
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// Columns aligned, NULL spelled out, a line with the number of rows at the end.
fn table(result: &QueryResult) -> String {
    let shown: Vec<Vec<&str>> =
        result.rows.iter().map(|row| row.iter().map(|cell| cell.as_deref().unwrap_or("NULL")).collect()).collect();
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = result
        .columns
        .iter()
        .enumerate()
        .map(|(i, name)| shown.iter().map(|row| width(row[i])).fold(width(name), usize::max))
        .collect();
    let rule: String = widths.iter().map(|w| format!("+{}", "-".repeat(w + 2))).collect::<String>() + "+\n";
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).map(|(cell, w)| format!("| {cell}{} ", " ".repeat(w - width(cell))));
        cells.collect::<String>() + "|\n"
    };
    let mut text = rule.clone() + &line(&mut result.columns.iter().map(String::as_str)) + &rule;
    for row in &shown {
        text.push_str(&line(&mut row.iter().copied()));
    }
    if !shown.is_empty() {
        text.push_str(&rule);
    }
    let rows = if shown.len() == 1 { "row" } else { "rows" };
    text + &format!("{} {rows}\n", shown.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_for_people() {
        let text = |s: &str| Some(s.to_owned());
        let result = QueryResult {
            columns: vec!["id".into(), "name".into()],
            rows: vec![vec![text("1"), text("Zoë")], vec![text("20"), None]],
        };
        let want = "\
+----+------+
| id | name |
+----+------+
| 1  | Zoë  |
| 20 | NULL |
+----+------+
2 rows
";
        assert_eq!(table(&result), want);
    }
}
