//! What an application is asked about, and what it answers, where fields have other names now or are retired.

use serde_json::{Value as Json, json};

use super::{Place, outcomes, push};
use crate::harness::{Application, Client};

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Note @collection(name: "notes") @scope(by: "public") @renamed(from: "Memo") @conflict(policy: WEBHOOK, webhook: "review") {
  id: ID!
  title: String @renamed(from: "name")
  extra: String @retired
}
"#;

/// A conflict that the application settles by `answer`. Returns the outcome, the title after it, and the question.
async fn settled(answer: Json) -> Vec<(String, Json, Json)> {
    let mut settled = Vec::new();
    for place in Place::each().await {
        let application = Application::answering(answer.clone()).await;
        let webhook = format!("review={}", application.url);
        let server = place.serve_with(MODEL, &["--webhook", &webhook]);
        let (alice, bob) = (server.client("alice"), server.client("bob"));
        let change = |verb: &str, change: Json| json!({"changes": [{"memo": {verb: change}}]});
        push(
            &alice,
            change("create", json!({"id": "a", "document": {"name": "old"}})),
        )
        .await;
        let edit = |title: &str| {
            let set = json!({"name": title, "extra": null});
            change(
                "update",
                json!({"id": "a", "baseVersion": 1, "base": {"title": "old"}, "set": set}),
            )
        };
        push(&bob, edit("Bob's")).await;
        let outcome = outcomes(&push(&alice, edit("Alice's")).await).remove(0);
        let question = application.asked()[0].json();
        settled.push((outcome, title(&alice).await, question));
    }
    settled
}

async fn title(client: &Client) -> Json {
    client
        .data("{ note(id: \"a\") { title } }", json!({}))
        .await["note"]["title"]
        .take()
}

#[tokio::test]
async fn an_application_is_asked_by_present_names_and_may_answer_by_earlier_ones() {
    for (outcome, title, question) in settled(json!({"name": "Both", "extra": null})).await {
        assert_eq!((&*outcome, title), ("MERGED", json!("Both")));
        let asked = json!({
            "type": "Note", "id": "a", "change": "UPDATE", "fields": ["title"], "user": "alice",
            "base": {"title": "old"}, "incoming": {"title": "Alice's"}, "currentVersion": 2, "current": {"title": "Bob's"},
        });
        assert_eq!(question, asked);
    }
}

#[tokio::test]
async fn an_answer_with_both_names_or_a_write_to_what_is_retired_cannot_be_used() {
    for answer in [
        json!({"name": "Both", "title": "Both"}),
        json!({"title": "Both", "extra": "x"}),
    ] {
        for (outcome, title, _) in settled(answer.clone()).await {
            assert_eq!((&*outcome, title), ("CONFLICT", json!("Bob's")), "{answer}");
        }
    }
}
