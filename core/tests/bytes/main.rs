//! Bytes that outlive a process, with any content: what clients hold, and what the gateway remembers of them.
//!
//! The tests of the protocol say what the rules do with the content. The bytes of stores are tested with the stores.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod checkpoints;
mod hashes;
mod spellings;
