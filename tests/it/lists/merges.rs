//! Three devices edit one keyed list offline, and their edits arrive in each order. With `@merge(with: ITEMS)` each item is
//! what the one who changed it made of it, and where several changed it, what `overlap` says; it has what another service
//! keeps in it, and all read the same.

use std::collections::BTreeMap;

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tidegate_testkit::Random;

use super::{Stage, given, neighbours::number, push};
use crate::harness::{Client, Server};

const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];
const OF_A_PUSH: usize = 50;

fn model(overlap: &str) -> String {
    format!(
        r#"
extend schema @grant(scope: "public", access: WRITE)
type Box @collection(name: "boxes") @scope(by: "public") @conflict(policy: MERGE, overlap: {overlap}) {{
  id: ID! keyed: [Item!]! @key(field: "k") @merge(with: ITEMS)
}}
type Item {{ k: Int! v: Int! }}
"#
    )
}

/// Keys and values.
type List = Vec<(i64, i64)>;

fn shown(list: &List) -> Value {
    list.iter().map(|(k, v)| json!({"k": k, "v": v})).collect()
}

fn list(shown: &Value) -> List {
    let number = |item: &Value, name: &str| item[name].as_i64().unwrap();
    let items = shown.as_array().unwrap().iter();
    items
        .map(|item| (number(item, "k"), number(item, "v")))
        .collect()
}

/// What one device makes of a list: up to three edits.
fn edited(random: &mut Random, base: &List, device: usize) -> List {
    let mut list = base.clone();
    for nth in 0..random.below(4) {
        let fresh = i64::try_from(10 + 10 * device + nth).unwrap();
        let place = random.below(list.len().max(1));
        match random.below(4) {
            // Two devices may add one key.
            0 => list.insert(place, (if random.once_in(3) { 100 } else { fresh }, fresh)),
            _ if list.is_empty() => {}
            1 => drop(list.remove(place)),
            2 => list[place].1 = fresh,
            _ => {
                let item = list.remove(place);
                list.insert(random.below(list.len() + 1), item);
            }
        }
    }
    let keys: BTreeMap<i64, i64> = list.iter().copied().collect();
    if keys.len() < list.len() {
        base.clone()
    } else {
        list
    }
}

/// A list that three devices edit, and what came of it in one order of arrival.
struct Arrived<'a> {
    base: &'a List,
    /// By arrival.
    sides: [&'a List; 3],
    result: List,
    /// Whether the first of those who changed an item wins, or the last.
    first_wins: bool,
}

impl Arrived<'_> {
    fn judge(&self, id: &str) {
        let contents = |list: &List| -> BTreeMap<i64, i64> { list.iter().copied().collect() };
        let (base, result) = (contents(self.base), contents(&self.result));
        assert_eq!(result.len(), self.result.len(), "{id}: an item is doubled");
        let sides = self.sides.map(contents);
        let mut keys: Vec<i64> = base.keys().copied().collect();
        keys.extend(sides.iter().flat_map(|side| side.keys()));
        for key in keys {
            let was = base.get(&key);
            let mut changed = sides
                .iter()
                .map(|side| side.get(&key))
                .filter(|it| *it != was);
            let winner = if self.first_wins {
                changed.next()
            } else {
                changed.next_back()
            };
            assert_eq!(
                result.get(&key),
                winner.unwrap_or(was),
                "{id}: the item {key}"
            );
        }
        self.judge_order(id);
    }

    /// Where one device alone moved items, its order holds.
    fn judge_order(&self, id: &str) {
        let keys = |list: &List| -> Vec<i64> { list.iter().map(|(key, _)| *key).collect() };
        let (was, is) = (keys(self.base), keys(&self.result));
        let sides = self.sides.map(keys);
        let among = |keys: &[i64], others: &[i64]| -> Vec<i64> {
            keys.iter()
                .copied()
                .filter(|key| others.contains(key))
                .collect()
        };
        let has_moved = |side: &&Vec<i64>| among(side, &was) != among(&was, side);
        let mut moved = sides.iter().filter(has_moved);
        let order = moved.next().unwrap_or(&was);
        if moved.next().is_none() {
            let common = sides
                .iter()
                .fold(among(&was, &is), |common, side| among(&common, side));
            assert_eq!(
                among(&is, &common),
                among(order, &common),
                "{id}: the order"
            );
        }
    }
}

async fn pulled(server: &Server) -> BTreeMap<String, List> {
    let mut all = BTreeMap::new();
    let mut checkpoint = Value::Null;
    let query = "query($at: Checkpoint) { changesSince(checkpoint: $at) { checkpoint hasMore changes { documentId document { ... on Box { keyed { k v } } } } } }";
    loop {
        let data = server
            .client("bob")
            .data(query, json!({"at": checkpoint}))
            .await;
        let page = &data["changesSince"];
        for change in page["changes"].as_array().unwrap() {
            let id = change["documentId"].as_str().unwrap().to_owned();
            all.insert(id, list(&change["document"]["keyed"]));
        }
        if page["hasMore"] == false {
            return all;
        }
        checkpoint = page["checkpoint"].clone();
    }
}

/// A list, what each device makes of it, and the order in which they send it.
struct Case {
    id: String,
    base: List,
    edits: [List; 3],
    order: [usize; 3],
}

