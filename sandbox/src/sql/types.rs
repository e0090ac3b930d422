//! Types of expressions, and how the MySQL protocol names them.

use std::fmt;

use super::number::DECIMAL_DIGITS_MAX;
use crate::table::ColumnType;

/// Type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SqlType {
    /// `NULL` without a type.
    Null,
    /// `BOOLEAN`.
    Boolean,
    /// `TINYINT` to `BIGINT`.
    Integer {
        /// Width: 8, 16, 32 or 64.
        bits: u32,
    },
    /// `LARGEINT`.
    LargeInt,
    /// `DECIMAL(precision, scale)`.
    Decimal {
        /// Digits in all.
        precision: u16,
        /// Digits behind the point.
        scale: u16,
    },
    /// `FLOAT`.
    Float,
    /// `DOUBLE`.
    Double,
    /// `DATE`.
    Date,
    /// `DATETIME(digits)`.
    DateTime {
        /// Digits of the fraction.
        digits: u8,
    },
    /// `CHAR`, `VARCHAR`, `STRING`.
    Text {
        /// Longest value, bytes.
        max_bytes: usize,
    },
    /// `JSON`, and arrays, maps and structs, which are shown as JSON.
    Json,
}

/// `BIGINT`.
pub(crate) const BIGINT: SqlType = SqlType::Integer { bits: 64 };
/// A text of any length.
pub(crate) const VARCHAR: SqlType = SqlType::Text { max_bytes: 65_533 };

impl From<ColumnType> for SqlType {
    fn from(ty: ColumnType) -> Self {
        match ty {
            ColumnType::Boolean => Self::Boolean,
            ColumnType::Integer { bits } => Self::Integer { bits },
            ColumnType::LargeInt => Self::LargeInt,
            ColumnType::Float => Self::Float,
            ColumnType::Double => Self::Double,
            ColumnType::Decimal { precision, scale } => Self::Decimal { precision, scale },
            ColumnType::Date => Self::Date,
            ColumnType::DateTime { digits } => Self::DateTime { digits },
            ColumnType::Text { max_bytes } => Self::Text { max_bytes },
            ColumnType::Json | ColumnType::Nested(_) => Self::Json,
            // They are shown as texts; an engine shows NULL or bytes.
            ColumnType::Binary { .. } | ColumnType::Bitmap | ColumnType::Hll => VARCHAR,
        }
    }
}

impl SqlType {
    /// True if values are ordered as numbers.
    pub(crate) fn is_numeric(self) -> bool {
        self.is_exact() || self.is_floating()
    }

    /// True for FLOAT and DOUBLE.
    pub(crate) fn is_floating(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }

    /// True for numbers that are computed by their digits.
    pub(crate) fn is_exact(self) -> bool {
        self.is_whole() || matches!(self, Self::Decimal { .. })
    }

