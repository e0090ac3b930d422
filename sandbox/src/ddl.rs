//! Reads `CREATE TABLE` as both engines write it.
//!
//! The words come from sqlparser's tokenizer; the grammar is our own, since no general SQL parser takes
//! `PRIMARY KEY (…) DISTRIBUTED BY HASH(…) BUCKETS 8 PROPERTIES (…)` behind the columns. What changes how a load
//! behaves is understood or refused; what doesn't (distribution, partitions, properties, comments) is passed over.

#![expect(clippy::wildcard_enum_match_arm, reason = "the enum is the tokenizer's, with a hundred kinds of token")]

use sqlparser::dialect::MySqlDialect;
use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use crate::table::{Column, ColumnType, DefaultValue, EngineKind, Model, Nested, Table};

/// Longest `STRING`, bytes (StarRocks `olap_string_max_length`, Doris `string_type_length_soft_limit_bytes`).
const STRING_MAX_BYTES: usize = 1 << 20;
/// Length of a `VARCHAR` without one.
const VARCHAR_MAX_BYTES: usize = 65_533;

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
    let dialect = MySqlDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().map_err(|e| DdlError {
        line: e.location.line,
        column: e.location.column,
        message: e.message,
    })?;
    let tokens = tokens.into_iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).collect();
    let mut reader = Reader { kind, tokens, at: 0, schema: Schema::default(), used: None };
    while !reader.is_end() {
        reader.statement()?;
    }
    Ok(reader.schema)
}

struct Reader {
    kind: EngineKind,
    tokens: Vec<TokenWithSpan>,
    at: usize,
    schema: Schema,
    used: Option<String>,
}

impl Reader {
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
        let (model, primary, key_names) = self.key_clause()?;
        let mut keys = Vec::new();
        for key in key_names {
            match columns.iter().position(|c| c.name.eq_ignore_ascii_case(&key)) {
                Some(position) => keys.push(position),
                None => return self.fail(format!("key column `{key}` is not among the columns")),
            }
        }
        if primary {
            keys.iter().for_each(|k| columns[*k].nullable = false);
        }
        self.schema.add_database(&database);
        self.schema.tables.push(Table { database, name, columns, model, keys, primary });
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

