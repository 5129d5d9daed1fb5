//! What the tests of the sync rules share: the reference client, a store of maps, and random numbers.
//!
//! The core's protocol tests drive them by scripted steps, the simulation by random ones. Nothing here judges the
//! results.

pub mod client;
mod random;
pub mod store;

pub use self::random::Random;
