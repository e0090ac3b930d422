//! The cluster as SQL shows it: frontends, backends, connections, settings.

use std::time::Duration;

use super::session::Server;
use super::{Grid, time};
use crate::nodes::{Backend, Frontend, Member};
use crate::table::EngineKind;

/// What a node that is missed has in `ErrMsg`.
const REFUSED: &str = "java.net.ConnectException: Connection refused (Connection refused)";

/// What both lists say of a node: times, liveness, error.
struct Seen {
    started: String,
    heartbeat: String,
    alive: String,
    error: String,
}

impl Seen {
    fn of(member: &Member) -> Self {
        Self {
            started: time::of_millis(member.known_start_ms),
            heartbeat: time::of_millis(member.seen_ms),
            alive: member.is_alive.to_string(),
            error: if member.is_alive { "" } else { REFUSED }.to_owned(),
        }
    }
}

/// `SHOW FRONTENDS` (`FrontendsProcNode` of both engines).
pub(crate) fn frontends(server: &Server) -> Grid {
    let nodes = &server.cluster.nodes;
    let (leader, members) = {
        let membership = nodes.lock();
        (membership.leader(), membership.frontends.clone())
    };
    let all = nodes.frontends().iter().zip(&members).enumerate();
    match server.kind {
        EngineKind::StarRocks => {
            Grid::of_rows(all.map(|(i, (node, member))| starrocks_frontend(server, node, member, leader == Some(i))))
        }
        EngineKind::Doris => {
            Grid::of_rows(all.map(|(i, (node, member))| {
                doris_frontend(server, node, member, leader == Some(i), i == server.frontend)
            }))
        }
    }
}

fn frontend_name(server: &Server, node: &Frontend) -> String {
    format!("{}_{}_{}", node.http.ip(), node.http.port(), server.cluster.nodes.founded_ms)
}

