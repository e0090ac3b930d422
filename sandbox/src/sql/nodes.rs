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
    let now = time::of_millis(server.cluster.clock.now_ms());
    let version = server.cluster.settings.version.clone();
    let name = format!("{ip}_{http}_{}", server.started_ms);
    let text = str::to_owned;
    match server.kind {
        EngineKind::StarRocks => {
            let mut grid = Grid::of_texts(&[
                "Name",
                "IP",
                "EditLogPort",
                "HttpPort",
                "QueryPort",
                "RpcPort",
                "Role",
                "ClusterId",
                "Join",
                "Alive",
                "ReplayedJournalId",
                "LastHeartbeat",
                "IsHelper",
                "ErrMsg",
                "StartTime",
                "Version",
            ]);
            grid.push([
                name,
                ip,
                text("0"),
                http,
                query,
                text("0"),
                text("LEADER"),
                text("1"),
                text("true"),
                text("true"),
                text("1"),
                now,
                text("true"),
                text(""),
                time::of_millis(server.started_ms),
                version,
            ]);
            grid
        }
        EngineKind::Doris => {
            let mut grid = Grid::of_texts(&[
                "Name",
                "Host",
                "EditLogPort",
                "HttpPort",
                "QueryPort",
                "RpcPort",
                "ArrowFlightSqlPort",
                "Role",
                "IsMaster",
                "ClusterId",
                "Join",
                "Alive",
                "ReplayedJournalId",
                "LastStartTime",
                "LastHeartbeat",
                "IsHelper",
                "ErrMsg",
                "Version",
                "CurrentConnected",
            ]);
            grid.push([
                name,
                ip,
                text("0"),
                http,
                query,
                text("0"),
                text("-1"),
                text("FOLLOWER"),
                text("true"),
                text("1"),
                text("true"),
                text("true"),
                text("1"),
                time::of_millis(server.started_ms),
                now,
                text("true"),
                text(""),
                version,
                text("Yes"),
            ]);
            grid
        }
    }
}

/// `SHOW BACKENDS` (`BackendsProcDir` of both engines).
pub(crate) fn backends(server: &Server) -> Grid {
    let backend = server.nodes.backend;
    let (ip, http) = (backend.ip().to_string(), backend.port().to_string());
    let started = time::of_millis(server.started_ms);
    let now = time::of_millis(server.cluster.clock.now_ms());
    let tablets = server.cluster.tables().len().to_string();
    let version = server.cluster.settings.version.clone();
    let text = str::to_owned;
    match server.kind {
        EngineKind::StarRocks => {
            let mut grid = Grid::of_texts(&[
                "BackendId",
                "IP",
                "HeartbeatPort",
                "BePort",
                "HttpPort",
                "BrpcPort",
                "LastStartTime",
                "LastHeartbeat",
                "Alive",
                "SystemDecommissioned",
                "ClusterDecommissioned",
                "TabletNum",
                "DataUsedCapacity",
                "AvailCapacity",
                "TotalCapacity",
                "UsedPct",
                "MaxDiskUsedPct",
                "ErrMsg",
                "Version",
                "Status",
                "DataTotalCapacity",
                "DataUsedPct",
                "CpuCores",
                "MemLimit",
                "NumRunningQueries",
                "MemUsedPct",
                "CpuUsedPct",
                "DataCacheMetrics",
                "Location",
                "StatusCode",
            ]);
            grid.push([
                text("10001"),
                ip,
                text("0"),
                text("0"),
                http,
                text("0"),
                started,
                now,
                text("true"),
                text("false"),
                text("false"),
                tablets,
                text("0.000 B"),
                text("1.000 TB"),
                text("1.000 TB"),
                text("0.00 %"),
                text("0.00 %"),
                text(""),
                version,
                text("{}"),
                text("1.000 TB"),
                text("0.00 %"),
                text("1"),
                text("1.000GB"),
                text("0"),
                text("0.00 %"),
                text("0.0 %"),
                text("N/A"),
                text(""),
                text("OK"),
            ]);
            grid
        }
        EngineKind::Doris => {
            let mut grid = Grid::of_texts(&[
                "BackendId",
                "Host",
                "HeartbeatPort",
                "BePort",
                "HttpPort",
                "BrpcPort",
                "ArrowFlightSqlPort",
                "LastStartTime",
                "LastHeartbeat",
                "Alive",
                "SystemDecommissioned",
                "TabletNum",
                "DataUsedCapacity",
                "TrashUsedCapacity",
                "AvailCapacity",
                "TotalCapacity",
                "UsedPct",
                "MaxDiskUsedPct",
                "RemoteUsedCapacity",
                "Tag",
                "ErrMsg",
                "Version",
                "Status",
                "HeartbeatFailureCounter",
                "CpuCores",
                "Memory",
                "RunningTasks",
                "NodeRole",
            ]);
            grid.push([
                text("10001"),
                ip,
                text("0"),
                text("0"),
                http,
                text("0"),
                text("-1"),
                started,
                now,
                text("true"),
                text("false"),
                tablets,
                text("0.000 "),
                text("0.000 "),
                text("1.000 TB"),
                text("1.000 TB"),
                text("0.00 %"),
                text("0.00 %"),
                text("0.000 "),
                text("{\"location\" : \"default\"}"),
                text(""),
                version,
                text("{}"),
                text("0"),
                text("1"),
                text("1.00 GB"),
                text("0"),
                text("mix"),
            ]);
            grid
        }
    }
}

/// `SHOW PROCESSLIST`.
pub(crate) fn processes(server: &Server, own: u32) -> Grid {
    let mut grid = Grid::of_texts(&[
        "Id",
        "User",
        "Host",
        "Db",
        "Command",
        "ConnectionStartTime",
        "Time",
        "State",
        "Info",
        "IsPending",
    ]);
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
