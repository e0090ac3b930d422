//! The commands of Doris' manual: `data-operate/import/import-way/stream-load-manual` and `data-operate/transaction`
//! ("Stream Load 2PC"). Where a command of the manual has no `Expect`, curl up to 8.6 adds it by itself; it is written out
//! here, since the frontend refuses a load without it.

use loadlock_sandbox::EngineKind;

use crate::shell::{Shell, answers_like};

const TABLES: &str = "CREATE TABLE testdb.test_streamload(
    user_id            BIGINT       NOT NULL COMMENT \"User ID\",
    name               VARCHAR(20)           COMMENT \"User name\",
    age                INT                   COMMENT \"User age\"
)
DUPLICATE KEY(user_id)
DISTRIBUTED BY HASH(user_id) BUCKETS 10;
CREATE TABLE testdb.parts(user_id BIGINT NOT NULL, name VARCHAR(20), age INT) DUPLICATE KEY(user_id)
PARTITION BY RANGE(user_id) (PARTITION p1 VALUES LESS THAN (\"5\"), PARTITION p2 VALUES LESS THAN (\"20\"))
DISTRIBUTED BY HASH(user_id) BUCKETS 10;
CREATE TABLE testdb.testTbl(a INT, b INT) DUPLICATE KEY(a) DISTRIBUTED BY HASH(a) BUCKETS 1;
CREATE TABLE testdb.sites(siteid INT, citycode INT, username VARCHAR(20), pv INT) UNIQUE KEY(siteid)
DISTRIBUTED BY HASH(siteid) BUCKETS 1;
CREATE TABLE testdb.table1(name VARCHAR(100) NOT NULL, gender VARCHAR(10), age INT) UNIQUE KEY(name)
DISTRIBUTED BY HASH(name) BUCKETS 1 PROPERTIES (\"function_column.sequence_type\" = \"int\");
CREATE TABLE testdb.people(username VARCHAR(20), age INT, address VARCHAR(100)) DUPLICATE KEY(username)
DISTRIBUTED BY HASH(username) BUCKETS 1;";

const CSV: &str = "1,Emily,25\n2,Benjamin,35\n3,Olivia,28\n4,Alexander,60\n5,Ava,17\n6,William,69\n7,Sophia,32\n8,James,64\n\
                   9,Emma,37\n10,Liam,64\n";

const JSON: &str = r#"[
{"userid":1,"username":"Emily","userage":25},
{"userid":2,"username":"Benjamin","userage":35},
{"userid":3,"username":"Olivia","userage":28}
]
"#;

/// The answer of a load in the manual.
const RESULT: &str = r#"{"TxnId": 3, "Label": "123", "Comment": "", "TwoPhaseCommit": "false", "Status": "Success",
    "Message": "OK", "NumberTotalRows": 10, "NumberLoadedRows": 10, "NumberFilteredRows": 0, "NumberUnselectedRows": 0,
    "LoadBytes": 118, "LoadTimeMs": 173, "BeginTxnTimeMs": 1, "StreamLoadPutTimeMs": 70, "ReadDataTimeMs": 2,
    "WriteDataTimeMs": 48, "CommitAndPublishTimeMs": 52}"#;

/// An example: the command, its file, rows loaded, filtered and passed over, and what a query gives then.
struct Example {
    command: &'static str,
    file: (&'static str, &'static str),
    counts: [u64; 3],
    sql: &'static str,
    rows: &'static [&'static str],
}

