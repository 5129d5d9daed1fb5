//! `serve` and its kin on a real MongoDB: their messages about one that cannot be used, how they wait for one that is
//! not there yet, and that the operations work on it.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::Output,
};

use mongodb::bson::{Document, doc};
use reqwest::StatusCode;
use serde_json::json;

use super::{assert_says, client, configured_on, token, with_secret};
use crate::harness::{
    Server, Socket,
    mongod::{Deployment, ROOT, free_port, fresh_database, until},
};

/// The messages of `check` about a MongoDB that cannot be used, without those about what is good.
fn complaint(url: &str) -> String {
    let directory = configured_on(url);
    let mut check = with_secret(directory.path(), &["check"]);
    let Output {
        status,
        stdout,
        stderr,
    } = check.output().unwrap();
    assert_eq!(status.code(), Some(1), "{stderr:?}");
    let reported = String::from_utf8(stdout).unwrap();
    assert!(reported.ends_with("configuration: good\n"), "{reported}");
    let reported = String::from_utf8(stderr).unwrap();
    assert!(
        !reported.contains(ROOT.1),
        "the password is shown: {reported}"
    );
    reported
}

/// An address without a listener.
fn nowhere() -> String {
    format!("127.0.0.1:{}", free_port())
}

#[test]
fn check_names_a_server_that_cannot_be_reached() {
    let address = nowhere();
    let reported = complaint(&format!(
        "mongodb://{address}/app?serverSelectionTimeoutMS=500"
    ));
    assert_says(
        &reported,
        &[
            "MongoDB cannot be reached",
            &address,
            "refused",
            "store.url",
        ],
    );
}

#[tokio::test]
async fn check_names_a_standalone_server_and_a_set_of_another_name() {
    let standalone = Deployment::standalone().await;
    let url = standalone.url("app");
    let as_a_set = format!("{url}?replicaSet=rs0&serverSelectionTimeoutMS=500");
    for url in [&url, &as_a_set] {
        let reported = complaint(url);
        assert_says(
            &reported,
            &["is a standalone server", "no transactions", "--replSet"],
        );
    }
    let set = Deployment::shared().await;
    let other = set.url("app").replace("=rs0", "=rs1");
    let reported = complaint(&(other + "&serverSelectionTimeoutMS=500"));
    assert_says(
        &reported,
        &["belongs to the replica set rs0", "replicaSet=rs0"],
    );
}

/// The address of a server that answers everything like the primary of a replica set that speaks the protocol of an old
/// version.
fn old_server(wire_version: i32) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let hello = doc! {
        "ok": 1, "isWritablePrimary": true, "ismaster": true, "setName": "rs0", "hosts": [&address], "me": &address,
        "minWireVersion": 0, "maxWireVersion": wire_version, "maxBsonObjectSize": 16_777_216,
        "maxMessageSizeBytes": 48_000_000, "maxWriteBatchSize": 100_000,
    };
    let hello = hello.to_vec().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming().map_while(Result::ok) {
            let hello = hello.clone();
            std::thread::spawn(move || answer_everything(connection, &hello));
        }
    });
    address
}

/// Reads messages, each with its length and its id in front, and answers each as OP_MSG does.
fn answer_everything(mut connection: TcpStream, document: &[u8]) -> std::io::Result<()> {
    const OP_MSG: i32 = 2013;
    loop {
        let mut header = [0; 16];
        connection.read_exact(&mut header)?;
        let [length, id] =
            [0, 4].map(|at| i32::from_le_bytes(header[at..at + 4].try_into().unwrap()));
        let rest = u64::try_from(length).unwrap() - 16;
        std::io::copy(&mut (&connection).take(rest), &mut std::io::sink())?;
        let length = i32::try_from(16 + 5 + document.len()).unwrap();
        let header = [length, 0, id, OP_MSG].map(i32::to_le_bytes).concat();
        connection.write_all(&[&header, &[0; 5][..], document].concat())?;
    }
}

#[test]
fn check_names_a_server_of_an_old_version() {
    // The driver still talks to the first, but not to the second.
    for (wire_version, version) in [(13, "5.0"), (7, "4.0")] {
        let address = old_server(wire_version);
        let soon = "replicaSet=rs0&serverSelectionTimeoutMS=500";
        let reported = complaint(&format!("mongodb://{address}/app?{soon}"));
        let said = format!("MongoDB is of version {version}; Tidegate needs 6.0 or later");
        assert_says(&reported, &[&said]);
    }
}

