//! The fuzz targets for a few seconds on stable: each input of the corpus as it is, then changed by a seeded generator.
//! `scripts/fuzz` runs them for as long as you like.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]
#![allow(clippy::print_stderr, reason = "the input that fails is shown")]

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

#[path = "../../../fuzz/targets/ddl.rs"]
mod ddl;
#[path = "../../../fuzz/targets/expression.rs"]
mod expression;
#[path = "../../../fuzz/targets/house.rs"]
mod house;
#[path = "../../../fuzz/targets/http.rs"]
mod http;
#[path = "../../../fuzz/targets/mysql.rs"]
mod mysql;
#[path = "../../../fuzz/targets/rows.rs"]
mod rows;
#[path = "../../../fuzz/targets/sql.rs"]
mod sql;
#[path = "../support/watch.rs"]
mod watch;

/// Longest input that a change makes.
const BYTES_MAX: usize = 4096;

/// A xorshift generator.
struct Noise(u64);

impl Noise {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).unwrap()
    }

    /// Changes an input in a few places; `other` gives pieces.
    fn change(&mut self, input: &[u8], other: &[u8]) -> Vec<u8> {
        let mut out = input.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(out.len() + 1);
            let end = (at + self.below(16)).min(out.len());
            match self.below(5) {
                0 => out.truncate(at),
                1 => drop(out.drain(at..end)),
                2 => {
                    let from = self.below(other.len());
                    let to = (from + self.below(64)).min(other.len());
                    out.splice(at..at, other[from..to].iter().copied());
                }
                3 => {
                    let piece = out[at..end].repeat(1 + self.below(40));
                    out.splice(at..end, piece);
                }
                _ => {
                    let byte = self.below(256).to_le_bytes()[0];
                    out.splice(at..(at + 1).min(out.len()), [byte]);
                }
            }
        }
        out.truncate(BYTES_MAX);
        out
    }
}

/// Runs a target on its corpus, then `rounds` times on a changed input.
fn replay(target: &str, rounds: usize, run: fn(&[u8])) {
    watch::panics_are_fatal();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> = std::fs::read_dir(&corpus).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let inputs: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    assert!(inputs.len() >= 5, "only {} inputs in {}", inputs.len(), corpus.display());
    let take = |input: &[u8]| {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| run(input))) {
            eprintln!("{target} fails on b\"{}\"", input.escape_ascii());
            resume_unwind(cause);
        }
    };
    inputs.iter().for_each(|input| take(input));
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..rounds {
        let (input, other) = (&inputs[noise.below(inputs.len())], &inputs[noise.below(inputs.len())]);
        take(&noise.change(input, other));
    }
}

#[test]
fn sandbox_ddl() {
    replay("sandbox_ddl", 5000, ddl::run);
}

#[test]
fn sandbox_expression() {
    replay("sandbox_expression", 5000, expression::run);
}

#[test]
fn sandbox_rows() {
    replay("sandbox_rows", 3000, rows::run);
}

#[test]
fn sandbox_http() {
    replay("sandbox_http", 300, http::run);
}

#[test]
fn sandbox_sql() {
    replay("sandbox_sql", 500, sql::run);
}

#[test]
fn sandbox_mysql() {
    replay("sandbox_mysql", 300, mysql::run);
}
