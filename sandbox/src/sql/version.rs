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

/// `@@version_comment`, which the `mysql` client shows in its greeting.
pub(crate) fn comment(kind: EngineKind, version: &str) -> String {
    format!("{kind} version {version}")
}
