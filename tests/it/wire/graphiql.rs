//! GraphiQL in a real browser: two users work with the page, over HTTP and sockets, and nothing leaves its origin.
//!
//! `tests/browser/graphiql.mjs` has the steps; the unit tests of `http::graphiql` test how the files are served.

use std::process::Command;

use tempfile::TempDir;

use super::{ROOT, node_in};
use crate::harness::Server;

#[test]
fn graphiql_works_for_both_users_and_nothing_leaves_its_origin() {
    let found = Command::new(format!("{ROOT}/scripts/chromium"))
        .output()
        .unwrap();
    let reported = String::from_utf8_lossy(&found.stderr);
    assert!(found.status.success(), "{reported}");
    let chromium = String::from_utf8(found.stdout).unwrap();
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let screenshot = directory.path().join("graphiql.png");
    let arguments = [&server.url, screenshot.to_str().unwrap()];
    let environment = [("CHROMIUM", chromium.trim())];
    let reported = node_in("tests/browser", "graphiql.mjs", &arguments, &environment);
    assert!(reported.starts_with("ok:"), "{reported}");
}
