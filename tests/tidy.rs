//! The rules of the house, as tests: they read the tree as it is, files outside of git's care left out.

#![allow(clippy::unwrap_used, reason = "a test that can't read the tree has failed")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file longer than this needs a reason in [`LONG_FILES`].
const LINES_MAX: usize = 500;

/// Files that may be longer, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Code that decides and does not act, and what it therefore never names. Its tests may.
const PURE: &[(&str, &[&str])] = &[
    ("commit/src/", RIM),
    ("src/decode/", RIM),
    ("src/batch/", RIM),
    ("src/offsets/decide.rs", RIM),
    ("src/load/engine.rs", RIM),
    ("src/load/starrocks.rs", RIM),
    ("src/load/doris.rs", RIM),
    ("src/load/retry.rs", RIM),
    ("src/load/question.rs", RIM),
    ("src/preflight/engine.rs", RIM),
    ("src/preflight/kafka.rs", RIM),
    ("src/preflight/need.rs", RIM),
    ("src/preflight/version.rs", RIM),
];
const RIM: &[&str] =
    &["tokio", "rdkafka", "hyper", "std::net", "std::fs", "std::thread", "Instant::now", "SystemTime::now"];

/// The one file that may hold C calls.
const UNSAFE_FILE: &str = "src/source/native.rs";

/// Marks of unfinished work, in two halves so that this file does not hold them.
const MARKS: &[(&str, &str)] =
    &[("TO", "DO"), ("FIX", "ME"), ("XX", "X"), ("todo", "!("), ("unimplemented", "!("), ("dbg", "!(")];

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: &[(&str, &str)] =
    &[("/ho", "me/"), ("/ro", "ot/"), ("/wo", "rk/"), ("/Use", "rs/"), ("/mn", "t/")];

/// A file of the tree: its path from the root, with `/`, and its text.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|found| found == extension)
    }

    fn is_script(&self) -> bool {
        self.path == ".ci/run" || self.path.strip_prefix("scripts/").is_some_and(|name| !name.contains('/'))
    }

    /// Numbered lines.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All text files that belong to the project: everything below the root but the directories that git ignores.
fn tree() -> Vec<File> {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    let skipped: Vec<&str> = ignored.lines().filter_map(|line| line.strip_suffix('/')).chain([".git"]).collect();
    let mut open = vec![PathBuf::new()];
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(root().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = directory.join(&name);
            // In a linked worktree `.git` is a file.
            if skipped.contains(&name.as_str()) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            } else if let Ok(text) = fs::read_to_string(entry.path()) {
                files.push(File { path: path.to_str().unwrap().to_owned(), text });
            }
        }
    }
    assert!(files.len() > 20, "only {} files found: the walk itself is broken", files.len());
    files
}

/// Applies a rule to the whole tree; fails with every finding.
fn hold(rule: impl Fn(&File) -> Vec<String>) {
    let mut report = String::new();
    for file in tree() {
        for finding in rule(&file) {
            writeln!(report, "{}: {finding}", file.path).unwrap();
        }
    }
    assert!(report.is_empty(), "\n{report}");
}

/// True if the rule finds something in a file of that path and text.
fn catches(rule: impl Fn(&File) -> Vec<String>, path: &str, text: &str) -> bool {
    !rule(&File { path: path.to_owned(), text: text.to_owned() }).is_empty()
}

fn opens_with_its_purpose(file: &File) -> Vec<String> {
    if file.is("rs") && !file.text.starts_with("//!") {
        return vec!["does not say in its first line what it is for (//!)".to_owned()];
    }
    Vec::new()
}

#[test]
fn every_source_file_opens_with_its_purpose() {
    hold(opens_with_its_purpose);
    assert!(catches(opens_with_its_purpose, "src/x.rs", "use std::fs;\n"));
}

fn is_short(file: &File) -> Vec<String> {
    let lines = file.text.lines().count();
    if file.is("rs") && lines > LINES_MAX && !LONG_FILES.iter().any(|(path, _)| *path == file.path) {
        return vec![format!("{lines} lines; more than {LINES_MAX} need a reason in LONG_FILES")];
    }
    Vec::new()
}

#[test]
fn source_files_are_short() {
    hold(is_short);
    assert!(catches(is_short, "src/x.rs", &"\n".repeat(LINES_MAX + 1)));
    for (path, _) in LONG_FILES {
        let lines = fs::read_to_string(root().join(path)).unwrap().lines().count();
        assert!(lines > LINES_MAX, "{path} has become short: take it off LONG_FILES");
    }
}