#[tokio::test]
async fn check_names_wrong_credentials_and_a_missing_right() {
    let deployment = Deployment::with_users().await;
    let admin = deployment.client().await.database("admin");
    let password = "of the tests";
    for (user, role) in [("reader", "read"), ("gateway", "readWrite")] {
        let roles = [doc! {"role": role, "db": "app"}];
        let create: Document = doc! {"createUser": user, "pwd": password, "roles": &roles};
        admin.run_command(create).await.unwrap();
    }
    let reported = complaint(&deployment.url_of("gateway", "a wrong one", "app"));
    assert_says(
        &reported,
        &["MongoDB refuses the user gateway", "authSource"],
    );
    assert!(!reported.contains("a wrong one"), "{reported}");
    let reported = complaint(&deployment.url_of("reader", password, "app"));
    assert_says(
        &reported,
        &[
            "in the database app the user reader may not insert, update, remove on articles, members, projects, tasks",
            " and insert, update, remove, createCollection, createIndex on tidegate.feed, tidegate.state",
            "use admin, then db.grantRolesToUser(\"reader\"",
        ],
    );
    let anonymous = deployment.url_of_nobody("app");
    assert_says(
        &complaint(&anonymous),
        &["store.username", "store.password"],
    );

    // `readWrite` on its own database is enough; the users are in another.
    let directory = configured_on(&(anonymous + "&authSource=admin"));
    let check = |user: &str| {
        let mut check = with_secret(directory.path(), &["check"]);
        check.env("TIDEGATE_STORE__USERNAME", user);
        check.env("TIDEGATE_STORE__PASSWORD", password);
        let output = check.output().unwrap();
        let reported = String::from_utf8(output.stdout).unwrap();
        assert!(
            reported.contains("store: none in the database app yet"),
            "{reported}"
        );
        reported + &String::from_utf8(output.stderr).unwrap()
    };
    let warning = "may not listIndexes";
    let reported = check("gateway");
    assert!(!reported.contains(warning), "{reported}");

    // Without `listIndexes` it works, and searches for longer.
    let actions = [
        "find",
        "insert",
        "update",
        "remove",
        "createCollection",
        "createIndex",
    ];
    let actions = [&actions[..], &["listCollections", "changeStream"]].concat();
    let privilege = doc! {"resource": {"db": "app", "collection": ""}, "actions": actions};
    let role = doc! {"createRole": "narrow", "privileges": [privilege], "roles": []};
    admin.run_command(role).await.unwrap();
    let user = doc! {"createUser": "narrow", "pwd": password, "roles": ["narrow"]};
    admin.run_command(user).await.unwrap();
    let reported = check("narrow");
    assert!(
        reported.contains(&format!("the user narrow {warning}")),
        "{reported}"
    );
}

#[tokio::test]
async fn serve_waits_for_mongodb_and_says_so_until_it_comes() {
    let deployment = Deployment::replica_set(1).await;
    deployment.kill(0);
    let directory = configured_on(&deployment.url("app"));
    let mut serve = with_secret(directory.path(), &["serve"]);
    let address = nowhere();
    serve.env("TIDEGATE_LISTEN", &address);
    let log = directory.path().join("log");
    serve.stderr(std::fs::File::create(&log).unwrap());
    let path = directory.path().to_owned();
    let started = tokio::task::spawn_blocking(move || Server::start(&path, serve));
    let status = async |path: &str| {
        let response = reqwest::get(format!("http://{address}{path}")).await.ok()?;
        Some(response.status())
    };
    until("a listener", async || status("/healthz").await).await;
    assert_eq!(status("/healthz").await, Some(StatusCode::OK));
    for path in ["/readyz", "/graphql"] {
        assert_eq!(
            status(path).await,
            Some(StatusCode::SERVICE_UNAVAILABLE),
            "{path}"
        );
    }
    let waits = reqwest::get(format!("http://{address}/graphql")).await;
    let waits = waits.unwrap();
    assert_eq!(waits.headers()["retry-after"], "1");
    let reported = waits.text().await.unwrap();
    assert_says(&reported, &["SERVICE_UNAVAILABLE", "waits for its store"]);
    until("line in the log", async || {
        let reported = std::fs::read_to_string(&log).unwrap();
        reported.contains("waiting for the store").then_some(())
    })
    .await;
    deployment.restart(0).await;
    let server = started.await.unwrap();
    assert_eq!(status("/readyz").await, Some(StatusCode::OK));
    server.stop();
}

