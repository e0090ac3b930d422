//! Reads `CREATE TABLE` as both engines write it.
//!
//! The words come from sqlparser's tokenizer; the grammar is our own, since no general SQL parser takes
//! `PRIMARY KEY (…) DISTRIBUTED BY HASH(…) BUCKETS 8 PROPERTIES (…)` behind the columns. What changes how a load
//! behaves is understood or refused; what doesn't (distribution, other properties, comments) is passed over.

#![expect(clippy::wildcard_enum_match_arm, reason = "the enum is the tokenizer's, with a hundred kinds of token")]

mod clauses;
mod types;

use sqlparser::dialect::MySqlDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

pub(crate) use types::read_type;

use crate::table::{Aggregate, Column, ColumnType, DefaultValue, EngineKind, Table};

/// DDL that can't be read, and where.
#[derive(Debug, thiserror::Error)]
#[error("ddl, line {line}, column {column}: {message}")]
pub struct DdlError {
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1.
    pub column: u64,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Everything a DDL text declares.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schema {
    /// Databases, in order of appearance.
    pub(crate) databases: Vec<String>,
    /// Tables.
    pub(crate) tables: Vec<Table>,
}

impl Schema {
    /// The table of a name.
    #[must_use]
    pub(crate) fn table(&self, database: &str, name: &str) -> Option<&Table> {
        self.tables.iter().find(|t| t.database == database && t.name == name)
    }

    /// True if the database was declared.
    #[must_use]
    pub(crate) fn has_database(&self, name: &str) -> bool {
        self.databases.iter().any(|d| d == name)
    }

    /// Adds the tables of another schema that this one doesn't have.
    pub(crate) fn add_unless_declared(&mut self, other: Self) {
        for table in other.tables {
            if self.table(&table.database, &table.name).is_none() {
                self.add_database(&table.database);
                self.tables.push(table);
            }
        }
    }

    /// Adds a database unless it is there.
    pub(crate) fn add_database(&mut self, name: &str) {
        if !self.has_database(name) {
            self.databases.push(name.to_owned());
        }
    }
}

/// Reads DDL: `CREATE DATABASE`, `USE`, `CREATE TABLE`; `DROP … IF EXISTS` is passed over.
///
/// # Errors
/// With line and column, when a statement can't be read or declares what the sandbox doesn't imitate.
pub(crate) fn read(kind: EngineKind, text: &str) -> Result<Schema, DdlError> {
    let mut reader = Reader::new(kind, tokens_of(text)?);
    while !reader.is_end() {
        reader.statement()?;
    }
    Ok(reader.schema)
}

fn tokens_of(text: &str) -> Result<Vec<TokenWithSpan>, DdlError> {
    let dialect = MySqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|e| DdlError {
        line: e.location.line,
        column: e.location.column,
        message: e.message,
    })?;
    Ok(tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect())
}

struct Reader {
    kind: EngineKind,
    tokens: Vec<TokenWithSpan>,
    at: usize,
    schema: Schema,
    used: Option<String>,
}

impl Reader {
    fn new(kind: EngineKind, tokens: Vec<TokenWithSpan>) -> Self {
        Self { kind, tokens, at: 0, schema: Schema::default(), used: None }
    }

