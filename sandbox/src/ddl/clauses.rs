//! What stands behind the columns: keys, partitions, and the few properties that change loads.

#![expect(clippy::wildcard_enum_match_arm, reason = "the enum is the tokenizer's, with a hundred kinds of token")]

use std::collections::HashMap;

use jiff::tz::TimeZone;
use sqlparser::tokenizer::Token;

use super::{DdlError, Reader};
use crate::cells::{Rules, cast};
use crate::partition::{Bound, Partition, Partitions, Takes};
use crate::table::{Aggregate, Column, ColumnType, EngineKind, Model, Sequence, Table};

/// The key clause: model, whether it is StarRocks' primary key, key columns.
type Keys = (Model, bool, Vec<String>);

impl Reader {
    /// Reads up to the end of the statement.
    pub(super) fn clauses(
        &mut self,
        database: String,
        name: String,
        mut columns: Vec<Column>,
    ) -> Result<Table, DdlError> {
        let mut keys: Keys = (Model::Duplicate, false, Vec::new());
        let mut partitions = None;
        let mut properties = HashMap::new();
        while !self.is_end() && *self.peek() != Token::SemiColon {
            if let Some(found) = self.key_clause()? {
                keys = found;
            } else if self.take_all(&["PARTITION", "BY"]) {
                partitions = self.partitions(&columns)?;
            } else if self.take("PROPERTIES") {
                properties = self.properties()?;
            } else {
                self.at += 1;
            }
        }
        let (model, primary, key_names) = keys;
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
        self.check_aggregates(model, &keys, &columns)?;
        let sequence = self.sequence(model, &columns, &properties)?;
        // The clock makes and drops such partitions; the sandbox takes every row for them.
        if properties.get("dynamic_partition.enable").is_some_and(|v| v.eq_ignore_ascii_case("true")) {
            partitions = None;
        }
        let is_off =
            properties.get("enable_unique_key_merge_on_write").is_some_and(|v| v.eq_ignore_ascii_case("false"));
        let merge_on_write = self.kind == EngineKind::Doris && model == Model::Unique && !is_off;
        Ok(Table { database, name, columns, model, keys, primary, sequence, merge_on_write, partitions })
    }

    fn key_clause(&mut self) -> Result<Option<Keys>, DdlError> {
        let (model, primary) = if self.take_all(&["PRIMARY", "KEY"]) {
            (Model::Unique, true)
        } else if self.take_all(&["UNIQUE", "KEY"]) {
            (Model::Unique, false)
        } else if self.take_all(&["DUPLICATE", "KEY"]) {
            (Model::Duplicate, false)
        } else if self.take_all(&["AGGREGATE", "KEY"]) {
            (Model::Aggregate, false)
        } else {
            return Ok(None);
        };
        if primary && self.kind == EngineKind::Doris {
            return self.fail("Doris has no PRIMARY KEY tables; use UNIQUE KEY");
        }
        Ok(Some((model, primary, self.name_list()?)))
    }

