//! Three users, a type for each policy, and edits of what each user last saw: in the end all hold what every gateway
//! has.
//!
//! The histories are random; each is given by its seed.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tidegate_testkit::Random;

use super::{Gateways, conflict_ids, resolution};
use crate::harness::{Application, Client, numbered};

const TYPES: [(&str, &str, &str); 6] = [
    ("Served", "served", "policy: SERVER_WINS"),
    ("Taken", "taken", "policy: CLIENT_WINS"),
    ("Timed", "timed", "policy: LAST_WRITE_WINS"),
    ("Merged", "merged", "policy: MERGE, overlap: MANUAL"),
    ("Judged", "judged", "policy: MANUAL"),
    (
        "Asked",
        "asked",
        "policy: WEBHOOK, webhook: \"review\", overlap: CLIENT_WINS",
    ),
];
const USERS: [&str; 3] = ["alice", "bob", "carol"];
const DOCUMENTS: [&str; 2] = ["1", "2"];
const ROUNDS: usize = 20;

pub(super) fn model() -> String {
    let ty = |(name, singular, policy): (&str, &str, &str)| {
        format!(
            "type {name} @collection(name: \"{singular}_documents\") @scope(by: \"demo\") @conflict({policy}) {{
               id: ID!
               title: String
               text: String @merge(with: TEXT)
               labels: [String!] @merge(with: SET)
               count: Int! @merge(with: COUNTER) @default(value: 0)
               place: Place
             }}\n"
        )
    };
    let types: String = TYPES.into_iter().map(ty).collect();
    format!(
        "extend schema @grant(scope: \"demo\", access: WRITE)
         type Place {{ city: String visits: Int @merge(with: COUNTER) }}\n{types}"
    )
}

/// The last change of each document by type and id, or nothing if that was a delete.
type Held = BTreeMap<(String, String), Value>;

/// One user's device, which reaches every gateway.
struct Device {
    gateways: Vec<Client>,
    held: Held,
    checkpoint: Value,
    next_id: i64,
    /// What its applied edits added to each count of the merged type.
    added: BTreeMap<String, i64>,
}

impl Device {
    async fn pull(&mut self, gateway: usize) {
        let fields = "id title text labels count place { city visits }";
        let of_type = |(name, ..): &(&str, &str, &str)| format!("... on {name} {{ {fields} }} ");
        let documents: String = TYPES.iter().map(of_type).collect();
        let query = format!(
            "query($checkpoint: Checkpoint) {{ changesSince(checkpoint: $checkpoint) {{ checkpoint hasMore changes {{ type documentId kind version document {{ {documents} }} }} }} }}"
        );
        loop {
            let variables = json!({"checkpoint": self.checkpoint});
            let page = self.gateways[gateway].data(&query, variables).await["changesSince"].take();
            for change in page["changes"].as_array().unwrap() {
                let text = |name: &str| change[name].as_str().unwrap().to_owned();
                let key = (text("type"), text("documentId"));
                let version = |held: &Value| held["version"].as_i64();
                if self.held.get(&key).and_then(version) < version(change) {
                    self.held.insert(key, change.clone());
                }
            }
            self.checkpoint = page["checkpoint"].clone();
            if page["hasMore"] == false {
                return;
            }
        }
    }

    /// Edits one document of each type, as it last saw it.
    async fn edit(&mut self, random: &mut Random, round: usize, epoch: &str) {
        let gateway = &self.gateways[random.below(self.gateways.len())];
        let id = DOCUMENTS[random.below(DOCUMENTS.len())];
        let mut changes = Vec::new();
        let mut added = 0;
        for (name, singular, _) in TYPES {
            let held = &self.held[&(name.to_owned(), id.to_owned())];
            let (version, document) = (&held["version"], &held["document"]);
            let step = random.below(5) as i64;
            let set = match random.below(4) {
                0 => json!({"title": format!("{round}")}),
                1 => json!({"labels": [format!("{round}")]}),
                2 => {
                    json!({"place": {"city": format!("{round}"), "visits": document["place"]["visits"].as_i64().unwrap_or(0) + 1}})
                }
                _ => json!({"count": document["count"].as_i64().unwrap() + step}),
            };
            added = if name == "Merged" && set.get("count").is_some() {
                step
            } else {
                added
            };
            let seen: serde_json::Map<String, Value> = set
                .as_object()
                .unwrap()
                .keys()
                .map(|field| (field.clone(), document[field].clone()))
                .collect();
            changes.push(json!({singular: {"update": {"id": id, "baseVersion": version, "set": set, "base": seen}}}));
        }
        let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { type status error { code message } } } }";
        let push = numbered("device", self.next_id, epoch, Value::from(changes));
        let payload = gateway.data(query, json!({"input": push})).await;
        self.next_id += TYPES.len() as i64;
        for result in payload["pushChanges"]["results"].as_array().unwrap() {
            assert_ne!(result["status"], "REJECTED", "{result}");
            let in_force = result["type"] == "Merged" && result["status"] != "CONFLICT";
            *self.added.entry(id.to_owned()).or_default() += if in_force { added } else { 0 };
        }
    }
}