    /// True for whole numbers, booleans among them.
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Self::Boolean | Self::Integer { .. } | Self::LargeInt)
    }

    /// True for DATE and DATETIME.
    pub(crate) fn is_time(self) -> bool {
        matches!(self, Self::Date | Self::DateTime { .. })
    }

    /// True for texts.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Text { .. })
    }

    /// Precision and scale of a number as a decimal; `None` if it is no exact number.
    pub(crate) fn as_decimal(self) -> Option<(u16, u16)> {
        match self {
            Self::Boolean => Some((1, 0)),
            Self::Integer { bits: 8 } => Some((3, 0)),
            Self::Integer { bits: 16 } => Some((5, 0)),
            Self::Integer { bits: 32 } => Some((10, 0)),
            Self::Integer { .. } => Some((19, 0)),
            Self::LargeInt => Some((DECIMAL_DIGITS_MAX, 0)),
            Self::Decimal { precision, scale } => Some((precision, scale)),
            Self::Null
            | Self::Float
            | Self::Double
            | Self::Date
            | Self::DateTime { .. }
            | Self::Text { .. }
            | Self::Json => None,
        }
    }

    /// The type that holds values of both, as `CASE`, `IFNULL` and `UNION` need it; `None` if there is none that both
    /// engines agree on.
    pub(crate) fn common(self, other: Self) -> Option<Self> {
        if self == other || other == Self::Null {
            return Some(self);
        }
        match (self, other) {
            (Self::Null, _) => Some(other),
            (Self::Text { max_bytes: a }, Self::Text { max_bytes: b }) => Some(Self::Text { max_bytes: a.max(b) }),
            (Self::Date, Self::DateTime { .. }) => Some(other),
            (Self::DateTime { .. }, Self::Date) => Some(self),
            (Self::DateTime { digits: a }, Self::DateTime { digits: b }) => Some(Self::DateTime { digits: a.max(b) }),
            _ if !self.is_numeric() || !other.is_numeric() => None,
            _ if self.is_floating() || other.is_floating() => Some(Self::Double),
            (Self::Decimal { .. }, _) | (_, Self::Decimal { .. }) => {
                let ((p, s), (q, t)) = (self.as_decimal()?, other.as_decimal()?);
                let scale = s.max(t);
                let precision = (p - s).max(q - t) + scale;
                (precision <= DECIMAL_DIGITS_MAX).then_some(Self::Decimal { precision, scale })
            }
            (Self::LargeInt, _) | (_, Self::LargeInt) => Some(Self::LargeInt),
            (Self::Integer { bits: a }, Self::Integer { bits: b }) => Some(Self::Integer { bits: a.max(b) }),
            (Self::Integer { .. }, _) => Some(self),
            _ => Some(other),
        }
    }

    /// Type code, character set, length and decimals of a column definition, as Doris' `MysqlSerializer` and StarRocks'
    /// `Type.getMysqlResultSetField…` give them.
    pub(crate) fn wire(self) -> Wire {
        const BINARY: u16 = 63;
        const UTF8: u16 = 33;
        let wire = |code, charset, length, decimals| Wire { code, charset, length, decimals };
        match self {
            Self::Null => wire(0x06, BINARY, 0, 0),
            Self::Boolean => wire(0x01, BINARY, 1, 0),
            Self::Integer { bits: 8 } => wire(0x01, BINARY, 4, 0),
            Self::Integer { bits: 16 } => wire(0x02, BINARY, 6, 0),
            Self::Integer { bits: 32 } => wire(0x03, BINARY, 11, 0),
            Self::Integer { .. } => wire(0x08, BINARY, 20, 0),
            Self::LargeInt => wire(0xfe, UTF8, 40, 0),
            Self::Decimal { precision, scale } => {
                let sign_and_point = if scale > 0 { 2 } else { 1 };
                wire(0xf6, BINARY, u32::from(precision) + sign_and_point, u8::try_from(scale).unwrap_or(u8::MAX))
            }
            Self::Float => wire(0x04, BINARY, 12, 31),
            Self::Double => wire(0x05, BINARY, 22, 31),
            Self::Date => wire(0x0a, BINARY, 10, 0),
            Self::DateTime { digits } => wire(0x0c, BINARY, if digits == 0 { 19 } else { 26 }, digits),
            Self::Text { max_bytes } => wire(0xfd, UTF8, u32::try_from(max_bytes).unwrap_or(u32::MAX), 0),
            Self::Json => wire(0xfd, UTF8, 1 << 20, 0),
        }
    }
}

/// A type as a column definition of the protocol has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wire {
    /// `MYSQL_TYPE_…`.
    pub(crate) code: u8,
    /// Character set; 63 for what is no text.
    pub(crate) charset: u16,
    /// Longest value as it is shown.
    pub(crate) length: u32,
    /// Digits behind the point; 31 if that varies.
    pub(crate) decimals: u8,
}

impl fmt::Display for SqlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Integer { bits: 8 } => f.write_str("TINYINT"),
            Self::Integer { bits: 16 } => f.write_str("SMALLINT"),
            Self::Integer { bits: 32 } => f.write_str("INT"),
            Self::Integer { .. } => f.write_str("BIGINT"),
            Self::LargeInt => f.write_str("LARGEINT"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Date => f.write_str("DATE"),
            Self::DateTime { .. } => f.write_str("DATETIME"),
            Self::Text { .. } => f.write_str("VARCHAR"),
            Self::Json => f.write_str("JSON"),
        }
    }
}