fn is_pure(file: &File) -> Vec<String> {
    let Some((_, forbidden)) = PURE.iter().find(|(path, _)| file.path.starts_with(path)) else {
        return Vec::new();
    };
    if file.path.ends_with("/tests.rs") {
        return Vec::new();
    }
    file.lines()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .flat_map(|(number, line)| {
            let named = forbidden.iter().filter(move |word| line.contains(**word));
            named.map(move |word| format!("line {number} names {word}: decisions are made in pure code"))
        })
        .collect()
}

#[test]
fn decisions_are_pure() {
    hold(is_pure);
    assert!(catches(is_pure, "commit/src/protocol.rs", "use tokio::sync::mpsc;\n"));
    assert!(!catches(is_pure, "src/source/mod.rs", "use tokio::sync::mpsc;\n"));
    let files = tree();
    for (path, _) in PURE {
        assert!(files.iter().any(|file| file.path.starts_with(path)), "{path} is on the list and does not exist");
    }
}

fn is_safe(file: &File) -> Vec<String> {
    if !file.is("rs") || file.path == UNSAFE_FILE || file.path == "tests/tidy.rs" {
        return Vec::new();
    }
    let lines = file.lines().filter(|(_, line)| line.contains("unsafe_code"));
    lines.map(|(number, _)| format!("line {number} allows unsafe code; only {UNSAFE_FILE} may")).collect()
}

#[test]
fn one_file_holds_the_c_calls() {
    hold(is_safe);
    assert!(catches(is_safe, "src/x.rs", "#![allow(unsafe_code, reason = \"fast\")]\n"));
}

fn is_finished(file: &File) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in file.lines() {
        for (left, right) in MARKS {
            let mark = format!("{left}{right}");
            if words(line, &mark) {
                found.push(format!("line {number} holds the mark {mark}"));
            }
        }
        for (left, right) in MACHINE_PATHS {
            let path = format!("{left}{right}");
            if line.match_indices(&path).any(|(at, _)| begins_a_path(line, at)) {
                found.push(format!("line {number} names {path}, which is one machine's"));
            }
        }
        if line.trim_start() == "#[ignore]" {
            found.push(format!("line {number} ignores a test without a reason"));
        }
    }
    found
}

/// True if `word` stands in the line and is not a part of a longer word.
fn words(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part) && (word.ends_with('(') || !after.is_some_and(part))
    })
}

/// True if the `/` at this place begins an absolute path, and is not inside a longer path or a web address.
fn begins_a_path(line: &str, at: usize) -> bool {
    !line[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "/.-_}~*".contains(c))
}

#[test]
fn nothing_is_left_unfinished_or_bound_to_a_machine() {
    hold(is_finished);
    for (left, right) in MARKS {
        assert!(catches(is_finished, "src/x.rs", &format!("    // {left}{right} later\n")), "{left}{right}");
    }
    for (left, right) in MACHINE_PATHS {
        assert!(catches(is_finished, "docs/x.md", &format!("see `{left}{right}me/x`\n")), "{left}{right}");
    }
    assert!(catches(is_finished, "tests/x.rs", "#[ignore]\n"));
    assert!(!catches(is_finished, "docs/x.md", "https://example.com/work/x\n"));
}

/// Relative targets of the links in a Markdown text, code left out.
fn link_targets(text: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        let rests = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
        let found = rests.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
        targets.extend(found.filter(|target| !target.contains("://") && !target.starts_with("mailto:")));
    }
    targets
}

/// The anchor that a heading gets on the pages of a repository.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    text.chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

fn links_resolve(file: &File) -> Vec<String> {
    if !file.is("md") {
        return Vec::new();
    }
    let mut broken = Vec::new();
    for target in link_targets(&file.text) {
        let (path, place) = target.split_once('#').map_or((target, None), |(path, place)| (path, Some(place)));
        let found = match path {
            "" => root().join(&file.path),
            path => root().join(&file.path).parent().unwrap().join(path),
        };
        if !found.exists() {
            broken.push(format!("link to {target}: there is no such file"));
        } else if let Some(place) = place {
            let text = fs::read_to_string(&found).unwrap_or_default();
            if !text.lines().any(|line| line.starts_with('#') && anchor(line) == place) {
                broken.push(format!("link to {target}: there is no such heading"));
            }
        }
    }
    broken
}

