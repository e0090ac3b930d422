//! Positions as people see and mend them: `loadlock offsets`.
//!
//! | file | what |
//! |---|---|
//! | `engine` | what the engine says of the loads of an intent |
//! | `snapshot` | positions, intents and states of a pipeline, read from outside |
//! | `decide` | what is known of every open intent, and what is to be stored for it: values only |
//! | `member` | joins the group, and has every partition of the topic or nothing |
//! | `resolve` | an intent is decided by hand: joined, read, asked, stored, read back, left |
//!
//! A commit by somebody who is no member wipes out an intent that came in between, so nothing is ever stored from outside
//! (`docs/exactly-once.md`, rule 15).

mod decide;
mod engine;
mod member;
mod resolve;
mod snapshot;

use crate::commit::{Tag, label};
use crate::config;
use crate::domain::{Nonce, Table, TxnId};
use crate::load::TxnName;
use crate::pipeline::{mapping_tag, pipeline_tag};

pub use decide::{Decided, DecidedLoad, Selection, state_name};
pub use resolve::{ResolveError, Resolved, Resolver};
pub use snapshot::{
    Asked, IntentView, LoadView, MemberView, OriginView, PartitionView, RangeView, Snapshot, Standing, snapshot,
};

/// What a pipeline's intents and loads are called.
#[derive(Clone, Debug)]
pub struct Names {
    pipeline: Tag,
    /// Digest of the mapping as it is configured.
    pub mapping: Tag,
    tables: Vec<Table>,
}

impl Names {
    /// The names of a configured pipeline.
    pub fn of(pipeline: &config::Pipeline) -> Self {
        Self {
            pipeline: pipeline_tag(pipeline),
            mapping: mapping_tag(pipeline),
            tables: pipeline.routes.iter().map(|route| route.table.clone()).collect(),
        }
    }

    /// The tables that its routes feed.
    pub fn tables(&self) -> &[Table] {
        &self.tables
    }

    /// The table behind a tag; `None` if no route feeds it (any more).
    pub fn table(&self, tag: Tag) -> Option<&Table> {
        self.tables.iter().find(|table| Tag::of_table(table) == tag)
    }

    /// A table for people.
    pub fn shown(&self, tag: Tag) -> String {
        self.table(tag).map_or_else(|| format!("table {tag} (no route loads it)"), ToString::to_string)
    }

    /// The load of an intent into a table, as it is named to the engine.
    pub fn load(&self, nonce: Nonce, tag: Tag, id: Option<TxnId>) -> Option<TxnName> {
        let table = self.table(tag)?.clone();
        Some(TxnName { label: label(self.pipeline, nonce, &table), table, id })
    }
}
