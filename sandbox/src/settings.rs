//! What can be set on a sandbox: the engines' own settings, by their defaults.

use std::time::Duration;

use crate::profile::Profile;
use crate::table::EngineKind;

/// Timeouts, limits and retention of the imitated cluster.
///
/// The defaults are those of the engine's version; a test sets what it needs smaller.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Version that the frontend tells, in the engine's own form.
    pub version: String,
    /// Life of a transaction in PREPARE without a `timeout` header.
    pub load_timeout: Duration,
    /// Life of a prepared transaction (`prepared_transaction_default_timeout_second`, Doris
    /// `stream_load_default_precommit_timeout_second`).
    pub prepared_timeout: Duration,
    /// Pause between two looks for expired transactions.
    pub sweep_interval: Duration,
    /// How long finished transactions are remembered (`label_keep_max_second`, Doris `streaming_label_keep_max_second`).
    pub label_keep: Duration,
    /// How many finished transactions a database remembers (`label_keep_max_num`, Doris `label_num_threshold`).
    pub label_keep_max: usize,
    /// Pause between two rounds of forgetting finished transactions.
    pub label_clean_interval: Duration,
    /// Unfinished transactions that a database may hold (`max_running_txn_num_per_db`).
    pub max_running: usize,
    /// Time from COMMITTED to VISIBLE.
    pub publish_delay: Duration,
    /// How long a commit waits to become visible without a `timeout` header (StarRocks).
    pub publish_wait: Duration,
    /// JSON bytes that a label (StarRocks) or a body (Doris) may hold unless told otherwise.
    pub json_max_bytes: u64,
    /// Bytes that one body may hold (`streaming_load_max_mb`).
    pub body_max_bytes: u64,
    /// Pause between two heartbeats from the leader to all nodes (`heartbeat_timeout_second`, Doris
    /// `heartbeat_interval_second`).
    pub heartbeat_interval: Duration,
    /// Heartbeats that fail until a node counts as dead (StarRocks' `heartbeat_retry_times` and one more, Doris'
    /// `max_backend_heartbeat_failure_tolerance_count`).
    pub heartbeat_misses_max: u32,
    /// How long after the last good heartbeat of a dead backend the transactions that it coordinates are aborted
    /// (StarRocks: at once, Doris `abort_txn_after_lost_heartbeat_time_second`).
    pub abort_lost_backend_after: Duration,
    /// How long the frontends have no leader when the old one has died.
    pub election_time: Duration,
    /// Doris with storage and computing apart: merge-on-write tables refuse two phases.
    pub is_cloud: bool,
    /// Count rows, keep none.
    pub discard: bool,
}

/// One mebibyte.
const MIB: u64 = 1 << 20;

impl Settings {
    /// The defaults of a version of an engine.
    #[must_use]
    pub fn of(profile: Profile) -> Self {
        let common = Self {
            version: profile.told_version(),
            load_timeout: Duration::from_secs(600),
            prepared_timeout: Duration::from_secs(86_400),
            sweep_interval: Duration::from_secs(30),
            label_keep: Duration::from_secs(259_200),
            label_keep_max: 1000,
            label_clean_interval: Duration::from_secs(14_400),
            max_running: 1000,
            publish_delay: Duration::ZERO,
            publish_wait: Duration::from_secs(20),
            json_max_bytes: 100 * MIB,
            body_max_bytes: 102_400 * MIB,
            heartbeat_interval: Duration::from_secs(5),
            heartbeat_misses_max: 4,
            abort_lost_backend_after: Duration::ZERO,
            election_time: Duration::from_secs(2),
            is_cloud: false,
            discard: false,
        };
        match profile.kind() {
            EngineKind::StarRocks => common,
            EngineKind::Doris => Self {
                load_timeout: Duration::from_secs(259_200),
                prepared_timeout: Duration::from_secs(3600),
                label_keep: Duration::from_secs(43_200),
                label_keep_max: 2000,
                label_clean_interval: Duration::from_secs(30),
                max_running: 10_000,
                body_max_bytes: 10_240 * MIB,
                heartbeat_interval: Duration::from_secs(10),
                heartbeat_misses_max: 1,
                abort_lost_backend_after: Duration::from_secs(300),
                ..common
            },
        }
    }
}
