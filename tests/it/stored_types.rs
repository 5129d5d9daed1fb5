//! Ids and days inside documents, in the BSON types of real collections, and fields that do not fit: on both stores, and
//! beside another service on MongoDB, through the real binary.
//!
//! `src/store/mongo/unfit/tests.rs` has each value, and `models` what a change of such a model does.

use mongodb::{
    Collection,
    bson::{Binary, Bson, DateTime, Document, Uuid, doc, oid::ObjectId, spec::BinarySubtype},
};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use crate::{
    harness::{
        Client, Server, configured_on,
        mongod::{Deployment, fresh_database, until},
        with_secret,
    },
    serve::{client, token},
};

/// The user, whose id is an ObjectId in the database.
const OWNER: &str = "507f1f77bcf86cd799439011";
const CUSTOMER: &str = "66b0000000000000000000a1";
const READER: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

const MODEL: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE)
type Order @collection(name: "orders", misfits: NULL_FIELD) @scope(by: "user:{ownerId}") @index(fields: ["day"]) {
  id: ID!
  ownerId: ID! @stored(as: "owner") @bson(type: OBJECT_ID)
  title: String
  readers: [ID!] @bson(type: UUID)
  day: Date
  count: Int
  lines: [Line!]
  customerId: ID @stored(as: "customer")
  customer: Customer @reference(by: "customerId")
}
type Line { key: ID! @stored(as: "_id") @bson(type: OBJECT_ID) quantity: Int @stored(as: "qty") begins: Date @bson(type: STRING) }
type Customer @collection(name: "customers", idType: OBJECT_ID) @scope(by: "user:{owner}") {
  id: ID!
  owner: String! @bson(type: OBJECT_ID)
  name: String
}
"#;

const SHOWN: &str = "syncVersion syncScope ownerId title readers day count lines { key quantity begins } customerId customer { name }";

/// A gateway with the model above.
struct Stage {
    directory: TempDir,
    server: Server,
    owner: Client,
}

impl Stage {
    fn start(url: &str) -> Self {
        let directory = configured_on(url);
        std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        let server = Server::serve(&directory);
        let owner = client(&server, &token(&directory, OWNER));
        Self {
            directory,
            server,
            owner,
        }
    }

    async fn push(&self, change: Json) -> Json {
        push(&self.owner, change).await
    }

    async fn update(&self, base: i64, seen: Json, set: Json) -> Json {
        let update = json!({"id": "1", "baseVersion": base, "base": seen, "set": set});
        self.push(json!({"order": {"update": update}})).await
    }

    async fn order(&self, id: &str) -> Json {
        let query = format!("query($id: ID!) {{ order(id: $id) {{ {SHOWN} }} }}");
        self.owner.data(&query, json!({ "id": id })).await["order"].take()
    }

    /// Waits until the order has this version, and returns it.
    async fn order_of(&self, version: i64) -> Json {
        until("a version", async || {
            let order = self.order("1").await;
            (order["syncVersion"] == version).then_some(order)
        })
        .await
    }

    fn says(&self, command: &str) -> String {
        let output = with_secret(self.directory.path(), &[command])
            .output()
            .unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }
}

async fn push(client: &Client, change: Json) -> Json {
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { code field message } } } }";
    let input = json!({"input": {"changes": [change]}});
    client.data(query, input).await["pushChanges"]["results"][0].take()
}

/// A gateway on MongoDB, and the collection of orders as another service sees it.
async fn on_mongodb() -> (Stage, Collection<Document>) {
    let (deployment, name) = (Deployment::shared().await, fresh_database());
    let stage = Stage::start(&deployment.url(&name));
    let database = deployment.client().await.database(&name);
    (stage, database.collection("orders"))
}

fn order() -> Json {
    json!({
        "ownerId": OWNER, "title": "Tea", "readers": [READER], "day": "2024-02-29", "customerId": CUSTOMER,
        "lines": [{"key": CUSTOMER, "quantity": 2, "begins": "0001-01-01"}],
    })
}

