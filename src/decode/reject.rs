//! Records that can't become rows.

use std::fmt;

use crate::domain::{Offset, Partition};

/// A record that a route can't make a row of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Index of the route in its pipeline.
    pub route: usize,
    /// Partition of the record.
    pub partition: Partition,
    /// Offset of the record.
    pub offset: Offset,
    /// Where in the decoding it failed.
    pub stage: Stage,
    /// What is wrong, for people: places and lengths, columns and paths, nothing of the record's content.
    pub reason: String,
    /// Index of the record in its chunk.
    pub index: usize,
}

/// A step of decoding, in the order in which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Taking off the wrapping (base64, JSON string).
    Unwrap,
    /// Decrypting.
    Decrypt,
    /// Reading the plain text as JSON.
    Parse,
    /// Making columns of it.
    Map,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unwrap => "unwrap",
            Self::Decrypt => "decrypt",
            Self::Parse => "parse",
            Self::Map => "map",
        })
    }
}

/// Why a value or a row failed, before it is known whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) reason: String,
}

impl Failure {
    pub(super) fn new(stage: Stage, reason: impl Into<String>) -> Self {
        Self { stage, reason: reason.into() }
    }
}
