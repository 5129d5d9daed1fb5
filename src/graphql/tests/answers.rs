//! Answers beyond one root field: how often referenced documents are read, what becomes of a document that cannot be
//! shown, and what happens to the mutations after one that fails.

use std::sync::{Arc, atomic::Ordering};

use serde_json::{Map, Value as Json, json};
use tidegate_core::{
    id::UserId,
    model::Model,
    value::{Document, Value},
};

use super::peer::{
    fixture::{MODEL, TestWorld},
    operations::RandomOperation,
    staged::Stage,
};
use crate::{
    fixtures::key,
    graphql::error::Code,
    quota::{Quota, QuotaLimits},
};

/// A gateway that shows `shown` as the task "a".
fn serve(shown: Option<Document>) -> (TestWorld, Arc<Stage>) {
    let model = Arc::new(Model::parse("model.graphql", MODEL).unwrap());
    let key = key("Task", "a");
    let stage = Arc::new(Stage {
        bodies: shown.map(|body| (key, body)).into_iter().collect(),
        ..Stage::default()
    });
    (TestWorld::serve(&model, Arc::clone(&stage)), stage)
}

fn ask(world: &TestWorld, query: impl Into<String>) -> Json {
    let operation = RandomOperation {
        query: query.into(),
        variables: Map::new(),
    };
    serde_json::from_str(&world.run(&operation).unwrap()).unwrap()
}

fn create(id: &str, more: &str) -> String {
    let place = r#"place: {name: "n"}, exact: "1.5""#;
    format!(
        r#"{{task: {{create: {{id: "{id}", document: {{team: "1", title: "t", {place} {more}}}}}}}}}"#
    )
}

fn push(world: &TestWorld, changes: &[String]) {
    let changes = changes.join(", ");
    let answer = ask(
        world,
        format!(
            "mutation {{ pushChanges(input: {{changes: [{changes}]}}) {{ results {{ status }} }} }}"
        ),
    );
    let results = answer["data"]["pushChanges"]["results"].as_array().unwrap();
    assert!(
        results.iter().all(|result| result["status"] == "APPLIED"),
        "{answer}"
    );
}

