//! What is read of a transcript, and how mistakes in one are told.

use super::*;
use crate::script::never_looked_at;
use crate::when::Version;

const REQUESTS: &str = "request begin POST /api/begin\n> label: $L\n> db: $DB\n\nrequest load PUT /api/load\n\n\
    given begun\n> begin\n< 200\n";

fn read(text: &str) -> Result<Vec<Case>, String> {
    cases("x.txt", text, &shared("shared.txt", REQUESTS).unwrap())
}

#[test]
fn a_case_is_read() {
    let text = "# How it goes.\ntable (id BIGINT)\n  DUPLICATE KEY(id)\n\n\
        case loads twice [since 3.3] [sandbox only]\nconfig label_keep_max_num 3\n\
        > begin\n> db: other\n[since 3.5.4] > timeout: 60\n> -table\n< 200\n< TxnId as $ID\n\
        > load at backend held as A\n| {\"id\":1}\n|\n| > x\nfinish A\n[until 3.4] < Status: OK\n\
        until state VISIBLE of $L2\nclock +25h\nrestart backend\n\
        eventually sql SELECT id\n  FROM $T\n< row 1\n> GET /api/x?a=b:c at frontend\n< 200\n";
    let cases = read(text).unwrap();
    let [case] = &cases[..] else { panic!("{cases:?}") };
    assert_eq!((case.name.as_str(), case.at.line), ("loads twice", 5));
    assert_eq!(case.table.as_deref(), Some("(id BIGINT) DUPLICATE KEY(id)"));
    assert_eq!(case.config[0].what, Setting { name: "label_keep_max_num".to_owned(), value: 3 });
    let new = case.select(Version::read("3.5.4").unwrap(), Place::Sandbox);
    let old = case.select(Version::read("3.4.0").unwrap(), Place::Sandbox);
    let [Action::Send(begin), Action::Send(old_begin)] = [&new.steps[0].action, &old.steps[0].action] else {
        panic!("{new:?}")
    };
    let set = |name: &str, value: &str| Header::Set(name.to_owned(), value.to_owned());
    let headers: Vec<Header> = begin.headers.iter().map(|line| line.what.clone()).collect();
    let without = Header::Without("table".to_owned());
    assert_eq!(headers, [set("label", "$L"), set("db", "$DB"), set("db", "other"), set("timeout", "60"), without]);
    assert_eq!((begin.headers.len(), old_begin.headers.len()), (5, 4));
    let Action::Send(load) = &new.steps[1].action else { panic!("{new:?}") };
    let body: Vec<&str> = load.body.iter().map(|line| line.what.as_str()).collect();
    assert_eq!((load.to, load.held.as_deref(), &body[..]), (To::Backend(1), Some("A"), &["{\"id\":1}", "", "> x"][..]));
    assert_eq!((new.steps[2].wanted.len(), old.steps[2].wanted.len()), (0, 1));
    let visible = StateOf { state: "VISIBLE".to_owned(), label: "L2".to_owned() };
    assert!(matches!(&new.steps[3].action, Action::Until(state) if *state == visible));
    assert!(matches!(new.steps[4].action, Action::Move(Move::Clock(by)) if by == Duration::from_secs(90_000)));
    assert!(matches!(new.steps[5].action, Action::Move(Move::Restart(Node::Backend))));
    assert!(matches!(&new.steps[6].action, Action::Sql(sql) if sql == "SELECT id FROM $T") && new.steps[6].eventually);
    assert!(
        matches!(&new.steps[7].action, Action::Send(get) if get.path == "/api/x?a=b:c" && get.to == To::Frontend(1))
    );
}

#[test]
fn steps_by_name_are_included() {
    let cases = read("case a\ngiven begun\n> load\n< 307").unwrap();
    let steps: Vec<(usize, usize)> = cases[0].steps.iter().map(|step| (step.line, step.wanted[0].line)).collect();
    assert_eq!(steps, [(2, 2), (3, 4)]);
    assert!(
        matches!(&cases[0].steps[0].action, Action::Send(begin) if begin.headers.iter().all(|line| line.line == 2))
    );
}

#[test]
fn mistakes_are_named_by_file_and_line() {
    let cases = [
        ("", "x.txt: no cases in it"),
        ("> begin", "x.txt:1: this belongs into a case"),
        ("case a\n> begin\n< 200\ncase a\n> begin\n< 200", "x.txt:4: the name is used in line 1"),
        ("case a\n> begin", "x.txt:1: a: nothing is wanted"),
        ("case a\n< 200", "x.txt:2: there is no step before it"),
        ("case a\n> stop\n< 200", "x.txt:2: there is no request stop"),
        ("case a\n> POST api/x\n< 200", "x.txt:2: `api/x` is no path"),
        ("case a\n> begin at home", "x.txt:2: `at home` is not understood"),
        ("case a\n> begin\n< Status", "x.txt:3: it is not clear what `Status` wants"),
        ("case a\n> begin\n< 200\n> db: x", "x.txt:4: a header stands below its request"),
        ("case a\n> begin\n< 200\n| x", "x.txt:4: a body stands below its request"),
        ("case a\n[since x] > begin\n< 200", "x.txt:2: x is no version"),
        ("[since 3.5] case a\n> begin\n< 200", "x.txt:1: brackets stand behind a case"),
        ("case a [since 3.5", "x.txt:1: a bracket is not closed"),
        ("case a\nclock +1h\nstate PREPARE", "x.txt:1: a: clock, restarts and settings"),
        ("case a [sandbox only]\nclock 1h", "x.txt:2: `1h` is no step of the clock"),
        ("case a [sandbox only]\nkill backend 0\nstate X", "x.txt:2: 0 is no number of a node"),
        ("case a\nlead frontend 2\nstate X", "x.txt:1: a: clock, restarts and settings"),
        ("case a\nwait 1s", "x.txt:2: `wait 1s` is not understood"),
        ("case a\nstate PREPARE of L", "x.txt:2: L is no variable"),
        ("case a\nstate PREPARE\n< 200", "x.txt:3: this step has no answer"),
        ("case a\neventually state X", "x.txt:2: only requests and statements"),
        ("case a\n> begin\n  more", "x.txt:3: there is no statement that goes on"),
        ("case a\ngiven nothing\nstate X", "x.txt:2: there are no steps nothing"),
        ("case a\n[since 3.5] given begun", "x.txt:2: steps by name are for all versions"),
        ("case a\ntable id INT", "x.txt:2: a table begins with its columns"),
    ];
    for (text, want) in cases {
        let error = read(text).expect_err(text);
        assert!(error.starts_with(want), "{text}: {error}");
    }
    let shared = |text: &str| shared("shared.txt", text).expect_err(text);
    assert!(shared("").contains("no requests"));
    assert!(shared("request a GET /\nrequest a GET /").contains("shared.txt:2: there is a request a already"));
    assert!(shared("request a GET /\ncase a\n> a\n< 200").contains("shared.txt:2: cases"));
    assert!(shared("request a GET /\ngiven b\n> a\ngiven b\n> a").contains("shared.txt:4: there are steps b"));
}

#[test]
fn what_no_version_meets_is_found() {
    let cases =
        read("case a [since 3.5]\n> begin\n[until 3.4] < 200\n< Status: OK\n\ncase b [since 9.0]\n> begin\n< 200")
            .unwrap();
    let versions = ["3.4.1", "3.5.1"].map(|version| Version::read(version).unwrap());
    let found = never_looked_at(&cases, &versions);
    assert_eq!(found[0], "x.txt:3: a: no version fits");
    assert!(found[1].starts_with("x.txt:6: b:"), "{found:?}");
}
