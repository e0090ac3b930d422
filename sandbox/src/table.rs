//! What a table is to the sandbox: typed columns, keys, and whether a key replaces or repeats.

use std::fmt;

/// The engine that a sandbox stands in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lowercase")]
pub enum EngineKind {
    /// StarRocks: begin, load, prepare, commit by label.
    StarRocks,
    /// Apache Doris: one two-phase PUT, then commit by transaction id.
    Doris,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::StarRocks => "StarRocks",
            Self::Doris => "Doris",
        })
    }
}

/// Shape of an array, map or struct column; the elements are kept as JSON text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nested {
    /// `ARRAY<…>`.
    Array,
    /// `MAP<…>` or `STRUCT<…>`.
    Object,
}

/// Type of a column, as far as a load checks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    /// `BOOLEAN`, kept as `1` or `0`.
    Boolean,
    /// `TINYINT` to `BIGINT`; bits are 8, 16, 32 or 64.
    Integer {
        /// Width in bits.
        bits: u32,
    },
    /// `LARGEINT`, 128 bits.
    LargeInt,
    /// `FLOAT`.
    Float,
    /// `DOUBLE`.
    Double,
    /// `DECIMAL(precision, scale)`.
    Decimal {
        /// Digits in all.
        precision: u16,
        /// Digits behind the point.
        scale: u16,
    },
    /// `DATE`.
    Date,
    /// `DATETIME(digits)`; digits of the second's fraction, 0 to 6.
    DateTime {
        /// Digits of the fraction that are kept.
        digits: u8,
    },
    /// `CHAR`, `VARCHAR`, `STRING`.
    Text {
        /// Longest value in bytes.
        max_bytes: usize,
    },
    /// `JSON`, `VARIANT`.
    Json,
    /// `ARRAY`, `MAP`, `STRUCT`.
    Nested(Nested),
}

impl ColumnType {
    /// True if values of the type are ordered as numbers.
    #[must_use]
    pub(crate) fn is_numeric(self) -> bool {
        match self {
            Self::Boolean
            | Self::Integer { .. }
            | Self::LargeInt
            | Self::Float
            | Self::Double
            | Self::Decimal { .. } => true,
            Self::Date | Self::DateTime { .. } | Self::Text { .. } | Self::Json | Self::Nested(_) => false,
        }
    }
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::Integer { bits: 8 } => f.write_str("TINYINT"),
            Self::Integer { bits: 16 } => f.write_str("SMALLINT"),
            Self::Integer { bits: 32 } => f.write_str("INT"),
            Self::Integer { .. } => f.write_str("BIGINT"),
            Self::LargeInt => f.write_str("LARGEINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal { precision, scale } => write!(f, "DECIMAL({precision},{scale})"),
            Self::Date => f.write_str("DATE"),
            Self::DateTime { digits: 0 } => f.write_str("DATETIME"),
            Self::DateTime { digits } => write!(f, "DATETIME({digits})"),
            Self::Text { max_bytes } => write!(f, "VARCHAR({max_bytes})"),
            Self::Json => f.write_str("JSON"),
            Self::Nested(Nested::Array) => f.write_str("ARRAY"),
            Self::Nested(Nested::Object) => f.write_str("STRUCT"),
        }
    }
}

/// Value of a column that a row doesn't carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DefaultValue {
    /// No default: NULL, or an error for a NOT NULL column.
    None,
    /// `DEFAULT NULL`.
    Null,
    /// `DEFAULT 'text'`.
    Text(String),
    /// `DEFAULT CURRENT_TIMESTAMP`.
    Now,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Name as written in the DDL.
    pub(crate) name: String,
    /// Type.
    pub(crate) ty: ColumnType,
    /// False for NOT NULL.
    pub(crate) nullable: bool,
    /// What a missing value becomes.
    pub(crate) default: DefaultValue,
}

/// What a table does with two rows of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// `DUPLICATE KEY`: both rows stay.
    Duplicate,
    /// `PRIMARY KEY`, `UNIQUE KEY`: the later row replaces the earlier one.
    Unique,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    /// Database.
    pub(crate) database: String,
    /// Name within the database.
    pub(crate) name: String,
    /// Columns in DDL order.
    pub(crate) columns: Vec<Column>,
    /// Duplicate or unique rows.
    pub(crate) model: Model,
    /// Positions of the key columns.
    pub(crate) keys: Vec<usize>,
    /// True for StarRocks' `PRIMARY KEY`, which alone takes `__op`.
    pub(crate) primary: bool,
}

impl Table {
    /// `database.table`.
    #[must_use]
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }
}
