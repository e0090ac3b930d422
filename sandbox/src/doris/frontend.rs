//! A Doris frontend: redirects loads and second phases, answers for states, backends and schemas.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::{Method, Response, StatusCode};
use serde_json::json as value;

use super::{envelope, sql, state_name};
use crate::auth::{Login, credentials};
use crate::cluster::{Cluster, StepError};
use crate::faults::{Asked, Call, Node, under};
use crate::http::{
    HangUp, HttpRequest, HttpResponse, Object, header, json, path_pieces, percent_encode, query_parameter, read_small,
    text,
};
use crate::nodes::Backend;
use crate::sql::Server;
use crate::table::{ColumnType, Model};
use crate::transactions::State;

/// No backend runs (`SystemInfoService.NO_BACKEND_LOAD_AVAILABLE_MSG`, with `BeSelectionPolicy`'s text).
const NO_BACKEND: &str = "No backend available for load, please check the status of your backends., policy: \
     computeNode=false | query=false | load=true | schedule=false | tags={\"location\" : \"default\"} | medium=null";

/// What a frontend does with a request.
enum Decision {
    Answer(HttpResponse),
    Redirect(Call),
    ToMaster,
    Act(Call, Act),
}

/// Steps that a frontend takes by itself.
enum Act {
    State { database: String, label: String },
    Cancel { database: String, label: String },
    Query(Option<Bytes>),
    Config,
}

/// Answers a request.
pub(crate) async fn answer(server: Arc<Server>, request: HttpRequest) -> Result<HttpResponse, HangUp> {
    let cluster = &server.cluster;
    let asked = Asked::of(&request);
    let refuse = |status: Option<&str>, message: &str| failed_as(status.unwrap_or("FAILED"), message);
    let decision = match refuse_login(cluster.login(request.headers())) {
        Some(refusal) => Decision::Answer(refusal),
        None if is_query(&request) => {
            let body = read_small(request.into_body(), sql::BODY_MAX_BYTES).await;
            let met = asked.acts(Call::Query, Node::Frontend, server.frontend);
            return under(cluster, met, refuse, async { Ok(perform(&server, Act::Query(body)).await) }).await;
        }
        None => decide(&server, &request),
    };
    match decision {
        Decision::Answer(response) => Ok(response),
        Decision::Redirect(call) => {
            under(cluster, asked.redirects(call, server.frontend), refuse, async {
                Ok(match cluster.nodes.choose_backend() {
                    Some(backend) => redirect(backend.http, &request),
                    None => failed_as("FAILED", NO_BACKEND),
                })
            })
            .await
        }
        Decision::ToMaster => Ok(redirect(cluster.nodes.last_leader().http, &request)),
        Decision::Act(call, act) => {
            under(cluster, asked.acts(call, Node::Frontend, server.frontend), refuse, async {
                Ok(perform(&server, act).await)
            })
            .await
        }
    }
}

fn refuse_login(login: Login) -> Option<HttpResponse> {
    let text = match login {
        Login::Granted => return None,
        Login::Missing => "Need auth information.".to_owned(),
        Login::Denied(user) => format!("Access denied for user '{user}' (using password: YES)"),
    };
    Some(envelope("Unauthorized", 401, text))
}

fn failed_as(status: &str, message: &str) -> HttpResponse {
    json(&Object::new().with("status", status).with("msg", message))
}

fn failed(message: &str) -> Decision {
    Decision::Answer(failed_as("FAILED", message))
}

fn decide(server: &Server, request: &HttpRequest) -> Decision {
    let cluster = &server.cluster;
    let pieces = path_pieces(request);
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    match (request.method(), pieces.as_slice()) {
        (&Method::PUT, ["api", _, _, "_stream_load"]) => {
            let group_commit = header(request.headers(), "group_commit").map(str::to_ascii_lowercase);
            match (header(request.headers(), "expect"), group_commit.as_deref()) {
                (None, _) => failed("There is no 100-continue header"),
                (Some(_), None | Some("sync_mode" | "async_mode" | "off_mode")) => Decision::Redirect(Call::Load),
                (Some(_), Some(_)) => {
                    failed("Header `group_commit` can only be `sync_mode`, `async_mode` or `off_mode`.")
                }
            }
        }
        (&Method::PUT, ["api", _, "_stream_load_2pc"] | ["api", _, _, "_stream_load_2pc"]) => {
            second_phase(cluster, request)
        }
        (&Method::GET, ["api", _, "get_load_state"]) | (&Method::POST, ["api", _, "_cancel"])
            if server.leader_elsewhere().is_some() =>
        {
            Decision::ToMaster
        }
        (&Method::GET, ["api", database, "get_load_state"]) => match query_parameter(request, "label") {
            Some(label) => Decision::Act(Call::State, Act::State { database: (*database).to_owned(), label }),
            None => Decision::Answer(envelope("Bad Request", 403, "No label selected")),
        },
        (&Method::POST, ["api", database, "_cancel"]) => match query_parameter(request, "label") {
            Some(label) => Decision::Act(Call::Cancel, Act::Cancel { database: (*database).to_owned(), label }),
            None => Decision::Answer(envelope("Bad Request", 403, "No label selected")),
        },
        (&Method::GET, ["api", "backends"]) => {
            let wants_alive = query_parameter(request, "is_alive").is_some_and(|v| v.eq_ignore_ascii_case("true"));
            Decision::Answer(backends(cluster, wants_alive))
        }
        (&Method::GET, ["rest", "v1", "config", "fe"]) => Decision::Act(Call::Query, Act::Config),
        (&Method::GET, ["api", database, table, "_schema"]) => Decision::Answer(schema(cluster, database, table)),
        _ => Decision::Answer(text(StatusCode::NOT_FOUND, "Not Found")),
    }
}