fn create(id: &str, document: &Json) -> Json {
    json!({"order": {"create": {"id": id, "document": document}}})
}

async fn serve_texts_and_refuse_others(stage: Stage) {
    let customer = json!({"id": CUSTOMER, "document": {"owner": OWNER, "name": "Ann"}});
    let made = stage.push(json!({"customer": {"create": customer}})).await;
    assert_eq!(made["status"], "APPLIED", "{made}");
    let made = stage.push(create("1", &order())).await;
    assert_eq!(made["status"], "APPLIED", "{made}");
    let mut shown = order();
    shown["syncVersion"] = json!(1);
    shown["syncScope"] = json!(format!("user:{OWNER}"));
    shown["count"] = Json::Null;
    shown["customer"] = json!({"name": "Ann"});
    assert_eq!(stage.order("1").await, shown);

    let upper = OWNER.to_uppercase();
    let braces = format!("{{{READER}}}");
    let line = |field: &str, value: &str| {
        let mut line = json!({"key": CUSTOMER});
        line[field] = json!(value);
        json!([{"key": CUSTOMER}, line])
    };
    for (set, field) in [
        (json!({"ownerId": upper}), "ownerId"),
        (json!({"ownerId": "z".repeat(24)}), "ownerId"),
        (json!({"readers": [READER, braces]}), "readers"),
        (json!({"readers": [READER.replace('-', "")]}), "readers"),
        (json!({"day": "2023-02-29"}), "day"),
        (json!({"day": "0000-01-01"}), "day"),
        (json!({"day": "2024-02-29T00:00:00Z"}), "day"),
        (json!({"lines": line("key", &upper)}), "lines[1].key"),
        (
            json!({"lines": line("begins", "2026-13-01")}),
            "lines[1].begins",
        ),
    ] {
        let mut document = order();
        for (name, value) in set.as_object().unwrap() {
            document[name] = value.clone();
        }
        for refused in [
            stage.push(create("2", &document)).await,
            stage.update(1, json!({}), set.clone()).await,
        ] {
            assert_eq!(refused["status"], "REJECTED", "{set}: {refused}");
            let error = &refused["error"];
            assert_eq!(
                (&error["code"], &error["field"]),
                (&json!("INVALID_VALUE"), &json!(field))
            );
        }
    }
    assert_eq!(stage.order("1").await, shown, "nothing was written");
    assert_eq!(stage.order("2").await, Json::Null);
    stage.server.stop();
}

#[tokio::test]
async fn an_embedded_store_serves_texts_and_refuses_others() {
    serve_texts_and_refuse_others(Stage::start("embedded:data")).await;
}

#[tokio::test]
async fn mongodb_has_their_types_and_keeps_what_it_has() {
    let (stage, orders) = on_mongodb().await;
    let owner: Bson = ObjectId::parse_str(OWNER).unwrap().into();
    let key: Bson = ObjectId::parse_str(CUSTOMER).unwrap().into();
    let day: Bson = DateTime::parse_rfc3339_str("2024-02-29T00:00:00Z")
        .unwrap()
        .into();
    stage.push(create("1", &order())).await;
    let stored = orders.find_one(doc! { "_id": "1" }).await.unwrap().unwrap();
    let expected = doc! {
        "_id": "1", "owner": &owner, "title": "Tea", "readers": [Uuid::parse_str(READER).unwrap()], "day": &day,
        "lines": [{ "_id": &key, "qty": 2, "begins": "0001-01-01" }], "customer": &key,
    };
    assert_eq!(stored, expected);

    // As Mongoose and a careless script write them.
    let theirs = doc! {
        "_id": "2", "owner": &owner, "title": "Theirs", "day": "2023-12-31", "customer": CUSTOMER,
        "lines": [{ "_id": &key, "qty": 1, "warehouse": "north" }],
    };
    orders.insert_one(&theirs).await.unwrap();
    until("the import", async || {
        let order = stage.order("2").await;
        (order["day"] == "2023-12-31").then_some(())
    })
    .await;
    let set = json!({"title": "Ours", "lines": [{"key": CUSTOMER, "quantity": 1}]});
    let update = json!({"id": "2", "baseVersion": 1, "set": set});
    let edited = stage.push(json!({"order": {"update": update}})).await;
    assert_eq!(edited["status"], "APPLIED", "{edited}");
    let stored = orders.find_one(doc! { "_id": "2" }).await.unwrap().unwrap();
    let mut expected = theirs;
    expected.insert("title", "Ours");
    assert_eq!(
        stored, expected,
        "what is not edited stays as it is spelled"
    );
    stage.server.stop();
}

