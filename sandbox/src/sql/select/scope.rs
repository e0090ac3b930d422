//! Names: which tables a query reads, and what an identifier means.

use sqlparser::ast::{Expr, Ident};

use super::super::types::SqlType;
use super::typed::Typed;
use crate::store::quote;

/// A column of a table or of a query in `FROM`.
#[derive(Clone, Debug)]
pub(super) struct ScopeColumn {
    /// Name as users write it; case doesn't count.
    pub(super) name: String,
    /// Name in SQLite.
    pub(super) inner: String,
    pub(super) ty: SqlType,
    /// The table that it comes from, for the column definition.
    pub(super) origin: Option<Origin>,
}

/// Where an output column comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Database.
    pub(crate) database: String,
    /// Table, by its own name.
    pub(crate) table: String,
}

/// One entry of `FROM`.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Alias or table name; case counts, as with tables.
    pub(super) name: String,
    /// Database, if it is a table without an alias.
    pub(super) database: Option<String>,
    /// Name in SQLite, different for each source of a statement.
    pub(super) inner: String,
    pub(super) columns: Vec<ScopeColumn>,
}

/// What identifiers of one SELECT can mean.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope<'a> {
    pub(super) sources: Vec<Source>,
    /// The query around a subquery.
    pub(super) parent: Option<&'a Scope<'a>>,
    /// SQLite's texts of the GROUP BY keys; `None` where rows are single.
    pub(super) keys: Option<Vec<String>>,
    /// Names that the SELECT list gives to its expressions; columns go first.
    pub(super) aliases: Vec<(String, &'a Expr)>,
}

/// What was found for an identifier.
pub(super) enum Found<'a> {
    /// A column.
    Column { value: Typed, origin: Option<Origin>, name: String },
    /// An alias of the SELECT list.
    Alias(&'a Expr),
    /// Several columns.
    Ambiguous,
    /// Nothing.
    Nothing,
}

impl<'a> Scope<'a> {
    /// A scope with the same sources for single rows, without aliases.
    pub(super) fn rows(&self) -> Scope<'a> {
        Scope { sources: self.sources.clone(), parent: self.parent, keys: None, aliases: Vec::new() }
    }

    /// Finds `column`, `table.column` or `database.table.column`.
    pub(super) fn find(&self, path: &[Ident]) -> Found<'a> {
        let (column, qualifier) = match path {
            [column] => (column, &[][..]),
            [.., column] => (column, &path[..path.len() - 1]),
            [] => return Found::Nothing,
        };
        let mut hits = self.sources.iter().filter(|s| is_named(s, qualifier)).flat_map(|source| {
            let named = source.columns.iter().filter(|c| c.name.eq_ignore_ascii_case(&column.value));
            named.map(move |c| (source, c))
        });
        match (hits.next(), hits.next()) {
            (Some(_), Some(_)) => return Found::Ambiguous,
            (Some((source, found)), None) => {
                let sql = format!("{}.{}", quote(&source.inner), quote(&found.inner));
                let value = Typed::value(sql, found.ty);
                return Found::Column { value, origin: found.origin.clone(), name: found.name.clone() };
            }
            (None, _) => {}
        }
        if qualifier.is_empty()
            && let Some((_, expression)) =
                self.aliases.iter().find(|(name, _)| name.eq_ignore_ascii_case(&column.value))
        {
            return Found::Alias(expression);
        }
        self.parent.map_or(Found::Nothing, |parent| parent.find(path))
    }

    /// True if a column of this scope itself, not of one around it, has the name.
    pub(super) fn owns(&self, path: &[Ident]) -> bool {
        let alone = Scope { parent: None, aliases: Vec::new(), ..self.clone() };
        !matches!(alone.find(path), Found::Nothing)
    }
}

/// True if a source goes by `table`, `database.table` or `catalog.database.table`.
pub(super) fn is_named(source: &Source, qualifier: &[Ident]) -> bool {
    match qualifier {
        [] => true,
        [table] => table.value == source.name,
        [.., database, table] => table.value == source.name && source.database.as_ref() == Some(&database.value),
    }
}