fn cases(random: &mut Random) -> Vec<Case> {
    let lists = given("TIDEGATE_LISTS_DOCUMENTS").unwrap_or(30);
    let mut cases = Vec::new();
    for nth in 0..lists {
        let base: List = (0..random.below(5))
            .map(|k| (i64::try_from(k).unwrap(), 0))
            .collect();
        let edits = [0, 1, 2].map(|device| edited(random, &base, device));
        cases.extend(ORDERS.map(|order| Case {
            id: format!("{nth} {order:?}"),
            base: base.clone(),
            edits: edits.clone(),
            order,
        }));
    }
    cases
}

/// Makes the documents. On MongoDB another service writes into each item whose it is.
async fn create(stage: &Stage, client: &Client, cases: &[Case]) {
    for some in cases.chunks(OF_A_PUSH) {
        let create = |case: &Case| {
            let document = json!({"keyed": shown(&case.base)});
            json!({"box": {"create": {"id": case.id, "document": document}}})
        };
        let changes: Vec<Value> = some.iter().map(create).collect();
        for made in push(client, json!({"changes": changes})).await {
            assert_eq!(
                (&made["status"], &made["version"]),
                (&json!("APPLIED"), &json!(1))
            );
        }
    }
    if let Some(boxes) = &stage.boxes {
        let copied = doc! { "$mergeObjects": ["$$item", { "of": "$$item.k" }] };
        let copied = doc! { "$map": { "input": "$keyed", "as": "item", "in": copied } };
        let update = vec![doc! { "$set": { "keyed": copied } }];
        boxes.update_many(doc! {}, update).await.unwrap();
    }
}

/// A device, and how many changes it has sent.
struct Device<'c> {
    client: &'c Client,
    number: usize,
    sent: usize,
}

impl Device<'_> {
    /// Sends its edits of these documents, each push twice.
    async fn send(&mut self, cases: &[&Case]) {
        for some in cases.chunks(OF_A_PUSH) {
            let update = |case: &&Case| {
                let (base, set) = (shown(&case.base), shown(&case.edits[self.number]));
                json!({"box": {"update": {
                    "id": case.id, "baseVersion": 1, "base": {"keyed": base}, "set": {"keyed": set},
                }}})
            };
            let changes: Vec<Value> = some.iter().map(update).collect();
            let client =
                json!({"id": format!("device {}", self.number), "firstMutationId": self.sent + 1});
            self.sent += some.len();
            let epoch = self.client.epoch().await;
            let input = json!({"client": client, "epoch": epoch, "changes": changes});
            let results = push(self.client, input.clone()).await;
            let is_in = |it: &Value| it["status"] == "APPLIED" || it["status"] == "MERGED";
            assert!(results.iter().all(is_in), "{results:?}");
            assert_eq!(push(self.client, input).await, results, "a repeat");
        }
    }
}

/// What stands in the collection is `result`, and what the service keeps in an item is there.
fn judge_stored(stored: &Document, case: &Case, result: &List) {
    let items = stored.get_array("keyed").unwrap().iter();
    let items: Vec<&Document> = items.map(|it| it.as_document().unwrap()).collect();
    let list = items.iter().map(|it| (number(it, "k"), number(it, "v")));
    assert_eq!(list.collect::<List>(), *result);
    for item in items {
        let k = number(item, "k");
        let has = |list: &List| list.iter().any(|(key, _)| *key == k);
        let of = item.contains_key("of").then(|| number(item, "of"));
        let (was, stayed) = (has(&case.base), case.edits.iter().all(has));
        match of {
            Some(of) => assert_eq!((of, was), (k, true), "{stored}"),
            None => assert!(!(was && stayed), "{k} has lost what it had: {stored}"),
        }
    }
}

async fn in_each_order(stage: Stage, overlap: &str) {
    let file = stage.directory.path().join("model.graphql");
    std::fs::write(file, model(overlap)).unwrap();
    let server = Server::dev_with(stage.directory.path(), &["--store", &stage.store]);
    let client = server.client("alice");
    let cases = cases(&mut Random::new(super::seed()));
    create(&stage, &client, &cases).await;
    let mut devices = [0, 1, 2].map(|number| Device {
        client: &client,
        number,
        sent: 0,
    });
    for step in 0..3 {
        for device in &mut devices {
            let its = cases.iter().filter(|it| it.order[step] == device.number);
            device.send(&its.collect::<Vec<_>>()).await;
        }
    }
    let pulled = pulled(&server).await;
    for case in &cases {
        let result = pulled[&case.id].clone();
        if let Some(boxes) = &stage.boxes {
            let stored = boxes.find_one(doc! { "_id": &case.id }).await.unwrap();
            judge_stored(&stored.unwrap(), case, &result);
        }
        let arrived = Arrived {
            base: &case.base,
            sides: case.order.map(|device| &case.edits[device]),
            result,
            first_wins: overlap == "SERVER_WINS",
        };
        arrived.judge(&case.id);
    }
}

#[tokio::test]
async fn merges_of_three_devices_hold_in_each_order_where_the_server_wins_embedded() {
    in_each_order(Stage::embedded(), "SERVER_WINS").await;
}

#[tokio::test]
async fn merges_of_three_devices_hold_in_each_order_where_the_client_wins_embedded() {
    in_each_order(Stage::embedded(), "CLIENT_WINS").await;
}

#[tokio::test]
async fn merges_of_three_devices_hold_in_each_order_where_the_server_wins_mongodb() {
    in_each_order(Stage::mongodb().await, "SERVER_WINS").await;
}

#[tokio::test]
async fn merges_of_three_devices_hold_in_each_order_where_the_client_wins_mongodb() {
    in_each_order(Stage::mongodb().await, "CLIENT_WINS").await;
}
