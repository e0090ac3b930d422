//! Configuration files: what a person sees of a bad one, what a good one means, and that the reference can't rot.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use loadlock::cli::report::Console;
use loadlock::config::{
    ColumnKind, ColumnSource, Config, Encoding, EngineKind, Keys, Problems, RejectPolicy, Secret, Severity, Start,
    Warning,
};
use proptest::prelude::*;

/// 16 bytes in base64; occurs nowhere else, so that its absence in an output means something.
const KEY: &str = "c2VjcmV0LWtleS0xNi1ieQ==";
/// Everything in the bad files that must not be shown.
const SECRETS: [&str; 4] = ["hunter2", "c2VjcmV0", "5ec2e75ec2e7", "secret-key-16-by"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn environment(name: &str) -> Option<String> {
    match name {
        "DEVICE_KEY" => Some(KEY.to_owned()),
        "ENGINE_PASSWORD" => Some("hunter2".to_owned()),
        "SHORT_KEY" => Some("c2VjcmV0IGtleSB0b28gc2hydA==".to_owned()),
        "HEX_KEY" => Some("5ec2e75ec2e75ec2e75ec2e75ec2e700".to_owned()),
        "BROKERS" => Some("kafka-1:9092, kafka-2:9092".to_owned()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<(Config, Vec<Warning>), Problems> {
    Config::parse(text, Path::new("loadlock.toml"), &environment)
}

/// The text with a minimal frame around it: a file that has only what is to be shown.
fn framed(routes: &str) -> String {
    let frame = "[kafka]\nbrokers = \"k:9092\"\n[engine]\nkind = \"starrocks\"\nfrontends = [\"http://fe:8030\"]\n\
                 database = \"db\"\nuser = \"root\"\npassword = \"\"\n";
    format!("{frame}{routes}")
}

const ROUTE: &str = "[[topic2table]]\ntopic = \"t\"\ntable = \"t\"\ncolumns = [\"id\"]\njsonpaths = [\"$.id\"]\n";

/// What a person sees on a terminal, without the colours.
fn shown(problems: &Problems) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    Console { out: &mut out, err: &mut err, colour: false, person: true }.problems(problems);
    assert!(out.is_empty());
    String::from_utf8(err).unwrap()
}

#[test]
fn bad_files() {
    let directory = root().join("tests/data/config/bad");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 10, "{files:?}");
    for file in files {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = std::fs::read_to_string(&file).unwrap();
        // As if called from the directory of the file, so that no path of this machine is in the snapshot.
        let short = PathBuf::from(file.file_name().unwrap());
        let problems = Config::parse(&text, &short, &environment).expect_err(&name);
        let shown = shown(&problems);
        for secret in SECRETS {
            assert!(!shown.contains(secret), "{name} shows {secret}:\n{shown}");
            assert!(!format!("{problems:?}").contains(secret), "{name}: Debug shows {secret}");
        }
        insta::assert_snapshot!(format!("bad_{name}"), shown);
    }
}

/// A file that has a secret in every place where one can stand.
const SECRETIVE: &str = r#"[kafka]
brokers = "k:9092"
[kafka.properties]
"sasl.password" = "hunter2"
"client.id" = "x"
[engine]
kind = "starrocks"
frontends = ["http://fe:8030"]
database = "db"
password = "hunter2"
user = "root"
[[topic2table]]
topic = "t"
table = "t"
columns = ["id"]
jsonpaths = ["$.id"]
decrypt = { cipher = "aes-ecb", key = "hunter2" }
"#;

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Slips of the keyboard: whatever they do to the file, nothing panics, something is said, and no secret is in it.
    #[test]
    fn slips_show_no_secret(slips in proptest::collection::vec((0..SECRETIVE.len(), 0..3_u8, "[a-z0-9 =\"'\\[\\]{},.\n#\\\\]"), 1..4)) {
        let mut text: Vec<char> = SECRETIVE.chars().collect();
        for (at, kind, letter) in slips {
            let at = at.min(text.len() - 1);
            match kind {
                0 => { text.remove(at); }
                1 => text.insert(at, letter.chars().next().unwrap()),
                _ => text[at] = letter.chars().next().unwrap(),
            }
        }
        let text: String = text.into_iter().collect();
        match parse(&text) {
            Ok((config, warnings)) => {
                prop_assert!(!format!("{config:?}{warnings:?}").contains("hunter2"), "{text}");
            }
            Err(problems) => {
                prop_assert!(problems.errors() > 0);
                let shown = format!("{}{problems:?}", shown(&problems));
                prop_assert!(!shown.contains("hunter2"), "{text}\n{shown}");
            }
        }
    }

    /// No text at all makes the reader panic.
    #[test]
    fn any_text_is_read(text in "\\PC{0,200}|[\\[\\]{}=\",.a-c0-9\n ]{0,80}") {
        let _ = parse(&text);
    }
}

#[test]
fn problems_come_in_file_order_with_their_place() {
    let problems = parse(&framed("[batch]\nrows = 0\nage = \"5 parsecs\"\n")).unwrap_err();
    let places: Vec<_> = problems.all.iter().map(|problem| (problem.place, problem.key.as_str())).collect();
    assert_eq!(places, [(Some((1, 1)), ""), (Some((10, 8)), "batch.rows"), (Some((11, 7)), "batch.age")]);
    assert_eq!(problems.errors(), 3);
    let text = problems.all[2].to_string();
    assert!(text.starts_with("loadlock.toml:11:7: batch.age: expected a duration"), "{text}");
}

#[test]
fn a_file_that_is_not_there() {
    let problems = Config::load(Path::new("does/not/exist.toml")).unwrap_err();
    assert!(problems.all[0].to_string().starts_with("does/not/exist.toml: can't be read: "), "{problems:?}");
    assert_eq!(problems.all[0].place, None);
}

#[test]
fn a_file_that_is_not_text() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("loadlock.toml");
    std::fs::write(&file, b"[kafka]\n\xff").unwrap();
    let problems = Config::load(&file).unwrap_err();
    assert!(problems.all[0].what.contains("is not UTF-8 from byte 8 on"), "{problems:?}");
}

