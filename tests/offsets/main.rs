//! `loadlock offsets` on a real broker: intents whose loads the engine has forgotten, decided by hand either way, and every
//! word that must not be taken. Needs `KAFKA_BROKERS`.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::indexing_slicing, reason = "a test")]

#[path = "../support/kafka.rs"]
mod kafka;
mod world;

use loadlock_sandbox::EngineKind;
use serde_json::{Value, json};

use kafka::{speaks_consumer_protocol, until};
use world::{Commits, World};

/// The command in a loader's log that ends with this word, and the nonce that it names.
fn command_in(log: &str, word: &str) -> (String, String) {
    let command = log.split('`').find(|span| span.ends_with(word)).expect("a command");
    let nonce = command.split(' ').skip_while(|word| *word != "--nonce").nth(1).expect("a nonce");
    (command.to_owned(), nonce.to_owned())
}

/// The loader stops with the code that names the command, which is then given as it stands there. (StarRocks' load history
/// would tell; Doris has none.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_and_forgotten_is_resolved_by_the_command_that_the_stop_names() {
    let Some(mut world) = World::start("committed", EngineKind::Doris, "").await else { return };
    world.produce(50);
    let mut loader = world.interrupt(Commits::Done).await;
    assert_eq!(loader.end().await, 75, "the drain ends unfinished\n{}", loader.log());
    world.forget().await;

    let mut loader = world.loader();
    assert_eq!(loader.ends().await, 65, "{}", loader.log());
    let log = loader.log();
    assert!(log.contains("\"code\":\"outcome-unknown\""), "{log}");
    let (command, nonce) = command_in(&log, "--committed");
    let nonce = nonce.as_str();
    assert_eq!(
        command,
        format!("loadlock offsets resolve -c FILE --topic {} --nonce {nonce} --committed", world.place.topic)
    );

    let before = world.snapshot();
    let intent = &before["intents"][0];
    assert_eq!((&intent["nonce"], &intent["mapping_is_configured"]), (&json!(nonce), &json!(true)), "{before}");
    let loads: Vec<(&Value, &Value)> =
        intent["loads"].as_array().expect("loads").iter().map(|load| (&load["table"], &load["engine"])).collect();
    assert_eq!(loads.len(), 2);
    assert!(loads.iter().all(|(_, engine)| **engine == json!("unknown")), "{before}");
    for partition in before["partitions"].as_array().expect("partitions") {
        assert_eq!((&partition["position"], &partition["lag"]), (&json!(0), &json!(50)), "{before}");
        assert_eq!(partition["intent"], json!(nonce), "{before}");
        assert_eq!(partition["origin"]["start"], json!("earliest"), "{before}");
    }
    world.offsets("show", &[]).says(0, &["UNKNOWN", nonce, "no members", "0:0..50 1:0..50", "resolve -c FILE"]);

    let arguments = ["--nonce", nonce, "--committed"];
    world
        .offsets("resolve", &arguments)
        .says(0, &["committed, as you say", "dry run", &format!("50 with trail {nonce}")]);
    assert_eq!(world.snapshot()["partitions"], before["partitions"], "a dry run stores nothing");
    world.offsets("resolve", &[&arguments[..], &["--yes"]].concat()).says(0, &["stored and read back"]);
    let after = world.snapshot();
    assert_eq!(after["intents"], json!([]));
    for partition in after["partitions"].as_array().expect("partitions") {
        assert_eq!((&partition["position"], &partition["trail"]), (&json!(50), &json!(nonce)), "{after}");
        assert_eq!(partition["origin"]["start"], json!("earliest"), "what is not the intent stays: {after}");
    }
    world.offsets("resolve", &arguments).says(64, &["no-such-intent"]);
    world.produce(20);
    world.run_and_judge().await;
    world.offsets("resolve", &["--aborted", "--yes"]).says(0, &["nothing to resolve"]);
}

