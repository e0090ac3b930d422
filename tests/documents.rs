//! What the documents show works: their configurations pass the check, their commands exist.

#![allow(clippy::unwrap_used, reason = "a test that can't read the tree has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// 16 zero bytes in base64, for configurations that take their key from the environment.
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// README, CHANGELOG and everything in docs/, by name.
fn documents() -> Vec<(String, String)> {
    let in_docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let all = ["README.md", "CHANGELOG.md"].map(|name| root().join(name)).into_iter().chain(in_docs);
    let documents = all.filter(|path| path.extension().is_some_and(|found| found == "md"));
    let read =
        |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap());
    documents.map(read).collect()
}

fn loadlock(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_loadlock"))
        .args(arguments)
        .env("ENGINE_PASSWORD", "x")
        .env("DEVICE_KEY", KEY)
        .output()
        .unwrap()
}

/// Fenced blocks of one language, in order.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in text.lines() {
        match &mut open {
            None if line == format!("```{language}") => open = Some(String::new()),
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => {
                block.push_str(line);
                block.push('\n');
            }
        }
    }
    blocks
}

#[test]
fn configurations_in_the_documents_pass_the_check() {
    let mut checked = 0;
    for (name, text) in documents() {
        for block in blocks(&text, "toml").iter().filter(|block| block.contains("[[topic2table]]")) {
            let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
            file.write_all(block.as_bytes()).unwrap();
            let output = loadlock(&["check", "-c", file.path().to_str().unwrap()]);
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{name}: {}\n{said}", output.status);
            assert!(!said.contains("warning"), "{name}:\n{said}");
            checked += 1;
        }
    }
    assert!(checked >= 1, "no configuration found");
}

/// Words that follow a command at the beginning of a code span or of a line.
fn verbs<'a>(text: &'a str, command: &str) -> BTreeSet<&'a str> {
    let mut verbs = BTreeSet::new();
    for line in text.lines() {
        for (at, _) in line.match_indices(command) {
            let begins = line[..at].trim_end().is_empty() || line[..at].ends_with('`');
            let rest = &line[at + command.len()..];
            let end = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
            if begins && end > 0 {
                verbs.insert(&rest[..end]);
            }
        }
    }
    verbs
}

#[test]
fn commands_in_the_documents_exist() {
    let (mut commands, mut scripts) = (0, 0);
    for (name, text) in documents() {
        for verb in verbs(&text, "loadlock ") {
            let output = loadlock(&[verb, "--help"]);
            assert!(output.status.success(), "{name} names `loadlock {verb}`");
            commands += 1;
        }
        for script in verbs(&text, "scripts/") {
            assert!(root().join("scripts").join(script).is_file(), "{name} names scripts/{script}");
            scripts += 1;
        }
    }
    assert!(commands >= 3 && scripts >= 4, "only {commands} commands and {scripts} scripts found");
}

#[test]
fn the_readers_find_what_they_look_for() {
    assert_eq!(blocks("a\n```toml\nx = 1\n```\n```sh\nls\n```\n", "toml"), ["x = 1\n"]);
    let found: Vec<&str> =
        verbs("`loadlock run -c f`, the loadlock binary\nloadlock check\n", "loadlock ").into_iter().collect();
    assert_eq!(found, ["check", "run"]);
}
