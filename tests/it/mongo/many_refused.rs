//! Pushes in which the database refuses many documents: each refusal rejects its own change, and all of them together
//! take about as many statements as the push has changes.

use std::sync::{Arc, Mutex};

use mongodb::bson::{Document, doc};
use serde_json::json;
use tidegate_core::{
    change::Change,
    outcome::Status::{self, Applied, Rejected},
};

use super::{
    Mongo,
    gateway::{Gateway, statuses},
    monitored,
};
use crate::contract::Backend;

const REFUSED: usize = 300;

/// The most transactions that write the whole push: with its creates taken for absent, and after a look, each once
/// before the refused documents are found and once after; and once more where updates have to change their order.
const WHOLE_MAX: usize = 5;

/// The most statements on the application's documents for each change: those of the whole pushes, and as many again of
/// the probes.
const STATEMENTS_MAX: usize = 2 * WHOLE_MAX;

struct Tested {
    /// Keeps the database.
    _mongo: Mongo,
    gateway: Gateway,
    commands: Arc<Mutex<Vec<Document>>>,
}

/// A gateway whose tasks have short titles and an e-mail address of their own, by indexes with these options.
async fn tested(unique: &[Document]) -> Tested {
    let mongo = Mongo::start().await;
    let database = mongo.database().await;
    let schema = doc! { "$jsonSchema": { "properties": { "title": { "maxLength": 5 } } } };
    let create = doc! { "create": "tasks", "validator": schema };
    database.run_command(create).await.unwrap();
    let indexes = doc! { "createIndexes": "tasks", "indexes": unique.to_vec() };
    database.run_command(indexes).await.unwrap();
    let mut options = mongo.options().await;
    let commands = Arc::new(Mutex::new(Vec::new()));
    options.client.command_event_handler = Some(monitored(&commands));
    let gateway = Gateway::start(&options).await;
    Tested {
        _mongo: mongo,
        gateway,
        commands,
    }
}

fn unique(field: &str) -> Document {
    doc! { "key": { field: 1 }, "name": field, "unique": true, "sparse": true }
}

impl Tested {
    fn create(&self, id: &str, title: &str, email: Option<&str>) -> Change {
        let mut fields = json!({ "audience": "user:alice", "title": title });
        if let Some(email) = email {
            fields["email"] = email.into();
        }
        self.gateway.create(id, fields)
    }

    /// Stores tasks with these addresses, which are also their ids.
    async fn stores(&self, emails: impl Iterator<Item = String>) {
        let creates = emails.map(|email| self.create(&email, "x", Some(&email)));
        let outcomes = self.gateway.push("alice", creates.collect()).await;
        assert!(outcomes.iter().all(|outcome| outcome.status == Applied));
    }

    /// Pushes these. Each must be applied, or refused for this reason.
    async fn decides(&self, changes: Vec<(Change, Option<&str>)>) {
        self.commands.lock().unwrap().clear();
        let (changes, expected): (Vec<Change>, Vec<_>) = changes.into_iter().unzip();
        let outcomes = self.gateway.numbered("alice", 1, changes).await;
        let status = |reason: &Option<&str>| reason.map_or(Applied, |_| Rejected);
        let wanted: Vec<Status> = expected.iter().map(status).collect();
        assert_eq!(statuses(&outcomes), wanted);
        for (outcome, reason) in outcomes.iter().zip(&expected) {
            let reported = outcome.error.as_ref().map(|error| error.message.as_str());
            let fits = reason
                .is_none_or(|reason| reported.is_some_and(|reported| reported.contains(reason)));
            assert!(fits, "{reported:?} is not {reason:?}");
        }
    }

