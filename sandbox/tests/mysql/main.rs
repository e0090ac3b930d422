//! The frontend's MySQL interface, as clients see it: packet by packet, and through clients that others wrote.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod client;
mod hostile;
mod login;
mod others;
mod statements;
#[path = "../support/watch.rs"]
mod watch;
