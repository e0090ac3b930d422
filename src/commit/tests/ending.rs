//! Drains and stops, in every phase.

use super::*;

#[test]
fn a_drain_leaves_a_reload_that_is_being_filled_to_the_next_start() {
    let mut scene = settling::reloading();
    assert_eq!(scene.on(Event::Drain(None)), ["abandon", "hold", "drained"]);
}
