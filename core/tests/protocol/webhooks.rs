//! WEBHOOK: what is asked, what an answer does with a change, and the version that it is bound to.
//!
//! Protocol 4.10 and 4.12. The decision tables say where it asks: wherever MANUAL leaves a change pending.

use serde_json::{Value as Json, json};
use tidegate_core::{
    id::Version,
    inbox::ClientChange,
    outcome::{Rule, Taken},
    push::{PushAnswer, PushRefusal, WebhookAnswer, WebhookDecision, WebhookQuestion},
    value::json::encode_fields,
};

use crate::{
    drafts::{Draft, create, delete, update},
    senders::{Sender, by, summaries},
    store::Store,
};

fn retitled(base: i32, title: &str) -> Draft {
    update("t", base, json!({ "title": title }))
}

fn alice() -> Sender {
    by("alice", "phone").from(1)
}

/// Bob created a task and gave it another title.
fn store(rule: &str) -> Store {
    let mut store = Store::new(rule);
    let bobs = [
        create("t", json!({ "title": "old", "stars": 1 })),
        retitled(1, "theirs"),
    ];
    assert_eq!(
        summaries(&store.push(&by("bob", "b").from(1), &bobs)),
        ["APPLIED 1", "APPLIED 2"]
    );
    store
}

fn questions(answer: PushAnswer) -> Vec<WebhookQuestion> {
    match answer {
        Err(PushRefusal::NeedsWebhook(questions)) => questions,
        other => panic!("it asks nothing: {other:?}"),
    }
}

fn title(store: &Store) -> Json {
    let body = store.task("t").body.as_ref().expect("it is alive");
    let fields = &store.model.types[0].fields;
    Json::Object(encode_fields(&store.model, fields, body))["title"].clone()
}

fn about(version: i32, answer: WebhookAnswer) -> [WebhookDecision; 1] {
    [WebhookDecision {
        change: 0,
        version: Some(Version(version)),
        answer,
    }]
}

fn document(store: &Store, fields: Json) -> WebhookAnswer {
    WebhookAnswer::Document(retitled(1, "").of_fields(&store.model, fields))
}

#[test]
fn a_question_shows_all_sides_and_nothing_of_the_push_is_applied() {
    let mut store = store("WEBHOOK");
    let mine =
        update("t", 1, json!({ "title": "mine", "done": true })).seeing(json!({ "title": "old" }));
    let log = store.log.len();
    let asked = questions(store.push(&alice(), &[create("u", json!({})), mine.clone()]));
    assert_eq!(asked.len(), 1);
    let question = &asked[0];
    assert_eq!((question.change, question.webhook.as_str()), (1, "review"));
    assert_eq!(question.current, *store.task("t"));
    assert_eq!(
        question.pending.mine,
        ClientChange::Changed(mine.fields(&store.model))
    );
    assert_eq!(store.log.len(), log, "the create waits with its push");
    assert!(store.state.inbox.is_empty());
    assert_eq!(
        summaries(&store.push(&alice(), &[create("u", json!({}))])),
        ["APPLIED 1"],
        "no id was consumed"
    );
}

#[test]
fn a_push_that_asks_holds_up_no_other() {
    let mut store = store("WEBHOOK");
    let (asking, bob) = (alice(), by("bob", "b").from(3));
    let answers = store.group(&[
        (&asking, &[retitled(1, "mine")]),
        (&bob, &[retitled(2, "newer")]),
    ]);
    assert_eq!(summaries(&answers[1]), ["APPLIED 3"]);
    assert!(matches!(answers[0], Err(PushRefusal::NeedsWebhook(_))));
}

#[test]
fn every_answer_is_carried_out() {
    type Make = fn(&Store) -> WebhookAnswer;
    let cases: [(Make, &str, Json, Option<Taken>); 4] = [
        (
            |_| WebhookAnswer::Current,
            "CONFLICT 2",
            json!("theirs"),
            Some(Taken::Theirs),
        ),
        (
            |_| WebhookAnswer::Incoming,
            "MERGED 3",
            json!("mine"),
            Some(Taken::Mine),
        ),
        (
            |store| document(store, json!({ "title": "both" })),
            "MERGED 3",
            json!("both"),
            Some(Taken::Both),
        ),
        (
            |store| document(store, json!({ "title": "x".repeat(41) })),
            "CONFLICT 2",
            json!("theirs"),
            None,
        ),
    ];
    for (make, expect, left, taken) in cases {
        let mut store = store("WEBHOOK/SERVER_WINS");
        let decisions = about(2, make(&store));
        let answer = store.advised(&alice(), &[retitled(1, "mine")], &decisions);
        assert_eq!(summaries(&answer), [expect], "{decisions:?}");
        assert_eq!(title(&store), left);
        let fields = answer.expect("it is answered").outcomes.remove(0).conflict;
        let field = fields.expect("it was stale").remove(0);
        if let Some(taken) = taken {
            assert_eq!((field.rule, field.taken), (Rule::Webhook, taken));
        }
        let again = store.push(&alice(), &[retitled(1, "mine")]);
        assert_eq!(summaries(&again), [expect], "a repeat asks nothing");
    }
}

