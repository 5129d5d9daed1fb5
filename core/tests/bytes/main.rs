//! Bytes that outlive a process: what clients hold, and what the gateway remembers of them, for any content.
//!
//! What the rules make of the content is told in the tests of the protocol; the bytes of stores are tested there.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod checkpoints;
mod hashes;
mod spellings;