fn starrocks_frontend(server: &Server, node: &Frontend, member: &Member, leads: bool) -> [(&'static str, String); 16] {
    let seen = Seen::of(member);
    [
        ("Name", frontend_name(server, node)),
        ("IP", node.http.ip().to_string()),
        ("EditLogPort", "0".into()),
        ("HttpPort", node.http.port().to_string()),
        ("QueryPort", node.query.port().to_string()),
        ("RpcPort", "0".into()),
        ("Role", if leads { "LEADER" } else { "FOLLOWER" }.into()),
        ("ClusterId", "1".into()),
        ("Join", "true".into()),
        ("Alive", seen.alive),
        ("ReplayedJournalId", "1".into()),
        ("LastHeartbeat", seen.heartbeat),
        ("IsHelper", "true".into()),
        ("ErrMsg", seen.error),
        ("StartTime", seen.started),
        ("Version", server.cluster.settings.version.clone()),
    ]
}

fn doris_frontend(
    server: &Server,
    node: &Frontend,
    member: &Member,
    leads: bool,
    is_own: bool,
) -> [(&'static str, String); 19] {
    let seen = Seen::of(member);
    [
        ("Name", frontend_name(server, node)),
        ("Host", node.http.ip().to_string()),
        ("EditLogPort", "0".into()),
        ("HttpPort", node.http.port().to_string()),
        ("QueryPort", node.query.port().to_string()),
        ("RpcPort", "0".into()),
        ("ArrowFlightSqlPort", "-1".into()),
        ("Role", "FOLLOWER".into()),
        ("IsMaster", leads.to_string()),
        ("ClusterId", "1".into()),
        ("Join", "true".into()),
        ("Alive", seen.alive),
        ("ReplayedJournalId", "1".into()),
        ("LastStartTime", seen.started),
        ("LastHeartbeat", seen.heartbeat),
        ("IsHelper", "true".into()),
        ("ErrMsg", seen.error),
        ("Version", server.cluster.settings.version.clone()),
        ("CurrentConnected", if is_own { "Yes" } else { "No" }.into()),
    ]
}

/// `SHOW BACKENDS` (`BackendsProcDir` of both engines).
pub(crate) fn backends(server: &Server) -> Grid {
    let nodes = &server.cluster.nodes;
    let members = nodes.lock().backends.clone();
    let tablets = server.cluster.tables().len().to_string();
    let version = server.cluster.settings.version.as_str();
    let all = nodes.backends().zip(&members);
    match server.kind {
        EngineKind::StarRocks => {
            Grid::of_rows(all.map(|(node, member)| starrocks_backend(node, member, &tablets, version)))
        }
        EngineKind::Doris => Grid::of_rows(all.map(|(node, member)| doris_backend(node, member, &tablets, version))),
    }
}

fn starrocks_backend(node: Backend, member: &Member, tablets: &str, version: &str) -> [(&'static str, String); 30] {
    let seen = Seen::of(member);
    [
        ("BackendId", node.id().to_string()),
        ("IP", node.http.ip().to_string()),
        ("HeartbeatPort", "0".into()),
        ("BePort", "0".into()),
        ("HttpPort", node.http.port().to_string()),
        ("BrpcPort", "0".into()),
        ("LastStartTime", seen.started),
        ("LastHeartbeat", seen.heartbeat),
        ("Alive", seen.alive),
        ("SystemDecommissioned", "false".into()),
        ("ClusterDecommissioned", "false".into()),
        ("TabletNum", tablets.into()),
        ("DataUsedCapacity", "0.000 B".into()),
        ("AvailCapacity", "1.000 TB".into()),
        ("TotalCapacity", "1.000 TB".into()),
        ("UsedPct", "0.00 %".into()),
        ("MaxDiskUsedPct", "0.00 %".into()),
        ("ErrMsg", seen.error),
        ("Version", version.into()),
        ("Status", "{}".into()),
        ("DataTotalCapacity", "1.000 TB".into()),
        ("DataUsedPct", "0.00 %".into()),
        ("CpuCores", "1".into()),
        ("MemLimit", "1.000GB".into()),
        ("NumRunningQueries", "0".into()),
        ("MemUsedPct", "0.00 %".into()),
        ("CpuUsedPct", "0.0 %".into()),
        ("DataCacheMetrics", "N/A".into()),
        ("Location", String::new()),
        ("StatusCode", if member.is_alive { "OK" } else { "DISCONNECTED" }.into()),
    ]
}

fn doris_backend(node: Backend, member: &Member, tablets: &str, version: &str) -> [(&'static str, String); 28] {
    let seen = Seen::of(member);
    [
        ("BackendId", node.id().to_string()),
        ("Host", node.http.ip().to_string()),
        ("HeartbeatPort", "0".into()),
        ("BePort", "0".into()),
        ("HttpPort", node.http.port().to_string()),
        ("BrpcPort", "0".into()),
        ("ArrowFlightSqlPort", "-1".into()),
        ("LastStartTime", seen.started),
        ("LastHeartbeat", seen.heartbeat),
        ("Alive", seen.alive),
        ("SystemDecommissioned", "false".into()),
        ("TabletNum", tablets.into()),
        ("DataUsedCapacity", "0.000 ".into()),
        ("TrashUsedCapacity", "0.000 ".into()),
        ("AvailCapacity", "1.000 TB".into()),
        ("TotalCapacity", "1.000 TB".into()),
        ("UsedPct", "0.00 %".into()),
        ("MaxDiskUsedPct", "0.00 %".into()),
        ("RemoteUsedCapacity", "0.000 ".into()),
        ("Tag", "{\"location\" : \"default\"}".into()),
        ("ErrMsg", seen.error),
        ("Version", version.into()),
        ("Status", "{}".into()),
        ("HeartbeatFailureCounter", member.misses.to_string()),
        ("CpuCores", "1".into()),
        ("Memory", "1.00 GB".into()),
        ("RunningTasks", "0".into()),
        ("NodeRole", "mix".into()),
    ]
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