#[test]
fn an_answer_counts_for_the_version_it_was_about() {
    let mut store = store("WEBHOOK");
    let _edited = store.push(&by("bob", "b").from(3), &[retitled(2, "newer")]);
    let answer = store.advised(
        &alice(),
        &[retitled(1, "mine")],
        &about(2, WebhookAnswer::Incoming),
    );
    assert_eq!(
        questions(answer)[0].current.version,
        Version(3),
        "it is asked again"
    );
    let answer = store.advised(
        &alice(),
        &[retitled(1, "mine")],
        &about(3, WebhookAnswer::Incoming),
    );
    assert_eq!(summaries(&answer), ["MERGED 4"]);
}

#[test]
fn an_answer_about_this_version_counts_though_nobody_is_to_be_asked_any_more() {
    let mut store = store("WEBHOOK/SERVER_WINS");
    let [answered] = about(2, WebhookAnswer::Incoming);
    let nobody = WebhookDecision {
        change: 0,
        version: None,
        answer: WebhookAnswer::None,
    };
    let answer = store.advised(&alice(), &[retitled(1, "mine")], &[answered, nobody]);
    assert_eq!(summaries(&answer), ["MERGED 3"]);
    assert_eq!(title(&store), json!("mine"));
}

#[test]
fn without_an_answer_the_overlap_decides() {
    for (rule, expect, left) in [
        ("WEBHOOK/SERVER_WINS", "CONFLICT 2", "theirs"),
        ("WEBHOOK/CLIENT_WINS", "MERGED 3", "mine"),
        ("WEBHOOK/MANUAL", "CONFLICT 2", "theirs"),
    ] {
        let mut store = store(rule);
        let nobody = [WebhookDecision {
            change: 0,
            version: None,
            answer: WebhookAnswer::None,
        }];
        let answer = store.advised(&alice(), &[retitled(1, "mine")], &nobody);
        assert_eq!(summaries(&answer), [expect], "{rule}");
        assert_eq!(title(&store), json!(left));
        assert_eq!(
            store.conflicts().count(),
            usize::from(rule.ends_with("MANUAL"))
        );
    }
}

#[test]
fn creates_and_deletes_are_asked_about_and_a_deleted_document_can_come_back() {
    let mut store = store("WEBHOOK");
    let asked = questions(store.push(&alice(), &[delete("t", 1)]));
    assert_eq!(asked[0].pending.mine, ClientChange::Deleted);
    let answer = store.advised(
        &alice(),
        &[delete("t", 1)],
        &about(2, WebhookAnswer::Incoming),
    );
    assert_eq!(summaries(&answer), ["APPLIED 3"]);
    let sender = by("carol", "c").from(1);
    let asked = questions(store.push(&sender, &[retitled(2, "hers")]));
    assert_eq!(asked[0].current.body, None);
    let answer = store.advised(
        &sender,
        &[retitled(2, "hers")],
        &about(3, WebhookAnswer::Incoming),
    );
    assert_eq!(summaries(&answer), ["CONFLICT 3"], "the body is gone");
    let sender = by("carol", "c").from(2);
    let whole = document(&store, json!({ "title": "again" }));
    let answer = store.advised(&sender, &[retitled(2, "hers")], &about(3, whole));
    assert_eq!(summaries(&answer), ["MERGED 4"]);
    assert_eq!(title(&store), json!("again"));
}

#[test]
fn what_is_clean_or_never_allowed_is_asked_of_nobody() {
    let mut store = store("WEBHOOK");
    let changes = [
        retitled(2, "mine"),
        update("t", 1, json!({ "audience": "public" })),
        retitled(2, "again"),
    ];
    let answer = store.push(&alice(), &changes);
    assert_eq!(
        summaries(&answer),
        ["APPLIED 3", "REJECTED FORBIDDEN", "APPLIED 4"]
    );
}
