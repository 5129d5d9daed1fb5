//! Operations that do not fit the schema or a limit: each is refused whole with a code, and nothing is applied.
//!
//! One line each: the operation, its variables, the code.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    harness::{CONFIG, Client, PATIENCE, Server, configured, create, push_query},
    serve::{client, token},
};

async fn check(client: &Client, query: &str, variables: Value, code: &str) {
    let answer = client.send(query, variables).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], code, "{query:.200}: {answer}");
    let message = error["message"].as_str().unwrap();
    assert!(!message.is_empty() && message.len() < 1_000, "{message}");
    assert!(answer["data"].is_null(), "{answer}");
}

/// Arrays in arrays, as deep as that.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

#[tokio::test]
async fn variables_that_do_not_fit_the_schema_refuse_the_push() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let good = create("good", json!({"title": "t"}));
    for bad in [
        json!(1),
        json!("task"),
        json!(null),
        json!({}),
        json!({"task": null}),
        json!({"task": {}}),
        json!({"nothing": {}}),
        json!({"task": {"create": {"id": "a", "document": {"title": "t"}}, "delete": {"id": "a", "baseVersion": 1}}}),
        json!({"task": {"delete": {"id": "a", "baseVersion": 1}}, "project": {"delete": {"id": "a", "baseVersion": 1}}}),
        json!({"task": {"delete": {"id": "a", "baseVersion": 1}}, "project": null}),
        json!({"task": {"delete": {"id": "a"}}}),
        json!({"task": {"delete": {"id": "a", "baseVersion": 5_000_000_000_i64}}}),
        json!({"task": {"delete": {"id": "a", "baseVersion": "1"}}}),
        json!({"task": {"delete": {"id": null, "baseVersion": 1}}}),
        json!({"task": {"delete": {"id": 1.5, "baseVersion": 1}}}),
        json!({"task": {"create": {"id": "a"}}}),
        create("a", json!({})),
        create("a", json!({"title": null})),
        create("a", json!({"title": 5})),
        create("a", json!({"title": "t", "titel": "t"})),
        create("a", json!({"title": "t", "done": "yes"})),
        create("a", json!({"title": "t", "done": null})),
        create("a", json!({"title": "t", "priority": "URGENT"})),
        create("a", json!({"title": "t", "priority": 1})),
        create("a", json!({"title": "t", "labels": [null]})),
        create("a", json!({"title": "t", "labels": {}})),
        create(
            "a",
            json!({"title": "t", "minutesSpent": 2_147_483_648_i64}),
        ),
        create("a", json!({"title": "t", "minutesSpent": 1.5})),
        create("a", json!({"title": "t", "notes": nested(100)})),
    ] {
        let variables = json!({"input": {"changes": [good, bad]}});
        check(&alice, &push_query(), variables, "BAD_USER_INPUT").await;
    }
    for input in [
        json!(null),
        json!([]),
        json!({}),
        json!({"changes": null}),
        json!({"changes": [good], "atomic": null}),
        json!({"changes": [good], "policy": "BEST"}),
        json!({"changes": [good], "client": {}}),
        json!({"changes": [good], "client": {"id": ""}}),
        json!({"changes": [good], "client": {"id": "x".repeat(257)}}),
        json!({"changes": [good], "more": 1}),
    ] {
        let variables = json!({"input": input});
        check(&alice, &push_query(), variables, "BAD_USER_INPUT").await;
    }
    assert_eq!(
        alice.pull(None).await["changes"],
        json!([]),
        "nothing was applied"
    );
}

#[tokio::test]
async fn operations_that_do_not_fit_the_schema_have_codes() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let push = |changes: &str| {
        format!(
            "mutation {{ pushChanges(input: {{changes: [{changes}]}}) {{ results {{ status }} }} }}"
        )
    };
    let task = |fields: &str| {
        push(&format!(
            r#"{{task: {{create: {{id: "a", document: {{title: "t", {fields}}}}}}}}}"#
        ))
    };
    let [invalid, unparsed] = ["GRAPHQL_VALIDATION_FAILED", "GRAPHQL_PARSE_FAILED"];
    for (query, code) in [
        ("{ nothing }".to_owned(), invalid),
        ("{ viewer }".to_owned(), invalid),
        ("{ task { id } }".to_owned(), invalid),
        ("{ task(id: null) { id } }".to_owned(), invalid),
        ("{ viewer { id ...Missing } }".to_owned(), invalid),
        ("query($n: Nothing) { viewer { id } }".to_owned(), invalid),
        (
            "{ changesSince(limit: \"5\") { hasMore } }".to_owned(),
            invalid,
        ),
        (
            "{ changesSince(types: [Nothing]) { hasMore } }".to_owned(),
            invalid,
        ),
        (push("{}"), invalid),
        (push("{task: {}}"), invalid),
        (push("{task: null}"), invalid),
        (
            push(r#"{task: {delete: {id: "a", baseVersion: 1}, create: null}}"#),
            invalid,
        ),
        (task("titel: 1"), invalid),
        (task("done: NaN"), invalid),
        (task("minutesSpent: NaN"), invalid),
        (task("minutesSpent: Infinity"), invalid),
        (task("minutesSpent: 2147483648"), invalid),
        (task("minutesSpent: 99999999999999999999"), invalid),
        (task("priority: \"HIGH\""), invalid),
        (task("minutesSpent: -Infinity"), unparsed),
        (String::new(), unparsed),
        ("{".to_owned(), unparsed),
        ("{ viewer { id }".to_owned(), unparsed),
        (
            "mutation { pushChanges(input: {changes: [) }".to_owned(),
            unparsed,
        ),
    ] {
        check(&alice, &query, json!({}), code).await;
    }
    let two = "query A { viewer { id } } query B { viewer { id } }";
    check(&alice, two, json!({}), "OPERATION_RESOLUTION_FAILURE").await;
    let required = "query($id: ID!) { task(id: $id) { id } }";
    check(&alice, required, json!({}), "BAD_USER_INPUT").await;
    assert_eq!(
        alice.pull(None).await["changes"],
        json!([]),
        "nothing was applied"
    );
}

