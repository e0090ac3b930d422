//! Typed rows on their way to the store, packed into one allocation per chunk.

use std::sync::Arc;

use crate::options::Op;
use crate::update::Update;

/// Rows after which a chunk goes to the store.
const CHUNK_ROWS: usize = 2000;
/// Bytes after which a chunk goes to the store.
const CHUNK_BYTES: usize = 1 << 20;

/// Some rows of one table: the cells' texts behind each other, NULL as no text.
#[derive(Debug, Default)]
pub(crate) struct RowChunk {
    text: String,
    /// End of each cell's text; `None` for NULL.
    cells: Vec<Option<usize>>,
    ops: Vec<Op>,
    /// How the rows change their table, if not by replacing rows.
    update: Option<Arc<Update>>,
}

/// A place to roll back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    text: usize,
    cells: usize,
}

impl RowChunk {
    /// A chunk of rows that change their table in a way of their own.
    #[must_use]
    pub(crate) fn of(update: Option<Arc<Update>>) -> Self {
        Self { update, ..Self::default() }
    }

    /// How the rows change their table, if not by replacing rows.
    #[must_use]
    pub(crate) fn update(&self) -> Option<&Update> {
        self.update.as_deref()
    }

    /// The cell at a position of the row that begins at a mark.
    #[must_use]
    pub(crate) fn cell(&self, mark: Mark, position: usize) -> Option<&str> {
        let end = self.cells.get(mark.cells + position).copied().flatten()?;
        let before = self.cells[mark.cells..mark.cells + position].iter().rev().find_map(|end| *end);
        Some(&self.text[before.unwrap_or(mark.text)..end])
    }

    /// True if the chunk has its size.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.ops.len() >= CHUNK_ROWS || self.text.len() >= CHUNK_BYTES
    }

    /// Bytes of all texts.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.text.len()
    }

    /// True without any row.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// Appends a NULL.
    pub(crate) fn push_null(&mut self) {
        self.cells.push(None);
    }

    /// Appends a text.
    pub(crate) fn push_text(&mut self, text: &str) {
        self.text.push_str(text);
        self.cells.push(Some(self.text.len()));
    }

    /// Appends what `write` appends to the text, as one cell; nothing if it fails.
    ///
    /// # Errors
    /// What `write` returns.
    pub(crate) fn push_with<E>(&mut self, write: impl FnOnce(&mut String) -> Result<(), E>) -> Result<(), E> {
        write(&mut self.text)?;
        self.cells.push(Some(self.text.len()));
        Ok(())
    }

    /// The end of the last whole row.
    #[must_use]
    pub(crate) fn mark(&self) -> Mark {
        Mark { text: self.text.len(), cells: self.cells.len() }
    }

    /// Takes back the cells behind a mark.
    pub(crate) fn roll_back(&mut self, mark: Mark) {
        self.text.truncate(mark.text);
        self.cells.truncate(mark.cells);
    }

    /// Ends a row.
    pub(crate) fn end_row(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// Calls `each` with every row's operation and cells.
    ///
    /// # Errors
    /// The first error of `each`.
    pub(crate) fn for_each<E>(&self, mut each: impl FnMut(Op, &[Option<&str>]) -> Result<(), E>) -> Result<(), E> {
        if self.ops.is_empty() {
            return Ok(());
        }
        let width = self.cells.len() / self.ops.len();
        let mut row = Vec::with_capacity(width);
        let mut start = 0;
        for (op, cells) in self.ops.iter().zip(self.cells.chunks(width.max(1))) {
            row.clear();
            for cell in cells {
                row.push(cell.map(|end| &self.text[start..end]));
                start = cell.unwrap_or(start);
            }
            each(*op, &row)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_out_as_they_went_in() {
        let mut chunk = RowChunk::default();
        chunk.push_text("a");
        chunk.push_null();
        chunk.push_text("");
        chunk.end_row(Op::Upsert);
        let mark = chunk.mark();
        chunk.push_text("taken back");
        chunk.roll_back(mark);
        chunk.push_null();
        chunk.push_text("b");
        chunk.push_text("ü");
        chunk.end_row(Op::Delete);
        let mut rows = Vec::new();
        chunk
            .for_each(|op, row| {
                rows.push((op, row.iter().map(|c| c.map(str::to_owned)).collect::<Vec<_>>()));
                Ok::<_, ()>(())
            })
            .unwrap();
        let text = |s: &str| Some(s.to_owned());
        assert_eq!(
            rows,
            [(Op::Upsert, vec![text("a"), None, text("")]), (Op::Delete, vec![None, text("b"), text("ü")])]
        );
    }
}
