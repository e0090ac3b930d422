//! What a frontend tells of itself when it is asked in SQL: settings and the loads that it remembers.

use crate::cluster::Cluster;
use crate::store::View;
use crate::table::EngineKind;
use crate::transactions::{State, Transaction};

/// Names and values of the settings that a sandbox has, under the engine's own names.
pub(crate) fn settings(cluster: &Cluster, kind: EngineKind) -> [(&'static str, String); 4] {
    let settings = &cluster.settings;
    let keep = settings.label_keep.as_secs().to_string();
    let prepared = settings.prepared_timeout.as_secs().to_string();
    let count = settings.label_keep_max.to_string();
    let running = ("max_running_txn_num_per_db", settings.max_running.to_string());
    match kind {
        EngineKind::StarRocks => [
            ("label_keep_max_second", keep),
            ("label_keep_max_num", count),
            ("prepared_transaction_default_timeout_second", prepared),
            running,
        ],
        EngineKind::Doris => [
            ("streaming_label_keep_max_second", keep),
            ("label_num_threshold", count),
            ("stream_load_default_precommit_timeout_second", prepared),
            running,
        ],
    }
}

/// StarRocks' load history: `information_schema.loads` (what the frontend remembers) and `_statistics_.loads_history`
/// (finished loads, which outlive their labels). Columns and states as in `StreamLoadTask` and `LoadsHistorySyncer`; the
/// real history lags behind by up to two minutes.
pub(crate) fn load_history(cluster: &Cluster) -> Vec<View> {
    let remembered = cluster.transactions();
    let finished = remembered.iter().filter(|t| t.state.is_finished()).cloned();
    let history: Vec<Transaction> = cluster.forgotten().into_iter().chain(finished).collect();
    let view = |schema: &str, table: &str, of: &[Transaction]| View {
        schema: String::from(schema),
        table: String::from(table),
        columns: ["label", "db_name", "table_name", "state"].map(|name| (name.to_owned(), false)).to_vec(),
        rows: of.iter().map(loads_row).collect(),
    };
    vec![view("information_schema", "loads", &remembered), view("_statistics_", "loads_history", &history)]
}

fn loads_row(transaction: &Transaction) -> Vec<Option<String>> {
    let state = match transaction.state {
        State::Prepare => "LOADING",
        State::Prepared => "PREPARED",
        State::Committed => "COMMITED",
        State::Visible => "FINISHED",
        State::Aborted => "CANCELLED",
    };
    let Transaction { label, database, table, .. } = transaction;
    vec![Some(label.clone()), Some(database.clone()), Some(table.clone()), Some(state.to_owned())]
}

/// SQL's LIKE, `%` only.
pub(crate) fn is_like(text: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('%') else { return text == pattern };
    let Some(text) = text.strip_prefix(first) else { return false };
    (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| is_like(&text[at..], rest))
}

/// The text in quotes that a statement ends with.
pub(crate) fn last_text(sql: &str) -> Option<&str> {
    let sql = sql.trim_end().trim_end_matches(';').trim_end();
    let inner = sql.strip_suffix(['\'', '"'])?;
    let start = inner.rfind(['\'', '"'])?;
    inner.get(start + 1..)
}

/// True if the statement begins with these words, in any case and with any space between them.
pub(crate) fn begins_with(sql: &str, words: &str) -> bool {
    let mut said = sql.trim_end().trim_end_matches(';').split_whitespace();
    words.split(' ').all(|word| said.next().is_some_and(|next| next.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, is) in [
            ("a%c", "abc", true),
            ("a%c", "ac", true),
            ("a%c", "acd", false),
            ("%-7-%", "load-7-1", true),
            ("%-7-%", "load-8-1", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("%", "", true),
            ("é%", "éa", true),
        ] {
            assert_eq!(is_like(text, pattern), is, "{text} LIKE {pattern}");
        }
    }

    #[test]
    fn statements_are_told_by_their_words() {
        assert!(begins_with("admin  SHOW\nfrontend config like 'x'", "ADMIN SHOW FRONTEND CONFIG"));
        assert!(!begins_with("ADMIN SET FRONTEND CONFIG", "ADMIN SHOW FRONTEND CONFIG"));
        assert_eq!(last_text("SHOW x LIKE 'a%';"), Some("a%"));
        assert_eq!(last_text("SHOW x"), None);
    }
}
