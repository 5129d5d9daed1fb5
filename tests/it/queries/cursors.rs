//! Cursors that are hard to keep: of very long texts, and of a model that has changed since.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::serve;
use crate::harness::{
    Client, PATIENCE, Server, create, delete,
    mongod::{Deployment, fresh_database, until},
    update,
};

/// What a list with these arguments answers.
async fn answered(client: &Client, arguments: &str, after: &Value) -> Value {
    let query = format!(
        "query($after: String) {{ tasks({arguments}, after: $after) {{
            edges {{ cursor node {{ id }} }} pageInfo {{ hasNextPage endCursor }} }} }}"
    );
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = client.send(&query, json!({"after": after})).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        if *code != "INDEX_BUILDING" || Instant::now() > until {
            return answer;
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// Creates tasks of any model.
async fn create_all(client: &Client, tasks: Vec<(&str, Value)>) {
    let changes: Vec<Value> = tasks
        .into_iter()
        .map(|(id, task)| create(id, task))
        .collect();
    let push =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    let pushed = client
        .data(push, json!({"input": {"changes": changes}}))
        .await;
    let results = pushed["pushChanges"]["results"].as_array().unwrap();
    assert!(
        results.iter().all(|it| it["status"] == "APPLIED"),
        "{results:?}"
    );
}

/// The ids of a page, and its cursor.
fn page(answer: &Value) -> (String, Value) {
    assert_eq!(answer.get("errors"), None, "{answer}");
    let list = &answer["data"]["tasks"];
    let edges = list["edges"].as_array().unwrap().iter();
    let ids = edges.map(|edge| edge["node"]["id"].as_str().unwrap());
    (ids.collect(), list["pageInfo"]["endCursor"].clone())
}

/// The ids of all pages from a cursor on.
async fn rest(client: &Client, arguments: &str, mut after: Value) -> String {
    let mut ids = String::new();
    loop {
        let answer = answered(client, arguments, &after).await;
        let (found, end) = page(&answer);
        ids += &found;
        if answer["data"]["tasks"]["pageInfo"]["hasNextPage"] == false {
            return ids;
        }
        after = end;
    }
}

fn assert_starts_again(answer: &Value) {
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("to start again"), "{message}");
}

#[tokio::test]
async fn a_cursor_of_a_long_text_is_short_and_holds_until_its_document_changes_embedded() {
    let directory = TempDir::new().unwrap();
    pages_of_long_texts(serve(&directory, &[])).await;
}

#[tokio::test]
async fn a_cursor_of_a_long_text_is_short_and_holds_until_its_document_changes_on_mongodb() {
    let directory = TempDir::new().unwrap();
    let url = Deployment::shared().await.url(&fresh_database());
    pages_of_long_texts(serve(&directory, &["--store", &url])).await;
}

/// The texts fit a request that creates one. As base64 they would not fit the request for the next page.
async fn pages_of_long_texts(server: Server) {
    let alice = server.client_with("alice", &json!({"teams": ["a"]}));
    let long = |last: &str| "é".repeat(450_000) + last;
    for id in ["b", "d", "a", "c"] {
        let task = json!({"title": long(id), "projectId": "p"});
        alice.push_all(json!([create(id, task)])).await;
    }
    let project = json!({"project": {"create": {"id": "p", "document": {"name": "p"}}}});
    alice.push_all(json!([project])).await;
    for (order, ids) in [("title_ASC", "abcd"), ("title_DESC", "dcba")] {
        let arguments = format!("orderBy: [{order}], first: 1");
        let first = answered(&alice, &arguments, &Value::Null).await;
        let cursor = page(&first).1;
        assert!(cursor.as_str().unwrap().len() < 1_000, "{cursor}");
        assert_eq!(first["data"]["tasks"]["edges"][0]["cursor"], cursor);
        assert_eq!(rest(&alice, &arguments, cursor).await, ids[1..]);
    }
    let of_project = "query($after: String) { project(id: \"p\") { tasks(orderBy: [title_ASC], first: 3, after: $after) {
        nodes { id } pageInfo { endCursor } } } }";
    let tasks = async |after: Value| {
        alice.data(of_project, json!({"after": after})).await["project"]["tasks"].clone()
    };
    let end = tasks(Value::Null).await["pageInfo"]["endCursor"].clone();
    assert_eq!(tasks(end).await["nodes"], json!([{"id": "d"}]));

    let arguments = "orderBy: [title_ASC], first: 2";
    let after_b = page(&answered(&alice, arguments, &Value::Null).await).1;
    let other = server.client("mallory");
    assert_starts_again(&answered(&other, arguments, &after_b).await);
    alice
        .push_all(json!([update("b", 1, json!({"done": true}))]))
        .await;
    assert_eq!(rest(&alice, arguments, after_b.clone()).await, "cd");
    alice
        .push_all(json!([update("b", 2, json!({"title": long("e")}))]))
        .await;
    assert_starts_again(&answered(&alice, arguments, &after_b).await);
    let after_c = page(&answered(&alice, arguments, &Value::Null).await).1;
    alice.push_all(json!([delete("c", 1)])).await;
    assert_starts_again(&answered(&alice, arguments, &after_c).await);
    assert_eq!(rest(&alice, arguments, Value::Null).await, "adb");
}

