//! DDL: it declares tables or is refused at a place inside of it.
//!
//! The first byte chooses the engine, the rest is the DDL.

use loadlock_sandbox::{EngineKind, Sandbox};

/// Takes one input.
pub(crate) fn run(data: &[u8]) {
    let Some((choice, text)) = data.split_first() else { return };
    let Ok(text) = str::from_utf8(text) else { return };
    let kind = if choice & 1 == 0 { EngineKind::StarRocks } else { EngineKind::Doris };
    match Sandbox::builder(kind).ddl(text).tables() {
        Ok(tables) => assert!(tables.iter().all(|name| name.contains('.')), "{tables:?}"),
        Err(error) => {
            let lines = text.lines().count() as u64 + 2;
            assert!((1..=lines).contains(&error.line) && error.column >= 1, "{error}");
        }
    }
}