#[tokio::test]
async fn serve_refuses_a_server_that_waiting_would_not_mend() {
    let standalone = Deployment::standalone().await;
    let directory = configured_on(&standalone.url("app"));
    let reported = crate::harness::complaint_of(&mut with_secret(directory.path(), &["serve"]));
    assert_says(&reported, &["is a standalone server"]);
}

#[tokio::test]
async fn pushes_pulls_and_subscriptions_work_on_mongodb() {
    let deployment = Deployment::shared().await;
    let database = fresh_database();
    let directory = configured_on(&deployment.url(&database));
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    let mut socket = Socket::follow(&alice, "").await;
    socket.page().await;
    let results = alice
        .push_all(json!([{"task": {"create": {"id": "a", "document": {"title": "Stay"}}}}]))
        .await;
    assert_eq!(results[0]["status"], "APPLIED");
    let live = socket.page_with(|page| page["changes"] != json!([])).await;
    assert_eq!(live["changes"][0]["document"]["title"], "Stay");
    let page = alice.pull(None).await;
    assert_eq!(page["changes"][0]["document"]["title"], "Stay");
    let database = deployment.client().await.database(&database);
    let tasks = database.collection::<Document>("tasks");
    let task = tasks.find_one(doc! {"_id": "a"}).await.unwrap();
    let task = task.expect("it is in the application's own collection");
    assert_eq!(task.get_str("title").unwrap(), "Stay");
    server.stop();

    let server = Server::serve(&directory);
    let page = client(&server, &alice.token)
        .pull(page["checkpoint"].as_str())
        .await;
    assert_eq!(
        page["changes"],
        json!([]),
        "the checkpoint outlives the gateway"
    );
    let run = |arguments: &[&str]| {
        let output = with_secret(directory.path(), arguments).output().unwrap();
        let reported = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{reported}");
        (String::from_utf8(output.stdout).unwrap(), reported)
    };
    assert_says(&run(&["check"]).0, &["store: good\n"]);
    let config = ["--config", "tidegate.toml"];
    let collected = run(&[&["collect", "--older-than", "0s"], &config[..]].concat()).1;
    assert_says(&collected, &["collected 0 tombstones and markers"]);
    let rotated = run(&[&["rotate-epoch"], &config[..]].concat()).1;
    let page = client(&server, &alice.token)
        .pull(page["checkpoint"].as_str())
        .await;
    assert_eq!(page["reset"], true);
    assert_says(&rotated, &[page["epoch"].as_str().unwrap()]);
    server.stop();
}

#[tokio::test]
async fn check_and_a_start_name_collections_that_cannot_hold_documents() {
    let deployment = Deployment::shared().await;
    let name = fresh_database();
    let database = deployment.client().await.database(&name);
    let folding = doc! {"locale": "en", "strength": 2};
    let odd = [
        (
            doc! {"create": "tasks", "collation": folding.clone()},
            "has a collation",
        ),
        (
            doc! {"create": "tasks", "capped": true, "size": 4096},
            "is capped",
        ),
        (
            doc! {"create": "tasks", "viewOn": "others", "pipeline": []},
            "is a view",
        ),
        (
            doc! {"create": "tasks", "timeseries": {"timeField": "at"}},
            "is one of time series",
        ),
    ];
    let directory = configured_on(&deployment.url(&name));
    for (create, oddity) in odd {
        let tasks = database.collection::<Document>("tasks");
        tasks.drop().await.unwrap();
        database.run_command(create).await.unwrap();
        let checked = with_secret(directory.path(), &["check"]).output().unwrap();
        let reported = String::from_utf8(checked.stderr).unwrap();
        assert!(checked.status.success(), "{reported}");
        let oddity = format!("the collection tasks {oddity}");
        assert_says(&reported, &["warning: ", &oddity, "REJECTED"]);
        let log = directory.path().join("log");
        let mut serve = with_secret(directory.path(), &["serve"]);
        serve.stderr(std::fs::File::create(&log).unwrap());
        let path = directory.path().to_owned();
        let server = tokio::task::spawn_blocking(move || Server::start(&path, serve));
        server.await.unwrap().stop();
        assert_says(&std::fs::read_to_string(&log).unwrap(), &[&oddity]);
    }
    let feed = doc! {"create": "odd.feed", "collation": folding};
    database.run_command(feed).await.unwrap();
    let mut check = with_secret(directory.path(), &["check"]);
    check.env("TIDEGATE_STORE__PREFIX", "odd.");
    let reported = String::from_utf8(check.output().unwrap().stderr).unwrap();
    assert_says(&reported, &["odd.feed", "has a collation", "store.prefix"]);
}
