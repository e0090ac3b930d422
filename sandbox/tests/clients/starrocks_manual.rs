//! The commands of StarRocks' manual: `loading/Stream_Load_transaction_interface`, `loading/StreamLoad` and
//! `sql-statements/loading_unloading/STREAM_LOAD` (4.0). Where answers of 4.0 and the manual differ, the backend's source
//! counts; the differences are named.

use loadlock_sandbox::EngineKind;

use crate::shell::{Shell, answers_like};

const TABLE1: &str = "CREATE TABLE test_db.`table1`
(
    `id` int(11) NOT NULL COMMENT \"user ID\",
    `name` varchar(65533) NULL COMMENT \"user name\",
    `score` int(11) NOT NULL COMMENT \"user score\"
)
ENGINE=OLAP
PRIMARY KEY(`id`)
DISTRIBUTED BY HASH(`id`) BUCKETS 10;";

const EXAMPLE1: &str = "1,Lily,23\n2,Rose,23\n3,Alice,24\n4,Julia,25\n";

const BEGIN: &str = r#"curl --location-trusted -u <jack>:<123456> -H "label:streamload_txn_example1_table1" \
    -H "Expect:100-continue" \
    -H "db:test_db" -H "table:table1" \
    -XPOST http://<fe_host>:<fe_http_port>/api/transaction/begin"#;

const LOAD: &str = r#"curl --location-trusted -u <jack>:<123456> -H "label:streamload_txn_example1_table1" \
    -H "Expect:100-continue" \
    -H "db:test_db" -H "table:table1" \
    -T example1.csv \
    -H "column_separator: ," \
    -XPUT http://<fe_host>:<fe_http_port>/api/transaction/load"#;

const PREPARE: &str = r#"curl --location-trusted -u <jack>:<123456> -H "label:streamload_txn_example1_table1" \
    -H "Expect:100-continue" \
    -H "db:test_db" \
    -H "prepared_timeout:300" \
    -XPOST http://<fe_host>:<fe_http_port>/api/transaction/prepare"#;

const COMMIT: &str = r#"curl --location-trusted -u <jack>:<123456> -H "label:streamload_txn_example1_table1" \
    -H "Expect:100-continue" \
    -H "db:test_db" \
    -XPOST http://<fe_host>:<fe_http_port>/api/transaction/commit"#;

const ROLLBACK: &str = r#"curl --location-trusted -u <jack>:<123456> -H "label:streamload_txn_example1_table1" \
    -H "Expect:100-continue" \
    -H "db:test_db" \
    -XPOST http://<fe_host>:<fe_http_port>/api/transaction/rollback"#;