    fn check_aggregates(&self, model: Model, keys: &[usize], columns: &[Column]) -> Result<(), DdlError> {
        for (position, column) in columns.iter().enumerate() {
            let is_union = matches!(column.ty, ColumnType::Bitmap | ColumnType::Hll);
            match (model, column.aggregate) {
                (Model::Aggregate, None) if !keys.contains(&position) => {
                    return self.fail(format!(
                        "AGG_KEYS table should specify aggregate type for non-key column[{}]",
                        column.name
                    ));
                }
                (Model::Duplicate | Model::Unique, Some(_)) => {
                    return self.fail(format!("column `{}`: an aggregate type needs AGGREGATE KEY", column.name));
                }
                (_, Some(Aggregate::Sum)) if !column.ty.is_numeric() => {
                    return self
                        .fail(format!("Aggregate type SUM is not compatible with primitive type {}", column.ty));
                }
                (_, Some(aggregate))
                    if (aggregate == Aggregate::Union) != is_union && aggregate != Aggregate::Replace =>
                {
                    return self
                        .fail(format!("column `{}`: {aggregate:?} does not go with {}", column.name, column.ty));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn sequence(
        &self,
        model: Model,
        columns: &[Column],
        properties: &HashMap<String, String>,
    ) -> Result<Option<Sequence>, DdlError> {
        let get = |name| properties.get(name).map(String::as_str);
        let sequence = match (get("function_column.sequence_col"), get("function_column.sequence_type")) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => return self.fail("sequence_col and sequence_type can not be set at the same time"),
            (Some(name), None) => match columns.iter().position(|c| c.name.eq_ignore_ascii_case(name)) {
                Some(position) => Sequence::Column(position),
                None => return self.fail(format!("sequence column `{name}` is not among the columns")),
            },
            (None, Some(ty)) => match super::read_type(self.kind, ty) {
                Some(ty) => Sequence::Hidden(ty),
                None => return self.fail(format!("sequence type `{ty}` is not imitated")),
            },
        };
        let ty = match sequence {
            Sequence::Column(position) => columns[position].ty,
            Sequence::Hidden(ty) => ty,
        };
        let is_ordered = matches!(
            ty,
            ColumnType::Integer { .. } | ColumnType::LargeInt | ColumnType::Date | ColumnType::DateTime { .. }
        );
        if self.kind != EngineKind::Doris || model != Model::Unique {
            return self.fail("sequence column only support UNIQUE_KEYS of Doris");
        }
        if !is_ordered {
            return self.fail(format!("sequence type only support integer types and date types, not {ty}"));
        }
        Ok(Some(sequence))
    }

    fn properties(&mut self) -> Result<HashMap<String, String>, DdlError> {
        let mut properties = HashMap::new();
        self.expect_token(&Token::LParen)?;
        loop {
            let name = self.text("a property's name")?;
            self.expect_token(&Token::Eq)?;
            let value = self.text("a property's value")?;
            properties.insert(name.to_ascii_lowercase(), value);
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(properties)
    }

    /// A quoted text or a number.
    fn text(&mut self, what: &str) -> Result<String, DdlError> {
        let minus = if self.take_token(&Token::Minus) { "-" } else { "" };
        let text = match self.peek() {
            Token::SingleQuotedString(text) | Token::DoubleQuotedString(text) => text.clone(),
            Token::Number(digits, _) => format!("{minus}{digits}"),
            _ => return self.expected(what),
        };
        self.at += 1;
        Ok(text)
    }

    /// Ranges and lists; partitions by an expression are made as rows need them, so they refuse none.
    fn partitions(&mut self, columns: &[Column]) -> Result<Option<Partitions>, DdlError> {
        let is_list = self.take("LIST");
        if !is_list && !self.take("RANGE") {
            return Ok(None);
        }
        let start = self.at;
        let Ok(names) = self.name_list() else {
            self.at = start;
            return Ok(None);
        };
        let mut positions = Vec::new();
        for name in names {
            match columns.iter().position(|c| c.name.eq_ignore_ascii_case(&name)) {
                Some(position) => positions.push(position),
                None => return self.fail(format!("partition column `{name}` is not among the columns")),
            }
        }
        let types: Vec<ColumnType> = positions.iter().map(|p| columns[*p].ty).collect();
        let mut parts: Vec<Partition> = Vec::new();
        self.expect_token(&Token::LParen)?;
        while !self.take_token(&Token::RParen) {
            let part = if self.take("PARTITION") {
                self.take_all(&["IF", "NOT", "EXISTS"]);
                let name = self.name()?;
                self.expect_word("VALUES")?;
                Partition { takes: self.takes(is_list, &types, &parts)?, name }
            } else {
                self.batch(&types)?
            };
            parts.push(part);
            if !self.take_token(&Token::Comma) && *self.peek() != Token::RParen {
                return self.expected("`,` or `)`");
            }
        }
        Ok(Some(Partitions { columns: positions, parts }))
    }

    fn expect_word(&mut self, word: &str) -> Result<(), DdlError> {
        if self.take(word) { Ok(()) } else { self.expected(word) }
    }

    fn takes(&mut self, is_list: bool, types: &[ColumnType], before: &[Partition]) -> Result<Takes, DdlError> {
        if is_list {
            self.expect_word("IN")?;
            return self.list(types).map(Takes::List);
        }
        if self.take_all(&["LESS", "THAN"]) {
            let to = self.bounds(types)?;
            let from = before.last().and_then(|part| match &part.takes {
                Takes::Range { to, .. } => Some(to.clone()),
                Takes::List(_) => None,
            });
            return Ok(Takes::Range { from, to });
        }
        // VALUES [("a"), ("b"))
        self.expect_token(&Token::LBracket)?;
        let from = Some(self.bounds(types)?);
        self.expect_token(&Token::Comma)?;
        let to = self.bounds(types)?;
        self.expect_token(&Token::RParen)?;
        Ok(Takes::Range { from, to })
    }

    /// `START (…) END (…) EVERY (…)`, `FROM (…) TO (…) INTERVAL …`: taken as the whole range.
    fn batch(&mut self, types: &[ColumnType]) -> Result<Partition, DdlError> {
        if !self.take("START") && !self.take("FROM") {
            return self.expected("PARTITION, START or FROM");
        }
        let from = Some(self.bounds(types)?);
        if !self.take("END") && !self.take("TO") {
            return self.expected("END or TO");
        }
        let to = self.bounds(types)?;
        self.skip_item();
        Ok(Partition { name: String::new(), takes: Takes::Range { from, to } })
    }

    fn bounds(&mut self, types: &[ColumnType]) -> Result<Vec<Bound>, DdlError> {
        if self.take("MAXVALUE") {
            return Ok(vec![Bound::Max]);
        }
        self.expect_token(&Token::LParen)?;
        let mut bounds = Vec::new();
        for ty in types {
            bounds.push(if self.take("MAXVALUE") { Bound::Max } else { Bound::Value(self.value(*ty)?) });
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(bounds)
    }

    fn list(&mut self, types: &[ColumnType]) -> Result<Vec<Vec<Option<String>>>, DdlError> {
        let mut lists = Vec::new();
        self.expect_token(&Token::LParen)?;
        loop {
            let is_tuple = self.take_token(&Token::LParen);
            let mut list = Vec::new();
            for ty in types {
                list.push(if self.take("NULL") { None } else { Some(self.value(*ty)?) });
                if !is_tuple || !self.take_token(&Token::Comma) {
                    break;
                }
            }
            if is_tuple {
                self.expect_token(&Token::RParen)?;
            }
            lists.push(list);
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        self.expect_token(&Token::RParen)?;
        Ok(lists)
    }

    /// A value in the form in which its column keeps it.
    fn value(&mut self, ty: ColumnType) -> Result<String, DdlError> {
        let text = self.text("a value")?;
        let rules = Rules { kind: self.kind, strict: true, zone: TimeZone::UTC };
        match cast(&rules, ty, &text) {
            Some(value) => Ok(value),
            None => self.fail(format!("'{text}' is no {ty}")),
        }
    }
}