/// A change of the model while a client pages: the fields and indexes before and after, the list, and what becomes of
/// its cursor.
struct Changed {
    what: &'static str,
    before: &'static str,
    after: &'static str,
    list: &'static str,
    /// The list as a client of the model after asks for it, if that differs.
    list_after: Option<&'static str>,
    then: Then,
}

#[derive(Clone, Copy)]
enum Then {
    GoesOn,
    StartsAgain,
    /// Nothing serves the list any longer.
    IsRefused(&'static str),
}

const CHANGES: [Changed; 8] = [
    Changed {
        what: "a field is added",
        before: r#"@index(fields: ["rank"]) { rank: Int"#,
        after: r#"@index(fields: ["rank"]) { rank: Int notes: String"#,
        list: "orderBy: [rank_ASC]",
        list_after: None,
        then: Then::GoesOn,
    },
    Changed {
        what: "an index is removed that another replaces, in another order of ties",
        before: r#"@index(fields: ["rank"]) @index(fields: ["rank", "name"]) { rank: Int name: String"#,
        after: r#"@index(fields: ["rank", "name"]) { rank: Int name: String"#,
        list: "orderBy: [rank_ASC]",
        list_after: None,
        then: Then::StartsAgain,
    },
    Changed {
        what: "an index is removed that another replaces, in the same order",
        before: r#"@index(fields: ["done", "rank"]) @index(fields: ["rank"]) { rank: Int done: Boolean! @default(value: false)"#,
        after: r#"@index(fields: ["rank"]) { rank: Int done: Boolean! @default(value: false)"#,
        list: "orderBy: [rank_DESC]",
        list_after: None,
        then: Then::GoesOn,
    },
    Changed {
        what: "a field is renamed",
        before: r#"@index(fields: ["rank"]) { rank: Int"#,
        after: r#"@index(fields: ["place"]) { place: Int @renamed(from: "rank")"#,
        list: "orderBy: [rank_ASC]",
        list_after: Some("orderBy: [place_ASC]"),
        then: Then::GoesOn,
    },
    Changed {
        what: "a stored name is changed",
        before: r#"@index(fields: ["rank"]) { rank: Int"#,
        after: r#"@index(fields: ["rank"]) { rank: Int @stored(as: "place") @renamed(stored: "rank")"#,
        list: "orderBy: [rank_ASC]",
        list_after: None,
        then: Then::IsRefused("GRAPHQL_VALIDATION_FAILED"),
    },
    Changed {
        what: "numbers become texts",
        before: r#"@index(fields: ["rank"]) { rank: Int"#,
        after: r#"@index(fields: ["rank"]) { rank: ID"#,
        list: "orderBy: [rank_ASC]",
        list_after: None,
        then: Then::StartsAgain,
    },
    Changed {
        what: "numbers become larger",
        before: r#"@index(fields: ["rank"]) { rank: Int"#,
        after: r#"@index(fields: ["rank"]) { rank: Long"#,
        list: "orderBy: [rank_DESC]",
        list_after: None,
        then: Then::StartsAgain,
    },
    Changed {
        what: "the scope is changed",
        before: r#"@index(fields: ["rank"]) { rank: Int"#,
        after: r#"@index(fields: ["rank"]) { rank: Int"#,
        list: "orderBy: [rank_ASC]",
        list_after: None,
        then: Then::GoesOn,
    },
];

fn model(scope: &str, of_task: &str) -> String {
    format!(
        r#"
extend schema @grant(scope: "user:{{sub}}", access: WRITE) @grant(scope: "team:{{teams}}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{scope}:{{owner}}") {of_task} id: ID! owner: ID! @default(value: "{{sub}}") }}
"#
    )
}

