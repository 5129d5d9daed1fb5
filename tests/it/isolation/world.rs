//! The users and their documents: Bob, who asks; Alice, whose documents he never saw or sees no longer; and what he did
//! where he has no access any more.
//!
//! The table has the operations.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::{
    schema::Api,
    table::{Probe, TYPES, Table},
};
use crate::harness::{Client, Server, answer};

/// Text in every document that Bob may not see.
pub(super) const SECRET: &str = "nobody else's business";

/// How Bob may use a document. The ids of documents have one length, and so have the answers.
pub(super) const OWN: &str = "owned";
/// It never existed.
pub(super) const MISSING: &str = "never";
/// In a team that he sees, and deleted by Alice.
pub(super) const SPARE: &str = "spare";
/// Invisible to him: Alice's own; his, in a room that he has left; in a team that his token no longer names; moved out
/// of a team that he sees; deleted where he never looked; deleted in the room before he left.
pub(super) const HIDDEN: [&str; 6] = ["alien", "ended", "leave", "moved", "grave", "ghost"];

/// The id of a document; vessels have ids of another kind.
pub(super) fn id_of(standing: &str, type_name: &str) -> String {
    let all = [&[OWN, MISSING, SPARE][..], &HIDDEN].concat();
    let number = all.iter().position(|one| *one == standing).unwrap();
    match type_name {
        "Vessel" => format!("00000000-0000-4000-8000-{number:012}"),
        _ => format!("{standing}-id"),
    }
}

/// The text of a document of this standing.
pub(super) fn text_of(standing: &str) -> &'static str {
    match standing {
        OWN => "mine",
        SPARE => "said in the team",
        _ => SECRET,
    }
}

/// An answer, without what differs with every request.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: u16,
    headers: BTreeMap<String, String>,
    pub(super) body: String,
}

impl Answer {
    /// The same with one word replaced by another.
    pub(super) fn saying(mut self, id: &str) -> Self {
        self.body = self.body.replace(id, "#id");
        self
    }
}

/// Bob's world after all of its events.
pub(super) struct World {
    pub(super) table: Table,
    pub(super) server: Server,
    pub(super) alice: Client,
    pub(super) bob: Client,
    /// What he pushed while he might, and the answers.
    pub(super) pushed: HashMap<String, (Value, String)>,
    /// The conflicts of drafts, by how Bob may use them.
    pub(super) conflicts: HashMap<String, Value>,
}

impl World {
    pub(super) async fn new(directory: &std::path::Path, arguments: &[&str]) -> Self {
        let model = include_str!("../models/isolation.graphql");
        std::fs::write(directory.join("model.graphql"), model).unwrap();
        let server = Server::dev_with(directory, arguments);
        let teams = json!({"teams": ["kept", "left"]});
        let [alice, bob] = ["alice", "bob"].map(|user| server.client_with(user, &teams));
        let table = Table {
            api: Api::parse(&answer(directory, &["schema"])),
            epoch: alice.epoch().await,
        };
        let bob_later = server.client_with("bob", &json!({"teams": ["kept"]}));
        let mut world = Self {
            table,
            server,
            alice,
            bob,
            pushed: HashMap::new(),
            conflicts: HashMap::new(),
        };
        world.come_together().await;
        world.work_together().await;
        world.part().await;
        world.bob = bob_later;
        world
    }

    /// Alice opens a room to herself, to Bob and to Carol, and both create documents.
    async fn come_together(&self) {
        let seat = |member: &str, role: &str| {
            let document = json!({"text": SECRET, "room": "r", "member": member, "role": role});
            json!({"seat": {"create": {"id": format!("of-{member}"), "document": document}}})
        };
        let seats = [("alice", "WRITE"), ("bob", "WRITE"), ("carol", "READ")];
        let seats = seats.map(|(member, role)| seat(member, role));
        self.done(&self.alice, seats.into()).await;
        for (name, root) in TYPES {
            let create = |standing: &str, audience: &str, text: &str| {
                let document = json!({"text": text, "audience": audience});
                json!({root: {"create": {"id": id_of(standing, name), "document": document}}})
            };
            let of_alice = [
                ("alien", "user:alice"),
                ("leave", "team:left"),
                ("moved", "team:kept"),
                ("grave", "user:alice"),
                ("ghost", "room:r"),
            ];
            let of_alice = of_alice.map(|(standing, audience)| create(standing, audience, SECRET));
            self.done(&self.alice, of_alice.into()).await;
            let of_bob = [
                create(OWN, "user:bob", "begun"),
                create("ended", "room:r", "begun"),
                create(SPARE, "team:kept", "begun"),
            ];
            self.done(&self.bob, of_bob.into()).await;
        }
    }

