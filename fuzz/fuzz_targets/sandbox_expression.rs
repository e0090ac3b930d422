//! Expressions in load headers; what it checks is in `targets/expression.rs`.

#![no_main]

#[path = "../targets/house.rs"]
#[allow(dead_code, reason = "not every target knocks at every port")]
mod house;
#[path = "../targets/expression.rs"]
mod expression;

libfuzzer_sys::fuzz_target!(|data: &[u8]| expression::run(data));
