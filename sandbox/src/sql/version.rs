//! Which versions a sandbox says that it is.

use crate::table::EngineKind;

/// What the MySQL handshake and `version()` say (StarRocks `GlobalVariable.version`, Doris
/// `MysqlHandshakePacket.SERVER_VERSION`).
pub(crate) fn mysql(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::StarRocks => "8.0.33",
        EngineKind::Doris => "5.7.99",
    }
}

/// The engine's own version, as StarRocks' `current_version()` and the node lists give it.
pub(crate) fn engine(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::StarRocks => "4.0.7-sandbox",
        EngineKind::Doris => "doris-3.0.8-rc01-sandbox",
    }
}

/// `@@version_comment`, which the `mysql` client shows in its greeting.
pub(crate) fn comment(kind: EngineKind) -> String {
    match kind {
        EngineKind::StarRocks => format!("StarRocks version {}", engine(kind)),
        EngineKind::Doris => format!("Doris version {}", engine(kind)),
    }
}