    /// Alice edits what Bob has created. Bob, who does not know it, edits too.
    async fn work_together(&mut self) {
        for (name, root) in TYPES {
            for standing in ["ended", SPARE] {
                let id = id_of(standing, name);
                let text = text_of(standing);
                self.done(&self.alice, vec![edit(root, &id, 1, text)]).await;
                let client = json!({"id": format!("{root} {id}"), "firstMutationId": 1});
                let nothing = json!({"text": "x".repeat(41)});
                let nothing = json!({root: {"create": {"id": id, "document": nothing}}});
                let changes = [
                    edit(root, &id, 1, "late"),
                    edit(root, &id, 2, text),
                    nothing,
                ];
                let input =
                    json!({"changes": changes, "client": client, "epoch": self.table.epoch});
                let reported = self.push(&self.bob, &input).await;
                self.pushed.insert(id, (input, reported));
            }
        }
        for standing in ["alien", "leave", "moved", "grave"] {
            self.collide(&self.alice, standing).await;
        }
        self.collide(&self.bob, OWN).await;
        for client in [&self.alice, &self.bob] {
            for conflict in conflicts_of(client).await {
                let of = conflict["documentId"].as_str().unwrap().to_owned();
                self.conflicts.insert(of, conflict);
            }
        }
    }

    /// Two edits of a draft by users who did not know of each other's.
    async fn collide(&self, client: &Client, standing: &str) {
        let id = id_of(standing, "Draft");
        for again in ["", " again"] {
            let text = format!("{}{again}", text_of(standing));
            let input = json!({"changes": [edit("draft", &id, 1, &text)]});
            self.push(client, &input).await;
        }
    }

    /// Documents are deleted or moved, and Bob's membership ends.
    async fn part(&self) {
        for (name, root) in TYPES {
            for (standing, is_moved) in [
                ("moved", true),
                ("grave", false),
                ("ghost", false),
                (SPARE, false),
            ] {
                let id = id_of(standing, name);
                let base = self.version(root, &id).await;
                let change = match is_moved {
                    true => {
                        json!({"update": {"id": id, "baseVersion": base, "set": {"audience": "user:alice"}}})
                    }
                    false => json!({"delete": {"id": id, "baseVersion": base}}),
                };
                self.done(&self.alice, vec![json!({root: change})]).await;
            }
        }
        let seat = json!({"seat": {"delete": {"id": "of-bob", "baseVersion": 1}}});
        self.done(&self.alice, vec![seat]).await;
    }

    /// The version that Alice sees.
    pub(super) async fn version(&self, root: &str, id: &str) -> Value {
        let query = format!("query($id: ID!) {{ {root}(id: $id) {{ syncVersion }} }}");
        self.alice.data(&query, json!({"id": id})).await[root]["syncVersion"].take()
    }

    /// Pushes changes that must all be applied.
    pub(super) async fn done(&self, client: &Client, changes: Vec<Value>) {
        let reported = self.push(client, &json!({"changes": changes})).await;
        let applied = reported.matches(r#""status":"APPLIED""#).count();
        assert_eq!(applied, changes.len(), "{changes:?}: {reported}");
    }

    /// Pushes, and returns the whole answer.
    pub(super) async fn push(&self, client: &Client, input: &Value) -> String {
        let push = self
            .table
            .api
            .field("Mutation", "pushChanges", "(input: $input)");
        let query = format!("mutation($input: PushChangesInput!) {{ {push} }}");
        let answer = client.text(&query, json!({"input": input})).await;
        answer.expect("the gateway answers")
    }

    /// The answer to Bob when he tries this with an id.
    pub(super) async fn ask(&self, probe: &Probe, id: &str) -> Answer {
        let body = json!({"query": probe.query, "variables": probe.variables(id)});
        let request = self.bob.http.post(format!("{}/graphql", self.bob.url));
        let request = request
            .bearer_auth(&self.bob.token)
            .header("content-type", "application/json")
            .body(body.to_string());
        let response = request.send().await.unwrap();
        let headers = response.headers().iter();
        let headers =
            headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Answer {
            status: response.status().as_u16(),
            headers: headers
                .filter(|(name, _)| name != "date" && name != "x-request-id")
                .collect(),
            body: response.text().await.unwrap(),
        }
    }

    /// A checkpoint of a user who has seen everything visible.
    pub(super) async fn checkpoint_of(&self, user: &str) -> String {
        let client = self
            .server
            .client_with(user, &json!({"teams": ["kept", "left"]}));
        let query = "{ changesSince(limit: 5000) { checkpoint hasMore } }";
        let page = client.data(query, json!({})).await["changesSince"].take();
        assert_eq!(page["hasMore"], false);
        page["checkpoint"].as_str().unwrap().to_owned()
    }
}

pub(super) fn edit(root: &str, id: &str, base: i64, text: &str) -> Value {
    json!({root: {"update": {"id": id, "baseVersion": base, "set": {"text": text}}}})
}

/// The open conflicts that a user sees, each with its cursor.
async fn conflicts_of(client: &Client) -> Vec<Value> {
    let query = "{ conflicts { edges { cursor node { id documentId } } } }";
    let mut data = client.data(query, json!({})).await;
    let edges: Vec<Value> = serde_json::from_value(data["conflicts"]["edges"].take()).unwrap();
    let flat = |mut edge: Value| {
        let mut node = edge["node"].take();
        node["cursor"] = edge["cursor"].take();
        node
    };
    edges.into_iter().map(flat).collect()
}
