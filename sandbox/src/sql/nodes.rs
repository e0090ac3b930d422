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

/// `ADMIN SHOW FRONTEND CONFIG`: the settings that the sandbox has, by the engine's names (`ConfigBase.getConfigInfo`).
pub(crate) fn frontend_config(server: &Server) -> Grid {
    let settings = &server.cluster.settings;
    let seconds = |d: Duration| d.as_secs().to_string();
    let labels_max = settings.label_keep_max.to_string();
    let running_max = settings.max_running.to_string();
    let clean = seconds(settings.label_clean_interval);
    let settings: Vec<(&str, String, &str)> = match server.kind {
        EngineKind::StarRocks => vec![
            ("label_clean_interval_second", clean, "int"),
            ("label_keep_max_num", labels_max, "int"),
            ("label_keep_max_second", seconds(settings.label_keep), "int"),
            ("max_running_txn_num_per_db", running_max, "int"),
            ("prepared_transaction_default_timeout_second", seconds(settings.prepared_timeout), "int"),
            ("stream_load_default_timeout_second", seconds(settings.load_timeout), "int"),
            ("transaction_clean_interval_second", seconds(settings.sweep_interval), "int"),
        ],
        EngineKind::Doris => vec![
            ("label_clean_interval_second", clean, "int"),
            ("label_num_threshold", labels_max, "int"),
            ("max_running_txn_num_per_db", running_max, "int"),
            ("stream_load_default_precommit_timeout_second", seconds(settings.prepared_timeout), "int"),
            ("stream_load_default_timeout_second", seconds(settings.load_timeout), "int"),
            ("streaming_label_keep_max_second", seconds(settings.label_keep), "int"),
            ("transaction_clean_interval_second", seconds(settings.sweep_interval), "int"),
        ],
    };
    let mut grid = Grid::of_texts(match server.kind {
        EngineKind::StarRocks => &["Key", "AliasNames", "Value", "Type", "IsMutable", "Comment"],
        EngineKind::Doris => &["Key", "Value", "Type", "IsMutable", "MasterOnly", "Comment"],
    });
    for (key, value, ty) in settings {
        match server.kind {
            EngineKind::StarRocks => grid.push([key, "[]", &value, ty, "false", ""]),
            EngineKind::Doris => grid.push([key, &value, ty, "false", "true", ""]),
        }
    }
    grid
}