#[test]
fn minimal_file_has_the_defaults() {
    let (config, warnings) = parse(&framed(ROUTE)).unwrap();
    assert_eq!(warnings, []);
    assert_eq!(config.kafka.brokers, "k:9092");
    assert_eq!(config.engine.kind, EngineKind::StarRocks);
    assert_eq!(config.engine.frontends[0].to_string(), "http://fe:8030/");
    let pipeline = &config.pipelines[0];
    assert_eq!((&*pipeline.topic, &*pipeline.group), ("t", "loadlock.t"));
    assert_eq!((&pipeline.start, &pipeline.rejects), (&Start::Committed, &RejectPolicy::Stop));
    let route = &pipeline.routes[0];
    assert_eq!(route.table.to_string(), "db.t");
    assert_eq!((route.value.encoding, route.value.decrypt.is_none()), (Encoding::Raw, true));
    assert!(matches!(&route.columns[0].from, ColumnSource::Path(path) if path == "$.id"));
    assert_eq!(route.digest.len(), 16);
}

#[test]
fn decrypted_values_are_base64_unless_said_otherwise() {
    let decrypt = "decrypt = { cipher = \"aes-gcm\", key = { env = \"DEVICE_KEY\" } }\n";
    let encoding = |more: &str| {
        parse(&framed(&format!("{ROUTE}{decrypt}{more}"))).unwrap().0.pipelines[0].routes[0].value.encoding
    };
    assert_eq!(encoding(""), Encoding::Base64);
    assert_eq!(encoding("encoding = \"raw\"\n"), Encoding::Raw);
}

#[test]
fn keys_in_every_form() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("key.txt"), format!("{KEY}\n")).unwrap();
    let path = directory.path().join("loadlock.toml");
    let expected = base64_simd::STANDARD.decode_to_vec(KEY).unwrap();
    let forms = [
        ("key = { env = \"DEVICE_KEY\" }".to_owned(), expected.clone(), 0),
        ("key = { file = \"key.txt\" }".to_owned(), expected.clone(), 0),
        (format!("key = \"{KEY}\""), expected, 1),
        (
            "key = { env = \"HEX_KEY\" }, format = \"hex\"".to_owned(),
            [0x5e, 0xc2, 0xe7].into_iter().cycle().take(15).chain([0]).collect(),
            0,
        ),
    ];
    for (form, bytes, warned) in forms {
        let text = framed(&format!("{ROUTE}decrypt = {{ cipher = \"aes-ecb\", {form} }}\n"));
        let (config, warnings) =
            Config::parse(&text, &path, &environment).unwrap_or_else(|problems| panic!("{problems:?}"));
        let decrypt = config.pipelines[0].routes[0].value.decrypt.as_ref().unwrap();
        assert_eq!(decrypt.keys, Keys::One(Secret::new(bytes)), "{form}");
        assert_eq!(warnings.len(), warned, "{form}");
        assert!(!format!("{config:?}").contains(KEY));
    }
}

