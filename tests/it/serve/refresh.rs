//! An app that selects more after an update, and asks for what it already has once more.

use serde_json::{Value, json};

use crate::harness::{
    CONFIG, Client, Server, Socket, configured,
    mongod::{Deployment, fresh_database},
};

const TASKS: usize = 5;

/// A pull with variables that stay as they are, as a simple app has them.
fn pull(fields: &str) -> String {
    format!(
        "query($at: Checkpoint, $refresh: [SyncType!]) {{ changesSince(checkpoint: $at, refresh: $refresh, limit: 2) {{ {} }} }}",
        page(fields)
    )
}

fn page(fields: &str) -> String {
    format!(
        "changes {{ type documentId document {{ ... on Task {{ {fields} }} }} }} checkpoint hasMore reset"
    )
}

/// The changes of all pages from there, and the last checkpoint.
async fn read(client: &Client, fields: &str, at: Value, refresh: &Value) -> (Vec<Value>, Value) {
    let (mut changes, mut at) = (Vec::new(), at);
    for _ in 0..100 {
        let variables = json!({"at": at, "refresh": refresh});
        let is_first = at.is_null();
        let mut page = client.data(&pull(fields), variables).await["changesSince"].take();
        assert_eq!(page["reset"], is_first);
        changes.extend(page["changes"].as_array().unwrap().iter().cloned());
        at = page["checkpoint"].take();
        if page["hasMore"] == false {
            return (changes, at);
        }
    }
    panic!("the pages have no end");
}

/// A subscription, and its first page.
async fn followed(client: &Client, fields: &str, at: &Value) -> (Socket, Value) {
    let mut socket = Socket::connect(client).await;
    let subscription = format!(
        "changes(checkpoint: {at}, refresh: [Task]) {{ {} }}",
        page(fields)
    );
    socket.subscribe("1", &subscription).await;
    let first = socket.page().await;
    (socket, first)
}

async fn documents_come_again_once(server: &Server) {
    let client = server.client("alice");
    let task = |n: usize| json!({"task": {"create": {"id": format!("t{n}"), "document": {"title": "T", "notes": format!("n{n}")}}}});
    let project = json!({"project": {"create": {"id": "p", "document": {"name": "P"}}}});
    let changes: Vec<Value> = (0..TASKS).map(task).chain([project]).collect();
    client.push_all(changes.into()).await;
    let (before, at) = read(&client, "title", Value::Null, &Value::Null).await;
    assert_eq!(before.len(), TASKS + 1);

    let refresh = json!(["Task"]);
    let (again, at) = read(&client, "title notes", at, &refresh).await;
    let mut notes: Vec<_> = again.iter().map(|it| &it["document"]["notes"]).collect();
    notes.sort_by_key(|it| it.to_string());
    assert_eq!(
        notes,
        ["n0", "n1", "n2", "n3", "n4"],
        "each task once, and no project"
    );
    let (more, at) = read(&client, "title notes", at, &refresh).await;
    assert!(more.is_empty(), "{more:?}");
    let (_, first) = followed(&client, "title notes", &at).await;
    assert_eq!(
        (&first["changes"], &first["reset"]),
        (&json!([]), &json!(false))
    );

    // The next update selects something else.
    let (mut socket, first) = followed(&client, "title notes done", &at).await;
    assert_eq!(first["changes"].as_array().unwrap().len(), TASKS);
    assert_eq!(first["reset"], false);
    client.push_all(json!([task(TASKS)])).await;
    let live = socket.page().await;
    assert_eq!(live["changes"].as_array().unwrap().len(), 1);
    let id = &live["changes"][0]["documentId"];
    assert_eq!(*id, format!("t{TASKS}"), "only the first page begins again");
    let (_, again) = followed(&client, "title notes done", &live["checkpoint"]).await;
    assert_eq!(again["changes"], json!([]), "a library opens it again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_selects_more_gets_documents_again_once_from_a_file() {
    let directory = configured(CONFIG);
    documents_come_again_once(&Server::serve(&directory)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_that_selects_more_gets_documents_again_once_from_mongodb() {
    let url = Deployment::shared().await.url(&fresh_database());
    let directory = configured(&CONFIG.replace("embedded:data", &url));
    documents_come_again_once(&Server::serve(&directory)).await;
}
