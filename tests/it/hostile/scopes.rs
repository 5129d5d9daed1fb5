//! Members whose claims and fields hold colons and percent signs, so that their scopes could equal those of others.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Client, Server,
    mongod::{Deployment, fresh_database},
};

const MODEL: &str = r#"
extend schema
  @grant(scope: "{org}::{dept}", access: WRITE)
  @grant(scope: "team:{teams}", access: WRITE)
  @grant(scope: "team:{team}:{kind}", access: WRITE)
type Paper @collection(name: "papers") @scope(by: "{org}::{dept}") { id: ID! org: String! dept: String! title: String! }
type Secret @collection(name: "secrets") @scope(by: "team:{team}:{kind}") { id: ID! team: String! kind: String! title: String! }
type Member @collection(name: "members") @scope(by: "{org}::{dept}")
  @grants(scope: "team:{team}", to: "{user}", access: "WRITE") {
  id: ID! org: String! dept: String! team: String! user: String!
}
"#;

/// Documents of others, in the terms of their claims.
fn victims() -> [(Value, &'static str, Value); 3] {
    [
        (
            json!({"org": "1", "dept": ":2"}),
            "paper",
            json!({"org": "1", "dept": ":2", "title": "of 1"}),
        ),
        (
            json!({"org": "a%3A", "dept": "b"}),
            "paper",
            json!({"org": "a%3A", "dept": "b", "title": "of a"}),
        ),
        (
            json!({"team": "42", "kind": "SECRET"}),
            "secret",
            json!({"team": "42", "kind": "SECRET", "title": "of 42"}),
        ),
    ]
}

/// Claims whose filled templates are made of the same characters.
fn attackers() -> [Value; 6] {
    [
        json!({"org": "1:", "dept": "2"}),
        json!({"org": "1:::2", "dept": "2"}),
        json!({"org": "a:", "dept": "b"}),
        json!({"org": "a%253A", "dept": "b"}),
        json!({"teams": ["42:SECRET", "42%3ASECRET", "42"]}),
        json!({"teams": ["SECRET"], "team": "42:SECRET", "kind": "x"}),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_run_into_one_another_open_nothing_of_others() {
    let deployment = Deployment::shared().await;
    for store in [
        "embedded:data".to_owned(),
        deployment.url(&fresh_database()),
    ] {
        let directory = TempDir::new().unwrap();
        std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
        let server = Server::dev_with(directory.path(), &["--store", &store]);
        for (i, (claims, kind, fields)) in victims().into_iter().enumerate() {
            let owner = server.client_with("owner", &claims);
            let id = format!("victim-{i}");
            assert_eq!(create(&owner, kind, &id, &fields).await, "APPLIED null");
        }
        // A membership whose team is the text of a scope opens that of no other template.
        let org = json!({"org": "own", "dept": "own"});
        let fields = json!({"org": "own", "dept": "own", "team": "42:SECRET", "user": "mallory"});
        let mallory = server.client_with("mallory", &org);
        assert_eq!(
            create(&mallory, "member", "m", &fields).await,
            "APPLIED null"
        );
        for claims in attackers() {
            let attacker = server.client_with("mallory", &claims);
            let page = pull(&attacker).await;
            assert_eq!(page["changes"], json!([]), "{claims}");
            for (i, (_, kind, fields)) in victims().into_iter().enumerate() {
                let id = format!("victim-{i}");
                let change =
                    json!({"update": {"id": id, "baseVersion": 1, "set": {"title": "mine"}}});
                let answer = push(&attacker, &json!({kind: change})).await;
                assert_eq!(answer, "REJECTED NOT_FOUND", "{claims} {id}");
                let answer = create(&attacker, kind, &format!("new-{i}"), &fields).await;
                assert_eq!(answer, "REJECTED FORBIDDEN", "{claims} {fields}");
            }
        }
    }
}

async fn create(client: &Client, kind: &str, id: &str, fields: &Value) -> String {
    push(
        client,
        &json!({kind: {"create": {"id": id, "document": fields}}}),
    )
    .await
}

/// Status and code of one change.
async fn push(client: &Client, change: &Value) -> String {
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { code } } } }";
    let data = client
        .data(query, json!({"input": {"changes": [change]}}))
        .await;
    let result = &data["pushChanges"]["results"][0];
    let code = &result["error"]["code"];
    let code = code.as_str().unwrap_or("null");
    format!("{} {code}", result["status"].as_str().unwrap())
}

async fn pull(client: &Client) -> Value {
    let query = "{ changesSince { changes { documentId scope } hasMore } }";
    client.data(query, json!({})).await["changesSince"].take()
}