#[test]
fn addresses_from_the_environment_and_lists() {
    let text = framed(ROUTE).replace("brokers = \"k:9092\"", "brokers = { env = \"BROKERS\" }");
    assert_eq!(parse(&text).unwrap().0.kafka.brokers, "kafka-1:9092,kafka-2:9092");
    let text = framed(ROUTE).replace("brokers = \"k:9092\"", "brokers = [\"a:1\", \"b:2\"]");
    assert_eq!(parse(&text).unwrap().0.kafka.brokers, "a:1,b:2");
}

#[test]
fn every_form_of_start() {
    let start = |text: &str| {
        let config = parse(&framed(&format!("{ROUTE}start = {text}\n")));
        config.unwrap_or_else(|problems| panic!("{text}: {problems:?}")).0.pipelines[0].start.clone()
    };
    assert_eq!(start("\"committed\""), Start::Committed);
    assert_eq!(start("\"earliest\""), Start::Earliest);
    assert_eq!(start("\"latest\""), Start::Latest);
    for time in
        ["\"2026-11-20T08:00:00+08:00\"", "2026-11-20T08:00:00+08:00", "2026-11-20 00:00:00Z", "1_795_132_800_000"]
    {
        assert_eq!(start(time), Start::Timestamp(1_795_132_800_000), "{time}");
    }
    let offsets = BTreeMap::from([(0, 1200), (11, 0)]);
    assert_eq!(start("{ offsets = { \"0\" = 1200, 11 = 0 } }"), Start::Offsets(offsets));
}

#[test]
fn every_form_of_on_reject() {
    let rejects =
        |text: &str| parse(&framed(&format!("{ROUTE}on_reject = {text}\n"))).unwrap().0.pipelines[0].rejects.clone();
    assert_eq!(rejects("\"stop\""), RejectPolicy::Stop);
    assert_eq!(rejects("{ skip = 10, of = 10_000 }"), RejectPolicy::Skip { most: 10, of: 10_000 });
    assert_eq!(rejects("{ dead_letter = \"t.rejected\" }"), RejectPolicy::DeadLetterTopic("t.rejected".to_owned()));
    assert_eq!(rejects("{ dead_letter_file = \"dead.ndjson\" }"), RejectPolicy::DeadLetterFile("dead.ndjson".into()));
}

#[test]
fn rich_columns_keep_constants_digit_for_digit() {
    let route = r#"
[[topic2table]]
topic = "t"
table = "other.t"
columns = [
    { name = "a", path = "$['x y'][0]", default = 12.50 },
    { name = "b", constant = 170141183460469231731687303715884105727 },
    { name = "c", constant = "quo\"te" },
    { name = "d", constant = 0x10 },
    { name = "e", constant = 1_000.10 },
    { name = "f", header = "trace" },
    { name = "g", from = "key", as = "text" },
]
"#;
    let (config, _) = parse(&framed(route)).unwrap_or_else(|problems| panic!("{problems:?}"));
    let route = &config.pipelines[0].routes[0];
    assert_eq!(route.table.to_string(), "other.t");
    let constants = route
        .columns
        .iter()
        .filter_map(|column| if let ColumnSource::Constant(json) = &column.from { Some(json.as_str()) } else { None });
    let constants: Vec<_> = constants.collect();
    assert_eq!(constants, ["170141183460469231731687303715884105727", "\"quo\\\"te\"", "16", "1000.10"]);
    assert_eq!(route.columns[0].default.as_deref(), Some("12.50"));
    assert_eq!(route.columns[6].kind, ColumnKind::Text);
}

#[test]
fn routes_of_one_topic_and_group_are_one_pipeline() {
    let second = ROUTE.replace("table = \"t\"", "table = \"u\"");
    let other = format!("{}group = \"g\"\n", ROUTE.replace("table = \"t\"", "table = \"v\""));
    let text = framed(&format!("{ROUTE}start = \"earliest\"\n{other}{second}"));
    let (config, warnings) = parse(&text).unwrap();
    assert_eq!(warnings, []);
    let tables =
        |at: usize| -> Vec<_> { config.pipelines[at].routes.iter().map(|route| route.table.to_string()).collect() };
    assert_eq!(
        (config.pipelines.len(), tables(0), tables(1)),
        (2, vec!["db.t".into(), "db.u".into()], vec!["db.v".into()])
    );
    assert_eq!((&config.pipelines[0].start, &config.pipelines[1].start), (&Start::Earliest, &Start::Committed));
    assert_eq!(&*config.pipelines[1].group, "g");
}