#[tokio::test]
async fn mongodb_serves_texts_and_refuses_others() {
    let (stage, _) = on_mongodb().await;
    serve_texts_and_refuse_others(stage).await;
}

/// Another service writes the wrong type while a device is offline.
#[tokio::test]
async fn a_field_of_the_wrong_type_is_null_and_is_erased_by_no_other_edit() {
    let (stage, orders) = on_mongodb().await;
    let document = json!({"ownerId": OWNER, "title": "Tea", "count": 1, "day": "2024-02-29"});
    stage.push(create("1", &document)).await;
    let only = doc! { "_id": "1" };
    let spoilt = doc! { "$set": { "count": "many", "day": DateTime::from_millis(1) } };
    orders.update_one(only.clone(), spoilt).await.unwrap();
    let order = stage.order_of(2).await;
    assert_eq!((&order["count"], &order["day"]), (&Json::Null, &Json::Null));
    assert_eq!(order["title"], "Tea");
    let stored = async || orders.find_one(only.clone()).await.unwrap().unwrap();
    let kept = (Bson::from("many"), Bson::from(DateTime::from_millis(1)));
    let fields = |stored: &Document| (stored["count"].clone(), stored["day"].clone());

    let offline = stage
        .update(1, json!({"title": "Tea"}), json!({"title": "Milk"}))
        .await;
    assert_eq!(offline["status"], "MERGED", "{offline}");
    let seen = json!({"title": "Milk", "count": null, "day": null});
    let form = json!({"title": "Cocoa", "count": null, "day": null});
    let form = stage.update(3, seen, form).await;
    assert_eq!(form["status"], "APPLIED", "{form}");
    assert_eq!(fields(&stored().await), kept);
    let stale = stage
        .update(1, json!({"count": 1}), json!({"count": 2}))
        .await;
    assert_eq!(
        stale["status"], "CONFLICT",
        "the spoilt field is theirs: {stale}"
    );

    let doctor = stage.says("doctor");
    let counted =
        "1 documents have an optional field that does not fit the model, and is shown as null";
    assert!(doctor.contains(counted), "{doctor}");
    assert!(
        doctor.contains("Order/1: day: is no midnight in UTC"),
        "{doctor}"
    );
    let check = stage.says("check");
    assert!(check.contains("1 of 1 documents of Order"), "{check}");
    assert!(check.contains("shown as null"), "{check}");

    let named = stage
        .update(4, json!({"count": null}), json!({"count": 3}))
        .await;
    assert_eq!(named["status"], "APPLIED", "{named}");
    assert_eq!(fields(&stored().await), (Bson::Int32(3), kept.1));
    let mended = doc! { "$set": { "day": "2024-03-01" } };
    orders.update_one(only.clone(), mended).await.unwrap();
    assert_eq!(stage.order_of(6).await["day"], "2024-03-01");
    stage.server.stop();
}

