//! The core against its specification: each rule of the protocol as a test named after the promise it proves.
//!
//! The tests use only the core's public interface, through a store of maps without rules of its own. The protocol
//! states the rules, not this file.

mod bases;
mod bench;
mod bounds;
mod clients;
mod convergence;
mod creates;
mod differences;
mod digests;
mod documented;
mod drafts;
mod edit_times;
mod entries;
mod evolution;
mod falsy;
mod foreign;
mod gateways;
mod inbox;
mod items;
mod joins;
mod lists;
mod members;
mod merges;
mod nulled;
mod other_models;
mod pages;
mod phone;
mod pushes;
mod queues;
mod records;
mod revocations;
mod rights;
mod senders;
mod server_fields;
mod sight;
mod stamps;
mod starts;
mod store;
mod story;
mod two_models;
mod types;
mod uniques;
mod updates;
mod waiting;
mod webhooks;
mod withheld;
mod work;