    fn costs_little(&self, changes: usize, refused: usize) {
        let commands = self.commands.lock().unwrap();
        let count =
            |is_counted: &dyn Fn(&&Document) -> bool| commands.iter().filter(is_counted).count();
        let began = count(&|command| command.contains_key("startTransaction"));
        let whole = count(&|command| {
            let on_state = command.get_str("update").ok() == Some("tidegate.state");
            on_state && command.contains_key("autocommit")
        });
        assert!(whole <= WHOLE_MAX, "{whole} whole pushes");
        // One for each refused document, and as many for the others.
        assert!(began <= 2 * refused + 16, "{began} transactions");
        let on_tasks = commands.iter().filter_map(|command| {
            let (verb, statements) = match command.iter().next()? {
                (verb, on) if on.as_str() == Some("tasks") => (verb, command),
                _ => return None,
            };
            let list = match verb.as_str() {
                "insert" => "documents",
                "update" => "updates",
                "delete" => "deletes",
                _ => return None,
            };
            Some(statements.get_array(list).unwrap().len())
        });
        let statements: usize = on_tasks.sum();
        assert!(
            statements <= STATEMENTS_MAX * changes,
            "{statements} statements"
        );
    }
}

const UNIQUE: &str = "has to be unique";
const VALIDATOR: &str = "validator";

#[tokio::test]
async fn three_hundred_changes_that_a_validator_refuses_are_found_in_one_pass() {
    let tested = tested(&[unique("e_mail")]).await;
    let changes = (0..REFUSED).flat_map(|n| {
        [
            (tested.create(&format!("good-{n}"), "x", None), None),
            (
                tested.create(&format!("bad-{n}"), "too long", None),
                Some(VALIDATOR),
            ),
        ]
    });
    tested.decides(changes.collect()).await;
    tested.costs_little(2 * REFUSED, REFUSED);
}

/// Half of them against stored documents, half against good ones of the same push.
#[tokio::test]
async fn three_hundred_changes_that_a_unique_index_refuses_are_found_in_one_pass() {
    let tested = tested(&[unique("e_mail")]).await;
    tested
        .stores((0..REFUSED / 2).map(|n| format!("{n}@old")))
        .await;
    let first = (0..REFUSED).map(|n| {
        let email = format!("{n}@new");
        (tested.create(&format!("a-{n}"), "x", Some(&email)), None)
    });
    let second = (0..REFUSED).map(|n| {
        let email = match n % 2 {
            0 => format!("{}@old", n / 2),
            _ => format!("{n}@new"),
        };
        let create = tested.create(&format!("b-{n}"), "x", Some(&email));
        (create, Some(UNIQUE))
    });
    tested.decides(first.chain(second).collect()).await;
    tested.costs_little(2 * REFUSED, REFUSED);
}

#[tokio::test]
async fn many_refusals_of_all_kinds_take_no_innocent_change_with_them() {
    const EACH: usize = 60;
    let tested = tested(&[unique("e_mail")]).await;
    let kinds = ["kept", "gone", "given", "edited"];
    let stored = kinds
        .iter()
        .flat_map(|kind| (0..EACH).map(move |n| format!("{n}@{kind}")));
    tested.stores(stored).await;
    let changes = (0..EACH).flat_map(|n| {
        let create = |id: &str, title, email: String| {
            tested.create(&format!("{n}-{id}"), title, Some(&email))
        };
        let update = |kind: &str, email: String| {
            let id = format!("{n}@{kind}");
            tested.gateway.update(&id, 1, json!({ "email": email }))
        };
        let long = tested
            .gateway
            .update(&format!("{n}@kept"), 1, json!({ "title": "too long" }));
        [
            (
                create("1 takes what is deleted", "x", format!("{n}@gone")),
                None,
            ),
            (create("2 is late", "x", format!("{n}@gone")), Some(UNIQUE)),
            (tested.gateway.delete(&format!("{n}@gone"), 1), None),
            (update("edited", format!("{n}@given")), None),
            (update("given", format!("{n}@elsewhere")), None),
            (
                create("takes what is kept", "x", format!("{n}@kept")),
                Some(UNIQUE),
            ),
            (
                create("is long", "too long", format!("{n}@long")),
                Some(VALIDATOR),
            ),
            (
                create(
                    "is not in the way of what is long",
                    "x",
                    format!("{n}@long"),
                ),
                None,
            ),
            (long, Some(VALIDATOR)),
        ]
    });
    tested.decides(changes.collect()).await;
    tested.costs_little(9 * EACH, 5 * EACH);
}