/// On an embedded store the values are those of an earlier model.
#[tokio::test]
async fn fields_that_are_null_for_they_do_not_fit_are_counted_on_an_embedded_store_too() {
    let directory = configured_on("embedded:data");
    let write_model = |misfits: &str, count: &str| {
        let model = format!(
            "extend schema @grant(scope: \"user:{{sub}}\", access: WRITE)\n\
             type Order @collection(name: \"orders\"{misfits}) @scope(by: \"user:{{ownerId}}\") {{ id: ID! ownerId: ID! count: {count} }}\n"
        );
        std::fs::write(directory.path().join("model.graphql"), model).unwrap();
    };
    write_model("", "String");
    let server = Server::serve(&directory);
    let owner = client(&server, &token(&directory, OWNER));
    for (id, count) in [("1", "many"), ("2", "few")] {
        let made = push(
            &owner,
            create(id, &json!({"ownerId": OWNER, "count": count})),
        )
        .await;
        assert_eq!(made["status"], "APPLIED", "{made}");
    }
    server.stop();
    let says = |command: &str| {
        let output = with_secret(directory.path(), &[command]).output().unwrap();
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    };
    let counted =
        "2 documents have an optional field that does not fit the model, and is shown as null";
    write_model(", misfits: NULL_FIELD", "Int");
    assert!(says("check").contains(counted), "{}", says("check"));
    Server::serve(&directory).stop();
    for command in ["check", "doctor"] {
        let said = says(command);
        assert!(said.contains(counted), "{command}: {said}");
    }
}

/// The names of UUIDs of subtype 3 depend on the driver, so they are no ids, and no second document takes their place.
#[tokio::test]
async fn legacy_uuids_are_named_and_withheld() {
    let (deployment, name) = (Deployment::shared().await, fresh_database());
    let directory = configured_on(&deployment.url(&name));
    let model = "extend schema @grant(scope: \"user:{sub}\", access: WRITE)\n\
        type Note @collection(name: \"notes\", idType: UUID) @scope(by: \"user:{owner}\") { id: ID! owner: ID! by: ID @bson(type: UUID) }\n";
    std::fs::write(directory.path().join("model.graphql"), model).unwrap();
    let notes = deployment.client().await.database(&name);
    let notes = notes.collection::<Document>("notes");
    let legacy = |byte: u8| Binary {
        subtype: BinarySubtype::UuidOld,
        bytes: vec![byte; 16],
    };
    let good: Vec<Document> = (0..3)
        .map(|_| doc! { "_id": Uuid::new(), "owner": OWNER })
        .collect();
    notes.insert_many(&good).await.unwrap();
    notes
        .insert_many([
            doc! { "_id": legacy(1), "owner": OWNER },
            doc! { "_id": Uuid::from_bytes([2; 16]), "owner": OWNER, "by": legacy(2) },
        ])
        .await
        .unwrap();
    let check = with_secret(directory.path(), &["check"]).output().unwrap();
    let check = String::from_utf8([check.stdout, check.stderr].concat()).unwrap();
    for words in [
        "1 of them are legacy UUIDs (binary subtype 3)",
        "by: is a legacy UUID (binary subtype 3), which drivers read differently; store it with subtype 4",
    ] {
        assert!(check.contains(words), "{check}");
    }
    let server = Server::serve(&directory);
    let owner = client(&server, &token(&directory, OWNER));
    until("the import", async || {
        let page = owner.data("{ changesSince { changes { documentId } } }", json!({}));
        let page = page.await;
        let changes = page["changesSince"]["changes"].as_array().unwrap().len();
        (changes == good.len()).then_some(())
    })
    .await;
    let id = Uuid::from_bytes([1; 16]).to_string();
    let create = json!({"note": {"create": {"id": id, "document": {"owner": OWNER}}}});
    let result = push(&owner, create).await;
    assert_eq!(result["status"], "REJECTED", "{result}");
    assert_eq!(notes.count_documents(doc! {}).await.unwrap(), 5);
    server.stop();
}
