//! What the server says: OK, an error, columns, rows.

use tokio::io::{AsyncRead, AsyncWrite};

use super::packet::{Packets, WireError, put_counted, put_number};
use super::prepared::put_binary_row;
use crate::sql::{Grid, OutputColumn, SqlError};

/// `SERVER_STATUS_AUTOCOMMIT`.
pub(super) const STATUS: u16 = 2;

/// OK, with the number of rows that were changed.
pub(super) fn ok(affected: u64) -> Vec<u8> {
    let mut out = vec![0];
    put_number(&mut out, affected);
    out.push(0);
    out.extend_from_slice(&STATUS.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out
}

/// The end of columns or rows.
pub(super) fn end() -> Vec<u8> {
    let mut out = vec![0xfe, 0, 0];
    out.extend_from_slice(&STATUS.to_le_bytes());
    out
}

/// An error.
pub(super) fn error(error: &SqlError) -> Vec<u8> {
    let mut out = vec![0xff];
    out.extend_from_slice(&error.code.to_le_bytes());
    out.push(b'#');
    out.extend_from_slice(error.state.as_bytes());
    out.extend_from_slice(error.message.as_bytes());
    out
}

/// A column (`Protocol::ColumnDefinition41`).
pub(super) fn column(column: &OutputColumn) -> Vec<u8> {
    let wire = column.ty.wire();
    let (database, table) = column.origin.as_ref().map_or(("", ""), |o| (o.database.as_str(), o.table.as_str()));
    let mut out = Vec::new();
    for text in ["def", database, table, table, &column.name, &column.name] {
        put_counted(&mut out, text.as_bytes());
    }
    out.push(0x0c);
    out.extend_from_slice(&wire.charset.to_le_bytes());
    out.extend_from_slice(&wire.length.to_le_bytes());
    out.push(wire.code);
    out.extend_from_slice(&[0, 0, wire.decimals, 0, 0]);
    out
}

/// Columns, and what ends them.
pub(super) async fn columns<S: AsyncRead + AsyncWrite + Unpin>(
    packets: &mut Packets<S>,
    columns: &[OutputColumn],
) -> Result<(), WireError> {
    for item in columns {
        packets.write(&column(item)).await?;
    }
    packets.write(&end()).await
}

/// Columns as `COM_FIELD_LIST` wants them: each with a default, which is NULL.
pub(super) async fn fields<S: AsyncRead + AsyncWrite + Unpin>(
    packets: &mut Packets<S>,
    columns: &[OutputColumn],
) -> Result<(), WireError> {
    for item in columns {
        let mut definition = column(item);
        definition.push(0xfb);
        packets.write(&definition).await?;
    }
    packets.write(&end()).await
}

/// A result set, with its rows as texts or, for a prepared statement, in binary.
pub(super) async fn rows<S: AsyncRead + AsyncWrite + Unpin>(
    packets: &mut Packets<S>,
    grid: &Grid,
    is_binary: bool,
) -> Result<(), WireError> {
    let mut out = Vec::new();
    put_number(&mut out, grid.columns.len() as u64);
    packets.write(&out).await?;
    columns(packets, &grid.columns).await?;
    for row in &grid.rows {
        out.clear();
        if is_binary {
            put_binary_row(&mut out, &grid.columns, row);
        } else {
            for cell in row {
                match cell {
                    Some(text) => put_counted(&mut out, text.as_bytes()),
                    None => out.push(0xfb),
                }
            }
        }
        packets.write(&out).await?;
    }
    packets.write(&end()).await
}
