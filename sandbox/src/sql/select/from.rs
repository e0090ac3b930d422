//! `FROM`: tables, queries and joins.

use sqlparser::ast::{Ident, JoinConstraint, JoinOperator, ObjectName, TableAlias, TableFactor, TableWithJoins};

use super::super::error::SqlError;
use super::super::schema_tables::{self, SHOWN};
use super::super::types::SqlType;
use super::scope::{Origin, Scope, ScopeColumn, Source};
use super::{Relation, Translator};
use crate::store::quote;

/// The names of the engines' own catalog.
const CATALOGS: [&str; 2] = ["default_catalog", "internal"];

impl Translator<'_> {
    /// Translates all of `FROM`; returns SQLite's text.
    pub(super) fn from(&mut self, tables: &[TableWithJoins], scope: &mut Scope<'_>) -> Result<String, SqlError> {
        let mut sql = String::new();
        for table in tables {
            if !sql.is_empty() {
                sql.push_str(" CROSS JOIN ");
            }
            sql.push_str(&self.factor(&table.relation, scope)?);
            for join in &table.joins {
                if join.global {
                    return self.not_imitated("GLOBAL JOIN");
                }
                let (word, constraint) = match &join.join_operator {
                    JoinOperator::Join(c) | JoinOperator::Inner(c) => ("JOIN", c),
                    JoinOperator::Left(c) | JoinOperator::LeftOuter(c) => ("LEFT JOIN", c),
                    JoinOperator::Right(c) | JoinOperator::RightOuter(c) => ("RIGHT JOIN", c),
                    JoinOperator::FullOuter(c) => ("FULL JOIN", c),
                    JoinOperator::CrossJoin(c @ JoinConstraint::None) => ("CROSS JOIN", c),
                    _ => return self.not_imitated("this kind of JOIN"),
                };
                let right = self.factor(&join.relation, scope)?;
                sql.push_str(&format!(" {word} {right}"));
                match constraint {
                    JoinConstraint::On(condition) => {
                        let condition = self.expr(&scope.rows(), condition)?;
                        let condition = self.matched(condition.into_condition())?;
                        sql.push_str(&format!(" ON {condition}"));
                    }
                    JoinConstraint::None if word.ends_with("JOIN") && matches!(word, "JOIN" | "CROSS JOIN") => {}
                    JoinConstraint::None => return self.analysis("an outer join needs ON"),
                    JoinConstraint::Using(_) | JoinConstraint::Natural => {
                        return self.not_imitated("JOIN with USING or NATURAL; write ON, which");
                    }
                }
            }
        }
        Ok(sql)
    }

    fn factor(&mut self, factor: &TableFactor, scope: &mut Scope<'_>) -> Result<String, SqlError> {
        match factor {
            TableFactor::Table {
                name,
                alias,
                args: None,
                with_hints,
                version: None,
                with_ordinality: false,
                partitions,
                json_path: None,
                sample: None,
                index_hints,
            } if with_hints.is_empty() && partitions.is_empty() && index_hints.is_empty() => {
                self.table(name, alias.as_ref(), scope)
            }
            TableFactor::Derived { lateral: false, subquery, alias: Some(alias), sample: None } => {
                let relation = self.query(subquery, scope.parent, None)?;
                self.derived(relation, alias, scope)
            }
            TableFactor::Derived { alias: None, .. } => {
                Err(SqlError::new(1248, "42000", "Every derived table must have its own alias"))
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                Ok(format!("({})", self.from(std::slice::from_ref(table_with_joins), scope)?))
            }
            _ => self.not_imitated("this form in FROM"),
        }
    }

    fn derived(&mut self, relation: Relation, alias: &TableAlias, scope: &mut Scope<'_>) -> Result<String, SqlError> {
        if alias.at.is_some() || (!alias.columns.is_empty() && alias.columns.len() != relation.columns.len()) {
            return self.analysis(format!("the columns of `{}` don't fit its query", alias.name.value));
        }
        let columns = relation.columns.into_iter().enumerate().map(|(i, column)| ScopeColumn {
            name: alias.columns.get(i).map_or(column.name, |c| c.name.value.clone()),
            inner: format!("c{i}"),
            ty: column.ty,
            origin: None,
        });
        let columns = columns.collect();
        let inner = self.add(alias.name.value.clone(), None, columns, scope)?;
        Ok(format!("({}) AS {}", relation.sql, quote(&inner)))
    }

    fn table(
        &mut self,
        name: &ObjectName,
        alias: Option<&TableAlias>,
        scope: &mut Scope<'_>,
    ) -> Result<String, SqlError> {
        let path: Vec<&Ident> = name.0.iter().filter_map(|part| part.as_ident()).collect();
        if let ([single], true) = (path.as_slice(), path.len() == name.0.len())
            && let Some(relation) = self.named_queries.get(&single.value.to_lowercase()).cloned()
        {
            let own = TableAlias { explicit: false, name: (*single).clone(), columns: Vec::new(), at: None };
            return self.derived(relation, alias.unwrap_or(&own), scope);
        }
        let (database, table) = match path.as_slice() {
            _ if path.len() != name.0.len() => return self.not_imitated("this name of a table"),
            [table] => {
                let database = self.environment.database.clone().ok_or_else(SqlError::no_database)?;
                (database, table.value.clone())
            }
            [database, table] => (database.value.clone(), table.value.clone()),
            [catalog, database, table] if CATALOGS.contains(&catalog.value.as_str()) => {
                (database.value.clone(), table.value.clone())
            }
            _ => return self.not_imitated(format!("the catalog of {name}")),
        };
        let (sql, database, table, columns) = self.columns_of(&database, &table)?;
        let origin = Origin { database: database.clone(), table: table.clone() };
        let columns = columns
            .into_iter()
            .map(|(name, ty)| ScopeColumn { inner: name.clone(), name, ty, origin: Some(origin.clone()) })
            .collect();
        let inner = match alias {
            Some(alias) if !alias.columns.is_empty() || alias.at.is_some() => {
                return self.not_imitated("an alias with columns for a table");
            }
            Some(alias) => self.add(alias.name.value.clone(), None, columns, scope)?,
            None => self.add(table, Some(database), columns, scope)?,
        };
        Ok(format!("{sql} AS {}", quote(&inner)))
    }

    /// SQLite's name of a table, its database, its own name and its columns.
    #[expect(clippy::type_complexity, reason = "taken apart at once by its one caller")]
    fn columns_of(
        &mut self,
        database: &str,
        table: &str,
    ) -> Result<(String, String, String, Vec<(String, SqlType)>), SqlError> {
        if let Some(own) = schema_tables::own_database(self.kind(), database) {
            let name = table.to_lowercase();
            let shown = self.environment.shown.as_ref().filter(|_| name == SHOWN);
            let shown = shown.map(|columns| columns.iter().map(|c| (c.name.clone(), c.ty)).collect());
            let Some(columns) = shown.or_else(|| schema_tables::columns(self.kind(), own, &name)) else {
                return Err(SqlError::unknown_table(self.kind(), own, table));
            };
            self.schema_tables.insert((own.to_owned(), name.clone()));
            let sql = format!("{}.{}", quote(own), quote(&name));
            return Ok((sql, own.to_owned(), name, columns));
        }
        if !self.environment.databases.iter().any(|d| d == database) {
            return Err(SqlError::unknown_database(self.kind(), database));
        }
        let found = self.environment.tables.iter().find(|t| t.database == database && t.name == table);
        let Some(found) = found else {
            return Err(SqlError::unknown_table(self.kind(), database, table));
        };
        self.databases.insert(database.to_owned());
        let columns = found.columns.iter().map(|c| (c.name.clone(), SqlType::from(c.ty))).collect();
        Ok((format!("{}.{}", quote(database), quote(table)), database.to_owned(), table.to_owned(), columns))
    }

    fn add(
        &mut self,
        name: String,
        database: Option<String>,
        columns: Vec<ScopeColumn>,
        scope: &mut Scope<'_>,
    ) -> Result<String, SqlError> {
        if scope.sources.iter().any(|s| s.name == name && s.database == database) {
            return Err(SqlError::new(1066, "42000", format!("Not unique table/alias: '{name}'")));
        }
        let inner = self.source_name();
        scope.sources.push(Source { name, database, inner: inner.clone(), columns });
        Ok(inner)
    }
}
