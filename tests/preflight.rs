//! Preflight against the embedded engine: what is asked, what is made of it, and that nothing waits for it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use loadlock::config::Config;
use loadlock::load::Loader;
use loadlock::preflight::{Look, Severity, look};
use loadlock_sandbox::{Call, EngineKind, Fault, FaultKind, Kafka, Sandbox, Settings, Topic};

const DDL: &str = "CREATE TABLE d.a (id BIGINT) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1;
    CREATE TABLE d.b (id BIGINT) DUPLICATE KEY(id) DISTRIBUTED BY HASH(id) BUCKETS 1;";

/// Nobody listens there.
const NOBODY: &str = "127.0.0.1:1";

async fn engine(kind: EngineKind, change: impl FnOnce(&mut Settings)) -> Sandbox {
    Sandbox::builder(kind).ddl(DDL).settings(change).start().await.unwrap()
}

/// A configuration with one topic and two tables, in a file.
fn file(sandbox: &Sandbox, brokers: &str) -> tempfile::NamedTempFile {
    let kind = match sandbox.kind {
        EngineKind::StarRocks => "starrocks",
        EngineKind::Doris => "doris",
    };
    let route = |table| {
        format!("[[topic2table]]\ntopic = \"t\"\ntable = \"{table}\"\ncolumns = [\"id\"]\njsonpaths = [\"$.id\"]\n")
    };
    let text = format!(
        "[kafka]\nbrokers = \"{brokers}\"\nstart = \"earliest\"\n[engine]\nkind = \"{kind}\"\n\
         frontends = [\"http://{}\"]\ndatabase = \"d\"\nuser = \"root\"\npassword = \"\"\n{}{}",
        sandbox.frontend,
        route("a"),
        route("b"),
    );
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

async fn looked(sandbox: &Sandbox) -> Look {
    let file = file(sandbox, NOBODY);
    let (config, _) = Config::load(file.path()).unwrap();
    look(&config, &Loader::new(&config.engine).unwrap()).await
}

fn names(look: &Look) -> Vec<(&'static str, Severity)> {
    look.findings.iter().map(|finding| (finding.name, finding.severity)).collect()
}

/// Everything is asked at once: the longest wait is the one for Kafka, which is not there.
#[tokio::test(flavor = "multi_thread")]
async fn settings_of_both_engines_are_found_and_judged() {
    use Severity::{Note, Refuse, Warn};
    let starrocks = engine(EngineKind::StarRocks, |settings| {
        settings.version = "3.5.1-abc".to_owned();
        settings.label_keep = Duration::from_secs(60);
        settings.label_keep_max = 50;
        settings.prepared_timeout = Duration::from_secs(30);
        settings.max_running = 1;
    });
    let doris = engine(EngineKind::Doris, |settings| settings.label_keep_max = 7);
    let good = engine(EngineKind::StarRocks, |_| {});
    let silent = engine(EngineKind::Doris, |_| {});
    let (starrocks, doris, good, silent) = tokio::join!(starrocks, doris, good, silent);
    let drop = Fault { times: 100, ..Fault::once(Call::Query, FaultKind::DropBefore) };
    silent.inject([drop]);
    let looks = tokio::join!(looked(&starrocks), looked(&doris), looked(&good), looked(&silent));

    let not_kafka = ("not-asked", Note);
    let all = [
        ("running-transactions", Refuse),
        ("engine-version", Warn),
        ("label-age", Warn),
        ("label-count", Warn),
        ("prepared-time-out", Warn),
        ("running-transactions", Warn),
        not_kafka,
    ];
    assert_eq!(names(&looks.0), all);
    assert_eq!(names(&looks.1), [("label-count", Warn), not_kafka]);
    assert_eq!(names(&looks.2), [not_kafka]);
    assert_eq!(names(&looks.3), [("engine-version", Note), not_kafka, not_kafka]);
    assert_eq!((looks.2.away.len(), looks.3.away.len()), (1, 2), "{:?}", looks.3.away);
}

fn loadlock(verb: &[&str], file: &tempfile::NamedTempFile) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadlock")).args(verb).arg("-c").arg(file.path()).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_can_not_work_is_refused_and_the_check_says_so_before() {
    let sandbox = engine(EngineKind::StarRocks, |settings| settings.max_running = 1).await;
    let kafka = Kafka::start(&["t:1".parse::<Topic>().unwrap()]).unwrap();
    let file = file(&sandbox, &kafka.brokers());
    let (run, check) = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let run = loadlock(&["run", "--log-format", "text"], &file);
        assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
        (run, loadlock(&["check", "--online"], &file))
    })
    .await
    .unwrap();
    let text = |output: &Output| {
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
    };
    assert_eq!(run.status.code(), Some(65), "{}", text(&run));
    assert!(text(&run).contains("no batch could ever be prepared"), "{}", text(&run));
    assert_eq!(check.status.code(), Some(65), "{}", text(&check));
    let said = text(&check);
    assert!(said.contains("error[running-transactions]: topic t: a batch needs"), "{said}");
    assert!(said.contains("checked online: Kafka and the engine were asked; 1 error, 1 warning"), "{said}");
}