/// The member was killed: its session has to end before anybody may decide.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aborted_and_forgotten_is_loaded_again_when_the_killed_member_is_gone() {
    let Some(mut world) = World::start("aborted", EngineKind::Doris, "").await else { return };
    world.produce(50);
    drop(world.interrupt(Commits::Lost).await);
    world.forget().await;
    world
        .offsets("resolve", &["--partition", "1", "--aborted", "--yes", "--wait", "0"])
        .says(65, &["members-running", "still has members: loadlock-"]);
    world
        .offsets("resolve", &["--partition", "1", "--aborted"])
        .says(0, &["the group has 1 member", "0 without intent: the records are read again"]);
    world
        .offsets("resolve", &["--partition", "1", "--aborted", "--yes"])
        .says(0, &["members to leave: loadlock-", "aborted, as you say", "stored and read back"]);
    assert_eq!(world.snapshot()["intents"], json!([]), "both partitions of the load are decided together");
    world.run_and_judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_are_resolved_one_by_one() {
    let Some(mut world) = World::start("tables", EngineKind::StarRocks, "").await else { return };
    world.produce(50);
    assert_eq!(world.interrupt(Commits::OneEach).await.end().await, 75);
    world.forget().await;
    let (loaded, empty) = world.loaded_and_empty().await;
    world
        .offsets("resolve", &["--committed", loaded, "--yes"])
        .says(64, &[&format!("into {empty}, and nothing is said about it"), "nothing was stored"]);
    world
        .offsets("resolve", &["--committed", loaded, "--aborted", empty, "--yes"])
        .says(0, &[&format!("0 with the intent, to be loaded again into {empty}"), "stored and read back"]);
    let intent = &world.snapshot()["intents"][0];
    for load in intent["loads"].as_array().expect("loads") {
        let listed = if load["table"] == json!(loaded) { "done" } else { "aborted" };
        assert_eq!((&load["listed"], &load["engine"]), (&json!(listed), &json!("not-asked")), "{intent}");
    }
    world.offsets("resolve", &["--committed", empty]).says(65, &["contradicted", "by an earlier final word"]);
    world.run_and_judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_engine_remembers_is_not_a_persons_to_decide() {
    let Some(mut world) = World::start("remembers", EngineKind::StarRocks, "").await else { return };
    world.produce(30);
    assert_eq!(world.interrupt(Commits::OneEach).await.end().await, 75);
    world.sandbox.clear_faults();
    let (loaded, empty) = world.loaded_and_empty().await;
    let before = world.snapshot();
    world.offsets("show", &[]).says(0, &["VISIBLE", "PREPARED"]);
    for (word, table, engine) in [("--aborted", loaded, "VISIBLE"), ("--committed", empty, "PREPARED")] {
        let contradicted = format!("{table} is said to be {}, but the engine says {engine}", &word[2..]);
        for arguments in [&[word][..], &[word, table], &[word, table, "--yes"]] {
            world.offsets("resolve", arguments).says(65, &["contradicted", "nothing was stored"]);
        }
        world.offsets("resolve", &[word, table]).says(65, &[&contradicted]);
    }
    assert_eq!(world.snapshot()["partitions"], before["partitions"]);
    world
        .offsets("resolve", &["--committed", loaded, "--aborted", empty])
        .says(0, &["to be aborted first", "committed, as the engine says"]);
    assert!(world.sandbox.transactions().iter().any(|txn| txn.state == "PREPARED"), "a dry run aborts nothing");
    world
        .offsets("resolve", &["--committed", loaded, "--aborted", empty, "--yes"])
        .says(0, &["aborted, as the engine says", "stored and read back"]);
    world.run_and_judge().await;
}

/// It held the intent, prepared and about to be committed, while a person decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_sleeps_through_a_resolution_does_nothing_with_what_it_remembers() {
    let Some(mut world) = World::start("sleeps", EngineKind::StarRocks, "").await else { return };
    world.produce(30);
    let mut loader = world.interrupt(Commits::Lost).await;
    loader.signal("-STOP");
    world.sandbox.clear_faults();
    world.offsets("resolve", &["--aborted", "--yes"]).says(
        0,
        &["waiting up to", "aborting what is still prepared", "aborted, as the engine says", "stored and read back"],
    );
    assert_eq!(world.snapshot()["intents"], json!([]));
    loader.signal("-CONT");
    until("it has read the records again", || loader.log().contains("\"message\":\"committed\"").then_some(())).await;
    assert_eq!(loader.end().await, 0, "{}", loader.log());
    world.run_and_judge().await;
}

