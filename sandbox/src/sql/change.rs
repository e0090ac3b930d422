//! Statements that change something.

use super::error::SqlError;
use super::session::{Server, Session};
use super::words::Words;

/// Runs a statement that isn't a query; returns the number of rows that it changed.
///
/// # Errors
/// When the statement isn't imitated.
#[expect(clippy::unused_async, reason = "durable steps will be waited for")]
pub(crate) async fn run(
    server: &Server,
    _session: &mut Session,
    sql: &str,
    _words: &mut Words<'_>,
) -> Result<u64, SqlError> {
    let verb = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
    Err(SqlError::not_imitated(server.kind, &verb))
}
