//! HTTP at the sandbox's ports; what it checks is in `targets/http.rs`.

#![no_main]

#[path = "../targets/house.rs"]
#[allow(dead_code, reason = "not every target knocks at every port")]
mod house;
#[path = "../targets/http.rs"]
mod http;

libfuzzer_sys::fuzz_target!(|data: &[u8]| http::run(data));
