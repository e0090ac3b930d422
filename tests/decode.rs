//! Decoding through its public interface: tables of cases in `tests/data/decode`, and the accounting of a chunk.

#[cfg(test)]
mod decode {
    mod cases;
    mod chunks;
    mod forms;
    mod properties;
    mod support;
}