#[test]
fn a_pipeline_has_as_many_routes_as_an_intent_has_room_for() {
    let routes = |count: usize| -> String {
        (0..count).map(|number| ROUTE.replace("table = \"t\"", &format!("table = \"t{number}\""))).collect()
    };
    assert!(parse(&framed(&routes(84))).is_ok(), "docs/configuration.md says so");
    let problems = parse(&framed(&routes(85))).unwrap_err();
    let shown = shown(&problems);
    assert!(shown.contains("85 routes of one topic and group; an intent has room for 84"), "{shown}");
}

#[test]
fn digest_follows_what_decides_the_rows_and_not_the_key() {
    let digest =
        |more: &str| parse(&framed(&format!("{ROUTE}{more}"))).unwrap().0.pipelines[0].routes[0].digest.clone();
    let decrypt = |key: &str| format!("decrypt = {{ cipher = \"aes-ecb\", key = \"{key}\" }}\n");
    let plain = digest("");
    // Changing it would make every open intent foreign: this number is a promise.
    insta::assert_snapshot!("digest", plain);
    assert_eq!(plain, digest("on_reject = { dead_letter = \"x\" }\nstart = \"latest\"\n"));
    assert_eq!(digest(&decrypt(KEY)), digest(&decrypt("AAECAwQFBgcICQoLDA0ODw==")));
    let different: BTreeSet<_> = [
        plain,
        digest(&decrypt(KEY)),
        digest(&decrypt(KEY).replace("ecb", "gcm")),
        digest("encoding = \"base64\"\n"),
        digest("load = { timezone = \"UTC\" }\n"),
        digest("framing = \"schema-registry\"\n"),
        digest("charset = \"gbk\"\n"),
        digest("format = \"text\"\n"),
        digest("format = { delimited = \"|\", fields = [\"id\"] }\n"),
        digest("format = { delimited = \"|\", fields = [\"id\"], null = \"\" }\n"),
    ]
    .into();
    assert_eq!(different.len(), 10);
}

