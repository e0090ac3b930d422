//! SQL statements; what it checks is in `targets/sql.rs`.

#![no_main]

#[path = "../targets/house.rs"]
#[allow(dead_code, reason = "not every target knocks at every port")]
mod house;
#[path = "../targets/sql.rs"]
mod sql;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sql::run(data));