    fn key_clause(&mut self) -> Result<(Model, bool, Vec<String>), DdlError> {
        while !self.is_end() && *self.peek() != Token::SemiColon {
            if self.take_all(&["AGGREGATE", "KEY"]) {
                return self.fail("AGGREGATE KEY tables are not imitated; use a UNIQUE, PRIMARY or DUPLICATE KEY");
            }
            let found = if self.take_all(&["PRIMARY", "KEY"]) {
                Some((Model::Unique, true))
            } else if self.take_all(&["UNIQUE", "KEY"]) {
                Some((Model::Unique, false))
            } else if self.take_all(&["DUPLICATE", "KEY"]) {
                Some((Model::Duplicate, false))
            } else {
                None
            };
            if let Some((model, primary)) = found {
                if primary && self.kind == EngineKind::Doris {
                    return self.fail("Doris has no PRIMARY KEY tables; use UNIQUE KEY");
                }
                return Ok((model, primary, self.name_list()?));
            }
            self.at += 1;
        }
        Ok((Model::Duplicate, false, Vec::new()))
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
        let ty = self.column_type()?;
        let mut column = Column { name, ty, nullable: true, default: DefaultValue::None };
        loop {
            if self.take_all(&["NOT", "NULL"]) {
                column.nullable = false;
            } else if self.take("NULL") {
                column.nullable = true;
            } else if self.take("DEFAULT") {
                column.default = self.default_value()?;
            } else if self.take("COMMENT") {
                self.at += 1;
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

    /// The numbers in an optional parenthesis; `*` (Doris' `VARCHAR(*)`) counts as no number.
    fn parenthesis(&mut self) -> Result<Vec<usize>, DdlError> {
        let mut numbers = Vec::new();
        if !self.take_token(&Token::LParen) {
            return Ok(numbers);
        }
        loop {
            match self.peek() {
                Token::Number(n, _) => match n.parse() {
                    Ok(number) => numbers.push(number),
                    Err(_) => return self.expected("a whole number"),
                },
                Token::Mul | Token::Comma => {}
                Token::RParen => {
                    self.at += 1;
                    return Ok(numbers);
                }
                _ => return self.expected("a number or `)`"),
            }
            self.at += 1;
        }
    }

    fn column_type(&mut self) -> Result<ColumnType, DdlError> {
        let start = self.at;
        let name = self.name()?.to_ascii_uppercase();
        let arguments = self.parenthesis()?;
        let first = arguments.first().copied();
        let ty = match name.as_str() {
            "BOOLEAN" | "BOOL" => ColumnType::Boolean,
            "TINYINT" => ColumnType::Integer { bits: 8 },
            "SMALLINT" => ColumnType::Integer { bits: 16 },
            "INT" | "INTEGER" => ColumnType::Integer { bits: 32 },
            "BIGINT" => ColumnType::Integer { bits: 64 },
            "LARGEINT" => ColumnType::LargeInt,
            "FLOAT" => ColumnType::Float,
            "DOUBLE" => ColumnType::Double,
            "DECIMAL" | "DECIMALV2" | "DECIMALV3" | "DECIMAL32" | "DECIMAL64" | "DECIMAL128" | "DECIMAL256" => {
                return self.decimal(start, &arguments);
            }
            "DATE" | "DATEV2" => ColumnType::Date,
            "DATETIME" | "DATETIMEV2" => {
                let digits = first.unwrap_or(if self.kind == EngineKind::StarRocks { 6 } else { 0 });
                ColumnType::DateTime { digits: u8::try_from(digits.min(6)).unwrap_or(6) }
            }
            "CHAR" => ColumnType::Text { max_bytes: first.unwrap_or(1) },
            "VARCHAR" => ColumnType::Text { max_bytes: first.unwrap_or(VARCHAR_MAX_BYTES) },
            "STRING" | "TEXT" => ColumnType::Text { max_bytes: STRING_MAX_BYTES },
            "JSON" | "JSONB" | "VARIANT" => ColumnType::Json,
            "ARRAY" => self.nested(Nested::Array)?,
            "MAP" | "STRUCT" => self.nested(Nested::Object)?,
            _ => {
                self.at = start;
                return self.fail(format!("type `{name}` is not imitated"));
            }
        };
        Ok(ty)
    }

    fn decimal(&mut self, start: usize, arguments: &[usize]) -> Result<ColumnType, DdlError> {
        let unstated = if self.kind == EngineKind::StarRocks { 10 } else { 9 };
        let precision = arguments.first().copied().unwrap_or(unstated);
        let scale = arguments.get(1).copied().unwrap_or(0);
        match (u16::try_from(precision), u16::try_from(scale)) {
            (Ok(precision @ 1..=76), Ok(scale)) if scale <= precision => Ok(ColumnType::Decimal { precision, scale }),
            _ => {
                self.at = start;
                self.fail(format!("DECIMAL({precision},{scale}): precision is 1 to 76, scale at most the precision"))
            }
        }
    }

    /// Passes over `<…>`; the elements stay JSON text.
    fn nested(&mut self, shape: Nested) -> Result<ColumnType, DdlError> {
        let mut open = 0_usize;
        loop {
            match self.peek() {
                Token::Lt => open += 1,
                Token::Gt => open = open.saturating_sub(1),
                Token::ShiftRight => open = open.saturating_sub(2),
                Token::EOF | Token::SemiColon => return self.expected("`>`"),
                _ if open == 0 => return self.expected("`<`"),
                _ => {}
            }
            self.at += 1;
            if open == 0 {
                return Ok(ColumnType::Nested(shape));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(types, ["BIGINT", "VARCHAR(64)", "DECIMAL(12,2)", "ARRAY", "STRUCT", "DATETIME(6)"]);
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
            ("CREATE TABLE d.t (a HLL)", "line 1, column 21: type `HLL` is not imitated"),
            ("CREATE TABLE d.t (a INT, A INT)", "declared twice"),
            ("CREATE TABLE d.t (a INT); CREATE TABLE d.t (a INT)", "declared twice"),
            ("CREATE TABLE d.t (a INT SUM) AGGREGATE KEY(a)", "`SUM` is not imitated"),
            ("CREATE TABLE d.t (a INT) AGGREGATE KEY(a)", "AGGREGATE KEY tables are not imitated"),
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
