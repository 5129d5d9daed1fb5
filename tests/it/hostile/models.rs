//! Members who write while the model changes: to what moves out of their sight, and to what is retired.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    Client, PATIENCE, Server,
    mongod::{Deployment, fresh_database},
};

const SHARED: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE) @grant(scope: "user:{sub}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") @conflict(policy: MANUAL) { id: ID! team: String! owner: ID! title: String }
"#;

/// Documents that move when they belong to their owners instead.
const DOCUMENTS: usize = 2_000;

async fn push(client: &Client, input: Value) -> Vec<String> {
    let query = "mutation($input: PushChangesInput!) { pushChanges(input: $input) { results { status error { code field } document { id } } } }";
    let data = client.data(query, json!({"input": input})).await;
    let results = data["pushChanges"]["results"].as_array().unwrap().iter();
    let outcomes = results.map(|result| {
        let error = &result["error"];
        let words = [
            &result["status"],
            &error["code"],
            &error["field"],
            &result["document"]["id"],
        ];
        words
            .map(Value::as_str)
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    });
    outcomes.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_no_longer_see_a_document_changes_nothing_while_it_moves() {
    let deployment = Deployment::shared().await;
    for store in [
        "embedded:data".to_owned(),
        deployment.url(&fresh_database()),
    ] {
        let directory = TempDir::new().unwrap();
        let serve = |model: &str| {
            std::fs::write(directory.path().join("model.graphql"), model).unwrap();
            Server::dev_with(directory.path(), &["--store", &store])
        };
        let server = serve(SHARED);
        let claims = json!({"team": "red"});
        let alice = server.client_with("alice", &claims);
        let ids: Vec<String> = (0..DOCUMENTS).map(|n| format!("{n:05}")).collect();
        for part in ids.chunks(1_000) {
            let create = |id: &String| json!({"task": {"create": {"id": id, "document": {"team": "red", "owner": "alice", "title": "hers"}}}});
            let created = push(
                &alice,
                json!({"changes": part.iter().map(create).collect::<Vec<_>>()}),
            )
            .await;
            assert!(created.iter().all(|outcome| outcome.starts_with("APPLIED")));
        }
        let mallory = server.client_with("mallory", &claims);
        let page = "query($c: Checkpoint) { changesSince(checkpoint: $c, limit: 5000) { changes { kind document { ... on Task { title } } } checkpoint } }";
        let mut held = mallory.data(page, json!({})).await["changesSince"]["checkpoint"].take();
        server.stop();

        let server = serve(&SHARED.replace(
            "@scope(by: \"team:{team}\")",
            "@scope(by: \"user:{owner}\")",
        ));
        let (alice, mallory) = (alice.at(&server), mallory.at(&server));
        // The last documents move last.
        for id in ids.iter().rev().step_by(DOCUMENTS / 40) {
            let changes = json!([
                {"task": {"update": {"id": id, "baseVersion": 1, "set": {"title": "mine"}}}},
                {"task": {"update": {"id": id, "baseVersion": 1, "set": {"owner": "mallory"}}}},
                {"task": {"delete": {"id": id, "baseVersion": 1}}},
            ]);
            for atomic in [false, true] {
                let outcomes = push(&mallory, json!({"changes": changes, "atomic": atomic})).await;
                assert_eq!(outcomes, ["REJECTED NOT_FOUND"; 3], "{id}");
            }
            let pulled = mallory.data(page, json!({"c": held})).await["changesSince"].take();
            let shown = pulled["changes"].as_array().unwrap().iter();
            assert!(
                shown.clone().all(|change| change["kind"] == "REVOKE"),
                "{pulled}"
            );
            held = pulled["checkpoint"].clone();
        }
        // When all have moved, all are hers as they were.
        let moved = async {
            let (mut held, mut hers) = (Value::Null, 0);
            while hers < DOCUMENTS {
                let mut pulled = alice.data(page, json!({"c": held})).await["changesSince"].take();
                for change in pulled["changes"].as_array().unwrap() {
                    if change["kind"] == "UPSERT" {
                        assert_eq!(change["document"], json!({"title": "hers"}));
                        hers += 1;
                    }
                }
                held = pulled["checkpoint"].take();
            }
            assert_eq!(hers, DOCUMENTS);
        };
        tokio::time::timeout(3 * PATIENCE, moved).await.unwrap();
    }
}

const FORMS: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Note @collection(name: "notes") @scope(by: "public") @conflict(policy: MERGE) {
  id: ID!
  title: String
  text: String RETIRED
  count: Int @merge(with: COUNTER) RETIRED
  tags: [String!] @merge(with: SET) RETIRED
  words: String @merge(with: TEXT) RETIRED
  rank: Int! @default(value: 3) RETIRED
  part: Part
  parts: [Part!]
}
type Part { label: String inner: Part code: String RETIRED }
type Memo @collection(name: "memos") @scope(by: "public") RETIRED { id: ID! text: String }
"#;

#[tokio::test]
async fn writes_of_every_form_to_what_is_retired_change_nothing_and_stop_nothing() {
    let directory = TempDir::new().unwrap();
    let server = Server::dev_on(&directory, &FORMS.replace("RETIRED", ""));
    let client = server.client("alice");
    let epoch = client.epoch().await;
    let document = json!({
        "title": "t", "text": "x", "count": 5, "tags": ["a"], "words": "One. Two.", "rank": 7,
        "part": {"label": "l", "code": "c", "inner": {"code": "d"}}, "parts": [{"code": "e"}],
    });
    let created = push(
        &client,
        json!({"changes": [
            {"note": {"create": {"id": "a", "document": document}}},
            {"memo": {"create": {"id": "m", "document": {"text": "x"}}}},
        ]}),
    )
    .await;
    assert_eq!(created, ["APPLIED a", "APPLIED m"]);
    server.stop();
    let server = Server::dev_on(&directory, &FORMS.replace("RETIRED", "@retired"));
    let client = client.at(&server);
    let set = |set: Value, base: Value| json!({"note": {"update": {"id": "a", "baseVersion": 1, "set": set, "base": base}}});
    let hostile = [
        (
            set(json!({"count": 9}), json!({"count": 5})),
            "REJECTED RETIRED count a",
        ),
        (
            set(json!({"count": 9}), json!({})),
            "REJECTED RETIRED count a",
        ),
        (
            set(json!({"count": -2147483648}), json!({"count": 2147483647})),
            "REJECTED RETIRED count a",
        ),
        (
            set(json!({"tags": ["a", "b"]}), json!({"tags": ["a"]})),
            "REJECTED RETIRED tags a",
        ),
        (
            set(json!({"tags": []}), json!({"tags": ["a"]})),
            "REJECTED RETIRED tags a",
        ),
        (
            set(json!({"words": "One."}), json!({"words": "One. Two."})),
            "REJECTED RETIRED words a",
        ),
        (
            set(json!({"text": ""}), json!({"text": "x"})),
            "REJECTED RETIRED text a",
        ),
        (
            set(json!({"rank": 8}), json!({"rank": 7})),
            "REJECTED RETIRED rank a",
        ),
        (
            set(
                json!({"part": {"code": "z"}}),
                json!({"part": {"code": "c"}}),
            ),
            "REJECTED RETIRED part.code a",
        ),
        (
            set(
                json!({"part": {"inner": {"inner": {"code": "z"}}}}),
                json!({}),
            ),
            "REJECTED RETIRED part.inner.inner.code a",
        ),
        (
            set(json!({"parts": [{"label": "x"}, {"code": "z"}]}), json!({})),
            "REJECTED RETIRED parts[1].code a",
        ),
        (
            json!({"memo": {"update": {"id": "m", "baseVersion": 1, "set": {}}}}),
            "REJECTED RETIRED",
        ),
        (
            json!({"memo": {"delete": {"id": "m", "baseVersion": 1}}}),
            "REJECTED RETIRED",
        ),
        (
            json!({"memo": {"create": {"id": "n", "document": {}}}}),
            "REJECTED RETIRED",
        ),
    ];
    let harmless = [
        set(
            json!({"count": null, "tags": null, "words": null, "text": null, "rank": 3}),
            json!({}),
        ),
        set(
            json!({"count": 5, "tags": ["a"], "words": "One. Two.", "text": "x", "rank": 7}),
            json!({"count": 5}),
        ),
        set(json!({"text": "seen"}), json!({"text": "seen"})),
    ];
    let mut changes: Vec<Value> = hostile.iter().map(|(change, _)| change.clone()).collect();
    let good = |title: &str| set(json!({"title": title}), json!({"title": "t"}));
    changes.extend(harmless);
    changes.push(good("last"));
    let mut expected: Vec<String> = hostile
        .iter()
        .map(|(_, outcome)| (*outcome).to_owned())
        .collect();
    expected.extend(vec!["APPLIED a".to_owned(); 4]);
    let numbered = |first: usize, changes: &[Value], atomic: bool| json!({"client": {"id": "phone", "firstMutationId": first}, "epoch": epoch, "atomic": atomic, "changes": changes});
    let outcomes = push(&client, numbered(1, &changes, false)).await;
    let found: Vec<String> = outcomes
        .iter()
        .map(|it| it.replace("MERGED", "APPLIED"))
        .collect();
    assert_eq!(found, expected);
    // Each alone takes an atomic push with it, and only that.
    let mut first = 1 + changes.len();
    for (change, outcome) in &hostile {
        let atomic = [good("never"), change.clone()];
        let outcomes = push(&client, numbered(first, &atomic, true)).await;
        let expected = [
            "REJECTED ATOMIC_ABORTED a".to_owned(),
            (*outcome).to_owned(),
        ];
        assert_eq!(outcomes, expected);
        first += 2;
    }
    server.stop();
    // All that was retired is as it was.
    let server = Server::dev_on(&directory, &FORMS.replace("RETIRED", ""));
    let query = "{ note(id: \"a\") { title text count tags words rank part { label code inner { code } } parts { code } } memo(id: \"m\") { text } }";
    let mut kept = client.at(&server).data(query, json!({})).await;
    assert_eq!(kept["note"]["title"].take(), "last");
    let mut before = document;
    before["title"].take();
    assert_eq!(kept, json!({"note": before, "memo": {"text": "x"}}));
}
