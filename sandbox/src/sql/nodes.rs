//! The cluster as SQL shows it: frontends, backends, connections, settings.

use std::time::Duration;

use super::session::Server;
use super::{Grid, time};
use crate::table::EngineKind;

/// `SHOW FRONTENDS` (`FrontendsProcNode` of both engines).
pub(crate) fn frontends(server: &Server) -> Grid {
    let nodes = server.nodes;
    let ip = nodes.frontend.ip().to_string();
    let (http, query) = (nodes.frontend.port().to_string(), nodes.query.port().to_string());
    let started = time::of_millis(server.started_ms);
    let now = time::of_millis(server.cluster.clock.now_ms());
    let name = format!("{ip}_{http}_{}", server.started_ms);
    let version = server.cluster.settings.version.as_str();
    match server.kind {
        EngineKind::StarRocks => Grid::of_row([
            ("Name", name.as_str()),
            ("IP", &ip),
            ("EditLogPort", "0"),
            ("HttpPort", &http),
            ("QueryPort", &query),
            ("RpcPort", "0"),
            ("Role", "LEADER"),
            ("ClusterId", "1"),
            ("Join", "true"),
            ("Alive", "true"),
            ("ReplayedJournalId", "1"),
            ("LastHeartbeat", &now),
            ("IsHelper", "true"),
            ("ErrMsg", ""),
            ("StartTime", &started),
            ("Version", version),
        ]),
        EngineKind::Doris => Grid::of_row([
            ("Name", name.as_str()),
            ("Host", &ip),
            ("EditLogPort", "0"),
            ("HttpPort", &http),
            ("QueryPort", &query),
            ("RpcPort", "0"),
            ("ArrowFlightSqlPort", "-1"),
            ("Role", "FOLLOWER"),
            ("IsMaster", "true"),
            ("ClusterId", "1"),
            ("Join", "true"),
            ("Alive", "true"),
            ("ReplayedJournalId", "1"),
            ("LastStartTime", &started),
            ("LastHeartbeat", &now),
            ("IsHelper", "true"),
            ("ErrMsg", ""),
            ("Version", version),
            ("CurrentConnected", "Yes"),
        ]),
    }
}

/// `SHOW BACKENDS` (`BackendsProcDir` of both engines).
pub(crate) fn backends(server: &Server) -> Grid {
    let backend = server.nodes.backend;
    let (ip, http) = (backend.ip().to_string(), backend.port().to_string());
    let started = time::of_millis(server.started_ms);
    let now = time::of_millis(server.cluster.clock.now_ms());
    let tablets = server.cluster.tables().len().to_string();
    let version = server.cluster.settings.version.as_str();
    match server.kind {
        EngineKind::StarRocks => starrocks_backend(&ip, &http, &started, &now, &tablets, version),
        EngineKind::Doris => doris_backend(&ip, &http, &started, &now, &tablets, version),
    }
}

fn starrocks_backend(ip: &str, http: &str, started: &str, now: &str, tablets: &str, version: &str) -> Grid {
    Grid::of_row([
        ("BackendId", "10001"),
        ("IP", ip),
        ("HeartbeatPort", "0"),
        ("BePort", "0"),
        ("HttpPort", http),
        ("BrpcPort", "0"),
        ("LastStartTime", started),
        ("LastHeartbeat", now),
        ("Alive", "true"),
        ("SystemDecommissioned", "false"),
        ("ClusterDecommissioned", "false"),
        ("TabletNum", tablets),
        ("DataUsedCapacity", "0.000 B"),
        ("AvailCapacity", "1.000 TB"),
        ("TotalCapacity", "1.000 TB"),
        ("UsedPct", "0.00 %"),
        ("MaxDiskUsedPct", "0.00 %"),
        ("ErrMsg", ""),
        ("Version", version),
        ("Status", "{}"),
        ("DataTotalCapacity", "1.000 TB"),
        ("DataUsedPct", "0.00 %"),
        ("CpuCores", "1"),
        ("MemLimit", "1.000GB"),
        ("NumRunningQueries", "0"),
        ("MemUsedPct", "0.00 %"),
        ("CpuUsedPct", "0.0 %"),
        ("DataCacheMetrics", "N/A"),
        ("Location", ""),
        ("StatusCode", "OK"),
    ])
}

