//! The sandbox over raw HTTP, as a client of the engines sees it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod deaths;
mod doris;
mod faults;
mod faults_wire;
mod hostile;
mod loads;
mod profiles;
mod questions;
mod starrocks;
mod support;
mod topology;
mod types;
#[path = "../support/watch.rs"]
mod watch;
mod wire;
