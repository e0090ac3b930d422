//! What a table is to the sandbox: typed columns, keys, and what becomes of two rows of one key.

use std::fmt;

use crate::partition::Partitions;

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

/// Shape of a column that holds other values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nested {
    /// `ARRAY<…>`.
    Array,
    /// `MAP<…, …>`.
    Map,
    /// `STRUCT<name …, …>`.
    Struct,
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
    /// `ARRAY`, `MAP`, `STRUCT`; their elements are in [`Column::elements`].
    Nested(Nested),
    /// `VARBINARY`, kept as upper-case hexadecimal digits.
    Binary {
        /// Longest value in bytes.
        max_bytes: usize,
    },
    /// `BITMAP`, kept as its numbers in order: `1,2,9`.
    Bitmap,
    /// `HLL`, kept as the hashes of what it counts, in order.
    Hll,
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
            Self::Date
            | Self::DateTime { .. }
            | Self::Text { .. }
            | Self::Json
            | Self::Nested(_)
            | Self::Binary { .. }
            | Self::Bitmap
            | Self::Hll => false,
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
            Self::Nested(Nested::Map) => f.write_str("MAP"),
            Self::Nested(Nested::Struct) => f.write_str("STRUCT"),
            Self::Binary { max_bytes } => write!(f, "VARBINARY({max_bytes})"),
            Self::Bitmap => f.write_str("BITMAP"),
            Self::Hll => f.write_str("HLL"),
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

/// A value inside an array, map or struct.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    /// Field of a struct; empty otherwise.
    pub(crate) name: String,
    /// Type.
    pub(crate) ty: ColumnType,
    /// The element's own elements.
    pub(crate) elements: Vec<Element>,
}

/// How a value column of an `AGGREGATE KEY` table takes a further value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aggregate {
    /// `SUM`.
    Sum,
    /// `MIN`.
    Min,
    /// `MAX`.
    Max,
    /// `REPLACE`.
    Replace,
    /// `REPLACE_IF_NOT_NULL`.
    ReplaceIfNotNull,
    /// `BITMAP_UNION`, `HLL_UNION`.
    Union,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    /// Name as written in the DDL.
    pub(crate) name: String,
    /// Type.
    pub(crate) ty: ColumnType,
    /// Of an array one, of a map two (key, value), of a struct one for each field.
    pub(crate) elements: Vec<Element>,
    /// False for NOT NULL.
    pub(crate) nullable: bool,
    /// What a missing value becomes.
    pub(crate) default: DefaultValue,
    /// For value columns of an `AGGREGATE KEY` table.
    pub(crate) aggregate: Option<Aggregate>,
}

/// What a table does with two rows of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Model {
    /// `DUPLICATE KEY`: both rows stay.
    Duplicate,
    /// `PRIMARY KEY`, `UNIQUE KEY`: the later row replaces the earlier one.
    Unique,
    /// `AGGREGATE KEY`: the values become one, column by column.
    Aggregate,
}

/// Which value decides what the later row of a key is (Doris).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sequence {
    /// `function_column.sequence_col`: a column of the table.
    Column(usize),
    /// `function_column.sequence_type`: the hidden column `__DORIS_SEQUENCE_COL__` of this type.
    Hidden(ColumnType),
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
    /// What two rows of one key become.
    pub(crate) model: Model,
    /// Positions of the key columns.
    pub(crate) keys: Vec<usize>,
    /// True for StarRocks' `PRIMARY KEY`, which alone takes `__op`.
    pub(crate) primary: bool,
    /// Doris' sequence column.
    pub(crate) sequence: Option<Sequence>,
    /// True for Doris' merge-on-write, the default of `UNIQUE KEY`; partial updates want it.
    pub(crate) merge_on_write: bool,
    /// Ranges or lists of values that the table takes; `None` takes every row.
    pub(crate) partitions: Option<Partitions>,
}

impl Table {
    /// `database.table`.
    #[must_use]
    pub(crate) fn full_name(&self) -> String {
        format!("{}.{}", self.database, self.name)
    }

    /// Position of a column; names don't tell upper from lower case.
    #[must_use]
    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name.eq_ignore_ascii_case(name))
    }

    /// True if a row carries a sequence besides its columns.
    #[must_use]
    pub(crate) fn has_hidden_sequence(&self) -> bool {
        matches!(self.sequence, Some(Sequence::Hidden(_)))
    }

    /// Type of the values that the sequence column holds.
    #[must_use]
    pub(crate) fn sequence_type(&self) -> Option<ColumnType> {
        match self.sequence? {
            Sequence::Column(position) => self.columns.get(position).map(|c| c.ty),
            Sequence::Hidden(ty) => Some(ty),
        }
    }
}
