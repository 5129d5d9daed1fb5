//! The core against its specification: each rule of the protocol as a test named after the promise it proves.
//!
//! Only the core's public face is used, through a store of maps that has no rules of its own; what the rules are is
//! said in the protocol, not here.

mod advice;
mod bases;
mod bench;
mod bounds;
mod convergence;
mod creates;
mod differences;
mod documented;
mod drafts;
mod edit_times;
mod entries;
mod falsy;
mod foreign;
mod inbox;
mod joins;
mod members;
mod merges;
mod pages;
mod phone;
mod pushes;
mod queues;
mod records;
mod revocations;
mod senders;
mod sight;
mod starts;
mod store;
mod story;
mod types;
mod updates;
mod waiting;
mod work;
