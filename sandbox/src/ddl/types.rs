//! Column types, with the elements of nested ones.

#![expect(clippy::wildcard_enum_match_arm, reason = "the enum is the tokenizer's, with a hundred kinds of token")]

use sqlparser::tokenizer::Token;

use super::{DdlError, Reader, tokens_of};
use crate::table::{ColumnType, Element, EngineKind, Nested};

/// Longest `STRING`, bytes (StarRocks `olap_string_max_length`, Doris `string_type_length_soft_limit_bytes`).
const STRING_MAX_BYTES: usize = 1 << 20;
/// Levels of a nested type, its innermost elements counted (`Type.MAX_NESTING_DEPTH`).
const STARROCKS_LEVELS_MAX: usize = 15;
const DORIS_LEVELS_MAX: usize = 9;
/// Length of a `VARCHAR` without one.
const VARCHAR_MAX_BYTES: usize = 65_533;

/// The type that a text names; `None` for nested ones and for what isn't imitated.
#[must_use]
pub(crate) fn read_type(kind: EngineKind, text: &str) -> Option<ColumnType> {
    let mut reader = Reader::new(kind, tokens_of(text).ok()?);
    let (ty, elements) = reader.column_type().ok()?;
    (reader.is_end() && elements.is_empty()).then_some(ty)
}

impl Reader {
    pub(super) fn column_type(&mut self) -> Result<(ColumnType, Vec<Element>), DdlError> {
        self.type_at(0)
    }

    /// The type at a level of a nested one (`Type.exceedsMaxNestingDepth`).
    fn type_at(&mut self, level: usize) -> Result<(ColumnType, Vec<Element>), DdlError> {
        let levels_max = match self.kind {
            EngineKind::StarRocks => STARROCKS_LEVELS_MAX,
            EngineKind::Doris => DORIS_LEVELS_MAX,
        };
        if level >= levels_max {
            return self.fail(format!("Type exceeds the maximum nesting depth of {levels_max}"));
        }
        let start = self.at;
        let name = self.name()?.to_ascii_uppercase();
        match name.as_str() {
            "ARRAY" => return self.nested(Nested::Array, level),
            "MAP" => return self.nested(Nested::Map, level),
            "STRUCT" => return self.nested(Nested::Struct, level),
            _ => {}
        }
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
                self.decimal(start, &arguments)?
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
            "VARBINARY" | "BINARY" if self.kind == EngineKind::StarRocks => {
                ColumnType::Binary { max_bytes: first.unwrap_or(STRING_MAX_BYTES) }
            }
            "BITMAP" => ColumnType::Bitmap,
            "HLL" => ColumnType::Hll,
            _ => {
                self.at = start;
                return self.fail(format!("type `{name}` is not imitated"));
            }
        };
        Ok((ty, Vec::new()))
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

    fn nested(&mut self, shape: Nested, level: usize) -> Result<(ColumnType, Vec<Element>), DdlError> {
        self.expect_token(&Token::Lt)?;
        let mut elements = Vec::new();
        loop {
            let name = if shape == Nested::Struct { self.name()? } else { String::new() };
            if shape == Nested::Struct {
                // Doris writes `name:type`, StarRocks `name type`.
                self.take_token(&Token::Colon);
            }
            let start = self.at;
            let (ty, inner) = self.type_at(level + 1)?;
            if matches!(ty, ColumnType::Bitmap | ColumnType::Hll) {
                self.at = start;
                return self.fail(format!("type `{ty}` can't be an element"));
            }
            if self.take("COMMENT") {
                self.at += 1;
            }
            elements.push(Element { name, ty, elements: inner });
            if !self.take_token(&Token::Comma) {
                break;
            }
        }
        let wanted = match shape {
            Nested::Array => 1,
            Nested::Map => 2,
            Nested::Struct => elements.len(),
        };
        if elements.len() != wanted {
            return self.fail(format!(
                "{} has {} element types, not {wanted}",
                ColumnType::Nested(shape),
                elements.len()
            ));
        }
        self.close_angle()?;
        Ok((ColumnType::Nested(shape), elements))
    }

    /// Takes one `>`; of a `>>` the second one stays.
    fn close_angle(&mut self) -> Result<(), DdlError> {
        match self.tokens.get_mut(self.at) {
            Some(token) if token.token == Token::Gt => self.at += 1,
            Some(token) if token.token == Token::ShiftRight => token.token = Token::Gt,
            _ => return self.expected("`>`"),
        }
        Ok(())
    }

    /// The numbers in an optional parenthesis; `*` (Doris' `VARCHAR(*)`) counts as no number.
    pub(super) fn parenthesis(&mut self) -> Result<Vec<usize>, DdlError> {
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
}
