//! Hostile clients: each test is one attack that a gateway must withstand, with the bound that it must keep.
//!
//! An attack's cost is measured in counts and bytes, never by the clock. The next attack is one more test or one more
//! line of a table: of a member with a token in [`members`], [`documents`], [`scopes`], [`checkpoints`], [`models`] and
//! [`apps`], of a peer without one in [`strangers`].

#[cfg(target_os = "linux")]
mod apps;
mod checkpoints;
#[cfg(target_os = "linux")]
mod dev_tokens;
mod documents;
#[cfg(target_os = "linux")]
mod flood;
mod json;
#[cfg(target_os = "linux")]
mod members;
mod memberships;
mod models;
mod scopes;
#[cfg(target_os = "linux")]
mod strangers;
mod webhook;
