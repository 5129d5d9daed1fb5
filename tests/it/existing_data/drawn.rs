//! A model that is drawn from a database: what Mongoose wrote is read, a person decides the scopes, and devices get what
//! fits.

use std::{fs, process::Output};

use mongodb::bson::{Binary, Document, doc, oid::ObjectId, spec::BinarySubtype};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{
        CONFIG, Server, answer, command, complaint, configured,
        mongod::{Deployment, fresh_database, until},
        with_secret,
    },
    wire::node_in,
};

const WRITERS: &str = "tests/writers";
const SHOP: &str = "shop_by_mongoose.mjs";

/// A database with the shop, and the directory of an operator with nothing but a configuration.
async fn shop() -> (Document, String, TempDir) {
    let deployment = Deployment::shared().await;
    let database = fresh_database();
    let url = deployment.url(&database);
    node_in(WRITERS, SHOP, &[&url], &[]);
    let database = deployment.client().await.database(&database);
    let orders = database.collection::<Document>("orders");
    let first = orders.find_one(doc! {}).sort(doc! {"_id": 1}).await;
    let directory = configured(&CONFIG.replace("embedded:data", &url));
    fs::remove_file(directory.path().join("model.graphql")).unwrap();
    (first.unwrap().unwrap(), url, directory)
}

/// What a person decides: everyone reads products.
fn decided(text: &str) -> String {
    text.replace(
        "type Product @collection(name: \"products\", idType: OBJECT_ID) {",
        "type Product @collection(name: \"products\", idType: OBJECT_ID) @scope(by: \"public\") {",
    )
    .replace(
        "\nextend schema\n",
        "\nextend schema\n  @grant(scope: \"public\", access: READ)\n",
    )
}

