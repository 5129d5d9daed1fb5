//! Lists keep what their model does not name, on both stores, through the real binary: after random edits it is with the
//! items that had it, or the edit was refused.
//!
//! A gateway whose model names a mark in each item makes the documents, and one whose model does not edits them. On
//! MongoDB another service adds what neither model names. `TIDEGATE_LISTS_DOCUMENTS` asks for so many documents, and
//! `TIDEGATE_LISTS_SEED` repeats those of a run.

mod findings;
mod merges;
mod neighbours;

use std::{
    collections::BTreeMap,
    env,
    hash::{BuildHasher, RandomState},
};

use mongodb::{
    Collection,
    bson::{Document, doc},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tidegate_testkit::Random;

use crate::harness::{
    Client, Server,
    mongod::{Deployment, fresh_database},
};

const LISTS: [&str; 2] = ["plain", "keyed"];

fn model(mark: &str) -> String {
    format!(
        r#"
extend schema @grant(scope: "public", access: WRITE)
type Box @collection(name: "boxes") @scope(by: "public") @conflict(policy: CLIENT_WINS) {{
  id: ID! plain: [Item!]! keyed: [Item!]! @key(field: "k") place: Place
}}
type Item {{ k: Int! v: Int {mark} }}
type Place {{ town: String inner: Place {mark} }}
"#
    )
}

/// A store, in the directory of its gateways.
struct Stage {
    directory: TempDir,
    store: String,
    /// The application's collection, if there is one.
    boxes: Option<Collection<Document>>,
}

impl Stage {
    fn embedded() -> Self {
        Self {
            directory: TempDir::new().unwrap(),
            store: "embedded:data".to_owned(),
            boxes: None,
        }
    }

    async fn mongodb() -> Self {
        let (deployment, name) = (Deployment::shared().await, fresh_database());
        let database = deployment.client().await.database(&name);
        Self {
            directory: TempDir::new().unwrap(),
            store: deployment.url(&name),
            boxes: Some(database.collection("boxes")),
        }
    }

    fn serve(&self, mark: &str) -> Server {
        let file = self.directory.path().join("model.graphql");
        std::fs::write(file, model(mark)).unwrap();
        Server::dev_with(self.directory.path(), &["--store", &self.store])
    }
}

/// An item as a user knows it, with the mark that belongs to it.
#[derive(Debug, Clone)]
struct Item {
    k: i64,
    v: i64,
    mark: Option<String>,
}

type Lists = BTreeMap<&'static str, Vec<Item>>;

/// Draws documents and edits.
struct Editor {
    random: Random,
    /// The last number that was given to a value. An item that becomes equal to another one counts as that one.
    fresh: i64,
    /// The last mutation id.
    mutation: usize,
}

impl Editor {
    fn below(&mut self, end: usize) -> usize {
        self.random.below(end)
    }

    fn lists(&mut self, document: usize) -> Lists {
        let mut list = |name: &'static str| {
            let items = (0..self.below(5)).map(|i| Item {
                k: if name == "keyed" {
                    i as i64
                } else {
                    self.below(2) as i64
                },
                v: 0,
                mark: (self.below(3) > 0).then(|| format!("{document} {name} {i}")),
            });
            (name, items.collect())
        };
        LISTS.map(&mut list).into()
    }

    /// Removes, edits, moves or inserts an item.
    fn edit(&mut self, items: &mut Vec<Item>) {
        self.fresh += 1;
        let place = self.below(items.len().max(1));
        match self.below(4) {
            0 => {
                let (k, v) = (self.fresh + 10, self.fresh);
                items.insert(place, Item { k, v, mark: None });
            }
            _ if items.is_empty() => {}
            1 => drop(items.remove(place)),
            2 => items[place].v = self.fresh,
            _ => {
                let item = items.remove(place);
                let to = self.below(items.len() + 1);
                items.insert(to, item);
            }
        }
    }
}

fn shown(items: &[Item]) -> Value {
    let item = |item: &Item| json!({"k": item.k, "v": item.v});
    items.iter().map(item).collect()
}

fn with_marks(items: &[Item]) -> Value {
    let item = |item: &Item| match &item.mark {
        Some(mark) => json!({"k": item.k, "v": item.v, "mark": mark}),
        None => json!({"k": item.k, "v": item.v}),
    };
    items.iter().map(item).collect()
}

/// The marks by the value that they stand with. Items of one value are the same for a user.
fn marks(items: &Value) -> BTreeMap<(i64, i64), Vec<String>> {
    let mut marks: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for item in items.as_array().unwrap() {
        let number = |name: &str| item[name].as_i64().unwrap();
        let mark = item.get("mark").unwrap_or(&Value::Null);
        let value = (number("k"), number("v"));
        marks.entry(value).or_default().push(mark.to_string());
    }
    marks.values_mut().for_each(|marks| marks.sort());
    marks
}

