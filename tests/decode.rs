//! Decoding through its public interface: tables of cases in `tests/data/decode` and `tests/data/expr`, and the accounting of a chunk.

#[cfg(test)]
mod decode {
    mod cases;
    mod chunks;
    mod expressions;
    mod forms;
    mod properties;
    mod support;
}
