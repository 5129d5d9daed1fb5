//! GraphiQL in a real browser: two users work with the page, over HTTP and sockets, and nothing leaves its origin.
//!
//! `tests/browser/graphiql.mjs` has the steps; the unit tests of `http::graphiql` test how the files are served.

use tempfile::TempDir;

use super::{chromium, node_in};
use crate::harness::Server;

#[test]
fn graphiql_works_for_both_users_and_nothing_leaves_its_origin() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let screenshot = directory.path().join("graphiql.png");
    let arguments = [&server.url, screenshot.to_str().unwrap()];
    let environment = [("CHROMIUM", &*chromium())];
    let reported = node_in("tests/browser", "graphiql.mjs", &arguments, &environment);
    assert!(reported.starts_with("ok:"), "{reported}");
}