#[tokio::test]
async fn deep_and_large_operations_are_refused_at_once() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let deep = |opening: &str, depth: usize| {
        format!("{{ {}id{} }}", opening.repeat(depth), " }".repeat(depth))
    };
    let list = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let aliases: String = (0..2_000).map(|n| format!("a{n}: id ")).collect();
    let fragments: String = (0..25)
        .map(|n| {
            format!(
                "fragment F{n} on SyncViewer {{ ...F{m} ...F{m} }} ",
                m = n + 1
            )
        })
        .collect();
    let begun = std::time::Instant::now();
    for query in [
        deep("viewer { ", 100),
        deep("... on Query { ", 100),
        format!("{{ task(id: {list}) {{ id }} }}"),
        format!("{{ viewer {{ {aliases} }} }}"),
        format!("{{ viewer {{ ...F0 }} }} {fragments} fragment F25 on SyncViewer {{ id }}"),
        format!("{{ viewer {{ id }} }} #{}", "x".repeat(100_000)),
        format!(
            "{{ viewer {{ id {} }} }}",
            "@skip(if: false) ".repeat(2_000)
        ),
    ] {
        check(&alice, &query, json!({}), "QUERY_TOO_LARGE").await;
    }
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_push_of_more_changes_than_a_push_may_carry_is_refused() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev(&directory);
    let alice = server.client("alice");
    let mut changes: Vec<_> = (0..1_001)
        .map(|n| create(&format!("{n}"), json!({"title": "t"})))
        .collect();
    let query =
        "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status } } }";
    let answer = alice
        .send(query, json!({"input": {"changes": changes}}))
        .await;
    let extensions = json!({"code": "PUSH_TOO_LARGE", "max": 1000});
    assert_eq!(answer["errors"][0]["extensions"], extensions);
    changes.pop();
    let data = alice
        .data(query, json!({"input": {"changes": changes}}))
        .await;
    let results = data["pushChanges"]["results"].as_array().unwrap();
    assert!(results.iter().all(|result| result["status"] == "APPLIED"));
    let none = alice.push(json!({"changes": []})).await;
    assert_eq!(none["results"], json!([]), "nothing to do is no mistake");
}

#[tokio::test]
async fn what_the_api_does_not_have_is_refused_with_what_to_ask_instead() {
    let directory = configured(CONFIG);
    let server = Server::serve(&directory);
    let alice = client(&server, &token(&directory, "alice"));
    for (query, advice) in [
        ("{ tasks { id } }", "`nodes { id }`"),
        ("{ projects { items { id } } }", "`nodes`"),
        ("{ allTasks { id } }", "`tasks(…)`"),
        ("{ allTasks { id } }", "`changesSince`"),
        ("{ allProjects { id } }", "`project(id: …)`"),
        ("{ listArticles { items { id } } }", "`article(id: …)`"),
        ("{ users { id } }", "`changesSince`"),
        (
            "mutation { createArticle(title: \"t\") { id } }",
            "`pushChanges(input: {changes: [{article: {create: …}}]})`",
        ),
        ("subscription { taskAdded { id } }", "`changes`"),
        ("{ me { id } }", "`viewer { id }`"),
        ("{ conflict { id } }", "`conflicts`"),
        (
            "{ pushChanges { results { id } } }",
            "belongs to a mutation",
        ),
        ("{ changes { hasMore } }", "belongs to a subscription"),
        (
            "mutation { changesSince { hasMore } }",
            "belongs to a query",
        ),
        ("{ viewer { userId } }", "`id`"),
        ("{ conflicts { items { id } } }", "`nodes`"),
        ("{ changesSince { edges { id } } }", "`changes`"),
        ("{ changesSince { changes { id } } }", "`documentId`"),
        (
            "{ changesSince { changes { title } } }",
            "`document { ... on Task { title } }`",
        ),
        (
            "{ changesSince { changes { document { title } } } }",
            "`... on Task { title }`",
        ),
        (
            "{ changesSince { changes { document { project { id } } } } }",
            "`... on Task { project }`",
        ),
    ] {
        let answer = alice.send(query, json!({})).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(advice), "{query}: {message}");
    }
    let answer = alice.send("{ viewer { tasks } }", json!({})).await;
    let message = &answer["errors"][0]["message"];
    assert_eq!(message, "type `SyncViewer` does not have a field `tasks`");
}