/// The mapping was changed while a batch was open: its rest is never loaded by another mapping, the whole of it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_visible_nowhere_is_given_up_to_another_mapping() {
    let Some(mut world) = World::start("mapping", EngineKind::Doris, "").await else { return };
    world.produce(30);
    assert_eq!(world.interrupt(Commits::Lost).await.end().await, 75);
    world.sandbox.clear_faults();
    world.reconfigure("$.id", "$['id']");
    let mut loader = world.loader();
    assert_eq!(loader.ends().await, 65, "{}", loader.log());
    let log = loader.log();
    assert!(log.contains("\"code\":\"mapping-changed\""), "{log}");
    let (command, nonce) = command_in(&log, "--aborted");
    let expected = format!("loadlock offsets resolve -c FILE --topic {} --nonce {nonce} --aborted", world.place.topic);
    assert_eq!(command, expected);
    world.offsets("show", &[]).says(0, &["ABORTED", "NOT the configured one"]);
    world
        .offsets("resolve", &["--nonce", &nonce, "--aborted", "--yes"])
        .says(0, &["aborted, as the engine says", "stored and read back"]);
    world.run_and_judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_member_is_in_the_way_and_not_disturbed() {
    let Some(mut world) = World::start("running", EngineKind::Doris, "").await else { return };
    world.produce(30);
    let mut loader = world.interrupt(Commits::Lost).await;
    // Its state is known again, so it aborts and loads by itself what is open.
    let waiting = world.offsets("show", &[]);
    waiting.says(69, &["1 member: loadlock at 127.0.0.1", "no answer", "0:0..30 1:0..30", "engine-unanswered"]);
    world.offsets("resolve", &["--aborted", "--yes", "--wait", "1"]).says(65, &["members-running"]);
    world.sandbox.clear_faults();
    let log = until("the loader has settled its batch", || {
        Some(loader.log()).filter(|log| log.contains("\"message\":\"committed\""))
    })
    .await;
    assert_eq!(log.matches("\"message\":\"assigned\"").count(), 1, "it was disturbed\n{log}");
    assert_eq!(loader.end().await, 0, "{}", loader.log());
    world.run_and_judge().await;
}

/// Groups of the newer protocol list no members: only the join shows them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_not_listed_keeps_its_partitions() {
    let properties = "\"group.protocol\" = \"consumer\"";
    let Some(mut world) = World::start("unlisted", EngineKind::StarRocks, properties).await else { return };
    if !speaks_consumer_protocol(&world.place.brokers, "a_member_that_is_not_listed_keeps_its_partitions").await {
        return;
    }
    world.produce(30);
    let mut loader = world.loader();
    until("assigned", || loader.log().contains("\"message\":\"assigned\"").then_some(())).await;
    world
        .offsets("resolve", &["--aborted", "--yes", "--wait", "0"])
        .says(65, &["members-running", "somebody else is a member", "nothing was stored"]);
    assert_eq!(loader.end().await, 0, "{}", loader.log());
    world.run_and_judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_is_shown() {
    let Some(mut world) = World::start("shown", EngineKind::StarRocks, "").await else { return };
    world.produce(5);
    assert!(world.snapshot()["partitions"][0]["position"].is_null());
    let mut member = world.place.member(&[]);
    member.owns(2).await;
    member.record(&[(0, 3)], "another tool's").await;
    member.record(&[(1, 4)], "LL1 i=\u{1b}[2J").await;
    assert_eq!(member.source.control.close(kafka::DEADLINE).await, loadlock::source::Closed::Left);
    world.offsets("show", &[]).says(
        0,
        &["another tool's: another tool\\'s", "unreadable: LL1 i=\\u{1b}[2J", "no open intent", "all partitions: 3"],
    );
    let partitions = world.snapshot()["partitions"].clone();
    assert_eq!((&partitions[0]["metadata"], &partitions[1]["metadata"]), (&json!("foreign"), &json!("unreadable")));
    world.offsets("resolve", &["--aborted", "--yes"]).says(0, &["nothing to resolve"]);
    assert_eq!(world.snapshot()["partitions"], partitions, "what is not ours is left alone");
    let brokers = format!("brokers = \"{}\"", world.place.brokers);
    let nobody = "brokers = \"127.0.0.1:1\"";
    world.offsets_where(&brokers, nobody, "show", &["--json"]).says(69, &["kafka-unanswered", "\"pipelines\": []"]);
    world.offsets_where(&brokers, nobody, "resolve", &["--aborted", "--yes"]).says(69, &["kafka-unanswered"]);
}
