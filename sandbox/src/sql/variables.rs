//! Session variables: those that clients and drivers read or set when they connect, and a few of the engines' own.

use std::collections::BTreeMap;

use super::error::SqlError;
use super::version;
use crate::table::EngineKind;

/// Names and values that both engines start a session with (StarRocks and Doris `SessionVariable`, `GlobalVariable`).
const COMMON: &[(&str, &str)] = &[
    ("auto_increment_increment", "1"),
    ("autocommit", "1"),
    ("character_set_client", "utf8"),
    ("character_set_connection", "utf8"),
    ("character_set_database", "utf8"),
    ("character_set_results", "utf8"),
    ("character_set_server", "utf8"),
    ("collation_connection", "utf8_general_ci"),
    ("collation_database", "utf8_general_ci"),
    ("collation_server", "utf8_general_ci"),
    ("div_precision_increment", "4"),
    ("enable_profile", "0"),
    ("exec_mem_limit", "2147483648"),
    ("init_connect", ""),
    ("interactive_timeout", "3600"),
    ("language", "/starrocks/share/english/"),
    ("license", "Apache License 2.0"),
    ("lower_case_table_names", "0"),
    ("max_allowed_packet", "16777216"),
    ("net_buffer_length", "16384"),
    ("net_read_timeout", "60"),
    ("net_write_timeout", "60"),
    ("performance_schema", "0"),
    ("query_cache_size", "1048576"),
    ("query_cache_type", "0"),
    ("query_timeout", "300"),
    ("sql_auto_is_null", "0"),
    ("sql_mode", ""),
    ("sql_safe_updates", "0"),
    ("sql_select_limit", "9223372036854775807"),
    ("storage_engine", "olap"),
    ("system_time_zone", "UTC"),
    ("time_zone", "UTC"),
    ("transaction_isolation", "REPEATABLE-READ"),
    ("transaction_read_only", "0"),
    ("tx_isolation", "REPEATABLE-READ"),
    ("tx_read_only", "0"),
    ("wait_timeout", "28800"),
];

/// What can't be set by a session.
const READ_ONLY: &[&str] = &["version", "version_comment", "license", "lower_case_table_names", "system_time_zone"];

/// Values that would change what a statement means and aren't imitated.
const SQL_MODES_REFUSED: &[&str] = &["ANSI_QUOTES", "NO_BACKSLASH_ESCAPES", "PIPES_AS_CONCAT", "ANSI"];

/// Longest value that a session may set.
const VALUE_MAX_BYTES: usize = 4096;

/// The variables of one session.
#[derive(Clone, Debug)]
pub(crate) struct Variables {
    values: BTreeMap<String, String>,
    at_start: BTreeMap<String, String>,
}

impl Variables {
    /// What a session starts with.
    pub(crate) fn new(kind: EngineKind, version: &str) -> Self {
        let mut values: BTreeMap<String, String> =
            COMMON.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        values.insert("version".to_owned(), version::mysql(kind).to_owned());
        values.insert("version_comment".to_owned(), version::comment(kind, version));
        match kind {
            EngineKind::StarRocks => values.insert("sql_mode".to_owned(), "ONLY_FULL_GROUP_BY".to_owned()),
            EngineKind::Doris => values.insert("language".to_owned(), "/palo/share/english/".to_owned()),
        };
        Self { at_start: values.clone(), values }
    }

    /// The value of a name in any case.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.values.get(&name.to_lowercase()).cloned()
    }

    /// All names and values, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&String, &String)> {
        self.values.iter()
    }

    /// Sets a variable to what the session started with.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub(crate) fn reset(&mut self, name: &str) -> Result<(), SqlError> {
        let value = self.at_start.get(&name.to_lowercase()).cloned();
        self.set(name, &value.unwrap_or_default())
    }

    /// Sets a variable for the session.
    ///
    /// # Errors
    /// As the engines: for unknown and read-only names; and for values that would change what statements mean.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        let name = name.to_lowercase();
        let Some(held) = self.values.get_mut(&name) else {
            return Err(SqlError::unknown_variable(&name));
        };
        if READ_ONLY.contains(&name.as_str()) {
            return Err(SqlError::new(1621, "HY000", format!("Variable '{name}' is a read only variable")));
        }
        let wrong =
            || SqlError::new(1231, "42000", format!("Variable '{name}' can't be set to the value of '{value}'"));
        if name == "time_zone" && !["UTC", "SYSTEM", "+00:00", "+0:00", "Etc/UTC"].contains(&value) {
            let text = format!("Unknown or incorrect time zone: '{value}' (the sandbox knows UTC)");
            return Err(SqlError::new(1298, "HY000", text));
        }
        let modes = value.split(',').map(str::trim);
        if name == "sql_mode" && modes.into_iter().any(|mode| SQL_MODES_REFUSED.contains(&mode.to_uppercase().as_str()))
        {
            return Err(wrong());
        }
        if name == "sql_select_limit" && value.parse::<i64>().map_or(true, |limit| limit < 0) {
            return Err(wrong());
        }
        if value.len() > VALUE_MAX_BYTES {
            return Err(wrong());
        }
        value.clone_into(held);
        Ok(())
    }

    /// Rows that a SELECT without a LIMIT may give; `None` for all.
    pub(crate) fn select_limit(&self) -> Option<u64> {
        let limit = self.get("sql_select_limit")?.parse().ok()?;
        (limit < u64::try_from(i64::MAX).unwrap_or(u64::MAX)).then_some(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_set() {
        let mut variables = Variables::new(EngineKind::StarRocks, "4.0.7");
        assert_eq!(variables.select_limit(), None);
        variables.set("SQL_SELECT_LIMIT", "10").unwrap();
        assert_eq!(variables.select_limit(), Some(10));
        let cases = [
            ("nonsense", "1", 1193),
            ("version_comment", "x", 1621),
            ("sql_mode", "STRICT_TRANS_TABLES,ansi_quotes", 1231),
            ("time_zone", "Asia/Shanghai", 1298),
            ("sql_select_limit", "many", 1231),
        ];
        for (name, value, code) in cases {
            assert_eq!(variables.set(name, value).unwrap_err().code, code, "{name}");
        }
        variables.set("sql_mode", "STRICT_TRANS_TABLES").unwrap();
        assert_eq!(variables.get("SQL_MODE").as_deref(), Some("STRICT_TRANS_TABLES"));
    }
}
