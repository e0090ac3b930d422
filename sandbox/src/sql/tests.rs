//! Statements against a sandbox without a network.
