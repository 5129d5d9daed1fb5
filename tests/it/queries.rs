//! Lists of documents through the real binary, on both stores: conditions, orders, pages, counts, and what is refused.

mod cursors;
mod hostile;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Client, Server, create, delete,
    mongod::{Deployment, fresh_database},
    update,
};

const MODEL: &str = r#"
extend schema
  @grant(scope: "user:{sub}", access: WRITE)
  @grant(scope: "team:{teams}", access: WRITE)

type Task @collection(name: "tasks") @scope(by: "{audience}")
  @index(fields: ["projectId", "title"]) @index(fields: ["done", "due"]) @index(fields: ["title"]) @index(fields: ["labels", "due"]) @index(fields: "priority") {
  id: ID!
  audience: String! @default(value: "user:{sub}")
  title: String!
  done: Boolean! @default(value: false)
  priority: Priority
  due: DateTime
  labels: [String!]
  minutesSpent: Int
  notes: String
  project: Project @reference(by: "projectId")
  projectId: ID
}
enum Priority { LOW NORMAL HIGH }
type Project @collection(name: "projects") @scope(by: "{audience}") {
  id: ID! audience: String! @default(value: "user:{sub}") name: String!
  tasks: [Task!]! @reverse(by: "projectId")
  near: [Task!]! @reverse(by: "projectId", sameScope: true)
  taggings: [Tagging!]! @reverse(by: "projectId")
}
type Tag @collection(name: "tags") @scope(by: "{audience}") {
  id: ID! audience: String! @default(value: "user:{sub}") taggings: [Tagging!]! @reverse(by: "tagId")
}
type Tagging @collection(name: "taggings") @scope(by: "{audience}") @index(fields: ["projectId"]) @index(fields: ["tagId"]) {
  id: ID! audience: String! @default(value: "user:{sub}")
  project: Project @reference(by: "projectId") projectId: ID!
  tag: Tag @reference(by: "tagId") tagId: ID!
}
"#;

/// One test for each story and store.
macro_rules! on_both_stores {
    ($($story:ident)*) => {$(
        mod $story {
            use super::*;

            #[tokio::test]
            async fn embedded() {
                let directory = TempDir::new().unwrap();
                super::$story(serve(&directory, &[])).await;
            }

            #[tokio::test]
            async fn mongodb() {
                let directory = TempDir::new().unwrap();
                let url = Deployment::shared().await.url(&fresh_database());
                super::$story(serve(&directory, &["--store", &url])).await;
            }
        }
    )*};
}

on_both_stores! {
    a_list_has_what_its_conditions_say_in_its_order
    a_page_neither_repeats_nor_skips_what_did_not_change
    a_list_has_documents_of_granted_scopes_only
    what_cannot_be_served_is_refused_with_what_to_do
    a_document_lists_those_that_name_it_as_far_as_they_may_be_seen
}

fn serve(directory: &TempDir, arguments: &[&str]) -> Server {
    std::fs::write(directory.path().join("model.graphql"), MODEL).unwrap();
    Server::dev_with(directory.path(), arguments)
}

