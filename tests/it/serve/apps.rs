//! Apps and gateways of two models on one store: an app that is older or newer than its gateway, over every transport and
//! with documents that it names by their hash.

use std::fs;

use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::harness::{
    CONFIG, Client, Server, Socket, answer, configured,
    mongod::{Deployment, fresh_database},
};

/// The second model loses `notes` without retiring it, and gains a field and a type.
const MODELS: [&str; 2] = [
    r#"extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "public") { id: ID! title: String notes: String }
"#,
    r#"extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "public") { id: ID! title: String done: Boolean }
type Tag @collection(name: "tags") @scope(by: "public") { id: ID! name: String }
"#,
];

/// What the app of each model selects, besides what both have.
const SELECTIONS: [&str; 2] = [
    "... on Task { title notes }",
    "... on Task { title done } ... on Tag { name }",
];

/// A change that only one of the models has.
fn own_changes() -> [Value; 2] {
    let edited =
        |edits: Value| json!({"task": {"update": {"id": "t", "baseVersion": 1, "set": edits}}});
    [edited(json!({"notes": "n"})), edited(json!({"done": true}))]
}

fn pull(selection: &str) -> String {
    format!(
        "{{ changesSince {{ changes {{ documentId document {{ __typename {selection} }} }} }} }}"
    )
}

fn subscription(selection: &str) -> String {
    format!(
        "subscription {{ changes {{ changes {{ documentId document {{ __typename {selection} }} }} }} }}"
    )
}

const PUSH: &str = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { lastMutationId results { status documentId } } }";

/// Whether it says for which API it was made.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Header {
    Sent,
    Left,
}

/// An app of one of the models.
struct App {
    model: usize,
    hash: String,
}

impl App {
    /// Takes the hash from what the command prints, as a build does.
    fn built_from(model: usize) -> Self {
        let directory = TempDir::new().unwrap();
        fs::write(directory.path().join("model.graphql"), MODELS[model]).unwrap();
        let [schema, operations] =
            ["schema", "operations"].map(|it| answer(directory.path(), &[it]));
        let first = schema.lines().next().unwrap();
        assert_eq!(operations.lines().next(), Some(first));
        let hash = first.strip_prefix("# API hash: ").unwrap().to_owned();
        Self { model, hash }
    }

    fn at(&self, server: &Server, header: Header) -> Client {
        let mut client = server.client("alice");
        if header == Header::Sent {
            let name = HeaderName::from_static("tidegate-schema");
            let headers = HeaderMap::from_iter([(name, self.hash.parse().unwrap())]);
            let http = reqwest::Client::builder().default_headers(headers);
            client.http = http.build().unwrap();
        }
        client
    }

    async fn socket(&self, server: &Server, header: Header) -> Socket {
        let client = server.client("alice");
        let mut payload = json!({"token": client.token});
        if header == Header::Sent {
            payload["Tidegate-Schema"] = self.hash.as_str().into();
        }
        let mut socket = Socket::open(&server.url).await;
        let init = json!({"type": "connection_init", "payload": payload});
        socket.send(init).await;
        assert_eq!(socket.next().await["type"], "connection_ack");
        socket
    }

    /// What becomes of each of its operations at a gateway: pull, push, subscription by socket and by event stream, and a
    /// pull by hash. The empty text is success.
    async fn tried_at(&self, server: &Server, header: Header) -> [String; 5] {
        let selection = SELECTIONS[self.model];
        let client = self.at(server, header);
        let pulled = code(&client.send(&pull(selection), json!({})).await);
        let input = json!({"changes": [own_changes()[self.model]]});
        let pushed = code(&client.send(PUSH, json!({"input": input})).await);
        let mut socket = self.socket(server, header).await;
        let payload = json!({"query": subscription(selection)});
        socket
            .send(json!({"type": "subscribe", "id": "1", "payload": payload}))
            .await;
        let mut message = socket.next().await;
        let followed = match message["type"].as_str() {
            Some("next") => String::new(),
            _ => code(&json!({"errors": message["payload"].take()})),
        };
        let payload = json!({"query": pull("... on Task { title }")});
        socket
            .send(json!({"type": "subscribe", "id": "2", "payload": payload}))
            .await;
        assert_eq!(socket.next().await["type"], "next", "the socket stays open");
        let streamed = first_event(&client, &subscription(selection)).await;
        let named = by_hash(&client, &pull(selection)).await;
        [pulled, pushed, followed, code(&streamed), named]
    }
}

/// The code of the first error.
fn code(answer: &Value) -> String {
    let code = answer["errors"][0]["extensions"]["code"].as_str();
    code.unwrap_or_default().to_owned()
}

