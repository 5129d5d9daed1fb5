//! The API as transports meet it: operations go in by `Api::admit`, answers come out as JSON text. The door alone is
//! tested beside it, what travels how in `tests/it/wire/`.

mod answers;
mod names;
pub(crate) mod peer;