    fn is_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::EOF, |t| &t.token)
    }

    fn location(&self) -> Location {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        token.map_or(Location { line: 1, column: 1 }, |t| t.span.start)
    }

    fn fail<T>(&self, message: impl Into<String>) -> Result<T, DdlError> {
        let Location { line, column } = self.location();
        Err(DdlError { line, column, message: message.into() })
    }

    fn expected<T>(&self, what: &str) -> Result<T, DdlError> {
        self.fail(format!("expected {what}, found `{}`", self.peek()))
    }

    fn next_is(&self, word: &str) -> bool {
        matches!(self.peek(), Token::Word(w) if w.quote_style.is_none() && w.value.eq_ignore_ascii_case(word))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.next_is(word);
        self.at += usize::from(found);
        found
    }

    fn take_all(&mut self, words: &[&str]) -> bool {
        let start = self.at;
        let found = words.iter().all(|word| self.take(word));
        if !found {
            self.at = start;
        }
        found
    }

    fn take_token(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        self.at += usize::from(found);
        found
    }

    fn expect_token(&mut self, token: &Token) -> Result<(), DdlError> {
        if self.take_token(token) { Ok(()) } else { self.expected(&format!("`{token}`")) }
    }

    fn name(&mut self) -> Result<String, DdlError> {
        let Token::Word(word) = self.peek() else {
            return self.expected("a name");
        };
        let name = word.value.clone();
        self.at += 1;
        Ok(name)
    }

    fn statement(&mut self) -> Result<(), DdlError> {
        if self.take_token(&Token::SemiColon) {
            return Ok(());
        }
        if self.take_all(&["CREATE", "DATABASE"]) {
            self.take_all(&["IF", "NOT", "EXISTS"]);
            let name = self.name()?;
            self.schema.add_database(&name);
        } else if self.take("USE") {
            let name = self.name()?;
            self.schema.add_database(&name);
            self.used = Some(name);
        } else if self.take_all(&["CREATE", "TABLE"]) {
            self.create_table()?;
        } else if !self.next_is("DROP") {
            return self.expected("CREATE DATABASE, USE or CREATE TABLE");
        }
        while !self.is_end() && !self.take_token(&Token::SemiColon) {
            self.at += 1;
        }
        Ok(())
    }

    fn create_table(&mut self) -> Result<(), DdlError> {
        self.take_all(&["IF", "NOT", "EXISTS"]);
        let first = self.name()?;
        let (database, name) = if self.take_token(&Token::Period) {
            (first, self.name()?)
        } else {
            let Some(used) = self.used.clone() else {
                return self
                    .fail(format!("table `{first}` has no database: write `db.{first}`, or `USE db;` before it"));
            };
            (used, first)
        };
        if self.schema.table(&database, &name).is_some() {
            return self.fail(format!("table {database}.{name} is declared twice"));
        }
        self.expect_token(&Token::LParen)?;
        let mut columns: Vec<Column> = Vec::new();
        loop {
            if self.next_is("INDEX") {
                self.skip_item();
            } else {
                let column = self.column()?;
                if columns.iter().any(|c| c.name.eq_ignore_ascii_case(&column.name)) {
                    return self.fail(format!("column `{}` is declared twice", column.name));
                }
                columns.push(column);
            }
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        let table = self.clauses(database, name, columns)?;
        self.schema.add_database(&table.database);
        self.schema.tables.push(table);
        Ok(())
    }

    /// Passes over one item of a list: up to a comma or the closing parenthesis of the list.
    fn skip_item(&mut self) {
        let mut depth = 0_usize;
        while !self.is_end() {
            match self.peek() {
                Token::LParen => depth += 1,
                Token::RParen if depth == 0 => return,
                Token::RParen => depth -= 1,
                Token::Comma if depth == 0 => return,
                _ => {}
            }
            self.at += 1;
        }
    }

    fn name_list(&mut self) -> Result<Vec<String>, DdlError> {
        self.expect_token(&Token::LParen)?;
        let mut names = vec![self.name()?];
        while self.take_token(&Token::Comma) {
            names.push(self.name()?);
        }
        self.expect_token(&Token::RParen)?;
        Ok(names)
    }

    fn column(&mut self) -> Result<Column, DdlError> {
        let name = self.name()?;
        let (ty, elements) = self.column_type()?;
        // Both engines keep no NULL in them.
        let nullable = !matches!(ty, ColumnType::Bitmap | ColumnType::Hll);
        let mut column = Column { name, ty, elements, nullable, default: DefaultValue::None, aggregate: None };
        loop {
            if self.take_all(&["NOT", "NULL"]) {
                column.nullable = false;
            } else if self.take("NULL") {
                column.nullable = true;
            } else if self.take("DEFAULT") {
                column.default = self.default_value()?;
            } else if self.take("COMMENT") {
                self.at += 1;
            } else if let Some(aggregate) = self.aggregate() {
                column.aggregate = Some(aggregate);
            } else if self.take("KEY") {
                // Doris marks key columns here, too; the key clause decides.
            } else if matches!(self.peek(), Token::Comma | Token::RParen) {
                return Ok(column);
            } else if self.is_end() {
                return self.expected("`,` or `)`");
            } else {
                return self.fail(format!("column `{}`: `{}` is not imitated", column.name, self.peek()));
            }
        }
    }

    fn default_value(&mut self) -> Result<DefaultValue, DdlError> {
        if self.take("NULL") {
            return Ok(DefaultValue::Null);
        }
        if self.take("CURRENT_TIMESTAMP") {
            if *self.peek() == Token::LParen {
                self.parenthesis()?;
            }
            return Ok(DefaultValue::Now);
        }
        let minus = if self.take_token(&Token::Minus) { "-" } else { "" };
        let text = match self.peek() {
            Token::SingleQuotedString(s) | Token::DoubleQuotedString(s) => s.clone(),
            Token::Number(n, _) => format!("{minus}{n}"),
            Token::Word(w) if matches!(w.value.to_ascii_lowercase().as_str(), "true" | "false") => {
                w.value.to_ascii_lowercase()
            }
            _ => return self.expected("a literal, NULL or CURRENT_TIMESTAMP behind DEFAULT"),
        };
        self.at += 1;
        Ok(DefaultValue::Text(text))
    }

    fn aggregate(&mut self) -> Option<Aggregate> {
        let aggregates = [
            ("SUM", Aggregate::Sum),
            ("MIN", Aggregate::Min),
            ("MAX", Aggregate::Max),
            ("REPLACE", Aggregate::Replace),
            ("REPLACE_IF_NOT_NULL", Aggregate::ReplaceIfNotNull),
            ("BITMAP_UNION", Aggregate::Union),
            ("HLL_UNION", Aggregate::Union),
        ];
        aggregates.into_iter().find_map(|(word, aggregate)| self.take(word).then_some(aggregate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Model;

    const STARROCKS: &str = r#"
        -- the devices
        CREATE DATABASE IF NOT EXISTS ods_cjm;
        USE ods_cjm;
        DROP TABLE IF EXISTS ods_device;
        CREATE TABLE IF NOT EXISTS `ods_device` (
            `id` BIGINT NOT NULL COMMENT "key; with a semicolon",
            `name` VARCHAR(64) NULL DEFAULT "nobody",
            amount DECIMAL(12, 2) DEFAULT '0.00',
            tags ARRAY<ARRAY<INT>>,
            attributes MAP<STRING, STRUCT<a INT, b DECIMAL(10,2)>> NULL,
            updated_at DATETIME DEFAULT CURRENT_TIMESTAMP,
            INDEX idx_name (`name`) USING BITMAP COMMENT 'x, y'
        ) ENGINE = OLAP
        PRIMARY KEY (`id`)
        COMMENT "OLAP"
        PARTITION BY RANGE(`id`) (PARTITION p1 VALUES LESS THAN ("10"))
        DISTRIBUTED BY HASH(`id`) BUCKETS 8
        PROPERTIES ("replication_num" = "1");
    "#;

    #[test]
    fn a_starrocks_table() {
        let schema = read(EngineKind::StarRocks, STARROCKS).unwrap();
        assert_eq!(schema.databases, ["ods_cjm"]);
        let table = schema.table("ods_cjm", "ods_device").unwrap();
        let types: Vec<String> = table.columns.iter().map(|c| c.ty.to_string()).collect();
        assert_eq!(types, ["BIGINT", "VARCHAR(64)", "DECIMAL(12,2)", "ARRAY", "MAP", "DATETIME(6)"]);
        let nullable: Vec<bool> = table.columns.iter().map(|c| c.nullable).collect();
        assert_eq!(nullable, [false, true, true, true, true, true]);
        assert_eq!(table.columns[1].default, DefaultValue::Text("nobody".into()));
        assert_eq!(table.columns[5].default, DefaultValue::Now);
        assert_eq!((table.model, table.primary, table.keys.as_slice()), (Model::Unique, true, [0].as_slice()));
    }

    #[test]
    fn a_doris_table() {
        let ddl = "CREATE TABLE shop.orders (k1 LARGEINT, v DATETIMEV2(3), s VARCHAR(*), d DECIMALV3(38,18), j VARIANT)
                   UNIQUE KEY(k1) DISTRIBUTED BY HASH(k1) BUCKETS AUTO
                   PROPERTIES ('enable_unique_key_merge_on_write' = 'true')";
        let schema = read(EngineKind::Doris, ddl).unwrap();
        let table = schema.table("shop", "orders").unwrap();
        let types: Vec<String> = table.columns.iter().map(|c| c.ty.to_string()).collect();
        assert_eq!(types, ["LARGEINT", "DATETIME(3)", "VARCHAR(65533)", "DECIMAL(38,18)", "JSON"]);
        assert!(table.columns[0].nullable, "a Doris key may be NULL");
        assert_eq!((table.model, table.primary), (Model::Unique, false));
    }

    #[test]
    fn what_is_refused() {
        let cases = [
            ("CREATE TABLE t (a INT)", "has no database"),
            ("CREATE TABLE d.t (a PERCENTILE)", "line 1, column 21: type `PERCENTILE` is not imitated"),
            ("CREATE TABLE d.t (a INT, A INT)", "declared twice"),
            ("CREATE TABLE d.t (a INT); CREATE TABLE d.t (a INT)", "declared twice"),
            ("CREATE TABLE d.t (a INT, b INT) AGGREGATE KEY(a)", "should specify aggregate type for non-key column[b]"),
            (
                "CREATE TABLE d.t (a INT, b INT SUM) DUPLICATE KEY(a)",
                "column `b`: an aggregate type needs AGGREGATE KEY",
            ),
            ("CREATE TABLE d.t (a INT, b STRING SUM) AGGREGATE KEY(a)", "SUM is not compatible with"),
            ("CREATE TABLE d.t (a INT PERCENTILE_UNION) AGGREGATE KEY(a)", "`PERCENTILE_UNION` is not imitated"),
            ("CREATE TABLE d.t (a INT) PARTITION BY RANGE(b) ()", "partition column `b`"),
            ("CREATE TABLE d.t (a INT) PARTITION BY RANGE(a) (PARTITION p VALUES LESS THAN ('x'))", "'x' is no INT"),
            ("CREATE TABLE d.t (a ARRAY<BITMAP>)", "type `BITMAP` can't be an element"),
            ("CREATE TABLE d.t (a INT) UNIQUE KEY(b)", "key column `b`"),
            ("CREATE TABLE d.t (a DECIMAL(5,9))", "scale at most the precision"),
            ("CREATE TABLE d.t (a ARRAY<INT)", "expected `>`"),
            ("CREATE TABLE d.t (a INT AUTO_INCREMENT)", "`AUTO_INCREMENT` is not imitated"),
            ("CREATE TABLE d.t (a INT", "expected"),
            ("SELECT 1", "expected CREATE DATABASE"),
        ];
        for (ddl, want) in cases {
            let error = read(EngineKind::StarRocks, ddl).expect_err(ddl).to_string();
            assert!(error.contains(want), "{ddl}: {error}");
        }
        let error = read(EngineKind::Doris, "CREATE TABLE d.t (a INT) PRIMARY KEY(a)").unwrap_err().to_string();
        assert!(error.contains("Doris has no PRIMARY KEY"), "{error}");
    }
}
