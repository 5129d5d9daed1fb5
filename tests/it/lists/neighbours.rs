//! A device and another service edit the same lists at once, and the gateway is killed in the middle of pushes. What the
//! service keeps in an item stands in no other item, and goes only with it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mongodb::{
    Collection,
    bson::{Document, doc},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_testkit::Random;

use super::{Stage, push};
use crate::harness::{Client, Server, mongod::until};

const DOCUMENTS: usize = 4;
const PUSHES: usize = 160;
/// Every so many pushes the gateway is killed while it works.
const KILL_EVERY: usize = 20;

/// Items of the service have numbers from here on. Each has a stock, which says whose it is.
const OF_SERVICE: i64 = 1_000_000;

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Box @collection(name: "boxes") @scope(by: "public") @conflict(policy: MERGE, overlap: SERVER_WINS) {
  id: ID! plain: [Item!]! keyed: [Item!]! @key(field: "k") @merge(with: ITEMS)
}
type Item { k: Int! v: Int }
"#;

fn id(number: usize) -> String {
    format!("d{number}")
}

pub(super) fn number(item: &Document, name: &str) -> i64 {
    let number = item.get_i32(name).map(i64::from);
    number.or_else(|_| item.get_i64(name)).unwrap()
}

/// Each stock is where it was put, and each item of the service has its own.
fn judge(stored: &Document) {
    for name in super::LISTS {
        for item in stored.get_array(name).unwrap() {
            let item = item.as_document().unwrap();
            let k = number(item, "k");
            let of = item.get_document("stock").map(|stock| number(stock, "of"));
            let expected = (k >= OF_SERVICE).then_some(k);
            assert_eq!(of.ok(), expected, "{k} of {name} in {stored}");
        }
    }
}

/// What another service does until it is stopped.
async fn serve_others(
    boxes: Collection<Document>,
    stop: Arc<AtomicBool>,
    mut random: Random,
) -> i64 {
    let mut last = OF_SERVICE;
    while !stop.load(Ordering::Relaxed) {
        let list = super::LISTS[random.below(2)];
        let only = doc! { "_id": id(random.below(DOCUMENTS)) };
        let any = OF_SERVICE + random.below(1 + usize::try_from(last - OF_SERVICE).unwrap()) as i64;
        let update = match random.below(4) {
            0 | 1 => {
                last += 1;
                let item = doc! { "k": last, "v": 0, "stock": { "of": last, "n": 0 } };
                let at =
                    doc! { "$each": [item], "$position": random.below(3) as i32, "$slice": -6 };
                boxes.update_one(only, doc! { "$push": { list: at } }).await
            }
            2 => {
                let gone = doc! { "$pull": { list: { "k": any } } };
                boxes.update_one(only, gone).await
            }
            _ => {
                let path = format!("{list}.$[item].stock.n");
                let count = boxes.update_one(only, doc! { "$inc": { path: 1 } });
                count.array_filters(vec![doc! { "item.k": any }]).await
            }
        };
        update.unwrap();
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    last - OF_SERVICE
}

/// The device edits a list as it shows it.
fn edited(random: &mut Random, items: &Value, fresh: i64) -> Value {
    let mut items = items.as_array().unwrap().clone();
    let place = random.below(items.len().max(1));
    match random.below(4) {
        0 if items.len() < 6 => items.insert(place, json!({"k": fresh, "v": 0})),
        _ if items.is_empty() => {}
        1 => drop(items.remove(place)),
        2 => items[place]["v"] = fresh.into(),
        _ => {
            let item = items.remove(place);
            items.push(item);
        }
    }
    items.into()
}

struct Device {
    directory: TempDir,
    store: String,
    server: Option<Server>,
    client: Client,
    random: Random,
}

impl Device {
    fn start(directory: TempDir, store: String, seed: u64) -> Self {
        std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        let server = Server::dev_with(directory.path(), &["--store", &store]);
        Self {
            client: server.client("alice"),
            server: Some(server),
            directory,
            store,
            random: Random::new(seed),
        }
    }

    /// The gateway ends without warning while it works on a push, and another one starts.
    async fn kill_while(&mut self, input: &Value) {
        let client = self.client.at(self.server.as_ref().unwrap());
        let sent = input.clone();
        let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
        let pushing =
            tokio::spawn(async move { client.try_send(query, json!({"input": sent})).await });
        tokio::time::sleep(Duration::from_micros(500 * self.random.below(60) as u64)).await;
        self.server.take().unwrap().kill();
        drop(pushing.await);
        let server = Server::dev_with(self.directory.path(), &["--store", &self.store]);
        self.client = server.client("alice");
        self.server = Some(server);
    }

    /// Edits a list of a document. Returns what became of it.
    async fn edit(&mut self, nth: usize) -> String {
        let id = id(self.random.below(DOCUMENTS));
        let shown = super::document(&self.client, &id, "k v").await;
        let name = super::LISTS[self.random.below(2)];
        let fresh = i64::try_from(nth).unwrap() + 1;
        let set = edited(&mut self.random, &shown[name], fresh);
        let update = json!({
            "id": id, "baseVersion": shown["syncVersion"], "base": {name: shown[name]}, "set": {name: set},
        });
        let input = json!({
            "client": {"id": "phone", "firstMutationId": nth + 1}, "epoch": self.client.epoch().await,
            "changes": [{"box": {"update": update}}],
        });
        if nth % KILL_EVERY == KILL_EVERY - 1 {
            self.kill_while(&input).await;
        }
        let result = push(&self.client, input).await.remove(0);
        let error = result["error"]["code"].as_str();
        let status = result["status"].as_str().unwrap();
        error.unwrap_or(status).to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_service_keeps_in_items_stays_while_devices_edit_them_and_gateways_are_killed() {
    let Stage {
        directory,
        store,
        boxes,
    } = Stage::mongodb().await;
    let boxes = boxes.unwrap();
    let seed = super::seed();
    let empty = (0..DOCUMENTS).map(|n| doc! { "_id": id(n), "plain": [], "keyed": [] });
    boxes.insert_many(empty).await.unwrap();
    let mut device = Device::start(directory, store, seed);
    for number in 0..DOCUMENTS {
        until("the import", async || {
            let shown = super::document(&device.client, &id(number), "k v").await;
            shown.is_object().then_some(())
        })
        .await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let others = serve_others(boxes.clone(), Arc::clone(&stop), Random::new(seed + 1));
    let others = tokio::spawn(others);
    let mut outcomes = BTreeMap::<String, usize>::new();
    for nth in 0..PUSHES {
        *outcomes.entry(device.edit(nth).await).or_default() += 1;
        for number in 0..DOCUMENTS {
            let stored = boxes.find_one(doc! { "_id": id(number) }).await.unwrap();
            judge(&stored.unwrap());
        }
    }
    stop.store(true, Ordering::Relaxed);
    assert!(others.await.unwrap() > 0);
    assert!(outcomes.contains_key("APPLIED"), "{outcomes:?}");
}
