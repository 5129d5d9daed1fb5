//! Starts on a model with another rule of scopes or memberships: documents move, and access changes.

use std::{process::Stdio, time::Duration};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::{Device, assert_says, places, tasks};
use crate::harness::{PATIENCE, Server, command};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn documents_move_when_the_scope_has_another_rule() {
    for place in places().await {
        let before = tasks("room: String!").replace(
            "access: WRITE)",
            "access: WRITE) @grant(scope: \"room:{rooms}\", access: WRITE)",
        );
        let documents = [json!({"room": "a"}), json!({"room": "b"})];
        let mut device = place
            .filled(&before, "... on Task { room }", &documents)
            .await;
        let after = before.replace("@scope(by: \"team:{team}\")", "@scope(by: \"room:{room}\")");
        let (good, printed) = place.check(&after);
        assert!(good, "{printed}");
        assert_says(
            &printed,
            &["Task: has another `@scope`; 2 documents go to other scopes"],
        );
        let server = place.serve(&after);
        let mut inside = Device {
            client: server.client_with("ann", &json!({"rooms": ["a"]})),
            ..device.fresh()
        };
        // An importer moves them while they are served; meanwhile nobody sees them in the wrong place.
        let moved = async {
            while !device.documents.is_empty() || inside.documents.is_empty() {
                device.pull(&server).await;
                inside.pull(&server).await;
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(PATIENCE, moved).await.expect("the documents move");
        assert_eq!(inside.documents["t0"], json!({"room": "a"}));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_that_is_killed_while_documents_move_is_finished_by_the_next_one() {
    const DOCUMENTS: usize = 3_000;
    let [place, _] = places().await;
    let before = tasks("room: String!").replace(
        "access: WRITE)",
        "access: WRITE) @grant(scope: \"room:{rooms}\", access: WRITE)",
    );
    let server = place.serve(&before);
    let mut filler = Device::new(&server, "syncVersion");
    let ids: Vec<usize> = (0..DOCUMENTS).collect();
    for ids in ids.chunks(500) {
        let create = |id: &usize| {
            let document = json!({"team": "demo", "room": "a"});
            json!({"task": {"create": {"id": format!("t{id}"), "document": document}}})
        };
        filler.push(&server, ids.iter().map(create).collect()).await;
    }
    server.stop();
    let after = before.replace("@scope(by: \"team:{team}\")", "@scope(by: \"room:{room}\")");
    place.write(&after);
    for after_ms in [40, 80, 120, 160, 200, 300, 400] {
        let mut dev = command(place.directory.path());
        dev.args(["dev", "--listen", "127.0.0.1:0", "--store", &place.url]);
        let mut killed = dev.stdout(Stdio::null()).spawn().unwrap();
        sleep(Duration::from_millis(after_ms)).await;
        killed.kill().unwrap();
        killed.wait().unwrap();
    }
    let server = place.serve(&after);
    let mut inside = Device {
        client: server.client_with("ann", &json!({"rooms": ["a"]})),
        ..filler.fresh()
    };
    inside.pull(&server).await;
    assert_eq!(inside.documents.len(), DOCUMENTS);
    let moved_once = |document: &Value| document["syncVersion"] == 2;
    assert!(inside.documents.values().all(moved_once));
    // The way back is a change like any other.
    server.stop();
    let server = place.serve(&before);
    let mut back = filler.fresh();
    back.pull(&server).await;
    assert_eq!(back.documents.len(), DOCUMENTS);
}

fn members(access: &str) -> String {
    format!(
        "extend schema @grant(scope: \"team:{{teams}}\", access: WRITE)\n\
         type Task @collection(name: \"tasks\") @scope(by: \"{{room}}\") {{ id: ID! team: String room: String! }}\n\
         type Seat @collection(name: \"seats\") @scope(by: \"team:{{team}}\") @grants(scope: \"room:{{room}}\", to: \"{{user}}\", access: \"{access}\") {{\n  id: ID! team: String! room: String! user: String! level: Access!\n}}\n\
         enum Access {{ READ WRITE NONE }}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memberships_open_what_the_new_rule_says_from_the_first_request_on() {
    for place in places().await {
        let server = place.serve(&members("READ"));
        let mut alice = Device::new(&server, "id");
        let seat = json!({"team": "demo", "room": "a", "user": "bob", "level": "NONE"});
        let create = json!({"seat": {"create": {"id": "s", "document": seat}}});
        alice.push(&server, vec![create]).await;
        let query = "{ viewer { memberships { nodes { scope } } } }";
        let bob = server.client_with("bob", &json!({}));
        let open = async |server: &Server| {
            let data = bob.at(server).data(query, json!({})).await;
            let nodes = &data["viewer"]["memberships"]["nodes"];
            nodes.as_array().unwrap().len()
        };
        assert_eq!(open(&server).await, 1);
        server.stop();
        let (good, printed) = place.check(&members("{level}"));
        assert!(good, "{printed}");
        let says =
            "Seat: has another `@grants`; 1 document gives other access, stamped before the start";
        assert_says(&printed, &[says]);
        let server = place.serve(&members("{level}"));
        assert_eq!(open(&server).await, 0);
        server.stop();

        let without = members("READ");
        let without = &without[..without.find("type Seat").unwrap()];
        // Another text: on MongoDB an earlier model waits for a minute before it leads again.
        let server = place.serve(&format!("{}# again\n", members("READ")));
        assert_eq!(open(&server).await, 1);
        server.stop();
        let parts = [
            "Seat: is gone",
            "1 document",
            "deploy it once without its `@grants`",
        ];
        assert_says(&place.refused(without), &parts);
    }
}