pub(super) async fn run(gateways: &Gateways, seed: u64) {
    let mut random = Random::new(seed);
    let clients = |user: &str| {
        gateways
            .servers
            .iter()
            .map(|server| server.client(user))
            .collect()
    };
    let device = |user: &&str| Device {
        gateways: clients(user),
        held: Held::new(),
        checkpoint: Value::Null,
        next_id: 1,
        added: BTreeMap::new(),
    };
    let mut devices: Vec<Device> = USERS.iter().map(device).collect();
    let alice = devices[0].gateways[0].clone();
    let create = |singular: &str, id: &str| json!({singular: {"create": {"id": id, "document": {"title": "first", "text": "One. Two.", "labels": [], "place": {"city": "X", "visits": 0}}}}});
    let creates = TYPES
        .iter()
        .flat_map(|(_, singular, _)| DOCUMENTS.map(|id| create(singular, id)));
    let creates: Vec<Value> = creates.collect();
    let made =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    alice
        .data(made, json!({"input": {"changes": creates}}))
        .await;
    let epoch = alice.epoch().await;
    for device in &mut devices {
        device.pull(0).await;
    }
    for round in 0..ROUNDS {
        for device in &mut devices {
            if random.below(3) == 0 {
                device.pull(random.below(device.gateways.len())).await;
            }
            device.edit(&mut random, round, &epoch).await;
        }
    }
    settle_all(&alice, &mut random).await;
    compare(&mut devices, seed).await;
}

/// A user resolves everything, one way or the other.
async fn settle_all(client: &Client, random: &mut Random) {
    loop {
        let open = conflict_ids(client).await;
        if open.is_empty() {
            return;
        }
        for (id, version) in open {
            let side = if random.below(2) == 0 {
                "MINE"
            } else {
                "THEIRS"
            };
            let query = "mutation($input: ResolveConflictInput!) { resolveConflict(input: $input) { result { status } } }";
            let resolved = client
                .data(query, resolution(&id, version, json!({"take": side})))
                .await;
            assert_ne!(resolved["resolveConflict"]["result"]["status"], "REJECTED");
        }
    }
}

async fn compare(devices: &mut [Device], seed: u64) {
    let mut truths = Vec::new();
    for gateway in 0..devices[0].gateways.len() {
        let mut fresh = Device {
            gateways: devices[0].gateways.clone(),
            held: Held::new(),
            checkpoint: Value::Null,
            next_id: 1,
            added: BTreeMap::new(),
        };
        fresh.pull(gateway).await;
        truths.push(fresh.held);
    }
    for device in &mut *devices {
        device.pull(0).await;
        for truth in &truths {
            assert_eq!(device.held, *truth, "seed {seed}");
        }
    }
    for id in DOCUMENTS {
        let added: i64 = devices
            .iter()
            .filter_map(|device| device.added.get(id))
            .sum();
        let merged = &truths[0][&("Merged".to_owned(), id.to_owned())];
        assert_eq!(
            merged["document"]["count"], added,
            "seed {seed}: nothing is added twice or lost"
        );
    }
}

/// Decides for alternating sides.
pub(super) async fn application() -> Application {
    Application::start(|question| {
        let version = question["currentVersion"].as_i64().unwrap();
        let side = if version % 2 == 0 {
            "\"current\""
        } else {
            "\"incoming\""
        };
        axum::response::IntoResponse::into_response(side)
    })
    .await
}
