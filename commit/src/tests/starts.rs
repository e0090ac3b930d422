//! First positions, and positions that can't be gone on from.

use super::*;
use crate::metadata::{Origin, OriginStart};

/// Metadata of a pipeline that began at the first record of so many partitions.
pub(super) fn origin(partitions: u32) -> Metadata {
    Metadata { origin: Some(Origin { start: OriginStart::Earliest, partitions }), ..plain() }
}

#[test]
fn a_start_resolved_under_an_earlier_assignment_is_not_used() {
    let mut scene = Scene::without_positions(StartWish::Latest);
    scene.give(&[0]);
    assert_eq!(scene.read_as_new(), ["resolve latest 5 now 0"]);
    scene.lose(&[0]);
    // Another member has begun the pipeline meanwhile.
    let begun = Metadata { origin: Some(Origin { start: OriginStart::Latest(3), partitions: 3 }), ..plain() };
    scene.put(1, 10, &begun);
    scene.give(&[0]);
    scene.read();
    assert_eq!(scene.resolve(&[(0, 900)]), ["resolve latest 3 0"]);
    assert_eq!(scene.resolve(&[(0, 500)]), ["record 0@500"]);
}

#[test]
fn nothing_is_resolved_for_a_partition_that_leaves() {
    let mut scene = Scene::without_positions(StartWish::Earliest);
    scene.put(0, 0, &origin(2));
    scene.give(&[0]);
    scene.read();
    scene.seal(1, &[(0, 0..10)], &["a"]);
    scene.prepared();
    scene.give(&[1]);
    assert_eq!(scene.store(), ["commit 1:a", "read 1"]);
    scene.visible(&["a"]);
    assert_eq!(scene.read(), ["resolve earliest 1"]);
    assert!(scene.open_record().contains(&0));
    scene.revoke(&[0, 1]);
    assert_eq!(scene.resolve(&[]), [""; 0]);
}

#[test]
fn a_start_is_resolved_stored_and_then_read() {
    let cases = [
        (StartWish::Earliest, "resolve earliest now 0 1", OriginStart::Earliest),
        (StartWish::Latest, "resolve latest 5 now 0 1", OriginStart::Latest(5)),
        (StartWish::Timestamp(70), "resolve timestamp 70 now 0 1", OriginStart::Timestamp(70)),
        (StartWish::Offsets, "resolve offsets now 0 1", OriginStart::Offsets),
    ];
    for (wish, resolve, start) in cases {
        let mut scene = Scene::without_positions(wish);
        scene.give(&[0, 1]);
        assert_eq!(scene.read_as_new(), [resolve]);
        assert_eq!(scene.resolve(&[(0, 7), (1, 9)]), ["record 0@7 1@9"]);
        assert_eq!(scene.store(), ["(started 0@7 1@9)", "fill 0@7 1@9"]);
        let stored = scene.stored[&0].clone().expect("stored");
        let metadata = Metadata::parse(&stored.metadata).expect("ours");
        assert_eq!(metadata, Metadata { origin: Some(Origin { start, partitions: 3 }), ..plain() });
    }
}

#[test]
fn without_a_position_committed_stops() {
    let mut scene = Scene::without_positions(StartWish::Committed);
    scene.give(&[0]);
    assert_eq!(scene.read(), ["stop no-position"]);
}

#[test]
fn a_later_member_starts_where_the_first_one_meant_to() {
    // `start = latest`, two members begin together: the second does not take its partition for a new one.
    let mut scene = Scene::without_positions(StartWish::Latest);
    let begun = Metadata { origin: Some(Origin { start: OriginStart::Latest(3), partitions: 3 }), ..plain() };
    scene.put(0, 100, &begun);
    scene.give(&[2]);
    assert_eq!(scene.read(), ["resolve latest 3 2"]);
    assert_eq!(scene.resolve(&[(2, 50)]), ["record 2@50"]);
    scene.store();
    let stored = scene.stored[&2].clone().expect("stored");
    assert_eq!(Metadata::parse(&stored.metadata), Ok(begun), "the origin is handed on");
}

