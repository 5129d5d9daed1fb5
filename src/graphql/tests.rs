//! The API as transports use it: operations go in by `Api::validate`, answers come out as JSON text. Validation has tests
//! of its own, and `tests/it/wire/` tests the transports.

mod answers;
mod names;
pub(crate) mod peer;
