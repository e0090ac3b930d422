//! loadlock
fn main() {}
