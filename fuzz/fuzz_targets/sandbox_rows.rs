//! Bodies of loads, cut anyhow; what it checks is in `targets/rows.rs`.

#![no_main]

#[path = "../targets/house.rs"]
#[allow(dead_code, reason = "not every target knocks at every port")]
mod house;
#[path = "../targets/rows.rs"]
mod rows;

libfuzzer_sys::fuzz_target!(|data: &[u8]| rows::run(data));
