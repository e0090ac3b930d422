//! A record becomes rows or a reject.

/// How rows stand in a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// StarRocks: each row is written as `,{…}`; the load replaces the body's first byte by `[` and ends it with `]`.
    Array,
    /// Doris: each row is `{…}\n`.
    Lines,
}
