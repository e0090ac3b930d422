//! What an engine's version and settings mean for the pipelines.

use std::time::Duration;

use super::version::{ABORT_BY_LABEL, PREPARED_BY_LOAD, Version, loses_prepared_loads};
use super::{Asked, Finding, Need, Reader};
use crate::config::{EngineKind, show_duration};

/// A pipeline that was interrupted should have so long to be started again before the engine forgets its loads.
const REMEMBERED_MIN: Duration = Duration::from_secs(30 * 60);

/// A prepared load should outlive a restart of everything.
const PREPARED_MIN: Duration = Duration::from_secs(10 * 60);

/// A pipeline has two batches at most.
const BATCHES: i64 = 2;

/// What an engine has told.
#[derive(Clone, Debug)]
pub struct EngineFacts {
    /// Its version, in its own words, or why it is not known.
    pub version: Result<String, String>,
    /// Settings of the frontends.
    pub settings: Asked,
}

/// Names and defaults of the settings, by engine.
struct Names {
    engine: &'static str,
    keep: (&'static str, i64),
    count: (&'static str, i64),
    prepared: (&'static str, i64),
    running: (&'static str, i64),
    right: &'static str,
}

/// Defaults of StarRocks 3 and 4.
const STARROCKS: Names = Names {
    engine: "StarRocks",
    keep: ("label_keep_max_second", 259_200),
    count: ("label_keep_max_num", 1000),
    prepared: ("prepared_transaction_default_timeout_second", 86_400),
    running: ("max_running_txn_num_per_db", 1000),
    right: "GRANT OPERATE ON SYSTEM lets the user ask (StarRocks 3.2 and later)",
};

/// Defaults of Doris 2 and 3; the smaller ones where they differ.
const DORIS: Names = Names {
    engine: "Doris",
    keep: ("streaming_label_keep_max_second", 43_200),
    count: ("label_num_threshold", 2000),
    prepared: ("stream_load_default_precommit_timeout_second", 3600),
    running: ("max_running_txn_num_per_db", 1000),
    right: "ADMIN_PRIV lets the user ask",
};

impl Names {
    fn of(kind: EngineKind) -> &'static Self {
        match kind {
            EngineKind::StarRocks => &STARROCKS,
            EngineKind::Doris => &DORIS,
        }
    }
}

/// Settings that are worth asking for.
pub(super) fn settings(kind: EngineKind) -> [&'static str; 4] {
    let names = Names::of(kind);
    [names.keep.0, names.count.0, names.prepared.0, names.running.0]
}

/// What the facts mean for these needs.
pub(super) fn findings(need: &Need, facts: &EngineFacts) -> Vec<Finding> {
    let names = Names::of(need.engine);
    let version = facts.version.as_deref().ok().and_then(Version::find);
    let mut reader = Reader::new(&facts.settings);
    let mut read = |(name, default)| reader.number(name, default);
    let (keep, count) = (read(names.keep), read(names.count));
    let (prepared, running) = (read(names.prepared), read(names.running));

    let mut findings = hazards(need, facts, version);
    findings.extend(label_age(names, keep));
    findings.extend(label_count(need, names, count));
    findings.extend(prepared_life(need, names, version, prepared));
    let found = reader.has(names.running.0);
    findings.extend(running_loads(need, names, running).into_iter().map(|finding| finding.if_found(found)));
    findings.extend(reader.not_asked(names.engine, names.right));
    findings
}

fn hazards(need: &Need, facts: &EngineFacts, version: Option<Version>) -> Vec<Finding> {
    let said = match &facts.version {
        Err(why) if why.contains("HTTP 401") => {
            let what = format!("the engine refuses the login ({why}); it will refuse every load");
            return vec![Finding::warn("engine-login", what, "look at engine.user and engine.password")];
        }
        Err(why) => {
            let what = format!(
                "the engine's version could not be asked ({why}): known faults of it, lost positions and traces of forgotten loads are not noticed"
            );
            let remedy = "let the user ask in SQL over the frontend's HTTP port (StarRocks 3.2 and later)";
            return vec![Finding::note("engine-version", what, remedy)];
        }
        Ok(said) => said,
    };
    let Some(version) = version else {
        let what = format!("the engine's version is {said:?}, which is no release; known faults of it are not noticed");
        return vec![Finding::note("engine-version", what, "use a release")];
    };
    let mut findings = Vec::new();
    match need.engine {
        EngineKind::StarRocks => {
            if let Some(mended) = loses_prepared_loads(version) {
                let what = format!(
                    "StarRocks {version} can't commit what was prepared before its leading frontend was restarted or \
                     changed: such a batch is aborted and loaded again, the second in a row stops the pipeline"
                );
                findings.push(Finding::warn("engine-version", what, format!("update to {mended} or later")));
            }
        }
        EngineKind::Doris => {
            if version < ABORT_BY_LABEL {
                let what = format!(
                    "Doris {version} aborts by transaction id only: a load whose answer was lost stays open until its \
                     time-out and holds back schema changes until then"
                );
                findings.push(Finding::warn("engine-version", what, format!("update to {ABORT_BY_LABEL} or later")));
            }
            if said.contains("Cloud Mode") {
                let what = "Doris in cloud mode refuses two-phase loads into unique-key tables with merge-on-write: a \
                            pipeline that feeds one stops with load-refused";
                findings.push(Finding::note("engine-version", what, "use merge-on-read or duplicate-key tables"));
            }
        }
    }
    findings
}

fn label_age(names: &Names, keep: i64) -> Option<Finding> {
    let kept = Duration::from_secs(u64::try_from(keep).ok()?);
    let what = format!(
        "{} forgets finished loads after {} ({} = {keep}): a pipeline that was interrupted at a commit and is started later \
         may stop with outcome-unknown",
        names.engine,
        show_duration(kept),
        names.keep.0,
    );
    (kept < REMEMBERED_MIN).then(|| Finding::warn("label-age", what, raise(names.keep.0, REMEMBERED_MIN.as_secs())))
}

/// Each table gets a load at least every `batch.age` while there is something to load.
fn label_count(need: &Need, names: &Names, count: i64) -> Vec<Finding> {
    let Ok(count) = u32::try_from(count) else { return Vec::new() };
    let short = |(database, tables): (&str, u32)| {
        let remembered = need.age.saturating_mul(count) / tables.max(1);
        let enough = REMEMBERED_MIN.as_millis() * u128::from(tables) / need.age.as_millis().max(1);
        let what = format!(
            "{} remembers {count} finished loads per database ({}), and {tables} tables of {database} get one every {} \
             each: a load is forgotten after {} s or sooner. A pipeline that was interrupted at a commit and is started \
             later than that, while others go on, may stop with outcome-unknown",
            names.engine,
            names.count.0,
            show_duration(need.age),
            remembered.as_secs(),
        );
        (remembered < REMEMBERED_MIN).then(|| {
            let remedy = format!("{}, make batch.age longer, or use more databases", raise(names.count.0, enough));
            Finding::warn("label-count", what, remedy)
        })
    };
    need.databases().into_iter().filter_map(short).collect()
}

fn prepared_life(need: &Need, names: &Names, version: Option<Version>, seconds: i64) -> Option<Finding> {
    let setting = Duration::from_secs(u64::try_from(seconds).ok()?);
    let by_load = need.engine == EngineKind::StarRocks && version.is_some_and(|version| version >= PREPARED_BY_LOAD);
    if by_load {
        let what = format!(
            "engine.timeouts.prepared is {}: a prepared load that waits longer, because Kafka or the process is away, is \
             aborted by the engine and loaded again",
            show_duration(need.prepared)
        );
        let remedy = format!("make it {} or longer", show_duration(PREPARED_MIN));
        return (need.prepared < PREPARED_MIN).then(|| Finding::warn("prepared-time-out", what, remedy));
    }
    let what = format!(
        "{} ends prepared loads after {} ({} = {seconds}): one that waits longer, because Kafka or the process is away, is \
         aborted and loaded again",
        names.engine,
        show_duration(setting),
        names.prepared.0,
    );
    if setting < PREPARED_MIN {
        return Some(Finding::warn("prepared-time-out", what, raise(names.prepared.0, PREPARED_MIN.as_secs())));
    }
    let ignored = need.engine == EngineKind::StarRocks && version.is_some() && setting < need.prepared;
    let what = format!(
        "{what}; engine.timeouts.prepared ({}) has no effect before StarRocks {PREPARED_BY_LOAD}",
        show_duration(need.prepared)
    );
    ignored.then(|| Finding::note("prepared-time-out", what, raise(names.prepared.0, need.prepared.as_secs())))
}

fn running_loads(need: &Need, names: &Names, cap: i64) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pipeline in &need.pipelines {
        for (database, tables) in pipeline.tables.iter().filter(|(_, tables)| i64::from(**tables) > cap) {
            let what = format!(
                "a batch needs a transaction for each of {tables} tables of {database} at once, and {} allows {cap} per \
                 database ({}): no batch could ever be prepared",
                names.engine, names.running.0
            );
            let remedy = raise(names.running.0, i64::from(*tables) * BATCHES);
            findings.push(Finding::refuse("running-transactions", what, remedy).of(&pipeline.topic));
        }
    }
    for (database, tables) in need.databases().into_iter().filter(|(_, tables)| i64::from(*tables) * BATCHES > cap) {
        let wanted = i64::from(tables) * BATCHES;
        let what = format!(
            "this process alone can have {wanted} transactions open in {database}, and {} allows {cap} per database \
             ({}): loads will be refused and tried again later",
            names.engine, names.running.0
        );
        findings.push(Finding::warn("running-transactions", what, raise(names.running.0, wanted)));
    }
    findings
}

fn raise(setting: &str, least: impl std::fmt::Display) -> String {
    format!("set {setting} to {least} or more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preflight::{PipelineNeed, Severity};
    use std::collections::BTreeMap;

    fn need(engine: EngineKind, tables: u32) -> Need {
        let tables = BTreeMap::from([("d".into(), tables)]);
        let (prepared, age) = (Duration::from_secs(86_400), Duration::from_secs(5));
        Need { engine, prepared, age, session: None, pipelines: vec![PipelineNeed { topic: "t".into(), tables }] }
    }

    fn facts(version: &str, settings: &[(&str, &str)]) -> EngineFacts {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        EngineFacts { version: Ok(version.to_owned()), settings: Ok(settings) }
    }

    /// All settings at their defaults, but these.
    fn with(kind: EngineKind, version: &str, changed: &[(&str, &str)]) -> EngineFacts {
        let names = Names::of(kind);
        let mut facts = facts(version, changed);
        if let Ok(settings) = &mut facts.settings {
            for (name, default) in [names.keep, names.count, names.prepared, names.running] {
                settings.entry(name.to_owned()).or_insert(default.to_string());
            }
        }
        facts
    }

    fn names(findings: &[Finding]) -> Vec<(&'static str, Severity)> {
        findings.iter().map(|finding| (finding.name, finding.severity)).collect()
    }

    #[test]
    fn an_engine_as_it_should_be_has_no_findings() {
        use EngineKind::{Doris, StarRocks};
        assert_eq!(findings(&need(StarRocks, 2), &with(StarRocks, "4.0.7-abc", &[])), []);
        assert_eq!(findings(&need(Doris, 5), &with(Doris, "Doris version doris-3.0.8-rc01", &[])), []);
        // -1: no limit.
        assert_eq!(findings(&need(Doris, 90), &with(Doris, "doris-3.0.8", &[("label_num_threshold", "-1")])), []);
    }

    #[test]
    fn each_setting_has_its_finding() {
        use EngineKind::{Doris, StarRocks};
        use Severity::{Note, Refuse, Warn};
        let good = "4.0.7";
        let cases = [
            (StarRocks, 2, "3.5.1", vec![], vec![("engine-version", Warn)]),
            (StarRocks, 2, "main-abc", vec![], vec![("engine-version", Note)]),
            (Doris, 2, "doris-2.0.15", vec![], vec![("engine-version", Warn)]),
            (Doris, 2, "doris-3.0.8 (Cloud Mode)", vec![], vec![("engine-version", Note)]),
            (StarRocks, 2, good, vec![("label_keep_max_second", "1799")], vec![("label-age", Warn)]),
            (StarRocks, 2, good, vec![("label_keep_max_second", "1800")], vec![]),
            (StarRocks, 3, good, vec![("label_keep_max_num", "1080")], vec![]),
            (StarRocks, 3, good, vec![("label_keep_max_num", "1079")], vec![("label-count", Warn)]),
            // Too short for anybody, but a load says itself how long it may stay.
            (StarRocks, 2, good, vec![("prepared_transaction_default_timeout_second", "60")], vec![]),
            (
                StarRocks,
                2,
                "3.5.3",
                vec![("prepared_transaction_default_timeout_second", "60")],
                vec![("prepared-time-out", Warn)],
            ),
            (
                StarRocks,
                2,
                "3.5.3",
                vec![("prepared_transaction_default_timeout_second", "3600")],
                vec![("prepared-time-out", Note)],
            ),
            (
                Doris,
                2,
                "doris-3.0.8",
                vec![("stream_load_default_precommit_timeout_second", "599")],
                vec![("prepared-time-out", Warn)],
            ),
            (StarRocks, 2, good, vec![("max_running_txn_num_per_db", "3")], vec![("running-transactions", Warn)]),
            (
                StarRocks,
                2,
                good,
                vec![("max_running_txn_num_per_db", "1")],
                vec![("running-transactions", Refuse), ("running-transactions", Warn)],
            ),
        ];
        for (kind, tables, version, changed, wanted) in cases {
            let found = findings(&need(kind, tables), &with(kind, version, &changed));
            assert_eq!(names(&found), wanted, "{version} {changed:?}");
        }
    }

    #[test]
    fn texts_name_setting_value_consequence_and_remedy() {
        use EngineKind::StarRocks;
        let facts = with(StarRocks, "4.0.7", &[("label_keep_max_num", "100"), ("max_running_txn_num_per_db", "2")]);
        let found = findings(&need(StarRocks, 3), &facts);
        let texts: Vec<String> = found.iter().map(|finding| format!("{finding} -> {}", finding.remedy)).collect();
        assert_eq!(
            texts,
            [
                "StarRocks remembers 100 finished loads per database (label_keep_max_num), and 3 tables of d get one every \
                 5s each: a load is forgotten after 166 s or sooner. A pipeline that was interrupted at a commit and is \
                 started later than that, while others go on, may stop with outcome-unknown -> set label_keep_max_num to \
                 1080 or more, make batch.age longer, or use more databases",
                "topic t: a batch needs a transaction for each of 3 tables of d at once, and StarRocks allows 2 per \
                 database (max_running_txn_num_per_db): no batch could ever be prepared -> set \
                 max_running_txn_num_per_db to 6 or more",
                "this process alone can have 6 transactions open in d, and StarRocks allows 2 per database \
                 (max_running_txn_num_per_db): loads will be refused and tried again later -> set \
                 max_running_txn_num_per_db to 6 or more",
            ]
        );
        assert!(found[1].refuses("t") && !found[1].refuses("u") && !found[2].refuses("t"));
    }

    #[test]
    fn what_can_not_be_asked_is_assumed_and_said() {
        let facts = EngineFacts { version: Err("HTTP 404".to_owned()), settings: Err("HTTP 403: no right".to_owned()) };
        let found = findings(&need(EngineKind::StarRocks, 2), &facts);
        assert_eq!(names(&found), [("engine-version", Severity::Note), ("not-asked", Severity::Note)]);
        assert_eq!(
            found[1].what,
            "settings of StarRocks could not be asked (HTTP 403: no right); assumed: label_keep_max_second = 259200, \
             label_keep_max_num = 1000, prepared_transaction_default_timeout_second = 86400, \
             max_running_txn_num_per_db = 1000"
        );
        // The default counts like a value that was found.
        let many = findings(&need(EngineKind::StarRocks, 40), &facts);
        assert!(names(&many).contains(&("label-count", Severity::Warn)));
        // But nobody is refused for it.
        let too_many = findings(&need(EngineKind::StarRocks, 1001), &facts);
        assert!(too_many.iter().any(|finding| finding.what.contains("no batch could ever be prepared")));
        assert!(too_many.iter().all(|finding| finding.severity > Severity::Refuse), "{too_many:?}");
    }
}
