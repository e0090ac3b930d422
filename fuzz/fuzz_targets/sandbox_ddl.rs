//! DDL; what it checks is in `targets/ddl.rs`.

#![no_main]

#[path = "../targets/ddl.rs"]
mod ddl;

libfuzzer_sys::fuzz_target!(|data: &[u8]| ddl::run(data));