async fn push(client: &Client, input: Value) -> Vec<Value> {
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status version error { code field } } } }";
    let mut data = client.data(query, json!({"input": input})).await;
    serde_json::from_value(data["pushChanges"]["results"].take()).unwrap()
}

async fn document(client: &Client, id: &str, fields: &str) -> Value {
    let query = format!(
        "query($id: ID!) {{ box(id: $id) {{ syncVersion plain {{ {fields} }} keyed {{ {fields} }} }} }}"
    );
    client.data(&query, json!({"id": id})).await["box"].take()
}

/// Some pushes of some changes each. Returns how many were refused.
async fn edit(client: &Client, editor: &mut Editor, id: &str, lists: &mut Lists) -> usize {
    let (epoch, mut refused) = (client.epoch().await, 0);
    for _ in 0..4 {
        let version = document(client, id, "k v").await["syncVersion"].clone();
        let name = LISTS[editor.below(2)];
        let mut edited = lists[name].clone();
        let edits: Vec<Vec<Item>> = (0..=editor.below(3))
            .map(|_| {
                (0..=editor.below(2)).for_each(|_| editor.edit(&mut edited));
                edited.clone()
            })
            .collect();
        let changes = edits.iter().map(|items| {
            json!({"box": {"update": {"id": id, "baseVersion": version, "set": {name: shown(items)}}}})
        });
        let input = json!({
            "client": {"id": "phone", "firstMutationId": editor.mutation + 1}, "epoch": epoch, "changes": changes.collect::<Vec<_>>(),
        });
        editor.mutation += edits.len();
        let results = push(client, input.clone()).await;
        assert_eq!(push(client, input).await, results, "a repeat");
        for (result, edited) in results.iter().zip(edits) {
            if result["status"] == "APPLIED" {
                lists.insert(name, edited);
            } else {
                let expected = json!({"code": "ITEM_UNIDENTIFIED", "field": "plain"});
                assert_eq!((name, &result["error"]), ("plain", &expected));
                refused += 1;
            }
        }
        let found = document(client, id, "k v").await;
        for name in LISTS {
            assert_eq!(found[name], shown(&lists[name]), "{id} {name}");
        }
    }
    refused
}

fn given(name: &str) -> Option<u64> {
    env::var(name).ok()?.parse().ok()
}

#[expect(clippy::print_stdout, reason = "the seed repeats a failure")]
fn seed() -> u64 {
    let seed = given("TIDEGATE_LISTS_SEED");
    let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
    println!("TIDEGATE_LISTS_SEED={seed}");
    seed
}

async fn edits_of_lists_keep_marks(stage: Stage) {
    let seed = seed();
    let documents = given("TIDEGATE_LISTS_DOCUMENTS").unwrap_or(30) as usize;
    let mut editor = Editor {
        random: Random::new(seed),
        fresh: 0,
        mutation: 0,
    };
    let mut all: BTreeMap<String, Lists> = BTreeMap::new();
    let server = stage.serve("mark: String");
    let client = server.client("alice");
    for i in 0..documents {
        let (id, lists) = (format!("d{i}"), editor.lists(i));
        let set: serde_json::Map<String, Value> = lists
            .iter()
            .map(|(name, items)| ((*name).to_owned(), with_marks(items)))
            .collect();
        let create = json!({"box": {"create": {"id": id, "document": set}}});
        let made = push(&client, json!({"changes": [create]})).await;
        assert_eq!(made[0]["status"], "APPLIED");
        all.insert(id, lists);
    }
    if let Some(boxes) = &stage.boxes {
        // What has a mark gets a copy of it that no model names, and what has none keeps nothing.
        let copied = |list: &str| {
            let mark = format!("$${list}.mark");
            let copy = doc! { "$mergeObjects": [format!("$${list}"), { "$cond": [{ "$eq": [{ "$type": &mark }, "string"] }, { "copy": { "of": &mark } }, {}] }] };
            doc! { "$map": { "input": format!("${list}"), "as": list, "in": copy } }
        };
        let update = vec![doc! { "$set": { "plain": copied("plain"), "keyed": copied("keyed") } }];
        boxes.update_many(doc! {}, update).await.unwrap();
    }
    drop(server);
    let server = stage.serve("");
    let client = server.client("alice");
    let mut refused = 0;
    for (id, lists) in &mut all {
        refused += edit(&client, &mut editor, id, lists).await;
    }
    assert!(refused > 0, "edits that prove nothing are among them");
    drop(server);
    let server = stage.serve("mark: String");
    let client = server.client("alice");
    for (id, lists) in &all {
        let found = document(&client, id, "k v mark").await;
        for name in LISTS {
            assert_eq!(
                marks(&found[name]),
                marks(&with_marks(&lists[name])),
                "{id} {name}"
            );
        }
        if let Some(boxes) = &stage.boxes {
            let stored = boxes.find_one(doc! { "_id": id }).await.unwrap().unwrap();
            expect_copies(&stored, id);
        }
    }
}