#[tokio::test]
async fn three_commands_lead_from_a_database_of_mongoose_to_a_device() {
    let (order, url, directory) = shop().await;
    let path = directory.path();
    let model = path.join("model.graphql");
    answer(path, &["model", "--from", &url, "--out", "model.graphql"]);
    let drawn = fs::read_to_string(&model).unwrap();
    assert_eq!(
        answer(path, &["model", "--from", &url]),
        drawn,
        "it is always the same"
    );
    let refused = complaint(path, &["model", "--from", &url, "--out", "model.graphql"]);
    assert!(refused.contains("is not overwritten"), "{refused}");
    for line in [
        "# orders: 70 documents, all of them read.",
        "  userId: ID! @stored(as: \"user\")",
        "  user: User @reference(by: \"userId\")",
        "  status: OrderStatus!",
        "  paidAt: DateTime  # absent in 24 of 70",
        "  note: String  # absent in 70 of 139",
        "  name: String!  # does not fit: 1 times a whole number",
        "  price: Decimal!  # does not fit: 1 times a string",
        "  weight: Float!",
        "  address: UserAddress  # absent in 20 of 60",
        "  interests: [String!]!",
        "  settings: JSON!  # looks like a map: 60 or more different keys",
        "  birthday: DateTime  # absent in 15 of 60; every value is at midnight UTC; use Date if they are days",
        "  @grant(scope: \"user:{sub}\", access: WRITE)",
    ] {
        assert!(drawn.lines().any(|it| it == line), "{line}\n{drawn}");
    }

    for part in [
        "type Order @collection(name: \"orders\", idType: OBJECT_ID",
        " @scope(by: \"user:{userId}\") {",
        "  items: [OrderItem!]!",
    ] {
        assert!(drawn.contains(part), "{part}\n{drawn}");
    }

    let undecided = complaint(path, &["check", "--model", "model.graphql"]);
    assert!(
        undecided.contains("the synced type Product has no scope"),
        "{undecided}"
    );
    assert_eq!(undecided.matches("error:").count(), 1, "{undecided}");
    fs::write(&model, decided(&drawn)).unwrap();
    let checked = with_secret(path, &["check"]).output().unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );

    let server = Server::serve(&directory);
    let user = order.get_object_id("user").unwrap().to_hex();
    let device = server.client_with(&user, &json!({}));
    let pull = "{ changesSince(limit: 500) { changes { type documentId document { ... on Order { status items { quantity note } user { email } } ... on Product { name } } } } viewer { importing { type } } }";
    let changes = until("device with all that fits", async || {
        let mut data = device.data(pull, json!({})).await;
        let is_complete = data["viewer"]["importing"] == json!([]);
        is_complete.then(|| data["changesSince"]["changes"].take())
    })
    .await;
    let changes = changes.as_array().unwrap();
    let of = |name: &'static str| changes.iter().filter(move |it| it["type"] == name);
    assert_eq!(of("Product").count(), 68, "all but the two that do not fit");
    assert_eq!(of("User").count(), 1, "its own");
    assert_eq!(of("Order").count(), 2, "its own");
    let is_first = |it: &&Value| it["documentId"] == order.get_object_id("_id").unwrap().to_hex();
    let seen = of("Order").find(is_first).unwrap();
    let expected = json!({"status": "open", "user": {"email": "user0@example.com"},
        "items": [{"quantity": 1, "note": null}]});
    assert_eq!(seen["document"], expected);

    let Output { stdout, .. } = with_secret(path, &["doctor"]).output().unwrap();
    let examined = String::from_utf8(stdout).unwrap();
    assert!(
        examined.contains("withheld    2 documents are withheld"),
        "{examined}"
    );
    assert!(
        examined.contains(": name: is int, and not a string"),
        "{examined}"
    );
    assert!(
        examined.contains(": price: is string, and not a Decimal128"),
        "{examined}"
    );

    let closed = node_in(WRITERS, SHOP, &[&url, "close"], &[]);
    until("device with what Mongoose wrote beside it", async || {
        let query = "query($id: ID!) { order(id: $id) { status items { quantity } } }";
        let data = device.data(query, json!({"id": closed})).await;
        (data["order"] == json!({"status": "sent", "items": [{"quantity": 9}]})).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_database_with_every_kind_of_collection_is_drawn_within_bounds() {
    let deployment = Deployment::shared().await;
    let database = fresh_database();
    let url = deployment.url(&database);
    let database = deployment.client().await.database(&database);
    for (name, options) in [
        ("log", doc! {"capped": true, "size": 4096}),
        ("measurements", doc! {"timeseries": {"timeField": "at"}}),
        ("open_things", doc! {"viewOn": "things", "pipeline": []}),
        ("empty", doc! {}),
    ] {
        let mut create = doc! {"create": name};
        create.extend(options);
        database.run_command(create).await.unwrap();
    }
    let insert = async |name: &str, documents: Vec<Document>| {
        let collection = database.collection::<Document>(name);
        collection.insert_many(documents).await.unwrap();
    };
    let legacy = |n| Binary {
        subtype: BinarySubtype::UuidOld,
        bytes: vec![n; 16],
    };
    insert(
        "things",
        vec![doc! {"_id": ObjectId::new(), "n": 1, "old": legacy(1)}],
    )
    .await;
    insert("log", vec![doc! {"n": 1}]).await;
    insert("tidegate.feed", vec![doc! {"n": 1}]).await;
    insert("a.b c", vec![doc! {"n": 1, "a": {"b": {"c": 1}}}]).await;
    insert("заметки", vec![doc! {"n": 1}]).await;
    insert("type", vec![doc! {"n": 1}]).await;
    insert("things2", vec![doc! {"n": 1}]).await;
    let large = "x".repeat(15 << 20);
    insert(
        "large",
        (0..3)
            .map(|n| doc! {"_id": n, "n": n, "text": &large})
            .collect(),
    )
    .await;
    let wide: Document = (0..10_000).map(|n| (format!("f{n}"), n.into())).collect();
    insert("wide", vec![wide]).await;
    let many = (0..3_000)
        .map(|n| doc! {"_id": n, "n": n, "tag": (if n % 2 == 0 { "even" } else { "odd" })});
    insert("many", many.collect()).await;
    for number in 0..40 {
        insert(&format!("more_{number}"), vec![doc! {"n": 1}]).await;
    }

    let directory = TempDir::new().unwrap();
    let path = directory.path();
    let drawn = answer(path, &["model", "--from", &url, "--sample", "200"]);
    for line in [
        "#   empty: it has no documents",
        "#   log: is capped, and takes no writes in transactions",
        "#   measurements: is one of time series, which takes no writes in transactions",
        "#   open_things: is a view, which takes no writes",
        "# many: about 3000 documents, 200 of them read.",
        "  tag: ManyTag!",
        "  # not in the model: old: mixed: 1 times a legacy UUID (subtype 3)",
    ] {
        assert!(drawn.lines().any(|it| it == line), "{line}\n{drawn}");
    }
    assert!(
        !drawn.contains("tidegate.feed") && !drawn.contains("system."),
        "{drawn}"
    );
    fs::write(path.join("model.graphql"), public(&drawn)).unwrap();
    let checked = answer(path, &["check", "--model", "model.graphql"]);
    assert!(checked.contains("Type"), "{checked}");

    let one = answer(path, &["model", "--from", &url, "--collection", "a.b c"]);
    assert_eq!(
        one.matches("\ntype ").count(),
        3,
        "with two embedded ones: {one}"
    );
    let unknown = complaint(path, &["model", "--from", &url, "--collection", "absent"]);
    assert!(
        unknown.contains("has no collection \"absent\""),
        "{unknown}"
    );
    let elsewhere = deployment.url("a_database_without_collections");
    let nothing = complaint(path, &["model", "--from", &elsewhere]);
    assert!(
        nothing.contains("has no collection from which a model can be drawn"),
        "{nothing}"
    );
}

/// Everything is for everyone.
fn public(drawn: &str) -> String {
    let lines = drawn
        .lines()
        .map(|line| match line.contains(" @collection(") {
            true => line.replacen(" {", " @scope(by: \"public\") {", 1) + "\n",
            false => format!("{line}\n"),
        });
    lines.collect::<String>() + "extend schema @grant(scope: \"public\", access: READ)\n"
}

#[tokio::test]
async fn a_user_who_may_not_read_is_named_what_is_missing() {
    let deployment = Deployment::with_users().await;
    let client = deployment.client().await;
    let shop = client.database("shop");
    for name in ["orders", "users"] {
        let collection = shop.collection::<Document>(name);
        collection.insert_one(doc! {"n": 1}).await.unwrap();
    }
    let orders = doc! {"resource": {"db": "shop", "collection": "orders"}, "actions": ["find"]};
    let role = doc! {"createRole": "of_orders", "privileges": [orders], "roles": []};
    shop.run_command(role).await.unwrap();
    for (user, roles) in [("reader", vec!["of_orders"]), ("nobody", vec![])] {
        let create = doc! {"createUser": user, "pwd": "secret", "roles": roles};
        shop.run_command(create).await.unwrap();
    }
    let directory = TempDir::new().unwrap();
    let url = deployment.url_of_nobody("shop") + "&authSource=shop";
    let run = |user: &str, arguments: &[&str]| {
        let mut command = command(directory.path());
        command.args(["model", "--from", &url]).args(arguments);
        command.env("TIDEGATE_STORE__USERNAME", user);
        command.env("TIDEGATE_STORE__PASSWORD", "secret");
        let Output {
            status,
            stdout,
            stderr,
        } = command.output().unwrap();
        let printed = String::from_utf8([stdout, stderr].concat()).unwrap();
        (status.success(), printed)
    };
    let (is_good, drawn) = run("reader", &[]);
    assert!(is_good && drawn.contains("type Order "), "{drawn}");
    assert!(!drawn.contains("users"), "it does not see them: {drawn}");
    let (is_good, refused) = run("nobody", &[]);
    assert!(!is_good, "{refused}");
    assert!(
        refused.contains("the user may not list the collections"),
        "{refused}"
    );
    let anonymous = complaint(directory.path(), &["model", "--from", &url]);
    assert!(
        anonymous.contains("the user may not list the collections"),
        "{anonymous}"
    );
}