#[test]
fn a_partition_that_came_later_starts_at_its_first_record() {
    let mut scene = Scene::without_positions(StartWish::Latest);
    let begun = Metadata { origin: Some(Origin { start: OriginStart::Latest(3), partitions: 2 }), ..plain() };
    scene.put(0, 100, &begun);
    scene.give(&[1, 2]);
    assert_eq!(scene.read(), ["resolve latest 3 1"]);
    assert_eq!(scene.resolve(&[(1, 60)]), ["resolve earliest 2", "record 1@60"]);
}

#[test]
fn a_partition_without_a_position_starts_beside_those_that_are_read() {
    let mut scene = Scene::new();
    scene.put(0, 4, &origin(3));
    scene.stored.insert(1, None);
    scene.give(&[0, 1]);
    assert_eq!(scene.read(), ["resolve earliest 1", "fill 0@4"]);
    scene.resolve(&[(1, 0)]);
    assert_eq!(scene.store(), ["(started 1@0)", "join 1@0"]);
    assert_eq!(scene.give(&[2]), ["read 2"]);
    assert_eq!(scene.read(), ["join 2@0"]);
}

#[test]
fn a_position_outside_the_log_stops_with_what_is_missing() {
    for (offset, said) in [(9, "the records 9..10"), (1001, "behind the end of the log (1000)")] {
        let mut scene = Scene::new();
        scene.log.start = 10;
        scene.put(0, offset, &plain());
        scene.give(&[0]);
        assert_eq!(scene.read(), ["stop position-out-of-log"]);
        let what = scene.take("stop", |effect| match effect {
            Effect::Stop(stop) => Some(stop.what.clone()),
            _ => None,
        });
        assert!(what.contains(said), "{what}");
    }
    for offset in [10, 1000] {
        let mut scene = Scene::new();
        scene.log.start = 10;
        scene.put(0, offset, &plain());
        scene.give(&[0]);
        assert_eq!(scene.read(), [format!("fill 0@{offset}")]);
    }
}

#[test]
fn a_configured_offset_outside_the_log_stops() {
    for offset in [-1, 1001] {
        let mut scene = Scene::without_positions(StartWish::Offsets);
        scene.give(&[0]);
        scene.read_as_new();
        assert_eq!(scene.resolve(&[(0, offset)]), ["stop position-out-of-log"]);
    }
}

#[test]
fn a_topic_that_was_created_again_stops() {
    let mut scene = Scene::new();
    scene.topic_id = Some("U".to_owned());
    scene.give(&[0]);
    assert_eq!(scene.read(), ["stop topic-changed"]);
    // A broker that tells no id proves nothing.
    let mut scene = Scene::new();
    scene.topic_id = None;
    scene.give(&[0]);
    assert_eq!(scene.read(), ["fill 0@0"]);
}

#[test]
fn positions_of_another_cluster_stop() {
    let mut scene = Scene::new();
    scene.put(0, 40, &Metadata { cluster: Some("A".to_owned()), ..plain() });
    scene.cluster_id = Some("B".to_owned());
    scene.give(&[0]);
    assert_eq!(scene.read(), ["stop cluster-changed"]);
    // Brokers that tell no id prove nothing.
    scene = Scene::new();
    scene.put(0, 40, &Metadata { cluster: Some("A".to_owned()), ..plain() });
    scene.give(&[0]);
    assert_eq!(scene.read(), ["fill 0@40"]);
}