fn is_query(request: &HttpRequest) -> bool {
    let pieces = path_pieces(request);
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    matches!((request.method(), pieces.as_slice()), (&Method::POST, ["api", "query", _, _]))
}

fn second_phase(cluster: &Cluster, request: &HttpRequest) -> Decision {
    let has = |name| header(request.headers(), name).is_some_and(|v| !v.is_empty());
    if !has("txn_id") && !cluster.profile.commits_by_label() {
        return failed("No transaction id selected.");
    }
    if !has("txn_id") && !has("label") {
        return failed("No transaction id or label selected.");
    }
    match header(request.headers(), "txn_operation") {
        None | Some("") => failed("No transaction operation('commit' or 'abort') selected."),
        Some("abort") => Decision::Redirect(Call::Rollback),
        Some(_) => Decision::Redirect(Call::Commit),
    }
}

fn backends(cluster: &Cluster, wants_alive: bool) -> HttpResponse {
    let row = |backend: Backend| {
        let is_alive = cluster.nodes.is_alive(backend);
        let row = value!({"ip": backend.http.ip().to_string(), "http_port": backend.http.port(), "is_alive": is_alive});
        (is_alive || !wants_alive).then_some(row)
    };
    let rows: Vec<_> = cluster.nodes.backends().filter_map(row).collect();
    envelope("success", 0, value!({"backends": rows}))
}

/// The same path on another node, with the credentials in it, as Doris sends it.
fn redirect(node: SocketAddr, request: &HttpRequest) -> HttpResponse {
    let path = request.uri().path_and_query().map_or("/", |p| p.as_str());
    let userinfo = credentials(request.headers())
        .map(|(user, password)| format!("{}:{}@", percent_encode(&user), percent_encode(&password)))
        .unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::new()));
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html;charset=utf-8"));
    if let Ok(location) = format!("http://{userinfo}{node}{path}").parse() {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

async fn perform(server: &Server, act: Act) -> HttpResponse {
    let cluster = &server.cluster;
    match act {
        Act::Query(body) => sql::answer(server, body).await,
        Act::Config => sql::config(server),
        Act::State { database, label } => {
            if !cluster.has_database(&database) {
                return envelope("Error", 1, format!("unknown database, database={database}"));
            }
            let found = cluster.newest(&database, &label).await;
            envelope("success", 0, found.map_or("UNKNOWN", |t| state_name(t.state)))
        }
        Act::Cancel { database, label } => {
            let found = cluster.newest(&database, &label).await.filter(|t| t.state == State::Prepare);
            let Some(found) = found else {
                return envelope("Error", 1, format!("transaction not found: {label}"));
            };
            match cluster.abort(found.id, "user cancel").await {
                Ok(_) => envelope("success", 0, value!({})),
                Err(StepError::Refused(_)) => envelope("Error", 1, format!("transaction not found: {label}")),
                Err(error @ (StepError::Store(_) | StepError::NoLeader(_) | StepError::Forced(_))) => {
                    envelope("Error", 1, error.to_string())
                }
            }
        }
    }
}

fn schema(cluster: &Cluster, database: &str, table: &str) -> HttpResponse {
    let Some(table) = cluster.table(database, table) else {
        return envelope("Error", 1, format!("Unknown table '{table}'"));
    };
    let columns: Vec<_> = table
        .columns
        .iter()
        .map(|column| {
            let ty = column.ty.to_string();
            let name = ty.split('(').next().unwrap_or_default();
            let mut shown = value!({"name": column.name, "type": name, "comment": "", "aggregation_type": ""});
            if let ColumnType::Decimal { precision, scale } = column.ty {
                shown["precision"] = precision.to_string().into();
                shown["scale"] = scale.to_string().into();
            }
            shown
        })
        .collect();
    let keys = match table.model {
        Model::Unique => "UNIQUE_KEYS",
        Model::Duplicate => "DUP_KEYS",
        Model::Aggregate => "AGG_KEYS",
    };
    envelope("success", 0, value!({"status": 200, "tableType": "OLAP", "keysType": keys, "properties": columns}))
}
