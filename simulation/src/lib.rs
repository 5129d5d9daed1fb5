//! Random histories of clients, gateways and a store, which are searched for violations of the promises.
//!
//! A [`Story`] is data, so that a failing one can be run again and shortened. The clients are the reference client, and
//! the gateways are the real service on the real core. The store keeps its moments, and its calls can be held.

#[cfg(test)]
#[path = "../../tests/it/contract.rs"]
mod contract;
mod mutants;
mod op;
mod oracle;
mod people;
mod store;
mod story;
pub mod traces;
mod world;

pub use self::{
    mutants::{Broken, CATALOGUE, Fault, catch},
    op::Op,
    oracle::{Property, Violation},
    people::Edition,
    store::StoreFault,
    story::{Story, shrink},
    world::{Tally, record, tell},
};