/// The first event of a subscription as server-sent events.
async fn first_event(client: &Client, query: &str) -> Value {
    let request = client.http.post(format!("{}/graphql", client.url));
    let request = request
        .bearer_auth(&client.token)
        .header("content-type", "application/json")
        .header("accept", "text/event-stream")
        .body(json!({ "query": query }).to_string());
    let mut response = request.send().await.unwrap();
    let mut text = String::new();
    loop {
        let event = text
            .split_once("data: ")
            .and_then(|(_, data)| data.split_once('\n'));
        if let Some((data, _)) = event {
            return serde_json::from_str(data).unwrap();
        }
        let part = response.chunk().await.unwrap().expect("an event");
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
}

/// A document that is named by its hash, sent along when it is asked for, and named again.
async fn by_hash(client: &Client, query: &str) -> String {
    let digest = Sha256::digest(query);
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let extensions = json!({"persistedQuery": {"version": 1, "sha256Hash": hash}});
    let named = json!({ "extensions": extensions });
    let along = json!({"query": query, "extensions": extensions});
    let mut codes = Vec::new();
    for body in [&named, &along, &named] {
        let request = client.http.post(format!("{}/graphql", client.url));
        let request = request
            .bearer_auth(&client.token)
            .header("content-type", "application/json")
            .body(body.to_string());
        let text = request.send().await.unwrap().text().await.unwrap();
        codes.push(code(&serde_json::from_str(&text).unwrap()));
    }
    let [first, along, again] = <[String; 3]>::try_from(codes).unwrap();
    let unknown = "PERSISTED_QUERY_NOT_FOUND";
    assert!(first.is_empty() || first == unknown, "{first}");
    let expected = if along.is_empty() { "" } else { unknown };
    assert_eq!(again, expected, "what does not fit is not kept");
    along
}

/// A document that the app of any model may edit.
async fn create(client: &Client) {
    let change = json!({"task": {"create": {"id": "t", "document": {"title": "T"}}}});
    let input = json!({"changes": [change]});
    client.data(PUSH, json!({"input": input})).await;
}

fn all(code: &str) -> [String; 5] {
    [code; 5].map(str::to_owned)
}

/// What an app gets that does not say for which API it was made, from a gateway of another one.
fn unjudged() -> [String; 5] {
    let mut codes = all("GRAPHQL_VALIDATION_FAILED");
    codes[1] = "BAD_USER_INPUT".to_owned();
    codes
}

/// A gateway with this model.
fn serve(directory: &TempDir, model: usize) -> Server {
    fs::write(directory.path().join("model.graphql"), MODELS[model]).unwrap();
    Server::serve(directory)
}

async fn expect(server: &Server, of: usize, apps: &[App; 2]) {
    let judged = match of {
        0 => ["", "SERVICE_UNAVAILABLE"],
        _ => ["CLIENT_TOO_OLD", ""],
    };
    for (app, judged) in apps.iter().zip(judged) {
        let silent = if app.model == of { all("") } else { unjudged() };
        for (header, expected) in [(Header::Sent, all(judged)), (Header::Left, silent)] {
            let tried = app.tried_at(server, header).await;
            assert_eq!(tried, expected, "app {} at {of}, {header:?}", app.model);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_of_two_models_are_served_by_gateways_of_two_models_at_a_time() {
    let deployment = Deployment::shared().await;
    let url = deployment.url(&fresh_database());
    let directory = configured(&CONFIG.replace("embedded:data", &url));
    let apps = [0, 1].map(App::built_from);
    let old = serve(&directory, 0);
    create(&old.client("alice")).await;
    let new = serve(&directory, 1);
    expect(&new, 1, &apps).await;
    expect(&old, 0, &apps).await;
    old_edits_do_not_block_the_others(&apps[0], &old, &new).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn apps_of_two_models_are_served_before_and_after_an_upgrade_and_a_rollback() {
    let directory = configured(CONFIG);
    let apps = [0, 1].map(App::built_from);
    let old = serve(&directory, 0);
    create(&old.client("alice")).await;
    old.stop();
    let new = serve(&directory, 1);
    expect(&new, 1, &apps).await;
    new.stop();
    expect(&serve(&directory, 0), 0, &apps).await;
}

/// The outbox of an old app at a new gateway, handled as docs/protocol.md says.
async fn old_edits_do_not_block_the_others(app: &App, old: &Server, new: &Server) {
    let [here, there] = [new, old].map(|server| app.at(server, Header::Sent));
    let epoch = here.epoch().await;
    let create =
        |id: &str, document: Value| json!({"task": {"create": {"id": id, "document": document}}});
    let outbox = [
        create("first", json!({"title": "1"})),
        create("second", json!({"title": "2", "notes": "n"})),
        create("third", json!({"title": "3"})),
    ];
    let push = |first: i32, changes: &[Value]| {
        let client = json!({"id": "phone", "firstMutationId": first});
        json!({"input": {"client": client, "epoch": epoch, "changes": changes}})
    };
    let refused = here.send(PUSH, push(1, &outbox)).await;
    assert_eq!(code(&refused), "CLIENT_TOO_OLD");
    let extensions = &refused["errors"][0]["extensions"];
    let path = extensions["inputPath"].as_str().unwrap();
    assert!(path.starts_with("$input.changes[1]."), "{path}");
    let last = "{ viewer(clientId: \"phone\") { lastMutationId } }";
    let asked = here.data(last, json!({})).await;
    assert_eq!(
        asked["viewer"]["lastMutationId"],
        Value::Null,
        "nothing is consumed"
    );

    let applied = here.data(PUSH, push(1, &outbox[..1])).await;
    assert_eq!(applied["pushChanges"]["results"][0]["status"], "APPLIED");
    let refused = here.send(PUSH, push(2, &outbox[1..2])).await;
    assert_eq!(code(&refused), "CLIENT_TOO_OLD");
    let applied = here.data(PUSH, push(2, &outbox[2..])).await;
    assert_eq!(applied["pushChanges"]["lastMutationId"], 2);

    // A push whose answer was lost, sent again to a gateway of the next model.
    let lost = push(3, &[create("fourth", json!({"notes": "n"}))]);
    there.data(PUSH, lost.clone()).await;
    assert_eq!(code(&here.send(PUSH, lost).await), "CLIENT_TOO_OLD");
    let asked = here.data(last, json!({})).await;
    assert_eq!(asked["viewer"]["lastMutationId"], 3, "it was applied");
}
