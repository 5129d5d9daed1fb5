//! Lists that a member of one team asks for to learn of another one, or to keep the gateway busy.

use std::time::{Duration, Instant};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{list, serve};
use crate::harness::{Client, Server, create};

/// How long a refusal may take on a busy machine.
const REFUSED_WITHIN: Duration = Duration::from_secs(5);

async fn code_of(client: &Client, conditions: Value) -> String {
    let query = "query($where: TaskWhere) { tasks(where: $where) { nodes { id } } }";
    let asked_at = Instant::now();
    let code = client.code(query, json!({"where": conditions})).await;
    assert!(asked_at.elapsed() < REFUSED_WITHIN, "{code}");
    code
}

/// Two teams with a task of one title each.
async fn two_teams(server: &Server) -> [Client; 2] {
    let [alice, mallory] = [("alice", "a"), ("mallory", "m")]
        .map(|(user, team)| server.client_with(user, &json!({"teams": [team]})));
    for (client, id, team) in [(&alice, "secret", "team:a"), (&mallory, "own", "team:m")] {
        let task = json!({"title": "same", "audience": team, "projectId": "p", "labels": ["x"]});
        let project = json!({"name": id, "audience": team});
        let project =
            json!({"project": {"create": {"id": format!("p-{id}"), "document": project}}});
        client.push_all(json!([create(id, task), project])).await;
    }
    [alice, mallory]
}

#[tokio::test]
async fn no_condition_finds_what_its_asker_may_not_see() {
    let directory = TempDir::new().unwrap();
    let server = serve(&directory, &[]);
    let [_alice, mallory] = two_teams(&server).await;
    for arguments in [
        "(where: {id: {eq: \"secret\"}})",
        "(where: {id: {in: [\"secret\", \"own\"]}}, orderBy: [id_DESC])",
        "(where: {title: {eq: \"same\"}})",
        "(where: {title: {eq: \"same\"}}, scope: \"team:a\")",
        "(where: {labels: {contains: \"x\"}})",
        "(where: {not: {title: {eq: \"none\"}}})",
        "(where: {or: [{title: {lt: \"t\"}}, {title: {gt: \"t\"}}]}, first: 1)",
        "(where: {projectId: {in: [\"p\"]}})",
    ] {
        let found = list(&mallory, arguments).await;
        assert!(
            found == ["own"]
                || arguments.contains("scope") && found.is_empty()
                || arguments.contains("eq: \"secret\"") && found.is_empty(),
            "{arguments}: {found:?}"
        );
    }
    let projects = "{ projects(where: {id: {in: [\"p-secret\", \"p-own\"]}}) { nodes { id tasks { nodes { id } totalCount { count } } } totalCount { count } } }";
    let seen = mallory.data(projects, json!({})).await;
    assert_eq!(seen["projects"]["totalCount"]["count"], 1);
    assert_eq!(seen["projects"]["nodes"][0]["id"], "p-own");
}

/// A cursor is a place. One that is made up is refused, or is the place that it names, in the lists of its sender.
#[tokio::test]
async fn a_forged_cursor_shows_nothing_of_others() {
    let directory = TempDir::new().unwrap();
    let server = serve(&directory, &[]);
    let [alice, mallory] = two_teams(&server).await;
    let query = "query($after: String) { tasks(orderBy: [title_ASC], first: 1, after: $after) { edges { cursor node { id } } } }";
    let of = async |client: &Client| {
        let data = client.data(query, json!({})).await;
        data["tasks"]["edges"][0]["cursor"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let (alices, own) = (of(&alice).await, of(&mallory).await);
    let bytes = URL_SAFE_NO_PAD.decode(&own).unwrap();
    let parts: Value = serde_json::from_slice(&bytes).unwrap();
    let forged = |key: Value| {
        let text = serde_json::to_vec(&json!([parts[0], key])).unwrap();
        URL_SAFE_NO_PAD.encode(text)
    };
    // Places before all and after all, of values that a title never has, and the place of another team's task.
    for place in [
        alices,
        forged(json!(["Null", "Null"])),
        forged(parts[1].clone()),
    ] {
        let data = mallory.data(query, json!({"after": place})).await;
        let edges = data["tasks"]["edges"].as_array().unwrap();
        assert!(
            edges.iter().all(|edge| edge["node"]["id"] == "own"),
            "{edges:?}"
        );
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        forged(json!([])),
        forged(json!([parts[1][0]])),
        forged(json!([parts[1][0], parts[1][1], parts[1][1]])),
        forged(json!([null, null])),
        forged(json!([{"$where": "1"}, [1, [2]]])),
        forged(json!([{"List": [{"String": "a"}]}, {"String": "own"}])),
        forged(json!([{"Decimal": "1E+1E+1"}, {"String": "own"}])),
        URL_SAFE_NO_PAD.encode(deep),
        URL_SAFE_NO_PAD.encode(json!([[0, 0, 0, 0, 0, 0, 0, 0], parts[1]]).to_string()),
        "é".to_owned(),
        "A".repeat(100_000),
    ] {
        let code = mallory.code(query, json!({"after": text})).await;
        assert_eq!(code, "BAD_USER_INPUT", "{}", &text[..text.len().min(80)]);
    }
}

#[tokio::test]
async fn conditions_are_bounded_in_number_depth_and_work() {
    let directory = TempDir::new().unwrap();
    let server = serve(&directory, &[]);
    let [_alice, mallory] = two_teams(&server).await;
    let mut deep = json!({"title": {"eq": "a"}});
    for _ in 0..17 {
        deep = json!({"not": deep});
    }
    let any_of = |count: usize, of: &dyn Fn(usize) -> Value| json!({"or": (0..count).map(of).collect::<Vec<Value>>()});
    let ids: Vec<String> = (0..60_000).map(|n| format!("{n}")).collect();
    let others = |n: usize| json!({"title": {"ne": format!("{n}")}});
    let either = |n: usize| json!({"or": [others(n), {"projectId": {"ne": format!("{n}")}}]});
    for conditions in [
        deep,
        json!({"id": {"in": ids}}),
        json!({"not": {"title": {"in": ids}}}),
        any_of(
            150,
            &|n| json!({"and": [others(n), {"done": {"eq": n % 2 == 0}}]}),
        ),
        json!({"and": (0..90).map(either).collect::<Vec<Value>>()}),
        any_of(
            9,
            &|n| json!({"title": {"eq": format!("{n}")}, "projectId": {"eq": format!("{n}")}}),
        ),
    ] {
        assert_eq!(code_of(&mallory, conditions).await, "QUERY_TOO_LARGE");
    }
    // Many values and conditions that are within the bounds are worked out at once.
    let many: Vec<String> = (0..10).map(|n| format!("{n}")).collect();
    let all = (0..190).map(|_| json!({"title": {"ne": "x", "in": many}}));
    let all = json!({"and": all.collect::<Vec<Value>>()});
    let query = "query($where: TaskWhere) { tasks(where: $where) { nodes { id } } }";
    let asked_at = Instant::now();
    let found = mallory.data(query, json!({"where": all})).await;
    assert_eq!(found["tasks"]["nodes"], json!([]));
    assert!(asked_at.elapsed() < REFUSED_WITHIN);
}
