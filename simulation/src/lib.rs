//! Random histories of clients, gateways and a store, in which everything that must never happen is looked for.
//!
//! A [`Story`] is data, so that what fails is told again and cut down. The clients are the reference client, the gateways
//! are the real service on the real core; the store is one whose moments are kept and whose calls can be held.

#[cfg(test)]
#[path = "../../tests/it/contract.rs"]
mod contract;
mod mutants;
mod op;
mod oracle;
mod people;
mod store;
mod story;
mod world;

pub use self::{
    mutants::{Broken, CATALOGUE, Fault, catch},
    op::Op,
    oracle::{Property, Violation},
    store::StoreFault,
    story::{Story, shrink},
    world::{Tally, tell},
};
