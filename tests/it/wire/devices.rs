//! The page of two devices in a real browser: both offline, the same titles edited, a merge, and a conflict that a person
//! resolves.
//!
//! `tests/browser/devices.mjs` has the steps; `packages/devices` the page.

use tempfile::TempDir;

use super::{chromium, node_in};
use crate::harness::Server;

const ANOTHER_MODEL: &str = r#"extend schema @grant(scope: "user:{sub}", access: WRITE)
type Memo @collection(name: "memos") @scope(by: "user:{owner}") { id: ID! owner: ID! }
"#;

#[test]
fn two_devices_edit_offline_and_a_person_resolves_their_conflict() {
    let [directory, other] = [(); 2].map(|()| TempDir::new().unwrap());
    let server = Server::dev(&directory);
    let with_another_model = Server::dev_on(&other, ANOTHER_MODEL);
    let screenshots = directory.path().to_str().unwrap();
    let arguments = [&server.url, &with_another_model.url, screenshots];
    let environment = [("CHROMIUM", &*chromium())];
    let reported = node_in("tests/browser", "devices.mjs", &arguments, &environment);
    assert_eq!(reported, "ok\n");
}
