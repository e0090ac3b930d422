//! The command line as a person meets it: help, what `check` prints, mistakes, exit codes. Real processes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

const KEY: &str = "c2VjcmV0LWtleS0xNi1ieQ==";

fn loadlock(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadlock"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .env_remove("LOADLOCK_LOG")
        .env("DEVICE_KEY", KEY)
        .env("ENGINE_PASSWORD", "hunter2")
        .output()
        .unwrap()
}

/// Everything that a person sees, and the exit code.
fn shown(arguments: &[&str]) -> String {
    let output = loadlock(arguments);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(!out.contains("hunter2") && !err.contains("hunter2") && !out.contains(KEY) && !err.contains(KEY));
    format!("$ loadlock {}\n{out}--- stderr\n{err}--- exit {}\n", arguments.join(" "), output.status.code().unwrap())
}

#[test]
fn help() {
    insta::assert_snapshot!("help", shown(&["--help"]));
    insta::assert_snapshot!("help_run", shown(&["run", "--help"]));
    insta::assert_snapshot!("help_check", shown(&["check", "--help"]));
    insta::assert_snapshot!("help_explain", shown(&["explain", "--help"]));
    insta::assert_snapshot!("help_produce", shown(&["produce", "--help"]));
    insta::assert_snapshot!("help_encrypt", shown(&["encrypt", "--help"]));
    insta::assert_snapshot!("help_decrypt", shown(&["decrypt", "--help"]));
    insta::assert_snapshot!("help_completions", shown(&["completions", "--help"]));
    insta::assert_snapshot!("help_man", shown(&["man", "--help"]));
    insta::assert_snapshot!("help_offsets", shown(&["offsets", "--help"]));
    insta::assert_snapshot!("help_offsets_show", shown(&["offsets", "show", "--help"]));
    insta::assert_snapshot!("help_offsets_resolve", shown(&["offsets", "resolve", "--help"]));
}

#[test]
fn mistakes_on_the_command_line() {
    insta::assert_snapshot!("mistake_no_verb", shown(&[]));
    insta::assert_snapshot!("mistake_unknown_verb", shown(&["rnu"]));
    insta::assert_snapshot!("mistake_no_file", shown(&["run"]));
    insta::assert_snapshot!(
        "mistake_topic",
        shown(&["check", "-c", "conf/starrocks.toml", "--topic", "mzt_ods_cjm.ods_devices"])
    );
}

/// None of these asks Kafka or the engine.
#[test]
fn mistakes_in_deciding_by_hand() {
    let file = ["offsets", "resolve", "-c", "conf/starrocks.toml", "--topic", "mzt_ods_cjm.ods_device"];
    for (name, words) in [
        ("no_word", &["--yes"][..]),
        ("both_words", &["--committed", "--aborted"]),
        ("table_twice", &["--committed", "ods_cjm.ods_device", "--aborted", "ods_cjm.ods_device"]),
        ("unknown_table", &["--committed", "ods_cjm.device"]),
        ("no_nonce", &["--committed", "--nonce", "12"]),
        ("yes_and_no", &["--committed", "--yes", "--dry-run"]),
        ("another_group", &["--committed", "--group", "g"]),
    ] {
        insta::assert_snapshot!(format!("resolve_{name}"), shown(&[&file[..], words].concat()));
    }
}

#[test]
fn check_a_good_file() {
    insta::assert_snapshot!("check_good", shown(&["check", "-c", "conf/starrocks.toml"]));
    insta::assert_snapshot!("check_many", shown(&["check", "-c", "conf/reference.toml"]));
    insta::assert_snapshot!("check_some", shown(&["check", "-c", "conf/reference.toml", "--topic", "devices"]));
}

#[test]
fn check_a_bad_file() {
    insta::assert_snapshot!("check_bad", shown(&["check", "-c", "tests/data/config/bad/pipelines.toml"]));
    insta::assert_snapshot!("check_absent", shown(&["check", "-c", "conf/absent.toml"]));
}