#[test]
fn the_cluster_is_noted_with_the_next_position() {
    let noted = |scene: &Scene| {
        let stored = scene.stored[&0].clone().expect("stored");
        Metadata::parse(&stored.metadata).expect("ours").cluster
    };
    let mut scene = Scene::new();
    scene.cluster_id = Some("an id with spaces".to_owned());
    scene.give(&[0]);
    assert_eq!(scene.read(), ["fill 0@0"], "a text without it is gone on from");
    scene.committing(1, &[(0, 0..10)], &["a"]);
    let first = noted(&scene).expect("noted");
    scene.visible(&["a"]);
    scene.store();
    assert_eq!(noted(&scene), Some(first), "kept by the advance");
    scene.lose(&[0]);
    scene.give(&[0]);
    assert_eq!(scene.read(), ["fill 0@10"], "compared in the form in which it is noted");

    let mut fresh = Scene::without_positions(StartWish::Earliest);
    fresh.cluster_id = Some("C".to_owned());
    fresh.give(&[0]);
    fresh.read_as_new();
    fresh.resolve(&[(0, 0)]);
    fresh.store();
    assert_eq!(noted(&fresh).as_deref(), Some("C"));
}

#[test]
fn the_metadata_of_another_tool_leaves_its_offset_and_takes_ours() {
    for text in ["", "{\"by\":\"another\"}"] {
        let mut scene = Scene::new();
        scene.stored.insert(0, Some(Stored { offset: 40, metadata: text.to_owned() }));
        scene.give(&[0]);
        assert_eq!(scene.read(), ["(foreign 0@40)", "fill 0@40"]);
        scene.committing(1, &[(0, 40..50)], &["a"]);
        assert_eq!(scene.position(0), "0@40+1..50(a)");
    }
}

#[test]
fn metadata_of_ours_that_can_not_be_read_stops() {
    for text in ["LL2 o=e/4", "LL1 i=nonsense"] {
        let mut scene = Scene::new();
        scene.stored.insert(0, Some(Stored { offset: 40, metadata: text.to_owned() }));
        scene.give(&[0]);
        assert_eq!(scene.read(), ["stop position-unreadable"]);
    }
}

#[test]
fn a_pipeline_whose_labels_are_remembered_has_lost_its_positions() {
    let mut scene = Scene::without_positions(StartWish::Earliest);
    scene.give(&[0, 1]);
    assert_eq!(scene.read(), ["look for labels"]);
    assert_eq!(scene.labels(Some("loadlock-a-1")), ["read 0 1"], "another member may have begun just now");
    assert_eq!(scene.read(), ["stop positions-lost"]);
    let what = scene.take("stop", |effect| match effect {
        Effect::Stop(stop) => Some(stop.what.clone()),
        _ => None,
    });
    assert!(what.contains("loadlock-a-1"), "{what}");
}

#[test]
fn labels_of_a_member_that_began_meanwhile_are_no_loss() {
    let mut scene = Scene::without_positions(StartWish::Earliest);
    scene.give(&[0]);
    scene.read();
    scene.put(1, 0, &origin(3));
    assert_eq!(scene.labels(Some("loadlock-a-1")), ["read 0"]);
    assert_eq!(scene.read(), ["resolve earliest 0"]);
    // Later all of them are gone: the labels are still known.
    scene.stored = (0..3).map(|partition| (partition, None)).collect();
    scene.give(&[2]);
    assert_eq!(scene.read(), ["stop positions-lost"]);
}

#[test]
fn labels_are_asked_for_once_and_only_when_nobody_has_a_position() {
    let mut scene = Scene::without_positions(StartWish::Earliest);
    scene.give(&[0]);
    assert_eq!(scene.read(), ["look for labels"]);
    scene.give(&[1]);
    assert_eq!(scene.read(), [""; 0], "the question is under way");
    assert_eq!(scene.labels(None), ["resolve earliest now 0 1"]);
    scene.give(&[2]);
    assert_eq!(scene.read(), [""; 0], "the answer is known; its start is resolved after the others");

    let mut foreign = Scene::without_positions(StartWish::Earliest);
    foreign.stored.insert(1, Some(Stored { offset: 40, metadata: String::new() }));
    foreign.give(&[0]);
    assert_eq!(foreign.read(), ["resolve earliest now 0"]);
}