#[tokio::test]
async fn updates_to_values_that_are_taken_are_refused_in_one_pass() {
    let tested = tested(&[unique("e_mail")]).await;
    tested
        .stores((0..2 * REFUSED).map(|n| format!("{n}@x")))
        .await;
    let changes = (0..REFUSED).map(|n| {
        let taken = json!({ "email": format!("{}@x", n + REFUSED) });
        (
            tested.gateway.update(&format!("{n}@x"), 1, taken),
            Some(UNIQUE),
        )
    });
    tested.decides(changes.collect()).await;
    tested.costs_little(REFUSED, REFUSED);
}

/// The second collides with the first by one index, and the third with the second by another.
#[tokio::test]
async fn a_change_that_collides_only_with_a_refused_one_is_applied() {
    let tested = tested(&[unique("e_mail"), unique("notes")]).await;
    let create = |id: usize, email: String, notes: String| {
        let fields =
            json!({ "audience": "user:alice", "title": "x", "email": email, "notes": notes });
        tested.gateway.create(&format!("{id:03}"), fields)
    };
    let changes = (0..20).flat_map(|n| {
        let (same, other) = (format!("{n}"), format!("other {n}"));
        [
            (create(3 * n, same.clone(), other.clone()), None),
            (create(3 * n + 1, same.clone(), same.clone()), Some(UNIQUE)),
            (create(3 * n + 2, other, same), None),
        ]
    });
    tested.decides(changes.collect()).await;
    tested.costs_little(60, 20);
}

#[tokio::test]
async fn what_a_collation_takes_for_the_same_is_refused_and_nothing_else() {
    let mut folding = unique("e_mail");
    folding.insert("collation", doc! { "locale": "en", "strength": 2 });
    let tested = tested(&[folding]).await;
    let changes = (0..20).flat_map(|n| {
        let create =
            |id: &str, email: String| tested.create(&format!("{n:02}-{id}"), "x", Some(&email));
        [
            (create("a", format!("{n}@x")), None),
            (create("b", format!("{n}@X")), Some(UNIQUE)),
            (create("c", format!("{n}@y")), None),
        ]
    });
    tested.decides(changes.collect()).await;
}

/// The first change sets another field, so it is innocent.
#[tokio::test]
async fn three_hundred_refused_changes_to_one_document_are_found_in_a_bounded_number_of_rounds() {
    const ROUNDS_MAX: usize = 18;
    let tested = tested(&[unique("e_mail")]).await;
    tested.stores((0..=REFUSED).map(|n| format!("{n}@x"))).await;
    let one = format!("{REFUSED}@x");
    let update = |base: usize, fields| {
        let base = i32::try_from(base).unwrap();
        tested.gateway.update(&one, base, fields)
    };
    let innocent = update(1, json!({ "title": "fine" }));
    let taken = (0..REFUSED).map(|n| update(2, json!({ "email": format!("{n}@x") })));
    let changes = [innocent].into_iter().chain(taken).collect();
    tested.commands.lock().unwrap().clear();
    let outcomes = tested.gateway.numbered("alice", 1, changes).await;
    let mut wanted = vec![Rejected; REFUSED];
    wanted.insert(0, Applied);
    assert_eq!(statuses(&outcomes), wanted);
    for (place, reported) in [
        (REFUSED, UNIQUE),
        (REFUSED - 7, UNIQUE),
        (1, "send the change again"),
    ] {
        let error = outcomes[place].error.as_ref().unwrap();
        assert!(
            error.message.contains(reported),
            "{place}: {}",
            error.message
        );
    }
    let commands = tested.commands.lock().unwrap();
    let began = commands
        .iter()
        .filter(|it| it.contains_key("startTransaction"));
    let began = began.count();
    assert!(
        (9..=2 * ROUNDS_MAX).contains(&began),
        "{began} transactions"
    );
}