/// What another service has added to an item is still with its mark.
fn expect_copies(stored: &Document, id: &str) {
    for name in LISTS {
        for item in stored.get_array(name).unwrap() {
            let item = item.as_document().unwrap();
            let copy = item
                .get_document("copy")
                .and_then(|copy| copy.get_str("of"));
            assert_eq!(
                item.get_str("mark").ok(),
                copy.ok(),
                "{id} {name}: {stored}"
            );
        }
    }
}

#[tokio::test]
async fn edits_of_lists_keep_what_the_model_does_not_name_embedded() {
    edits_of_lists_keep_marks(Stage::embedded()).await;
}

#[tokio::test]
async fn edits_of_lists_keep_what_the_model_does_not_name_mongodb() {
    edits_of_lists_keep_marks(Stage::mongodb().await).await;
}

/// A name, what a place becomes one after the other, and the marks that stay: the outer and the inner one.
type PlaceEdits<'e> = (&'e str, &'e [Value], Option<&'e str>, Option<&'e str>);

/// Makes the same edits of an embedded document in one push and in several.
async fn embedded_documents_keep_marks_unless_they_were_null(stage: Stage) {
    let server = stage.serve("mark: String");
    let client = server.client("alice");
    let place = |town: &str, inner: Value| json!({"town": town, "inner": inner});
    let marked =
        json!({"town": "Ulm", "mark": "outer", "inner": {"town": "old town", "mark": "inner"}});
    let null_between = [Value::Null, place("Bonn", json!({"town": "port"}))];
    let inner_null_between = [
        place("Ulm", Value::Null),
        place("Ulm", json!({"town": "port"})),
    ];
    let edited = [place("Bonn", json!({"town": "port"}))];
    let cases: [PlaceEdits<'_>; 3] = [
        ("null", &null_between, None, None),
        ("inner null", &inner_null_between, Some("outer"), None),
        ("edited", &edited, Some("outer"), Some("inner")),
    ];
    let ids = |name: &str| [format!("{name}, one push"), format!("{name}, pushes")];
    for (name, ..) in cases {
        for id in ids(name) {
            let set = json!({"plain": [], "keyed": [], "place": marked});
            let create = json!({"box": {"create": {"id": id, "document": set}}});
            let made = push(&client, json!({"changes": [create]})).await;
            assert_eq!(made[0]["status"], "APPLIED");
        }
    }
    if let Some(boxes) = &stage.boxes {
        let copies =
            doc! { "$set": { "place.copy": ["outer"], "place.inner.copy": { "of": "inner" } } };
        boxes.update_many(doc! {}, copies).await.unwrap();
    }
    drop(server);
    let server = stage.serve("");
    let client = server.client("alice");
    let mut mutation = 0;
    let mut edit = async |id: &str, places: &[Value]| {
        let version = document(&client, id, "k v").await["syncVersion"].clone();
        let changes = places.iter().map(
            |place| json!({"box": {"update": {"id": id, "baseVersion": version, "set": {"place": place}}}}),
        );
        let input = json!({
            "client": {"id": "phone", "firstMutationId": mutation + 1}, "epoch": client.epoch().await,
            "changes": changes.collect::<Vec<_>>(),
        });
        mutation += places.len();
        for result in push(&client, input).await {
            assert_eq!(result["status"], "APPLIED", "{id}: {result}");
        }
    };
    for (name, places, ..) in cases {
        let [at_once, one_by_one] = ids(name);
        edit(&at_once, places).await;
        for place in places {
            edit(&one_by_one, std::slice::from_ref(place)).await;
        }
    }
    drop(server);
    let server = stage.serve("mark: String");
    let client = server.client("alice");
    for (name, _, outer, inner) in cases {
        for id in ids(name) {
            let query = "query($id: ID!) { box(id: $id) { place { mark inner { town mark } } } }";
            let found = client.data(query, json!({"id": id})).await;
            let expected = json!({"mark": outer, "inner": {"town": "port", "mark": inner}});
            assert_eq!(found["box"]["place"], expected, "{id}");
            if let Some(boxes) = &stage.boxes {
                let stored = boxes.find_one(doc! { "_id": &id }).await.unwrap().unwrap();
                let place = stored.get_document("place").unwrap();
                let inside = place.get_document("inner").unwrap();
                let copies = (place.contains_key("copy"), inside.contains_key("copy"));
                assert_eq!(copies, (outer.is_some(), inner.is_some()), "{stored}");
            }
        }
    }
}

#[tokio::test]
async fn embedded_documents_keep_what_the_model_does_not_name_unless_they_were_null_embedded() {
    embedded_documents_keep_marks_unless_they_were_null(Stage::embedded()).await;
}

#[tokio::test]
async fn embedded_documents_keep_what_the_model_does_not_name_unless_they_were_null_mongodb() {
    embedded_documents_keep_marks_unless_they_were_null(Stage::mongodb().await).await;
}
