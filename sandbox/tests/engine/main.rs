//! The sandbox over raw HTTP, as a client of the engines sees it.

mod doris;
mod starrocks;
mod support;
mod types;
mod wire;
