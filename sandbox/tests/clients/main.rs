//! Clients that others wrote, as processes of their own: `curl` with the commands of the engines' manuals, JDBC drivers,
//! StarRocks' own loader for Java, a Doris sink. What isn't installed is left out by name; scripts/test repeats the lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[path = "../mysql/client.rs"]
#[allow(dead_code, reason = "shared with the tests of the MySQL interface")]
mod client;
mod doris_manual;
mod java;
mod jdbc;
mod sdk;
mod seatunnel;
mod shell;
mod starrocks_manual;
#[path = "../support/watch.rs"]
mod watch;