/// Documents that are named in running text or in comments: `docs/x.md`.
fn named_documents_exist(file: &File) -> Vec<String> {
    if file.path == "tests/tidy.rs" {
        return Vec::new();
    }
    let mut missing = Vec::new();
    for (number, line) in file.lines() {
        for (at, _) in line.match_indices("docs/") {
            let name: String = line[at..].chars().take_while(|c| c.is_alphanumeric() || "/-_.".contains(*c)).collect();
            let name = name.trim_end_matches('.');
            if begins_a_path(line, at) && name.ends_with(".md") && !root().join(name).exists() {
                missing.push(format!("line {number} names {name}, which does not exist"));
            }
        }
    }
    missing
}

#[test]
fn links_and_named_documents_exist() {
    hold(|file| [links_resolve(file), named_documents_exist(file)].concat());
    assert!(catches(links_resolve, "docs/x.md", "see [there](nowhere.md)\n"));
    assert!(catches(links_resolve, "README.md", "see [there](README.md#no-such-heading)\n"));
    assert!(catches(named_documents_exist, "src/x.rs", "//! See `docs/nowhere.md`.\n"));
}

fn is_a_good_script(file: &File) -> Vec<String> {
    if !file.is_script() {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    if !file.text.starts_with("#!/usr/bin/env bash\n") {
        wrong.push("does not begin with #!/usr/bin/env bash".to_owned());
    }
    if !file.lines().any(|(_, line)| line == "set -euo pipefail") {
        wrong.push("does not set -euo pipefail".to_owned());
    }
    wrong
}

#[test]
fn scripts_are_strict_and_explain_themselves() {
    hold(is_a_good_script);
    assert!(catches(is_a_good_script, "scripts/x", "#!/bin/sh\n"));
    let mut scripts = 0;
    for file in tree().iter().filter(|file| file.is_script()) {
        let help = Command::new(root().join(&file.path)).arg("--help").output();
        let help = help.unwrap_or_else(|error| panic!("{} can't be run: {error}", file.path));
        let text = String::from_utf8_lossy(&help.stdout);
        assert!(help.status.success(), "{} --help: {}", file.path, help.status);
        assert!(text.starts_with(&format!("usage: {}", file.path)), "{} --help says: {text}", file.path);
        scripts += 1;
    }
    assert!(scripts >= 2, "only {scripts} scripts found");
}

#[test]
fn every_test_program_belongs_to_one_layer() {
    let runner = fs::read_to_string(root().join("scripts/test")).unwrap();
    let listed: Vec<&str> = runner
        .lines()
        .filter_map(|line| line.strip_prefix("readonly TESTS_")?.split('"').nth(1))
        .flat_map(str::split_whitespace)
        .collect();
    let files = tree();
    let mut programs: Vec<&str> = files
        .iter()
        .filter_map(|file| {
            let member = file.path.split_once('/').map_or(file.path.as_str(), |(_, rest)| rest);
            file.path.strip_prefix("tests/").or(member.strip_prefix("tests/"))
        })
        .filter_map(|name| name.strip_suffix("/main.rs").or(name.strip_suffix(".rs")))
        .filter(|name| !name.contains('/'))
        .collect();
    programs.sort_unstable();
    programs.dedup();
    let mut sorted = listed.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, programs, "left: layers in scripts/test, right: test programs");
}

#[test]
fn dependencies_come_from_the_public_registry() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let sources: Vec<&str> = lock.lines().filter_map(|line| line.strip_prefix("source = ")).collect();
    assert!(!sources.is_empty());
    for source in sources {
        assert_eq!(source, "\"registry+https://github.com/rust-lang/crates.io-index\"");
    }
}

#[test]
fn images_are_built_of_every_workspace_member() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = manifest.lines().find_map(|line| line.strip_prefix("members = [")).unwrap().trim_end_matches(']');
    let files = tree();
    let contexts: Vec<&File> = files.iter().filter(|file| file.path.ends_with(".dockerignore")).collect();
    assert!(!contexts.is_empty(), "no .dockerignore found");
    for member in members.split(',').map(|name| name.trim().trim_matches('"')) {
        for file in &contexts {
            let named = file.text.lines().any(|line| line.strip_prefix('!') == Some(member));
            assert!(named, "{} keeps {member} out of the build, and cargo refuses a workspace without it", file.path);
        }
    }
}