#[tokio::test]
async fn a_transaction_from_begin_to_commit() {
    let Some(shell) = Shell::start(EngineKind::StarRocks, TABLE1).await else { return };
    shell.file("example1.csv", EXAMPLE1);
    let label = "streamload_txn_example1_table1";

    let begun = shell.run(BEGIN).await;
    answers_like(&begun, r#"{"Status": "", "Message": "", "Label": "", "TxnId": 0, "BeginTxnTimeMs": 0}"#, &[]);
    assert_eq!((&begun["Status"], &begun["Label"]), (&"OK".into(), &label.into()));

    // "Seq" and the counts are the manual's only: the backend tells counts when it prepares, and names the planning
    // StreamLoadPlanTimeMs (`StreamLoadContext::to_resp_json`).
    let loaded = shell.run(LOAD).await;
    let manual = r#"{"TxnId": 1, "Seq": 0, "Label": "", "Status": "OK", "Message": "", "NumberTotalRows": 0,
        "NumberLoadedRows": 0, "NumberFilteredRows": 0, "NumberUnselectedRows": 0, "LoadBytes": 0, "LoadTimeMs": 0,
        "StreamLoadPutTimeMs": 0, "ReceivedDataTimeMs": 0}"#;
    let counts = ["Seq", "NumberTotalRows", "NumberLoadedRows", "NumberFilteredRows", "NumberUnselectedRows"];
    answers_like(&loaded, manual, &[&counts[..], &["LoadTimeMs", "StreamLoadPutTimeMs"]].concat());
    assert_eq!((&loaded["Status"], &loaded["LoadBytes"]), (&"OK".into(), &EXAMPLE1.len().into()));
    assert_eq!(loaded["TxnId"], begun["TxnId"]);

    let prepared = shell.run(PREPARE).await;
    let manual = r#"{"TxnId": 1, "Label": "", "Status": "OK", "Message": "", "NumberTotalRows": 0, "NumberLoadedRows": 0,
        "NumberFilteredRows": 0, "NumberUnselectedRows": 0, "LoadBytes": 0, "LoadTimeMs": 0, "StreamLoadPutTimeMs": 0,
        "ReceivedDataTimeMs": 0, "WriteDataTimeMs": 0, "CommitAndPublishTimeMs": 0}"#;
    answers_like(&prepared, manual, &["StreamLoadPutTimeMs"]);
    assert_eq!((&prepared["Status"], &prepared["NumberLoadedRows"]), (&"OK".into(), &4.into()));
    assert_eq!(shell.rows("SELECT * FROM test_db.table1").await, Vec::<String>::new(), "prepared is not visible");

    // The frontend answers a commit of what is prepared, and has no counts.
    let committed = shell.run(COMMIT).await;
    answers_like(&committed, r#"{"TxnId": 1, "Label": "", "Status": "OK", "Message": ""}"#, &[]);
    assert_eq!(committed["Status"], "OK", "{committed}");
    assert_eq!(
        shell.rows("SELECT * FROM test_db.table1 ORDER BY id").await,
        EXAMPLE1.replace(',', "|").lines().collect::<Vec<_>>()
    );

    let again = shell.run(COMMIT).await;
    assert_eq!(again["Status"], "OK", "{again}");
    assert!(again["Message"].as_str().unwrap().contains("has already committed"), "{again}");
    let begun = shell.run(BEGIN).await;
    answers_like(&begun, r#"{"Status": "", "ExistingJobStatus": "", "Message": ""}"#, &[]);
    assert_eq!((&begun["Status"], &begun["ExistingJobStatus"]), (&"LABEL_ALREADY_EXISTS".into(), &"FINISHED".into()));
    assert_eq!(begun["Message"], format!("Label [{label}] has already been used."));
    shell.sandbox.stop().await;
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back() {
    let Some(shell) = Shell::start(EngineKind::StarRocks, TABLE1).await else { return };
    shell.file("example1.csv", EXAMPLE1);
    for (steps, state) in
        [(&[BEGIN][..], "PREPARE"), (&[BEGIN, LOAD], "PREPARE"), (&[BEGIN, LOAD, PREPARE], "PREPARED")]
    {
        for step in steps {
            assert_eq!(shell.run(step).await["Status"], "OK", "{step}");
        }
        let asked = r#"curl -u <username>:<password> "http://<fe_host>:<fe_http_port>/api/test_db/get_load_state?label=streamload_txn_example1_table1""#;
        assert_eq!(shell.run(asked).await["state"], state);
        let running = shell.run(BEGIN).await;
        assert_eq!(running["Status"], "LABEL_ALREADY_EXISTS", "{running}");
        let rolled = shell.run(ROLLBACK).await;
        // A backend that rolls back names no id (`StreamLoadContext`), the frontend does.
        let but: &[&str] = if state == "PREPARE" { &["TxnId"] } else { &[] };
        answers_like(&rolled, r#"{"TxnId": 1, "Label": "", "Status": "OK", "Message": ""}"#, but);
        assert_eq!(rolled["Status"], "OK", "{rolled}");
        assert_eq!(shell.run(asked).await["state"], "ABORTED");
        assert_eq!(shell.rows("SELECT count(*) FROM test_db.table1").await, ["0"]);
        // An aborted label is free again, as the manual says of a label in general.
    }
    shell.sandbox.stop().await;
}

#[tokio::test]
async fn calls_out_of_turn() {
    let Some(shell) = Shell::start(EngineKind::StarRocks, TABLE1).await else { return };
    shell.file("example1.csv", EXAMPLE1);
    for step in [LOAD, PREPARE, COMMIT, ROLLBACK] {
        let answer = shell.run(step).await;
        assert!(answer["Status"] == "FAILED" || answer["Status"] == "TXN_NOT_EXISTS", "{step}\n{answer}");
        assert!(answer["Message"].is_string(), "{answer}");
    }
    shell.run(BEGIN).await;
    shell.run(LOAD).await;
    let other = LOAD.replace("column_separator: ,", "column_separator: |");
    assert_ne!(shell.run(&other).await["Status"], "OK", "all loads of a transaction have the same settings");
    let wrong = BEGIN.replace("<jack>:<123456>", "root:wrong");
    assert_eq!(shell.run(&wrong).await["status"], "FAILED", "a wrong password");
    shell.sandbox.stop().await;
}

/// The answer of `_stream_load` in STREAM_LOAD, "Return value".
const RESULT: &str = r#"{"TxnId": 1003, "Label": "", "Status": "Success", "Message": "OK", "NumberTotalRows": 0,
    "NumberLoadedRows": 0, "NumberFilteredRows": 0, "NumberUnselectedRows": 0, "LoadBytes": 0, "LoadTimeMs": 0,
    "BeginTxnTimeMs": 0, "StreamLoadPlanTimeMs": 0, "ReadDataTimeMs": 0, "WriteDataTimeMs": 0,
    "CommitAndPublishTimeMs": 0}"#;

/// A table of three columns for the CSV examples, and the ones of the JSON examples.
fn tables() -> String {
    let three = |name: &str, rest: &str| {
        format!("CREATE TABLE test_db.{name} (col1 INT, col2 INT, col3 INT) DUPLICATE KEY(col1) {rest};")
    };
    let ranges = "PARTITION BY RANGE(col1) (PARTITION p1 VALUES LESS THAN ('10'), PARTITION p2 VALUES LESS THAN ('20'), \
                  PARTITION p3 VALUES LESS THAN ('30'))";
    let mut tables: Vec<String> =
        ["table1", "table2", "table3", "table4", "table9", "table10"].map(|name| three(name, "")).into();
    tables.push(three("table5", ranges));
    tables.push("CREATE TABLE test_db.table6 (col1 INT, col2 DATETIME, col3 INT) DUPLICATE KEY(col1);".to_owned());
    tables.push(
        "CREATE TABLE test_db.table7 (k INT DEFAULT '1', col1 HLL HLL_UNION, col2 HLL HLL_UNION) AGGREGATE KEY(k);"
            .to_owned(),
    );
    tables.push("CREATE TABLE test_db.table8 (k INT DEFAULT '1', col1 BITMAP BITMAP_UNION, col2 BITMAP BITMAP_UNION) AGGREGATE KEY(k);".to_owned());
    tables.push(
        "CREATE TABLE test_db.tbl1 (`category` varchar(512) NULL COMMENT \"\",`author` varchar(512) NULL COMMENT \"\",\
         `title` varchar(512) NULL COMMENT \"\",`price` double NULL COMMENT \"\") DUPLICATE KEY(category);"
            .to_owned(),
    );
    tables.push("CREATE TABLE mydatabase.`table1` (`id` int(11) NOT NULL, `name` varchar(65533) NULL, `score` int(11) NOT NULL) ENGINE=OLAP PRIMARY KEY(`id`) DISTRIBUTED BY HASH(`id`);".to_owned());
    tables.push("CREATE TABLE mydatabase.`table2` (`id` int(11) NOT NULL, `city` varchar(65533) NULL) ENGINE=OLAP PRIMARY KEY(`id`) DISTRIBUTED BY HASH(`id`);".to_owned());
    tables.join("\n")
}

/// An example: its file, the command, rows filtered and passed over, and what is in the table then.
struct Example {
    file: (&'static str, &'static str),
    command: &'static str,
    passed: (u64, u64),
    sql: &'static str,
    rows: &'static [&'static str],
}

const EXAMPLES: &[Example] = &[
    Example {
        file: ("example1.csv", "1\t2\t3\n4\t5\t6\n7\t8\t9\n1\t1\t1\nx\t0\t0\n"),
        command: r#"curl --location-trusted -u <username>:<password> -H "label:label1" \
    -H "Expect:100-continue" \
    -H "timeout:100" \
    -H "max_filter_ratio:0.2" \
    -H "strict_mode:true" \
    -T example1.csv -XPUT \
    <table_url_prefix>/api/test_db/table1/_stream_load"#,
        passed: (1, 0),
        sql: "SELECT count(*) FROM test_db.table1",
        rows: &["4"],
    },
    Example {
        file: ("example3.csv", "1\t2\t3\n"),
        command: r#"curl --location-trusted -u <username>:<password>  -H "label:label3" \
    -H "Expect:100-continue" \
    -H "columns: col2, col1, col3" \
    -T example3.csv -XPUT \
    <table_url_prefix>/api/test_db/table3/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT * FROM test_db.table3",
        rows: &["2|1|3"],
    },
    Example {
        file: ("example4.csv", "20180601\t2\t3\n20180602\t2\t3\n"),
        command: r#"curl --location-trusted -u <username>:<password> -H "label:label4" \
    -H "Expect:100-continue" \
    -H "columns: col1, col2, col3"\
    -H "where: col1 = 20180601" \
    -T example4.csv -XPUT \
    <table_url_prefix>/api/test_db/table4/_stream_load"#,
        passed: (0, 1),
        sql: "SELECT * FROM test_db.table4",
        rows: &["20180601|2|3"],
    },
    Example {
        file: ("example5.csv", "1\t2\t3\n11\t2\t3\n"),
        command: r#"curl --location-trusted -u <username>:<password>  -H "label:label5" \
    -H "Expect:100-continue" \
    -H "partitions: p1, p2" \
    -T example5.csv -XPUT \
    <table_url_prefix>/api/test_db/table5/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT * FROM test_db.table5 ORDER BY col1",
        rows: &["1|2|3", "11|2|3"],
    },
    Example {
        file: ("example6.csv", "1\t2024-01-02 03:04:05\t3\n"),
        command: r#"curl --location-trusted -u <username>:<password> \
    -H "Expect:100-continue" \
    -H "strict_mode: true" \
    -H "timezone: Africa/Abidjan" \
    -T example6.csv -XPUT \
    <table_url_prefix>/api/test_db/table6/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT * FROM test_db.table6",
        rows: &["1|2024-01-02 03:04:05|3"],
    },
    Example {
        file: ("example7.csv", "a\tb\nc\td\n"),
        command: r#"curl --location-trusted -u <username>:<password> \
    -H "Expect:100-continue" \
    -H "columns: temp1, temp2, col1=hll_hash(temp1), col2=hll_empty()" \
    -T example7.csv -XPUT \
    <table_url_prefix>/api/test_db/table7/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT count(*) FROM test_db.table7",
        rows: &["1"],
    },
    Example {
        file: ("example8.csv", "1\tb\n9\td\n"),
        command: r#"curl --location-trusted -u <username>:<password> \
    -H "Expect:100-continue" \
    -H "columns: temp1, temp2, col1=to_bitmap(temp1), col2=bitmap_empty()" \
    -T example8.csv -XPUT \
    <table_url_prefix>/api/test_db/table8/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT k, col1 FROM test_db.table8",
        rows: &["1|1,9"],
    },
    Example {
        file: ("example9.csv", "1\n2\n3\n4\n5\n \"6\" , 7 ,8\n"),
        command: r#"curl --location-trusted -u <username>:<password> -H "label:3875" \
    -H "Expect:100-continue" \
    -H "trim_space: true" -H "skip_header: 5" \
    -H "column_separator:," -H "enclose:\"" -H "escape:\\" \
    -H "columns: col2, col1, col3" \
    -T example9.csv -XPUT \
    <table_url_prefix>/api/test_db/table9/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT * FROM test_db.table9",
        rows: &["7|6|8"],
    },
    Example {
        file: ("example10.csv", "1,2,3\r\n4,5,6\r\n"),
        command: r#"curl --location-trusted -u <username>:<password> -H "label:label10" \
    -H "Expect:100-continue" \
    -H "column_separator:," \
    -H "row_delimiter:\\x0D0A" \
    -T example10.csv -XPUT \
    <table_url_prefix>/api/test_db/table10/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT * FROM test_db.table10 ORDER BY col1",
        rows: &["1|2|3", "4|5|6"],
    },
    Example {
        file: ("example1.json", r#"{"category":"C++","author":"avc","title":"C++ primer","price":895}"#),
        command: r#"curl --location-trusted -u <username>:<password> -H "label:label6" \
    -H "Expect:100-continue" \
    -H "format: json" \
    -T example1.json -XPUT \
    <table_url_prefix>/api/test_db/tbl1/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT * FROM test_db.tbl1",
        rows: &["C++|avc|C++ primer|895"],
    },
    Example {
        file: (
            "example2.json",
            r#"[{"category":"xuxb111","author":"1avc","title":"SayingsoftheCentury","price":895},{"category":"xuxb222","author":"2avc","title":"SayingsoftheCentury","price":895},{"category":"xuxb333","author":"3avc","title":"SayingsoftheCentury","price":895}]"#,
        ),
        command: r#"curl --location-trusted -u <username>:<password> -H "label:label7" \
    -H "Expect:100-continue" \
    -H "format: json" \
    -H "strip_outer_array: true" \
    -H "jsonpaths: [\"$.category\",\"$.price\",\"$.author\"]" \
    -H "columns: category, price, author" \
    -T example2.json -XPUT \
    <table_url_prefix>/api/test_db/tbl1/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT * FROM test_db.tbl1 WHERE category LIKE 'xuxb%' ORDER BY category",
        rows: &["xuxb111|1avc|NULL|895", "xuxb222|2avc|NULL|895", "xuxb333|3avc|NULL|895"],
    },
    Example {
        file: (
            "example3.json",
            r#"{"id": 10001,"RECORDS":[{"category":"11","title":"SayingsoftheCentury","price":895,"timestamp":1589191587},{"category":"22","author":"2avc","price":895,"timestamp":1589191487},{"category":"33","author":"3avc","title":"SayingsoftheCentury","timestamp":1589191387}],"comments": ["3 records", "there will be 3 rows"]}"#,
        ),
        command: r#"curl --location-trusted -u <username>:<password> \
    -H "Expect:100-continue" \
    -H "format: json" \
    -H "json_root: $.RECORDS" \
    -H "strip_outer_array: true" \
    -H "jsonpaths: [\"$.category\",\"$.price\",\"$.author\"]" \
    -H "columns: category, price, author" -H "label:label8" \
    -T example3.json -XPUT \
    <table_url_prefix>/api/test_db/tbl1/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT category, author, price FROM test_db.tbl1 WHERE category IN ('11', '22', '33') ORDER BY category",
        rows: &["11|NULL|895", "22|2avc|895", "33|3avc|NULL"],
    },
    Example {
        file: ("example1.csv", EXAMPLE1),
        command: r#"curl --location-trusted -u <username>:<password> -H "label:123" \
    -H "Expect:100-continue" \
    -H "column_separator:," \
    -H "columns: id, name, score" \
    -T example1.csv -XPUT \
    http://<fe_host>:<fe_http_port>/api/mydatabase/table1/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT * FROM mydatabase.table1 ORDER BY id",
        rows: &["1|Lily|23", "2|Rose|23", "3|Alice|24", "4|Julia|25"],
    },
    Example {
        file: ("example2.json", r#"{"name": "Beijing", "code": 2}"#),
        command: r#"curl -v --location-trusted -u <username>:<password> -H "strict_mode: true" \
    -H "Expect:100-continue" \
    -H "format: json" -H "jsonpaths: [\"$.name\", \"$.code\"]" \
    -H "columns: city,tmp_id, id = tmp_id * 100" \
    -T example2.json -XPUT \
    http://<fe_host>:<fe_http_port>/api/mydatabase/table2/_stream_load"#,
        passed: (0, 0),
        sql: "SELECT * FROM mydatabase.table2",
        rows: &["200|Beijing"],
    },
];

#[tokio::test]
async fn the_examples_of_stream_load() {
    let Some(shell) = Shell::start(EngineKind::StarRocks, &tables()).await else { return };
    for example in EXAMPLES {
        shell.file(example.file.0, example.file.1);
        let answer = shell.run(example.command).await;
        answers_like(&answer, RESULT, &[]);
        assert_eq!(
            (&answer["Status"], &answer["Message"]),
            (&"Success".into(), &"OK".into()),
            "{}\n{answer}",
            example.command
        );
        let passed = (&answer["NumberFilteredRows"], &answer["NumberUnselectedRows"]);
        assert_eq!(passed, (&example.passed.0.into(), &example.passed.1.into()), "{}\n{answer}", example.command);
        assert_eq!(shell.rows(example.sql).await, example.rows, "{}", example.command);
    }
    // A label is used once.
    let again = shell.run(EXAMPLES[0].command).await;
    assert_eq!((&again["Status"], &again["ExistingJobStatus"]), (&"Label Already Exists".into(), &"FINISHED".into()));
    shell.sandbox.stop().await;
}

#[tokio::test]
async fn the_log_of_refused_rows() {
    let Some(shell) = Shell::start(EngineKind::StarRocks, &tables()).await else { return };
    shell.file("example2.csv", "1\t2\t3\nx\t2\t3\n");
    let command = r#"curl --location-trusted -u <username>:<password> -H "label:label2" \
    -H "Expect:100-continue" \
    -H "max_filter_ratio:0.2" \
    -H "strict_mode:true" \
    -T example2.csv -XPUT \
    <table_url_prefix>/api/test_db/table2/_stream_load"#;
    let answer = shell.run(command).await;
    assert_eq!(answer["Status"], "Fail", "{answer}");
    assert!(answer["Message"].as_str().unwrap().contains("too many filtered rows"), "{answer}");
    let url = answer["ErrorURL"].as_str().expect("ErrorURL");
    let log = shell.text(&format!("curl \"{url}\"")).await;
    assert!(log.contains('x'), "{log}");
    shell.sandbox.stop().await;
}
