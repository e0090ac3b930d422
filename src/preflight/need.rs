//! What a configuration asks of Kafka and the engine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, EngineKind};
use crate::source::session_timeout;

/// The needs of a whole process.
#[derive(Clone, Debug)]
pub struct Need {
    /// Which engine.
    pub engine: EngineKind,
    /// Life that prepared transactions are to have (`engine.timeouts.prepared`).
    pub prepared: Duration,
    /// Age at which batches are sealed (`batch.age`).
    pub age: Duration,
    /// `session.timeout.ms`; `None` with the newer group protocol, where the broker has its own.
    pub session: Option<Duration>,
    /// The pipelines.
    pub pipelines: Vec<PipelineNeed>,
}

/// The needs of one pipeline.
#[derive(Clone, Debug)]
pub struct PipelineNeed {
    /// Its topic.
    pub topic: Arc<str>,
    /// Tables that it loads, by database.
    pub tables: BTreeMap<Arc<str>, u32>,
}

impl PipelineNeed {
    /// Tables in all databases.
    pub fn tables(&self) -> u32 {
        self.tables.values().sum()
    }
}

impl Need {
    /// What a validated configuration needs.
    pub fn of(config: &Config) -> Self {
        let pipelines = config.pipelines.iter().map(|pipeline| {
            let mut tables = BTreeMap::new();
            for route in &pipeline.routes {
                *tables.entry(Arc::clone(&route.table.database)).or_default() += 1;
            }
            PipelineNeed { topic: Arc::clone(&pipeline.topic), tables }
        });
        Self {
            engine: config.engine.kind,
            prepared: config.engine.timeouts.prepared,
            age: config.batch.age,
            session: session_timeout(&config.kafka),
            pipelines: pipelines.collect(),
        }
    }

    /// Tables loaded into each database, by all pipelines.
    pub(super) fn databases(&self) -> BTreeMap<&str, u32> {
        let mut tables = BTreeMap::new();
        for (database, count) in self.pipelines.iter().flat_map(|pipeline| &pipeline.tables) {
            *tables.entry(&**database).or_default() += count;
        }
        tables
    }
}