/// The ids that a list finds, with its arguments.
async fn list(client: &Client, arguments: &str) -> Vec<String> {
    let query = format!("{{ tasks{arguments} {{ nodes {{ id }} }} }}");
    let data = client.data(&query, json!({})).await;
    let nodes = data["tasks"]["nodes"].as_array().unwrap().iter();
    nodes
        .map(|node| node["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn fill(client: &Client) {
    let task = |id: &str, document: Value| create(id, document);
    let day = |day: u32| format!("2026-03-{day:02}T00:00:00Z");
    client
        .push_all(json!([
            task(
                "a",
                json!({"title": "tea", "due": day(3), "priority": "HIGH", "labels": ["x", "y"]})
            ),
            task(
                "b",
                json!({"title": "milk", "due": day(1), "done": true, "labels": ["x"]})
            ),
            task(
                "c",
                json!({"title": "bread", "labels": ["x", "x"], "projectId": "p"})
            ),
            task(
                "d",
                json!({"title": "butter", "due": day(2), "priority": "LOW"})
            ),
            task(
                "e",
                json!({"title": "ärger", "due": day(2), "labels": ["y"]})
            ),
            json!({"project": {"create": {"id": "p", "document": {"name": "House"}}}}),
        ]))
        .await;
}

async fn a_list_has_what_its_conditions_say_in_its_order(server: Server) {
    let alice = server.client("alice");
    fill(&alice).await;
    for (arguments, expected) in [
        ("", "abcde"),
        ("(orderBy: [id_DESC])", "edcba"),
        ("(where: {id: {in: [\"e\", \"a\", \"z\"]}})", "ae"),
        ("(where: {done: {eq: false}}, orderBy: [due_ASC])", "cdea"),
        ("(where: {done: {eq: false}}, orderBy: [due_DESC])", "aedc"),
        (
            "(where: {done: {eq: false}, due: {gte: \"2026-03-02T00:00:00Z\"}}, orderBy: due_ASC)",
            "dea",
        ),
        ("(where: {done: {eq: false}, due: {isNull: true}})", "c"),
        (
            "(where: {done: {in: [true, false]}, due: {lt: \"2026-03-03T00:00:00Z\"}}, orderBy: [due_ASC])",
            "bde",
        ),
        ("(orderBy: [done_ASC, due_ASC])", "cdeab"),
        ("(orderBy: [title_ASC])", "cdbae"),
        (
            "(where: {title: {startsWith: \"b\"}}, orderBy: [title_DESC])",
            "dc",
        ),
        (
            "(where: {title: {ne: \"tea\"}}, orderBy: [title_ASC])",
            "cdbe",
        ),
        (
            "(where: {not: {title: {in: [\"tea\", \"milk\"]}}}, orderBy: [title_ASC])",
            "cde",
        ),
        (
            "(where: {or: [{title: {lt: \"bu\"}}, {title: {gt: \"m\"}}]}, orderBy: [title_ASC])",
            "cbae",
        ),
        (
            "(where: {labels: {contains: \"x\"}}, orderBy: [due_DESC])",
            "abc",
        ),
        (
            "(where: {or: [{labels: {contains: \"x\"}}, {labels: {contains: \"y\"}}]}, orderBy: [due_ASC])",
            "cbea",
        ),
        ("(where: {priority: {eq: HIGH}})", "a"),
        ("(where: {priority: {ne: HIGH}})", "bced"),
        ("(where: {and: []})", "abcde"),
        ("(where: {or: []})", ""),
        ("(where: {not: {}})", ""),
        ("(where: {title: {eq: \"tea\"}, id: {gt: \"a\"}})", ""),
        ("(first: 2)", "ab"),
    ] {
        let found = list(&alice, arguments).await;
        assert_eq!(found.concat(), expected, "{arguments}");
    }
    let all = "{ tasks(where: {done: {eq: false}}, orderBy: [due_ASC], first: 2) {
        edges { cursor node { __typename id title syncVersion project { name } } }
        pageInfo { hasNextPage endCursor } totalCount { count isExact } few: totalCount(max: 2) { count isExact } } }";
    let page = &alice.data(all, json!({})).await["tasks"];
    let first = &page["edges"][0]["node"];
    let expected = json!({"__typename": "Task", "id": "c", "title": "bread", "syncVersion": 1, "project": {"name": "House"}});
    assert_eq!(*first, expected);
    assert_eq!(page["pageInfo"]["hasNextPage"], true);
    assert_eq!(page["pageInfo"]["endCursor"], page["edges"][1]["cursor"]);
    assert_eq!(page["totalCount"], json!({"count": 4, "isExact": true}));
    assert_eq!(page["few"], json!({"count": 2, "isExact": false}));
    let counted = alice.data(
        "{ tasks { totalCount { count } } projects { nodes { name } } }",
        json!({}),
    );
    let counted = counted.await;
    assert_eq!(counted["tasks"]["totalCount"]["count"], 5);
    assert_eq!(counted["projects"]["nodes"], json!([{"name": "House"}]));
}