fn doris_backend(ip: &str, http: &str, started: &str, now: &str, tablets: &str, version: &str) -> Grid {
    Grid::of_row([
        ("BackendId", "10001"),
        ("Host", ip),
        ("HeartbeatPort", "0"),
        ("BePort", "0"),
        ("HttpPort", http),
        ("BrpcPort", "0"),
        ("ArrowFlightSqlPort", "-1"),
        ("LastStartTime", started),
        ("LastHeartbeat", now),
        ("Alive", "true"),
        ("SystemDecommissioned", "false"),
        ("TabletNum", tablets),
        ("DataUsedCapacity", "0.000 "),
        ("TrashUsedCapacity", "0.000 "),
        ("AvailCapacity", "1.000 TB"),
        ("TotalCapacity", "1.000 TB"),
        ("UsedPct", "0.00 %"),
        ("MaxDiskUsedPct", "0.00 %"),
        ("RemoteUsedCapacity", "0.000 "),
        ("Tag", "{\"location\" : \"default\"}"),
        ("ErrMsg", ""),
        ("Version", version),
        ("Status", "{}"),
        ("HeartbeatFailureCounter", "0"),
        ("CpuCores", "1"),
        ("Memory", "1.00 GB"),
        ("RunningTasks", "0"),
        ("NodeRole", "mix"),
    ])
}

/// `SHOW PROCESSLIST`.
pub(crate) fn processes(server: &Server, own: u32) -> Grid {
    let mut grid = Grid::titled("Id User Host Db Command ConnectionStartTime Time State Info IsPending");
    let now = server.cluster.clock.now_ms();
    for (id, connected) in server.connected().iter() {
        let (command, info) = if *id == own { ("Query", "SHOW PROCESSLIST") } else { ("Sleep", "") };
        grid.push([
            id.to_string(),
            server.user().to_owned(),
            connected.peer.to_string(),
            connected.database.clone().unwrap_or_default(),
            command.to_owned(),
            time::of_millis(connected.since_ms),
            ((now - connected.since_ms).max(0) / 1000).to_string(),
            "OK".to_owned(),
            info.to_owned(),
            "false".to_owned(),
        ]);
    }
    grid
}

/// The settings that the sandbox has, by the engine's names.
pub(crate) fn settings(server: &Server) -> Vec<(&'static str, String)> {
    let settings = &server.cluster.settings;
    let seconds = |d: Duration| d.as_secs().to_string();
    let (labels, keep, prepared) = match server.kind {
        EngineKind::StarRocks => {
            ("label_keep_max_num", "label_keep_max_second", "prepared_transaction_default_timeout_second")
        }
        EngineKind::Doris => {
            ("label_num_threshold", "streaming_label_keep_max_second", "stream_load_default_precommit_timeout_second")
        }
    };
    vec![
        ("label_clean_interval_second", seconds(settings.label_clean_interval)),
        (labels, settings.label_keep_max.to_string()),
        (keep, seconds(settings.label_keep)),
        ("max_running_txn_num_per_db", settings.max_running.to_string()),
        (prepared, seconds(settings.prepared_timeout)),
        ("stream_load_default_timeout_second", seconds(settings.load_timeout)),
        ("transaction_clean_interval_second", seconds(settings.sweep_interval)),
    ]
}

/// `ADMIN SHOW FRONTEND CONFIG` (`ConfigBase.getConfigInfo`).
pub(crate) fn frontend_config(server: &Server) -> Grid {
    let mut grid = Grid::titled(match server.kind {
        EngineKind::StarRocks => "Key AliasNames Value Type IsMutable Comment",
        EngineKind::Doris => "Key Value Type IsMutable MasterOnly Comment",
    });
    for (key, value) in settings(server) {
        match server.kind {
            EngineKind::StarRocks => grid.push([key, "[]", &value, "int", "false", ""]),
            EngineKind::Doris => grid.push([key, &value, "int", "false", "true", ""]),
        }
    }
    grid
}
