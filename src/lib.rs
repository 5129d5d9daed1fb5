//! The gateway: everything of Tidegate that touches the world.
pub mod app;
mod auth;
mod config;
pub mod graphql;
pub mod store;
pub mod sync;