async fn a_page_neither_repeats_nor_skips_what_did_not_change(server: Server) {
    let alice = server.client("alice");
    let title = |n: usize| format!("{:02}", n / 2);
    let tasks = (0..60).map(|n| create(&format!("{n:02}"), json!({"title": title(n)})));
    alice.push_all(json!(tasks.collect::<Vec<_>>())).await;
    let query = "query($after: String) { tasks(orderBy: [title_ASC], first: 7, after: $after) {
        nodes { id } pageInfo { hasNextPage endCursor } } }";
    let (mut seen, mut after, mut step) = (Vec::new(), Value::Null, 0);
    loop {
        let page = alice.data(query, json!({"after": after})).await["tasks"].clone();
        let nodes = page["nodes"].as_array().unwrap().iter();
        seen.extend(nodes.map(|node| node["id"].as_str().unwrap().to_owned()));
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
        // The document at the cursor goes, another one moves to the other end, and one comes.
        let last = seen.last().unwrap().clone();
        let moved = format!("{:02}", 59 - step);
        alice
            .push_all(json!([
                delete(&last, 1),
                update(&moved, 1, json!({"title": "-"})),
                create(&format!("new{step}"), json!({"title": "30x"})),
            ]))
            .await;
        step += 1;
    }
    let distinct: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(distinct.len(), seen.len(), "{seen:?}");
    let unmoved = (0..60 - step).map(|n| format!("{n:02}"));
    let missing: Vec<String> = unmoved.filter(|id| !distinct.contains(id)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

async fn a_list_has_documents_of_granted_scopes_only(server: Server) {
    let alice = server.client_with("alice", &json!({"teams": ["a", "b"]}));
    let task = |id: &str, audience: &str| create(id, json!({"title": id, "audience": audience}));
    alice
        .push_all(json!([
            task("own", "user:alice"),
            task("in-a", "team:a"),
            task("in-b", "team:b")
        ]))
        .await;
    let bob = server.client_with("bob", &json!({"teams": ["b", "c"]}));
    bob.push_all(json!([task("bobs", "user:bob"), task("in-c", "team:c")]))
        .await;
    assert_eq!(
        list(&alice, "(orderBy: [title_ASC])").await,
        ["in-a", "in-b", "own"]
    );
    assert_eq!(
        list(&bob, "(orderBy: [title_ASC])").await,
        ["bobs", "in-b", "in-c"]
    );
    assert_eq!(list(&bob, "(scope: \"team:b\")").await, ["in-b"]);
    assert_eq!(list(&bob, "(scope: \"team:a\")").await, [""; 0]);
    let count = bob.data(
        "{ tasks(scope: \"team:a\") { totalCount { count isExact } } }",
        json!({}),
    );
    assert_eq!(
        count.await["tasks"]["totalCount"],
        json!({"count": 0, "isExact": true})
    );
    alice
        .push_all(json!([update("in-b", 1, json!({"audience": "team:a"}))]))
        .await;
    assert_eq!(list(&bob, "(orderBy: [title_ASC])").await, ["bobs", "in-c"]);
}

async fn what_cannot_be_served_is_refused_with_what_to_do(server: Server) {
    let alice = server.client("alice");
    let refused = async |arguments: &str, code: &str, said: &str| {
        let query = format!("{{ tasks{arguments} {{ nodes {{ id }} }} }}");
        let answer = alice.send(&query, json!({})).await;
        let error = &answer["errors"][0];
        assert_eq!(error["extensions"]["code"], code, "{arguments}: {answer}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(said), "{arguments}: {message}");
    };
    refused(
        "(where: {due: {gt: \"2026-03-02T00:00:00Z\"}})",
        "NOT_INDEXED",
        "@index(fields: [\"due\"])",
    )
    .await;
    refused(
        "(where: {done: {eq: true}, priority: {eq: LOW}}, orderBy: [title_ASC])",
        "NOT_INDEXED",
        "@index(fields: [\"done\", \"priority\", \"title\"])",
    )
    .await;
    refused(
        "(where: {title: {gt: \"a\"}, due: {isNull: false}})",
        "NOT_INDEXED",
        "a range of one field",
    )
    .await;
    refused(
        "(orderBy: [done_ASC, due_DESC])",
        "NOT_INDEXED",
        "one direction",
    )
    .await;
    refused(
        "(where: {not: {labels: {contains: \"x\"}}})",
        "NOT_INDEXED",
        "inside `not`",
    )
    .await;
    refused(
        "(where: {minutesSpent: {eq: 1}})",
        "GRAPHQL_VALIDATION_FAILED",
        "@index(fields: [\"minutesSpent\"])",
    )
    .await;
    refused(
        "(orderBy: [minutesSpent_ASC])",
        "GRAPHQL_VALIDATION_FAILED",
        "minutesSpent_ASC",
    )
    .await;
    for arguments in [
        "(where: {title: {eq: null}})",
        "(where: {title: null})",
        "(where: {title: {in: [\"a\", null]}})",
        "(where: {or: null})",
        "(where: null)",
        "(where: {title: {}})",
    ] {
        let query = format!("{{ tasks{arguments} {{ nodes {{ id }} }} }}");
        let code = alice.code(&query, json!({})).await;
        assert!(
            ["BAD_USER_INPUT", "GRAPHQL_VALIDATION_FAILED"].contains(&&*code),
            "{arguments}: {code}"
        );
    }
    let query = "query($is: String) { tasks(where: {title: {eq: $is}}) { nodes { id } } }";
    assert_eq!(
        alice.code(query, json!({"is": null})).await,
        "BAD_USER_INPUT"
    );
    refused(
        "(where: {due: {eq: \"soon\"}})",
        "BAD_USER_INPUT",
        "where.due.eq",
    )
    .await;
    refused("(first: 0)", "BAD_LIMIT", "`first`").await;
    refused("(first: 1001)", "BAD_LIMIT", "`first`").await;
    refused("(after: \"AAAA\")", "BAD_USER_INPUT", "cursor").await;
    let page = alice
        .data(
            "{ tasks { pageInfo { endCursor hasNextPage } } }",
            json!({}),
        )
        .await;
    assert_eq!(
        page["tasks"]["pageInfo"],
        json!({"endCursor": null, "hasNextPage": false})
    );
    alice
        .push_all(json!([create("a", json!({"title": "a"}))]))
        .await;
    let page = alice
        .data("{ tasks { edges { cursor } } }", json!({}))
        .await;
    let cursor = page["tasks"]["edges"][0]["cursor"].as_str().unwrap();
    refused(
        &format!("(after: \"{cursor}\", orderBy: [title_ASC])"),
        "BAD_USER_INPUT",
        "cursor",
    )
    .await;
    let ids: Vec<String> = (0..201)
        .map(|n| format!("{{id: {{eq: \"{n}\"}}}}"))
        .collect();
    refused(
        &format!("(where: {{or: [{}]}})", ids.join(",")),
        "QUERY_TOO_LARGE",
        "200 conditions",
    )
    .await;
    let ids: Vec<String> = (0..2001).map(|n| format!("\"{n}\"")).collect();
    refused(
        &format!("(where: {{id: {{in: [{}]}}}})", ids.join(",")),
        "QUERY_TOO_LARGE",
        "2000 values",
    )
    .await;
}

async fn a_document_lists_those_that_name_it_as_far_as_they_may_be_seen(server: Server) {
    let alice = server.client_with("alice", &json!({"teams": ["a"]}));
    let bob = server.client_with("bob", &json!({"teams": ["a"]}));
    let project = |id: &str| json!({"project": {"create": {"id": id, "document": {"name": id, "audience": "team:a"}}}});
    let task = |id: &str, audience: &str, project: &str| {
        create(
            id,
            json!({"title": id, "audience": audience, "projectId": project}),
        )
    };
    let tag = |id: &str| json!({"tag": {"create": {"id": id, "document": {"audience": "team:a"}}}});
    let pair = |project: &str, tag: &str| {
        let document = json!({"audience": "team:a", "projectId": project, "tagId": tag});
        json!({"tagging": {"create": {"id": format!("{project}-{tag}"), "document": document}}})
    };
    alice
        .push_all(json!([
            project("p"),
            project("q"),
            task("1", "team:a", "p"),
            task("2", "user:alice", "p"),
            task("3", "team:a", "p"),
            task("4", "team:a", "q"),
            tag("red"),
            tag("big"),
            pair("p", "red"),
            pair("p", "big"),
            pair("q", "red"),
        ]))
        .await;
    let query = "{ projects { nodes { name tasks(where: {title: {ne: \"3\"}}, orderBy: [title_DESC]) { nodes { title project { name } } }
        near(first: 1) { nodes { title } pageInfo { hasNextPage } } } } }";
    let of = |name: &str, titles: &[&str], near: &str, more: bool| {
        let tasks: Vec<Value> = titles
            .iter()
            .map(|title| json!({"title": title, "project": {"name": name}}))
            .collect();
        let near = json!({"nodes": [{"title": near}], "pageInfo": {"hasNextPage": more}});
        json!({"name": name, "tasks": {"nodes": tasks}, "near": near})
    };
    let seen = alice.data(query, json!({})).await;
    assert_eq!(
        seen["projects"]["nodes"],
        json!([of("p", &["2", "1"], "1", true), of("q", &["4"], "4", false)])
    );
    let seen = bob.data(query, json!({})).await;
    assert_eq!(
        seen["projects"]["nodes"],
        json!([of("p", &["1"], "1", true), of("q", &["4"], "4", false)])
    );
    let many = "{ projects { nodes { taggings { nodes { tag { id } } } } } tags { nodes { id taggings { nodes { project { name } } } } } }";
    let seen = bob.data(many, json!({})).await;
    let tags = |ids: &[&str]| {
        let nodes: Vec<Value> = ids.iter().map(|id| json!({"tag": {"id": id}})).collect();
        json!({"taggings": {"nodes": nodes}})
    };
    assert_eq!(
        seen["projects"]["nodes"],
        json!([tags(&["big", "red"]), tags(&["red"])])
    );
    assert_eq!(
        seen["tags"]["nodes"][1],
        json!({"id": "red", "taggings": {"nodes": [{"project": {"name": "p"}}, {"project": {"name": "q"}}]}})
    );
    // The first pages of the lists of a hundred projects have too many documents.
    let large = "{ projects(first: 1000) { nodes { tasks(first: 1000) { nodes { id } } } } }";
    assert_eq!(bob.code(large, json!({})).await, "QUERY_TOO_LARGE");
}