const EXAMPLES: &[Example] = &[
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "column_separator:," \
    -H "columns:user_id,name,age" \
    -T streamload_example.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/test_streamload/_stream_load"#,
        file: ("streamload_example.csv", CSV),
        counts: [10, 0, 0],
        sql: "select count(*) from testdb.test_streamload",
        rows: &["10"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "label:124" \
    -H "Expect:100-continue" \
    -H "format:json" -H "strip_outer_array:true" \
    -H "jsonpaths:[\"$.userid\", \"$.username\", \"$.userage\"]" \
    -H "columns:user_id,name,age" \
    -T streamload_example.json \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/test_streamload/_stream_load"#,
        file: ("streamload_example.json", JSON),
        counts: [3, 0, 0],
        sql: "select count(*) from testdb.test_streamload",
        rows: &["13"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "timeout:3000" \
    -H "column_separator:," \
    -H "columns:user_id,name,age" \
    -T streamload_example.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/test_streamload/_stream_load"#,
        file: ("streamload_example.csv", CSV),
        counts: [10, 0, 0],
        sql: "select count(*) from testdb.test_streamload",
        rows: &["23"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "max_filter_ratio:0.4" \
    -H "column_separator:," \
    -H "columns:user_id,name,age" \
    -T streamload_example.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/test_streamload/_stream_load"#,
        file: ("streamload_example.csv", "11,Noah,1\n12,Mia,2\nnobody,Zoe,3\n"),
        counts: [2, 1, 0],
        sql: "select name from testdb.test_streamload where user_id > 10 order by user_id",
        rows: &["Noah", "Mia"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "where:age>=35" \
    -H "column_separator:," \
    -H "columns:user_id,name,age" \
    -T streamload_example.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/test_streamload/_stream_load"#,
        file: ("streamload_example.csv", CSV),
        counts: [6, 0, 4],
        sql: "select count(*) from testdb.test_streamload",
        rows: &["31"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "label:123" \
    -H "Expect:100-continue" \
    -H "max_filter_ratio:0.2" \
    -H "column_separator:," \
    -H "columns:user_id,name,age" \
    -H "partitions: p1, p2" \
    -T streamload_example.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/parts/_stream_load"#,
        file: ("streamload_example.csv", "1,Emily,25\n2,Benjamin,35\n7,Sophia,32\n8,James,64\n20,Nobody,1\n"),
        counts: [4, 1, 0],
        sql: "select count(*) from testdb.parts",
        rows: &["4"],
    },
    Example {
        command: r#"seq 1 10 | awk '{OFS="\t"}{print $1, $1 * 10}' | curl --location-trusted -u user:passwd -T - http://fe_host:http_port/api/testdb/testTbl/_stream_load"#,
        file: ("none", ""),
        counts: [10, 0, 0],
        sql: "select sum(b) from testdb.testTbl",
        rows: &["550"],
    },
    Example {
        command: r#"curl --location-trusted -u user:passwd -H "Expect:100-continue" -T test.csv  -H "label:1" -H "format:csv_with_names" -H "column_separator:," http://fe_host:http_port/api/testdb/test_streamload/_stream_load"#,
        file: ("test.csv", "user_id,name,age\n21,doris,20\n22,flink,10\n"),
        counts: [2, 0, 0],
        sql: "select name from testdb.test_streamload where user_id > 20 order by user_id",
        rows: &["doris", "flink"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "column_separator:," \
    -T sites.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/sites/_stream_load"#,
        file: ("sites.csv", "3,2,tom,2\n4,3,bush,3\n5,3,helen,3\n"),
        counts: [3, 0, 0],
        sql: "select siteid from testdb.sites order by siteid",
        rows: &["3", "4", "5"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "merge_type: DELETE" \
    -H "column_separator:," \
    -H "columns:siteid,citycode,username,pv" \
    -T sites.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/sites/_stream_load"#,
        file: ("sites.csv", "3,2,tom,0\n"),
        counts: [1, 0, 0],
        sql: "select siteid from testdb.sites order by siteid",
        rows: &["4", "5"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "merge_type: MERGE" \
    -H "delete: siteid=1" \
    -H "column_separator:," \
    -H "columns:siteid,citycode,username,pv" \
    -T sites.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/sites/_stream_load"#,
        file: ("sites.csv", "2,1,grace,2\n3,2,tom,2\n1,1,jim,2\n"),
        counts: [3, 0, 0],
        sql: "select siteid, citycode, username, pv from testdb.sites order by siteid",
        rows: &["2|1|grace|2", "3|2|tom|2", "4|3|bush|3", "5|3|helen|3"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "function_column.sequence_col: age" \
    -H "column_separator:," \
    -H "columns: name, gender, age" \
    -T table1.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/table1/_stream_load"#,
        file: ("table1.csv", "li,male,10\nwang,male,14\nzhang,male,12\n"),
        counts: [3, 0, 0],
        sql: "select name, age from testdb.table1 order by name",
        rows: &["li|10", "wang|14", "zhang|12"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "merge_type: DELETE" \
    -H "function_column.sequence_col: age" \
    -H "column_separator:," \
    -H "columns: name, gender, age" \
    -T table1.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/table1/_stream_load"#,
        file: ("table1.csv", "li,male,10\nwang,male,9\n"),
        counts: [2, 0, 0],
        sql: "select name, age from testdb.table1 order by name",
        rows: &["wang|14", "zhang|12"],
    },
    Example {
        command: r#"curl --location-trusted -u <doris_user>:<doris_password> \
    -H "Expect:100-continue" \
    -H "column_separator:," \
    -H "enclose:'" \
    -H "columns:username,age,address" \
    -T people.csv \
    -XPUT http://<fe_ip>:<fe_http_port>/api/testdb/people/_stream_load"#,
        file: ("people.csv", "zhangsan,30,'Shanghai, HuangPu District, Dagu Road'\n"),
        counts: [1, 0, 0],
        sql: "select address from testdb.people",
        rows: &["Shanghai, HuangPu District, Dagu Road"],
    },
];

#[tokio::test]
async fn the_examples_of_stream_load() {
    let Some(shell) = Shell::start(EngineKind::Doris, TABLES).await else { return };
    for Example { command, file, counts, sql, rows } in EXAMPLES {
        shell.file(file.0, file.1);
        let answer = shell.run(command).await;
        answers_like(&answer, RESULT, &[]);
        assert_eq!((&answer["Status"], &answer["Message"]), (&"Success".into(), &"OK".into()), "{command}\n{answer}");
        let told = ["NumberLoadedRows", "NumberFilteredRows", "NumberUnselectedRows"].map(|name| answer[name].as_u64());
        assert_eq!(told, counts.map(Some), "{command}\n{answer}");
        assert_eq!(shell.rows(sql).await, *rows, "{command}");
    }
    let again = shell.run(EXAMPLES[1].command).await;
    assert_eq!((&again["Status"], &again["ExistingJobStatus"]), (&"Label Already Exists".into(), &"FINISHED".into()));
    shell.sandbox.stop().await;
}

const PUT: &str = r#"curl --location-trusted -u user:passwd -H "Expect:100-continue" -H "two_phase_commit:true" -H "column_separator:," -T test.txt http://fe_host:http_port/api/testdb/test_streamload/_stream_load"#;

/// The second phase by id or label, as `curl -X PUT --location-trusted -u user:passwd -H "txn_id:18036" …`.
fn second(by: &str, operation: &str, path: &str) -> String {
    format!(
        r#"curl -X PUT --location-trusted -u user:passwd -H "{by}" -H "txn_operation:{operation}"  http://fe_host:http_port/api/{path}/_stream_load_2pc"#
    )
}

#[tokio::test]
async fn two_phases_by_id_and_by_label() {
    let Some(shell) = Shell::start(EngineKind::Doris, TABLES).await else { return };
    shell.file("test.txt", CSV);
    let mut rows = 0;
    for (operation, done) in [("commit", "commit"), ("abort", "abort")] {
        for by_label in [false, true] {
            for path in ["testdb/test_streamload", "testdb"] {
                let answer = shell.run(PUT).await;
                answers_like(&answer, RESULT, &[]);
                assert_eq!((&answer["Status"], &answer["TwoPhaseCommit"]), (&"Success".into(), &"true".into()));
                assert_eq!(shell.rows("select count(*) from testdb.test_streamload").await, [rows.to_string()]);
                let (id, label) = (answer["TxnId"].to_string(), answer["Label"].as_str().unwrap().to_owned());
                let (by, named) = match by_label {
                    false => (format!("txn_id:{id}"), format!("transaction [{id}]")),
                    true => (format!("label:{label}"), format!("label [{label}]")),
                };
                let answer = shell.run(&second(&by, operation, path)).await;
                assert_eq!(answer["status"], "Success", "{answer}");
                assert_eq!(answer["msg"], format!("{named} {done} successfully."));
                rows += if operation == "commit" { 10 } else { 0 };
                // The answer comes before the rows are visible.
                shell.until("select count(*) from testdb.test_streamload", &rows.to_string()).await;
            }
        }
    }
    shell.sandbox.stop().await;
}

#[tokio::test]
async fn second_phases_that_come_too_late() {
    let Some(shell) = Shell::start(EngineKind::Doris, TABLES).await else { return };
    shell.file("test.txt", CSV);
    let id = shell.run(PUT).await["TxnId"].to_string();
    let path = "testdb/test_streamload";
    assert_eq!(shell.run(&second(&format!("txn_id:{id}"), "commit", path)).await["status"], "Success");
    for (by, operation, said) in [
        (format!("txn_id:{id}"), "commit", "already"),
        (format!("txn_id:{id}"), "abort", "already"),
        ("txn_id:987654321".to_owned(), "commit", "not found"),
    ] {
        let answer = shell.run(&second(&by, operation, path)).await;
        assert_ne!(answer["status"], "Success", "{answer}");
        assert!(answer["msg"].as_str().unwrap().contains(said), "{answer}");
    }
    let neither = r#"curl -X PUT --location-trusted -u user:passwd -H "txn_operation:commit" http://fe_host:http_port/api/testdb/_stream_load_2pc"#;
    assert_eq!(shell.run(neither).await["msg"], "No transaction id or label selected.");
    let wrong = PUT.replace("user:passwd", "root:wrong");
    let refused = shell.run(&wrong).await;
    assert_eq!((&refused["code"], &refused["msg"]), (&401.into(), &"Unauthorized".into()), "{refused}");
    shell.sandbox.stop().await;
}

#[tokio::test]
async fn the_log_of_refused_rows() {
    let Some(shell) = Shell::start(EngineKind::Doris, TABLES).await else { return };
    shell.file("streamload_example.csv", "nobody,Zoe,3\n");
    let answer = shell.run(EXAMPLES[0].command).await;
    assert_eq!(answer["Status"], "Fail", "{answer}");
    assert!(answer["Message"].as_str().unwrap().contains("too many filtered rows"), "{answer}");
    let log = shell.text(&format!("curl \"{}\"", answer["ErrorURL"].as_str().expect("ErrorURL"))).await;
    assert!(log.contains("Reason: ") && log.contains("user_id"), "{log}");
    shell.sandbox.stop().await;
}
