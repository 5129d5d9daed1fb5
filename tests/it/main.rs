//! The integration tests, in one binary: what the parts promise to one another and to the world.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

mod bad_input;
mod commands;
mod conflicts;
mod contract;
mod crash;
mod deploys;
#[cfg(target_os = "linux")]
mod disk;
mod docs;
mod embedded;
mod erase;
mod evolution;
mod existing_data;
mod faults;
mod following;
mod formats;
mod fuzz;
mod harness;
mod hostile;
mod imports;
mod isolation;
mod lists;
mod live;
mod models;
mod mongo;
mod operations;
mod packaging;
mod permissions;
mod pull;
mod push;
mod queries;
mod schema;
mod serve;
mod server_fields;
mod stored_names;
mod stored_types;
mod story;
mod uniques;
mod wire;
mod withheld;
