//! The reference client beside the core: what its user sees, and what becomes of each edit (rules 1.8 to 1.16).

use serde_json::json;
use tidegate_core::{
    checkpoint::RequestedTypes,
    id::{ClientKey, MutationId, UserId},
    outcome::Status,
    push::{Push, PushAnswer},
    value::{Document, Value},
};
use tidegate_testkit::client::{Act, Arrival, Client, Draft, Fate, Intent, Made, NotMade, Refusal};

use crate::{
    drafts::{create, delete, key, update},
    senders::by,
    store::Store,
};

/// Alice's phone and the store. Each edit gets the next number, from 1.
struct Phone {
    store: Store,
    client: Client,
    edits: u32,
    tick: u32,
}

impl Phone {
    fn new() -> Self {
        Self::under("MERGE/SERVER_WINS")
    }

    fn under(rule: &str) -> Self {
        let store = Store::new(rule);
        let mut phone = Self {
            client: Client::new("phone", &store.model, RequestedTypes::All, None),
            store,
            edits: 0,
            tick: 0,
        };
        phone.pull();
        phone
    }

    /// Beside a task of bob's with this count.
    fn with_count(count: i32) -> Self {
        let mut phone = Self::new();
        let _ = phone.store.push(
            &by("bob", "phone").from(1),
            &[create("a", json!({ "count": count }))],
        );
        phone.pull();
        phone
    }

    fn make(&mut self, id: &str, act: Act, transaction: Option<u32>) -> Result<Made, NotMade> {
        self.edits += 1;
        self.client.edit(Draft {
            number: self.edits,
            key: key("Task", id),
            act,
            changed_at: None,
            policy: None,
            transaction,
            with_base: true,
        })
    }

    fn create(&mut self, id: &str) {
        let made = self.make(id, Act::Create(Document::new()), None);
        assert_eq!(made, Ok(Made::Queued));
    }

    fn set(&mut self, id: &str, name: &str, intent: Intent) -> Made {
        let act = Act::Update([(name.to_owned(), intent)].into());
        self.make(id, act, None).expect("the task is in view")
    }

    fn count_up(&mut self) -> Made {
        self.set("a", "count", Intent::Increment(1))
    }

    fn pull(&mut self) {
        loop {
            self.tick += 1;
            let from = self.client.place.clone();
            let token = from.as_ref().map(|from| &*from.token);
            let page = self.store.page("alice", token, 1);
            let has_more = page.has_more;
            self.client.apply(Arrival {
                page,
                from,
                types: RequestedTypes::All,
                requested: Some(self.tick),
                refreshed: Default::default(),
                reread: [].into(),
            });
            if !has_more {
                return;
            }
        }
    }

    fn send(&mut self, limit: usize) -> Push {
        self.client.send(limit).expect("there is a push").clone()
    }

    /// A push arrives at the store; its answer does not arrive yet.
    fn arrive(&mut self, push: &Push) -> PushAnswer {
        self.store.take("alice", push, &[])
    }

    fn hear(&mut self, push: &Push, answer: &PushAnswer) {
        self.client.hear(push, answer, self.tick);
    }

    /// The next push and its answer.
    fn push(&mut self, limit: usize) -> PushAnswer {
        let push = self.send(limit);
        let answer = self.arrive(&push);
        self.hear(&push, &answer);
        answer
    }

    /// The push is refused on its way, and the client gets the answer to its question.
    fn refuse(&mut self, push: &Push, refusal: Refusal) {
        self.client.refuse(push, refusal, self.tick);
        let question = self.client.asks().expect("it asks first");
        let user = UserId::new("alice").expect("a short name");
        let client = question.client;
        let state = self.store.state.client(&ClientKey { user, client });
        let last = state.map_or(MutationId(0), |state| state.last);
        self.client.learn(question.number, last, self.tick);
    }

    /// The next edit meets a task of bob's, and its outcome is lost for good.
    fn lose_outcome(&mut self) {
        let push = self.send(1);
        let bobs = create("a", json!({ "title": "bobs" }));
        let bob = by("bob", "phone").from(1);
        self.store.push(&bob, &[bobs]).expect("a push in turn");
        self.arrive(&push).expect("the gateway answers");
        self.refuse(&push, Refusal::Reused);
    }