#[test]
fn a_page_of_500_documents_with_two_references_each_reads_once() {
    let (world, stage) = serve(None);
    let project =
        r#"{project: {create: {id: "p", document: {team: "1", title: "t", size: {width: 2}}}}}"#;
    push(&world, &[create("root", ""), project.to_owned()]);
    let tasks: Vec<String> = (0..500)
        .map(|number| create(&format!("t{number}"), r#"parentId: "root", projectId: "p""#))
        .collect();
    for tasks in tasks.chunks(100) {
        push(&world, tasks);
    }
    let read = |below: &str| {
        stage.reads.store(0, Ordering::Relaxed);
        let answer = ask(
            &world,
            format!(
                "{{ changesSince(limit: 501, types: [Task]) {{ changes {{ document {{ ... on Task {{ {below} }} }} }} }} }}"
            ),
        );
        assert!(answer.get("errors").is_none(), "{answer}");
        let changes = answer["data"]["changesSince"]["changes"]
            .as_array()
            .unwrap();
        let last = changes.last().unwrap()["document"].clone();
        (stage.reads.load(Ordering::Relaxed), last)
    };
    let (reads, last) = read("parent { id } project { id }");
    assert_eq!(
        last,
        json!({"parent": {"id": "root"}, "project": {"id": "p"}})
    );
    assert_eq!(reads, 1, "one read for the thousand references of a page");
    let (reads, last) = read("parent { parent { id } project { id } }");
    assert_eq!(last, json!({"parent": {"parent": null, "project": null}}));
    assert_eq!(reads, 1, "nothing is read where no id stands");
}

const RELATIONS: &str = r#"
extend schema @grant(scope: "team:{teams}", access: WRITE)
type Item @collection(name: "items") @scope(by: "team:{team}")
  @index(fields: ["listId", "place"]) @index(fields: ["tagIds"]) {
  id: ID!
  team: String!
  place: Int
  list: List @reference(by: "listId")
  listId: ID
  tags: [Tag] @reference(by: "tagIds")
  tagIds: [ID!]
}
type List @collection(name: "lists") @scope(by: "team:{team}") {
  id: ID!
  team: String!
  items: [Item!]! @reverse(by: "listId")
  own: [Item!]! @reverse(by: "listId", sameScope: true)
}
type Tag @collection(name: "tags") @scope(by: "team:{team}") {
  id: ID!
  team: String!
  items: [Item!]! @reverse(by: "tagIds")
}
"#;

#[test]
fn the_lists_of_a_hundred_documents_are_read_together() {
    let model = Arc::new(Model::parse("model.graphql", RELATIONS).unwrap());
    let stage = Arc::new(Stage::default());
    let world = TestWorld::serve(&model, Arc::clone(&stage));
    let lists = (0..100)
        .map(|n| format!(r#"{{list: {{create: {{id: "l{n}", document: {{team: "1"}}}}}}}}"#));
    push(&world, &lists.collect::<Vec<_>>());
    let items = (0..300).map(|n| {
        let (list, tag) = (n % 100, n % 3);
        format!(r#"{{item: {{create: {{id: "i{n:03}", document: {{team: "1", place: {n}, listId: "l{list}", tagIds: ["t{tag}", "none"]}}}}}}}}"#)
    });
    let items: Vec<String> = items.collect();
    items.chunks(100).for_each(|items| push(&world, items));
    let tags =
        (0..3).map(|n| format!(r#"{{tag: {{create: {{id: "t{n}", document: {{team: "1"}}}}}}}}"#));
    push(&world, &tags.collect::<Vec<_>>());
    let read = |query: &str| {
        stage.reads.store(0, Ordering::Relaxed);
        stage.listed.store(0, Ordering::Relaxed);
        let answer = ask(&world, query);
        assert!(answer.get("errors").is_none(), "{answer}");
        let counts = [&stage.listed, &stage.reads].map(|count| count.load(Ordering::Relaxed));
        (answer["data"].clone(), counts)
    };
    let (data, counts) = read(
        "{ lists(first: 100) { nodes { id items(first: 20, orderBy: [place_DESC]) { nodes { id list { id } } pageInfo { hasNextPage } } } } }",
    );
    let lists = data["lists"]["nodes"].as_array().unwrap();
    assert_eq!(lists.len(), 100);
    for list in lists {
        let n: usize = list["id"].as_str().unwrap()[1..].parse().unwrap();
        let expected = [n + 200, n + 100, n]
            .map(|n| json!({"id": format!("i{n:03}"), "list": {"id": list["id"]}}));
        let page = json!({"nodes": expected, "pageInfo": {"hasNextPage": false}});
        assert_eq!(list["items"], page, "{list}");
    }
    // One read for the hundred lists, two for their items, and one for the lists of these.
    assert_eq!(counts, [3, 1]);
    let (data, _) = read(
        "{ list(id: \"l7\") { items(first: 2, orderBy: [place_ASC]) { edges { cursor node { place tags { id } } } totalCount { count } } own { nodes { id } } } }",
    );
    let list = &data["list"];
    let edges = list["items"]["edges"].as_array().unwrap();
    assert_eq!(
        edges[1]["node"],
        json!({"place": 107, "tags": [{"id": "t2"}, null]})
    );
    assert_eq!(list["items"]["totalCount"]["count"], 3);
    assert_eq!(list["own"]["nodes"].as_array().unwrap().len(), 3);
    let after = edges[1]["cursor"].as_str().unwrap();
    let (data, _) = read(&format!(
        "{{ list(id: \"l7\") {{ items(first: 2, orderBy: [place_ASC], after: \"{after}\") {{ nodes {{ id }} }} }} }}"
    ));
    assert_eq!(data["list"]["items"]["nodes"], json!([{"id": "i207"}]));
    let (data, _) =
        read("{ tags { nodes { id items(first: 1000) { totalCount { count } nodes { id } } } } }");
    for tag in data["tags"]["nodes"].as_array().unwrap() {
        assert_eq!(tag["items"]["totalCount"]["count"], 100);
        assert_eq!(tag["items"]["nodes"].as_array().unwrap().len(), 100);
    }
    // A long list among short ones is read alone.
    let more = (0..40).map(|n| {
        format!(r#"{{item: {{create: {{id: "m{n}", document: {{team: "1", listId: "l0"}}}}}}}}"#)
    });
    push(&world, &more.collect::<Vec<_>>());
    let (data, _) = read(
        "{ lists(first: 100) { nodes { id items(first: 2) { nodes { id } pageInfo { hasNextPage } } } } }",
    );
    for list in data["lists"]["nodes"].as_array().unwrap() {
        assert_eq!(
            list["items"]["nodes"].as_array().unwrap().len(),
            2,
            "{list}"
        );
        assert_eq!(list["items"]["pageInfo"]["hasNextPage"], true, "{list}");
    }
}

/// The task "a" as [`create`] makes it, with other fields; no value removes one.
fn misfit(changed: &[(&str, Option<Value>)]) -> Document {
    let text = |text: &str| Value::String(text.to_owned());
    let place = Document::from([("name".to_owned(), text("n"))]);
    let mut body = Document::from([
        ("title".to_owned(), text("t")),
        ("place".to_owned(), Value::Object(place)),
        ("exact".to_owned(), Value::Decimal("1.5".parse().unwrap())),
        ("parentId".to_owned(), text("root")),
    ]);
    for (name, value) in changed {
        body.remove(*name);
        body.extend(value.clone().map(|value| ((*name).to_owned(), value)));
    }
    body
}

/// A required field is absent or null, a value has another type, in a list and in embedded documents too.
fn misfits() -> Vec<(&'static str, Document)> {
    let text = Value::String("x".to_owned());
    let object = |name: &str, value: &Value| {
        Value::Object(Document::from([(name.to_owned(), value.clone())]))
    };
    let lines = Value::List(vec![
        object("amount", &Value::Int(1)),
        object("amount", &text),
    ]);
    let many = Value::List(vec![Value::Null, Value::Int(3)]);
    vec![
        ("title", misfit(&[("title", None)])),
        ("title", misfit(&[("title", Some(Value::Null))])),
        ("title", misfit(&[("title", Some(Value::Int(5)))])),
        ("notes", misfit(&[("notes", Some(Value::Int(5)))])),
        ("priority", misfit(&[("priority", Some(text.clone()))])),
        ("moods", misfit(&[("moods", Some(many))])),
        ("lines { amount }", misfit(&[("lines", Some(lines))])),
        (
            "place { name }",
            misfit(&[("place", Some(object("name", &Value::Null)))]),
        ),
        (
            "place { size { width } }",
            misfit(&[("place", Some(object("size", &text)))]),
        ),
        ("due", misfit(&[("due", Some(Value::Bool(true)))])),
    ]
}

#[test]
fn a_document_that_cannot_be_shown_is_withheld_wherever_it_stands_and_nothing_else_is() {
    for (field, body) in misfits() {
        let (world, stage) = serve(Some(body));
        let child = create("child", r#"parentId: "a""#);
        push(
            &world,
            &[
                create("root", ""),
                create("a", r#"parentId: "root""#),
                child,
            ],
        );
        stage.is_set.store(true, Ordering::Relaxed);
        stage.reads.store(0, Ordering::Relaxed);
        let answer = ask(
            &world,
            format!(
                "{{ changesSince {{ changes {{ documentId kind document {{ id ... on Task {{ parent {{ id }} {field} }} }}
                   again: kind }} hasMore }} }}"
            ),
        );
        assert_eq!(answer.get("errors"), None, "{field}");
        let page = &answer["data"]["changesSince"];
        let kinds = |kind: &str| {
            let changes = page["changes"].as_array().unwrap().iter();
            let of_kind =
                changes.filter(|change| change["kind"] == kind && change["again"] == kind);
            let shown = of_kind.map(|change| (&change["documentId"], change["document"].is_null()));
            json!(shown.collect::<Vec<_>>())
        };
        assert_eq!(kinds("REVOKE"), json!([["a", true]]), "{field}");
        assert_eq!(kinds("UPSERT"), json!([["child", false], ["root", false]]));
        assert_eq!(page["hasMore"], false);
        assert_eq!(
            stage.reads.load(Ordering::Relaxed),
            1,
            "for the parent of the child alone"
        );

        let all = format!(
            r#"{{ changesSince {{ changes {{ documentId document {{ ... on Task {{ title parent {{ id {field} }} }} }} }} }}
               a: task(id: "a") {{ {field} }} child: task(id: "child") {{ parent {{ {field} parent {{ id }} }} }} }}"#
        );
        let answer = ask(&world, all);
        assert_eq!(answer.get("errors"), None, "{field}");
        let changes = answer["data"]["changesSince"]["changes"]
            .as_array()
            .unwrap();
        let child = changes
            .iter()
            .find(|change| change["documentId"] == "child");
        assert_eq!(
            child.unwrap()["document"],
            json!({"title": "t", "parent": null})
        );
        assert_eq!(answer["data"]["a"], Json::Null);
        assert_eq!(answer["data"]["child"], json!({"parent": null}));
    }
}

#[test]
fn a_selection_that_a_document_fits_shows_it() {
    let (world, stage) = serve(Some(misfit(&[("notes", Some(Value::Int(5)))])));
    push(
        &world,
        &[create("root", ""), create("a", r#"parentId: "root""#)],
    );
    stage.is_set.store(true, Ordering::Relaxed);
    let page = "{ changesSince { changes { kind document { id ... on Task { title } } } } }";
    let answer = ask(&world, page);
    let a = json!({"kind": "UPSERT", "document": {"id": "a", "title": "t"}});
    let changes = answer["data"]["changesSince"]["changes"]
        .as_array()
        .unwrap();
    assert!(changes.contains(&a), "{answer}");
}

#[test]
fn a_mutation_behind_one_that_fails_is_executed() {
    let (world, _) = serve(None);
    let fails = r#"input: {conflictId: "x", baseVersion: 1, resolution: {take: MINE}}"#;
    let changes = create("b", "");
    let answer = ask(
        &world,
        format!(
            "mutation {{ a: resolveConflict({fails}) {{ result {{ type }} }} b: pushChanges(input: {{changes: [{changes}]}}) {{ results {{ status }} }} }}"
        ),
    );
    assert_eq!(answer["data"], Json::Null);
    let errors = answer["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{answer}");
    assert_eq!(errors[0]["path"], json!(["a"]));
    assert_eq!(errors[0]["extensions"]["code"], "CONFLICT_NOT_FOUND");
    let answer = ask(&world, r#"{ task(id: "b") { title } }"#);
    assert_eq!(answer["data"], json!({"task": {"title": "t"}}));
}

#[test]
fn a_viewer_shows_whom_they_decline_though_the_model_has_no_memberships() {
    let (world, _) = serve(None);
    let declined = ask(
        &world,
        r#"mutation { declineMemberships(input: {givers: ["zed"]}) { declinedGivers } }"#,
    );
    assert_eq!(
        declined["data"]["declineMemberships"]["declinedGivers"],
        json!(["zed"])
    );
    let viewer = ask(&world, "{ viewer { declinedGivers } }");
    assert_eq!(viewer["data"]["viewer"]["declinedGivers"], json!(["zed"]));
}

/// A subscription of 20 levels, whose only difference from another is an alias.
fn deep(alias: &str) -> String {
    let fields = "id title notes priority count flag due big exact any";
    let below = (0..20).fold(String::from("id"), |below, _| {
        format!("{fields} parent {{ {below} }}")
    });
    format!(
        "subscription {{ {alias}: changes {{ changes {{ document {{ ... on Task {{ {below} }} }} }} }} }}"
    )
}

#[test]
fn a_selection_that_no_other_operation_has_is_counted() {
    let (world, _) = serve(None);
    let quota = Quota::new(QuotaLimits {
        bytes_max: 64 << 20,
        user_bytes_max: 32 << 20,
    });
    let account = quota.of_user(&UserId::new("alice").unwrap());
    // A page is read within what is left.
    let rest = account.lease(20 << 20).unwrap();
    let mut shared: Vec<_> = (0..300)
        .map(|_| world.follow(deep("same"), &account))
        .collect();
    assert!(world.next(&mut shared[299]).refusal().is_none());
    let mut own = Vec::new();
    let refused = (0..300).find_map(|number| {
        let mut answers = world.follow(deep(&format!("own{number}")), &account);
        let code = world.next(&mut answers).refusal_code();
        own.push(answers);
        code
    });
    assert_eq!(refused, Some(Code::RateLimited));
    assert!(own.len() < 100, "{} of 165 KB each", own.len());
    drop((own, shared, rest));
    let mut again = world.follow(deep("again"), &account);
    assert!(world.next(&mut again).refusal().is_none());
}