impl Changed {
    fn models(&self) -> [String; 2] {
        let scope = match self.what {
            "the scope is changed" => "team",
            _ => "user",
        };
        [model("user", self.before), model(scope, self.after)]
    }

    async fn happens(&self, store: &[&str]) {
        let directory = TempDir::new().unwrap();
        let start = |model: &str| {
            std::fs::write(directory.path().join("model.graphql"), model).unwrap();
            Server::dev_with(directory.path(), store)
        };
        let [before, after] = self.models();
        let server = start(&before);
        let alice = server.client_with("alice", &json!({"teams": ["alice"]}));
        // Texts have another order than numbers: 10 comes before 9.
        let ranks = [
            ("a", 8),
            ("b", 9),
            ("c", 9),
            ("d", 10),
            ("e", 11),
            ("f", 100),
        ];
        let tasks = ranks.map(|(id, rank)| (id, json!({"rank": rank})));
        create_all(&alice, tasks.into()).await;
        let list = format!("{}, first: 2", self.list);
        let first = answered(&alice, &list, &Value::Null).await;
        let (mut seen, cursor) = page(&first);
        server.stop();

        let server = start(&after);
        let alice = alice.at(&server);
        let list = format!("{}, first: 2", self.list_after.unwrap_or(self.list));
        // Documents that move to another scope are not listed on their way.
        if !matches!(self.then, Then::IsRefused(_)) {
            until("all documents", async || {
                let all = rest(&alice, &list, Value::Null).await;
                (all.len() == 6).then_some(())
            })
            .await;
        }
        let next = answered(&alice, &list, &cursor).await;
        match self.then {
            Then::GoesOn => {
                let (found, cursor) = page(&next);
                seen += &found;
                seen += &rest(&alice, &list, cursor).await;
            }
            Then::StartsAgain => {
                assert_starts_again(&next);
                seen = rest(&alice, &list, Value::Null).await;
            }
            Then::IsRefused(code) => {
                let refused = &next["errors"][0];
                assert_eq!(refused["extensions"]["code"], code, "{}: {next}", self.what);
                return;
            }
        }
        let mut seen: Vec<char> = seen.chars().collect();
        seen.sort_unstable();
        assert_eq!(seen.iter().collect::<String>(), "abcdef", "{}", self.what);
        server.stop();
    }
}

#[tokio::test]
async fn a_cursor_from_before_a_change_of_the_model_goes_on_or_starts_again_on_the_embedded_store()
{
    for changed in CHANGES {
        changed.happens(&[]).await;
    }
}

#[tokio::test]
async fn a_cursor_from_before_a_change_of_the_model_goes_on_or_starts_again_on_mongodb() {
    for changed in CHANGES {
        let url = Deployment::shared().await.url(&fresh_database());
        changed.happens(&["--store", &url]).await;
    }
}

/// What no index serves any longer is refused with the line to add.
#[tokio::test]
async fn a_list_whose_index_is_removed_is_refused_whatever_its_cursor() {
    let directory = TempDir::new().unwrap();
    let start = |of_task: &str| {
        std::fs::write(
            directory.path().join("model.graphql"),
            model("user", of_task),
        )
        .unwrap();
        Server::dev(&directory)
    };
    let server = start(r#"@index(fields: ["rank", "name"]) { rank: Int name: String"#);
    let alice = server.client("alice");
    let tasks = ["a", "b", "c"].map(|id| (id, json!({"rank": 1})));
    create_all(&alice, tasks.into()).await;
    let list = "where: {rank: {eq: 1}}, orderBy: [name_ASC], first: 1";
    let cursor = page(&answered(&alice, list, &Value::Null).await).1;
    server.stop();
    let server =
        start(r#"@index(fields: ["rank"]) @index(fields: ["name"]) { rank: Int name: String"#);
    let refused = answered(&alice.at(&server), list, &cursor).await;
    let error = &refused["errors"][0];
    assert_eq!(error["extensions"]["code"], "NOT_INDEXED", "{refused}");
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains(r#"@index(fields: ["rank", "name"])"#),
        "{message}"
    );
}