    fn shown(&self, name: &str) -> Value {
        let view = self.client.view(&key("Task", "a"));
        view.and_then(|view| view.get(name).cloned())
            .unwrap_or(Value::Null)
    }

    fn stored(&self, id: &str, name: &str) -> Value {
        let entry = self.store.entry(&key("Task", id));
        let body = entry.and_then(|entry| entry.body.as_ref());
        body.and_then(|body| body.get(name).cloned())
            .unwrap_or(Value::Null)
    }

    fn fate(&self, number: u32) -> Option<Fate> {
        self.client.outcomes.get(&number).copied()
    }
}

const APPLIED: Option<Fate> = Some(Fate::Answered(Status::Applied));

fn text(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn an_edit_that_waits_is_joined_with_what_others_wrote() {
    let mut phone = Phone::with_count(10);
    phone.count_up();
    phone.set("a", "tags", Intent::Add(vec![text("mine")]));
    let others = update("a", 1, json!({ "count": 15, "tags": ["theirs"] }))
        .seeing(json!({ "count": 10, "tags": [] }));
    phone
        .store
        .push(&by("bob", "phone").from(2), &[others])
        .unwrap();
    phone.pull();
    assert_eq!(phone.shown("count"), Value::Int(16));
    assert_eq!(
        phone.shown("tags"),
        Value::List(vec![text("theirs"), text("mine")])
    );
}

#[test]
fn an_increment_that_a_page_brings_before_its_answer_is_shown_once() {
    let mut phone = Phone::with_count(10);
    phone.count_up();
    let push = phone.send(10);
    let answer = phone.arrive(&push);
    phone.pull();
    assert_eq!(phone.shown("count"), Value::Int(11));
    phone.hear(&push, &answer);
    assert_eq!(phone.shown("count"), Value::Int(11));
}

#[test]
fn increments_on_increments_that_wait_all_count() {
    let mut phone = Phone::with_count(10);
    phone.count_up();
    phone.count_up();
    phone.send(1);
    phone.count_up();
    phone.client.retry();
    let push = phone.client.flight.clone().unwrap().push;
    let answer = phone.arrive(&push);
    phone.hear(&push, &answer);
    phone.push(10).unwrap();
    assert_eq!(phone.stored("a", "count"), Value::Int(13));
    assert_eq!(phone.shown("count"), Value::Int(13));
}

#[test]
fn an_edit_needs_its_document_in_view_and_a_create_an_id_that_is_not() {
    let mut phone = Phone::with_count(10);
    let again = phone.make("a", Act::Create(Document::new()), None);
    assert_eq!(again, Err(NotMade::Exists));
    assert_eq!(phone.make("b", Act::Delete, None), Err(NotMade::Gone));
    assert!(phone.client.is_quiet());
}

#[test]
fn updates_that_wait_are_folded_into_one_and_count_all() {
    let mut phone = Phone::with_count(10);
    phone.client.folds = true;
    assert_eq!(phone.count_up(), Made::Queued);
    assert_eq!(phone.count_up(), Made::Folded { into: 1 });
    phone.set("a", "title", Intent::Set(text("new")));
    assert_eq!(phone.client.outbox.len(), 1);
    phone.push(10).unwrap();
    assert_eq!(phone.stored("a", "count"), Value::Int(12));
    assert_eq!(phone.stored("a", "title"), text("new"));
}

#[test]
fn an_update_is_not_folded_into_one_that_was_sent_or_that_a_page_has_changed_in_view() {
    let mut phone = Phone::with_count(10);
    phone.client.folds = true;
    phone.count_up();
    let others = update("a", 1, json!({ "count": 15 })).seeing(json!({ "count": 10 }));
    phone
        .store
        .push(&by("bob", "phone").from(2), &[others])
        .unwrap();
    phone.pull();
    assert_eq!(phone.count_up(), Made::Queued);
    phone.create("b");
    let push = phone.send(3);
    phone.refuse(&push, Refusal::Unfit { max: Some(1) });
    phone.set("b", "stars", Intent::Increment(1));
    assert_eq!(
        phone.set("b", "stars", Intent::Increment(1)),
        Made::Folded { into: 4 }
    );
    assert_eq!(phone.client.outbox.len(), 3, "{:?}", phone.client.outbox);
}

#[test]
fn a_transaction_is_pushed_whole_and_alone() {
    let mut phone = Phone::new();
    phone.create("a");
    for id in ["b", "c", "d"] {
        phone
            .make(id, Act::Create(Document::new()), Some(7))
            .unwrap();
    }
    phone.create("e");
    let pushes: Vec<(usize, bool)> = std::iter::from_fn(|| {
        let push = phone.client.send(2)?.clone();
        let answer = phone.arrive(&push);
        phone.hear(&push, &answer);
        Some((push.changes.len(), push.atomic))
    })
    .collect();
    assert_eq!(pushes, [(1, false), (3, true), (1, false)]);
}

#[test]
fn what_was_queued_on_a_create_that_failed_is_dropped_with_its_transaction_and_what_hangs_on_that()
{
    let mut phone = Phone::under("SERVER_WINS");
    phone
        .store
        .push(&by("bob", "phone").from(1), &[create("a", json!({}))])
        .unwrap();
    phone.pull();
    let bobs = create("b", json!({ "title": "bobs" }));
    phone
        .store
        .push(&by("bob", "phone").from(2), &[bobs])
        .unwrap();
    phone.create("b");
    let title = |of: &str| Act::Update([("title".to_owned(), Intent::Set(text(of)))].into());
    phone.make("b", title("2"), Some(9)).unwrap();
    phone
        .make("c", Act::Create(Document::new()), Some(9))
        .unwrap();
    phone.make("c", title("4"), None).unwrap();
    phone.make("a", title("5"), None).unwrap();
    phone.set("b", "title", Intent::Set(text("6")));
    phone.make("b", Act::Delete, None).unwrap();
    phone.create("b");
    phone
        .store
        .push(&by("bob", "phone").from(3), &[delete("b", 1)])
        .unwrap();
    phone
        .store
        .push(
            &by("bob", "phone").from(4),
            &[create("b", json!({ "title": "bobs" }))],
        )
        .unwrap();
    phone.push(1).unwrap();
    for dropped in [2, 3, 4, 6, 7] {
        assert_eq!(
            phone.fate(dropped),
            Some(Fate::Dropped { cause: 1 }),
            "{dropped}"
        );
    }
    let waiting: Vec<u32> = phone.client.outbox.iter().map(|edit| edit.number).collect();
    assert_eq!(waiting, [5, 8]);
}

#[test]
fn a_push_that_is_too_large_goes_in_parts_with_the_same_ids() {
    let mut phone = Phone::with_count(10);
    for _ in 0..5 {
        phone.count_up();
    }
    let push = phone.send(5);
    phone.refuse(&push, Refusal::Unfit { max: Some(4) });
    let part = phone.client.flight.clone().unwrap().push;
    assert_eq!((part.client.clone(), part.changes.len()), (push.client, 4));
    phone.refuse(&part, Refusal::Unfit { max: None });
    let part = phone.client.flight.clone().unwrap().push;
    let answer = phone.arrive(&part);
    phone.hear(&part, &answer);
    phone.push(5).unwrap();
    assert!(phone.client.is_quiet());
    assert_eq!(phone.stored("a", "count"), Value::Int(15));
    assert_eq!(phone.shown("count"), Value::Int(15));
}

#[test]
fn a_push_that_was_applied_before_it_was_refused_is_neither_split_nor_refused() {
    let mut phone = Phone::with_count(10);
    phone.count_up();
    phone.count_up();
    let push = phone.send(2);
    phone.arrive(&push).unwrap();
    phone.refuse(&push, Refusal::Unfit { max: None });
    assert_eq!([phone.fate(1), phone.fate(2)], [Some(Fate::Unknown); 2]);
    assert_eq!(phone.shown("count"), Value::Int(12), "until a pull ends");
    phone.pull();
    assert_eq!(phone.shown("count"), Value::Int(12));
    phone.count_up();
    phone.push(2).unwrap();
    assert_eq!(phone.fate(3), APPLIED);
    assert_eq!(phone.stored("a", "count"), Value::Int(13));
}

#[test]
fn a_late_copy_of_a_split_push_takes_effect_once() {
    let mut phone = Phone::with_count(10);
    for _ in 0..3 {
        phone.count_up();
    }
    let push = phone.send(3);
    phone.refuse(&push, Refusal::Unfit { max: Some(1) });
    phone.count_up();
    phone.arrive(&push).unwrap();
    let part = phone.client.flight.clone().unwrap().push;
    let reused = phone.arrive(&part);
    assert!(reused.is_err());
    phone.refuse(&part, Refusal::Reused);
    assert_eq!(
        [1, 2, 3].map(|edit| phone.fate(edit)),
        [Some(Fate::Unknown); 3]
    );
    phone.push(9).unwrap();
    assert_eq!(phone.stored("a", "count"), Value::Int(14));
    phone.pull();
    assert_eq!(phone.shown("count"), Value::Int(14));
}

#[test]
fn an_edit_that_no_gateway_takes_leaves_as_refused_and_blocks_no_other() {
    let mut phone = Phone::with_count(10);
    phone.create("b");
    phone.set("b", "stars", Intent::Increment(1));
    phone.count_up();
    let mut push = phone.send(3);
    while push.changes.len() > 1 {
        phone.refuse(&push, Refusal::Unfit { max: None });
        push = phone.client.flight.clone().unwrap().push;
    }
    phone.refuse(&push, Refusal::Unfit { max: None });
    assert_eq!(phone.fate(1), Some(Fate::Refused));
    assert_eq!(phone.fate(2), Some(Fate::Dropped { cause: 1 }));
    phone.push(3).unwrap();
    assert_eq!(phone.fate(3), APPLIED);
}

#[test]
fn what_follows_an_edit_that_was_refused_is_shown_without_it() {
    let mut phone = Phone::with_count(10);
    for _ in 0..2 {
        phone.count_up();
    }
    let mut push = phone.send(2);
    for _ in 0..2 {
        phone.refuse(&push, Refusal::Unfit { max: None });
        push = match &phone.client.flight {
            Some(flight) => flight.push.clone(),
            None => break,
        };
    }
    assert_eq!(phone.fate(1), Some(Fate::Refused));
    assert_eq!(phone.shown("count"), Value::Int(11));
}

#[test]
fn a_transaction_that_does_not_fit_is_refused_whole() {
    let mut phone = Phone::new();
    for id in ["a", "b"] {
        phone
            .make(id, Act::Create(Document::new()), Some(1))
            .unwrap();
    }
    let push = phone.send(1);
    phone.refuse(&push, Refusal::Unfit { max: Some(1) });
    assert_eq!(
        [1, 2].map(|edit| phone.fate(edit)),
        [Some(Fate::Refused); 2]
    );
    assert!(phone.client.is_quiet());
}

#[test]
fn a_transaction_goes_back_whole_when_another_push_has_some_of_its_ids() {
    let mut phone = Phone::new();
    phone.create("a");
    for id in ["b", "c"] {
        phone
            .make(id, Act::Create(Document::new()), Some(1))
            .unwrap();
    }
    let first = phone.send(1);
    phone.refuse(&first, Refusal::Unfit { max: None });
    phone.arrive(&first).unwrap();
    let transaction = phone.send(1);
    assert!(phone.arrive(&transaction).is_err());
    phone.refuse(&transaction, Refusal::Reused);
    assert_eq!([2, 3].map(|edit| phone.fate(edit)), [None; 2]);
    phone.push(1).unwrap();
    assert_eq!([2, 3].map(|edit| phone.fate(edit)), [APPLIED; 2]);
}

#[test]
fn an_edit_on_a_create_of_unknown_outcome_never_meets_a_stranger() {
    let mut phone = Phone::under("CLIENT_WINS");
    phone.create("a");
    phone.set("a", "stars", Intent::Set(Value::Int(5)));
    phone.lose_outcome();
    phone.set("a", "title", Intent::Set(text("mine")));
    let answer = phone.push(2).unwrap();
    let statuses: Vec<Status> = answer
        .outcomes
        .iter()
        .map(|outcome| outcome.status)
        .collect();
    assert_eq!(statuses, [Status::Conflict; 2]);
}

#[test]
fn an_edit_on_a_create_of_unknown_outcome_stays_one_after_a_pull_and_under_another_client_id() {
    let mut phone = Phone::under("CLIENT_WINS");
    phone.create("a");
    phone.lose_outcome();
    phone.set("a", "title", Intent::Set(text("mine")));
    phone.pull();
    let push = phone.send(1);
    phone.refuse(&push, Refusal::Reused);
    let answer = phone.push(1).unwrap();
    assert_eq!(answer.outcomes[0].status, Status::Conflict);
}