const DEVICES: [&str; 4] = ["-c", "conf/starrocks.toml", "--topic", "mzt_ods_cjm.ods_device"];

/// The plain text of a file as the value of a record, in a file of its own.
fn encrypted(plain: &str, directory: &Path) -> String {
    let output = loadlock(&[&["encrypt"], &DEVICES[..], &["--file", plain]].concat());
    assert!(output.status.success(), "{output:?}");
    let path = directory.join("value");
    std::fs::write(&path, output.stdout).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_value_is_encrypted_and_decrypted() {
    let directory = tempfile::tempdir().unwrap();
    let plain = "tests/data/explain/sound.json";
    let value = encrypted(plain, directory.path());
    let back = loadlock(&[&["decrypt"], &DEVICES[..], &["--file", &value]].concat());
    assert_eq!(String::from_utf8(back.stdout).unwrap(), std::fs::read_to_string(plain).unwrap());
    insta::assert_snapshot!("decrypt_none", shown(&[&["decrypt"], &DEVICES[..], &["--file", plain]].concat()));
    insta::assert_snapshot!(
        "encrypt_absent",
        shown(&[&["encrypt"], &DEVICES[..], &["--file", "absent.json"]].concat())
    );
}

#[test]
fn each_step_is_explained() {
    let directory = tempfile::tempdir().unwrap();
    for (name, plain, more) in [
        ("sound", "sound", &[][..]),
        ("sound_masked", "sound", &["--mask"]),
        ("sound_json", "sound", &["--json"]),
        ("broken", "broken", &[]),
        ("broken_json", "broken", &["--json", "--mask"]),
    ] {
        let value = encrypted(&format!("tests/data/explain/{plain}.json"), directory.path());
        let shown = shown(&[&["explain"], &DEVICES[..], &["--file", &value], more].concat());
        insta::assert_snapshot!(format!("explain_{name}"), shown.replace(&value, "VALUE"));
    }
    let plain = "tests/data/explain/sound.json";
    insta::assert_snapshot!("explain_not_encrypted", shown(&[&["explain"], &DEVICES[..], &["--file", plain]].concat()));
    insta::assert_snapshot!("explain_usage", shown(&[&["explain"], &DEVICES[..], &["--partition", "0"]].concat()));
}

#[test]
fn shells_and_manuals_know_every_verb() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().to_str().unwrap();
    let pages = String::from_utf8(loadlock(&["man", "--to", to]).stdout).unwrap();
    let main = String::from_utf8(loadlock(&["man"]).stdout).unwrap();
    let help = String::from_utf8(loadlock(&["--help"]).stdout).unwrap();
    let verbs = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let verbs: Vec<_> =
        verbs.filter_map(|line| line.split_whitespace().next()).filter(|verb| *verb != "help").collect();
    assert!(verbs.len() > 5, "{help}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = String::from_utf8(loadlock(&["completions", shell]).stdout).unwrap();
        for verb in &verbs {
            assert!(script.contains(verb), "{shell} does not know {verb}");
        }
    }
    for verb in verbs {
        assert!(pages.contains(&format!("loadlock-{verb}.1")), "{verb} has no page: {pages}");
        assert!(main.contains(&format!("loadlock\\-{verb}(1)")), "{verb} is not in {main}");
    }
    assert!(pages.contains("loadlock-offsets-show.1"), "{pages}");
}

#[test]
fn run_refuses_a_bad_file() {
    let output = loadlock(&["run", "-c", "tests/data/config/bad/engine.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let shown = String::from_utf8(output.stderr).unwrap();
    assert!(shown.contains("problems in tests/data/config/bad/engine.toml"), "{shown}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn a_log_filter_that_is_none() {
    let output = Command::new(env!("CARGO_BIN_EXE_loadlock"))
        .args(["run", "-c", "conf/starrocks.toml"])
        .env("LOADLOCK_LOG", "info,=,")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert!(String::from_utf8(output.stderr).unwrap().contains("LOADLOCK_LOG is no log filter"));
}
