//! MySQL packets; what it checks is in `targets/mysql.rs`.

#![no_main]

#[path = "../targets/house.rs"]
#[allow(dead_code, reason = "not every target knocks at every port")]
mod house;
#[path = "../targets/mysql.rs"]
mod mysql;

libfuzzer_sys::fuzz_target!(|data: &[u8]| mysql::run(data));