#[test]
fn properties_quoted_or_not() {
    let properties = "[kafka.properties]\n\"client.id\" = \"x\"\nsecurity.protocol = \"SASL_PLAINTEXT\"\n\
                      sasl.mechanism = \"PLAIN\"\nsasl.username = \"u\"\nsasl.password = { env = \"ENGINE_PASSWORD\" }\nsession.timeout.ms = 30_000\ncheck.crcs = true\n";
    let (config, _) = parse(&framed(&format!("{properties}{ROUTE}"))).unwrap_or_else(|problems| panic!("{problems:?}"));
    let expected = [
        ("check.crcs", "true"),
        ("client.id", "x"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.password", "hunter2"),
        ("sasl.username", "u"),
        ("security.protocol", "SASL_PLAINTEXT"),
        ("session.timeout.ms", "30000"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(config.kafka.properties, BTreeMap::from(expected));
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn warnings_do_not_stop() {
    let text =
        framed(&format!("{ROUTE}load = {{ max_filter_ratio = 0.1, strict_mode = false }}\n{ROUTE}group = \"g\"\n"))
            .replace("password = \"\"", "password = \"hunter2\"")
            .replace("http://fe:8030", "http://fe:9030");
    let (_, warnings) = parse(&text).unwrap();
    let mut shown = String::new();
    for warning in &warnings {
        assert_eq!(warning.severity, Severity::Warning);
        writeln!(shown, "{warning}\n  hint: {}", warning.hint.as_deref().unwrap_or_default()).unwrap();
    }
    insta::assert_snapshot!("warnings", shown);
}

#[test]
fn topics_are_selected_by_name() {
    let two = format!("{ROUTE}{}", ROUTE.replace("topic = \"t\"", "topic = \"orders\""));
    let mut config = parse(&framed(&two)).unwrap().0;
    let unknown = config.select_topics(&["ordesr".to_owned()]).unwrap_err();
    assert_eq!(unknown.nearest.as_deref(), Some("orders"));
    assert_eq!(config.pipelines.len(), 2, "nothing is changed by a mistake");
    config.select_topics(&[]).unwrap();
    assert_eq!(config.pipelines.len(), 2);
    config.select_topics(&["orders".to_owned()]).unwrap();
    assert_eq!(config.pipelines.len(), 1);
}

fn reference() -> String {
    std::fs::read_to_string(root().join("conf/reference.toml")).unwrap()
}

/// Keys that the reader asks for while it reads the reference; `env` and `file` are forms of a value, not keys.
fn known_keys() -> BTreeSet<String> {
    let asked = |text: &str| Config::keys_asked_for(text, Path::new("reference.toml"), &environment);
    let mut keys = asked(&reference());
    // The one form of a key that the reference can't show in its place, because another form is the default.
    keys.extend(asked("[kafka]\nstart = { offsets = { \"0\" = 1 } }\n"));
    let form = |key: &String| key.ends_with(".env") || key.ends_with(".file");
    let section = ["kafka", "engine", "batch", "run", "topic2table"];
    keys.into_iter().filter(|key| !form(key) && !section.contains(&key.as_str())).collect()
}

#[test]
fn reference_holds_every_key() {
    let text = reference();
    for key in known_keys() {
        let name = key.rsplit('.').next().unwrap();
        let written = text.lines().any(|line| {
            let line = line.trim_start_matches("# ");
            [format!("{name} = "), format!("{{ {name} = "), format!(", {name} = ")].iter().any(|form| {
                let comment = line.find('#').unwrap_or(line.len());
                line.find(form.as_str()).is_some_and(|at| at < comment && (at == 0 || !form.starts_with(name)))
            })
        });
        let table = text.contains(&format!("[{key}]")) || text.contains(&format!("[[{key}]]"));
        assert!(written || table, "conf/reference.toml does not show {key}");
    }
}

/// The keys of the documentation with the cell of their default.
fn documented() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(root().join("docs/configuration.md")).unwrap();
    let mut keys = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let twice = keys.insert(cells[1].trim_matches('`').to_owned(), cells[2].to_owned());
        assert!(twice.is_none() && !cells[3].is_empty(), "{line}");
    }
    keys
}

#[test]
fn documentation_has_a_line_for_every_key() {
    let documented: BTreeSet<_> = documented().into_keys().collect();
    assert_eq!(documented, known_keys());
}

/// What the documentation calls a default is what the reference shows, and what the reference shows changes nothing.
#[test]
fn defaults_are_the_defaults() {
    let table: toml::Table = reference().parse().unwrap();
    for (key, default) in documented() {
        let Some(literal) = default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) else { continue };
        let Ok(expected) = format!("x = {literal}").parse::<toml::Table>() else { continue };
        let root = toml::Value::Table(table.clone());
        let found = key.split('.').try_fold(&root, |value, name| {
            // The first or second route, whichever shows it.
            value.get(name).or_else(|| value.get(0)?.get(name)).or_else(|| value.get(1)?.get(name))
        });
        assert_eq!(found, Some(&expected["x"]), "default of {key}");
    }
    let (all, warnings) = Config::parse(&reference(), Path::new("reference.toml"), &environment).unwrap();
    assert_eq!(warnings, []);
    let (least, _) = parse(&framed(ROUTE)).unwrap();
    assert_eq!(format!("{:?}", all.batch), format!("{:?}", least.batch));
    assert_eq!(format!("{:?}", all.run), format!("{:?}", least.run));
    assert_eq!(format!("{:?}", all.engine.timeouts), format!("{:?}", least.engine.timeouts));
    assert_eq!((&all.engine.backends, &all.engine.rewrite), (&least.engine.backends, &least.engine.rewrite));
    assert_eq!(all.engine.allow_plain_redirect, least.engine.allow_plain_redirect);
    assert_eq!(all.pipelines[0].start, least.pipelines[0].start);
    assert_eq!(all.pipelines[0].rejects, least.pipelines[0].rejects);
    assert_eq!(&*all.pipelines[0].group, "loadlock.orders");
}

#[test]
fn shipped_files_are_good() {
    let shipped = [("conf/starrocks", "starrocks"), ("conf/doris", "doris"), ("docker/loadlock", "starrocks")];
    for (file, name) in shipped {
        let path = root().join(format!("{file}.toml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let (config, warnings) =
            Config::parse(&text, &path, &environment).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(warnings, []);
        let route = &config.pipelines[0].routes[0];
        let ddl = std::fs::read_to_string(root().join(format!("conf/ods_device.{name}.sql"))).unwrap();
        assert!(ddl.contains(&format!("CREATE TABLE IF NOT EXISTS {} (", route.table)));
        for column in &route.columns {
            assert!(ddl.contains(&format!("\n    {} ", column.name)), "{name}: {} is no column", column.name);
        }
    }
}
