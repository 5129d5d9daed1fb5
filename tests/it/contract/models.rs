//! What a store keeps of the models that serve it.
//!
//! What a lead change does to an importer is tested beside MongoDB.

use std::sync::Arc;

use serde_json::{Map, json};
use tidegate::{
    store::Store,
    sync::{DocumentState, Explainer, Explanation},
};
use tidegate_core::{
    entry::Entry,
    generation::{Generation, LeadChange, ModelRecord, ModelState, Standing, Term},
    grant::Identity,
    id::TypeName,
    membership::Bounds,
    model::Model,
    transaction::Reads,
    value::{Document, Value},
};

use super::{
    Backend,
    fixture::{at, entries, entry, load, scope, task, user, write, write_change},
};

const TASKS: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "user:{owner}") { id: ID! owner: String! }
"#;

const TASKS_BY_LIST: &str = r#"
extend schema @grant(scope: "user:{sub}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{list}") { id: ID! owner: String! list: String! }
type List @collection(name: "lists") @scope(by: "user:{owner}") { id: ID! owner: String! }
"#;

fn model(text: &str) -> Model {
    Model::parse("model.graphql", text).unwrap()
}

fn type_name(name: &str) -> TypeName {
    TypeName::new(name).unwrap()
}

/// Registers a model and makes it the lead.
async fn lead(store: &dyn Store, text: &str) -> LeadChange {
    let models = store.models();
    let generation = models.register(text, "hash").await.unwrap();
    let record = models.record().await.unwrap();
    let before = record.known.get(&record.state.lead);
    let before = before.map(|known| model(&known.text));
    let change = record
        .state
        .led_by(generation, &model(text), before.as_ref());
    assert!(models.take_lead(&change).await.unwrap());
    change
}

async fn record(store: &dyn Store) -> ModelRecord {
    store.models().record().await.unwrap()
}

pub(crate) async fn a_known_model_keeps_its_number_and_a_new_one_gets_the_next(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    assert_eq!(record(&*store).await, ModelRecord::default());
    let models = store.models();
    let registered = |text, hash| models.register(text, hash);
    assert_eq!(registered("a", "1").await.unwrap(), Generation(1));
    assert_eq!(registered("b", "2").await.unwrap(), Generation(2));
    assert_eq!(registered("a", "3").await.unwrap(), Generation(1));
    assert_eq!(registered("a", "1").await.unwrap(), Generation(1));
    let known = record(&*store).await.known;
    let known = known.values().map(|it| (it.text.as_str(), it.apis()));
    let known = known.map(|(text, apis)| (text, apis.collect::<Vec<_>>()));
    assert_eq!(
        known.collect::<Vec<_>>(),
        [("a", vec!["1", "3"]), ("b", vec!["2"])]
    );
    drop((models, store));
    let store = backend.open().await;
    assert_eq!(
        store.models().register("b", "2").await.unwrap(),
        Generation(2)
    );
    assert_eq!(
        store.models().register("c", "2").await.unwrap(),
        Generation(3)
    );
}

pub(crate) async fn models_registered_at_once_get_different_numbers(backend: &impl Backend) {
    const TEXTS: [&str; 3] = ["a", "b", "c"];
    let store = backend.open().await;
    let registering = (0..9).map(|gateway| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let text = TEXTS[gateway % TEXTS.len()];
            (text, store.models().register(text, "hash").await.unwrap())
        })
    });
    let registering: Vec<_> = registering.collect();
    let mut numbers = Vec::new();
    for registered in registering {
        numbers.push(registered.await.unwrap());
    }
    let known = record(&*store).await.known;
    assert_eq!(
        known.keys().map(|number| number.0).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    for (text, number) in numbers {
        assert_eq!(known[&number].text, text);
    }
}

pub(crate) async fn of_two_changes_of_one_term_one_is_in_force(backend: &impl Backend) {
    let store = backend.open().await;
    let models = store.models();
    let first = ModelState::default().led_by(Generation(1), &model(TASKS), None);
    let second = ModelState::default().led_by(Generation(2), &model(TASKS_BY_LIST), None);
    let (one, two) = tokio::join!(models.take_lead(&first), models.take_lead(&second));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one, two);
    let winner = if one { first } else { second };
    assert_eq!(*record(&*store).await.state, winner.state);
    assert!(models.take_lead(&winner).await.unwrap(), "it is in force");
}

pub(crate) async fn a_lead_is_seen_by_the_next_commit_and_snapshot(backend: &impl Backend) {
    let store = backend.open().await;
    let alone = load(&*store, Reads::default()).await;
    assert_eq!(
        (&*alone.models, alone.standing),
        (&ModelState::default(), Standing::default())
    );
    assert!(alone.standing.leads);
    let first = lead(&*store, TASKS).await;
    store.models().serve_as(Generation(1)).await.unwrap();
    write_change(&*store, &task("1"), Some(&scope("a"))).await;
    let before = store.snapshot().await.unwrap();
    let second = lead(&*store, TASKS_BY_LIST).await;
    let after = store.snapshot().await.unwrap();
    let standing = |term, leads| Standing {
        generation: Generation(1),
        leads,
        term: Term(term),
    };
    assert_eq!(
        (&*before.state().models, before.state().standing),
        (&first.state, standing(1, true))
    );
    assert_eq!(
        (&*after.state().models, after.state().standing),
        (&second.state, standing(2, false))
    );
    let loaded = load(&*store, Reads::default()).await;
    assert_eq!(
        (&*loaded.models, loaded.standing),
        (&second.state, standing(2, false))
    );
    drop((before, after));
    drop(store);
    let store = backend.open().await;
    store.models().serve_as(Generation(2)).await.unwrap();
    let loaded = load(&*store, Reads::default()).await;
    assert_eq!(*loaded.models, second.state);
    assert!(loaded.standing.leads);
    assert_eq!(*record(&*store).await.state, second.state);
}

/// A task of ann's, in a scope that is named after her or bob.
fn listed(id: &str, list: &str, version: i32) -> Entry {
    let text = |text: &str| Value::String(text.to_owned());
    let body = [
        ("owner".to_owned(), text("ann")),
        ("list".to_owned(), text(list)),
    ];
    Entry {
        body: Some(Document::from(body)),
        ..entry(&task(id), &scope("user:ann"), version)
    }
}

async fn explained_to_ann(store: &Arc<dyn Store>, id: &str) -> Explanation {
    let model = Arc::new(model(TASKS_BY_LIST));
    let identity = Identity {
        user: user("ann"),
        claims: Map::from_iter([("sub".to_owned(), json!("ann"))]),
        expires_at: at(0),
    };
    let explainer = Explainer {
        model: Arc::clone(&model),
        store: Arc::clone(store),
        bounds: Arc::new(Bounds::default()),
    };
    let key = task(id);
    let explained = explainer.explain(&identity, &model.types[0], &key);
    explained.await.unwrap()
}

pub(crate) async fn a_document_is_explained_as_moving_until_it_is_in_the_scope_of_its_fields(
    backend: &impl Backend,
) {
    let store = backend.open().await;
    lead(&*store, TASKS).await;
    let there = [
        listed("stays", "user:ann", 1),
        listed("moves", "user:bob", 1),
    ];
    write(&*store, entries(there)).await;
    lead(&*store, TASKS_BY_LIST).await;
    let stays = explained_to_ann(&store, "stays").await;
    assert_eq!((stays.sees, stays.state), (true, DocumentState::Living));
    let moves = explained_to_ann(&store, "moves").await;
    assert_eq!(moves.scope.as_deref(), Some("user:ann"));
    assert_eq!(
        serde_json::to_value(&moves.state).unwrap(),
        json!({"is": "moving"})
    );
    assert!(!moves.sees);
    assert!(moves.reason.contains("moving"), "{}", moves.reason);

    let moved = Entry {
        scope: scope("user:bob"),
        ..listed("moves", "user:bob", 2)
    };
    write(&*store, entries([moved])).await;
    let moved = explained_to_ann(&store, "moves").await;
    assert_eq!((moved.sees, moved.state), (false, DocumentState::Living));
    assert!(moved.reason.contains("user:bob"), "{}", moved.reason);
}

pub(crate) async fn a_type_is_moving_until_its_scan_under_the_lead_is_done(backend: &impl Backend) {
    let store = backend.open().await;
    lead(&*store, TASKS).await;
    let change = lead(&*store, TASKS_BY_LIST).await;
    assert_eq!(change.state.moving, [type_name("Task")].into());
    let moving = async || load(&*store, Reads::default()).await.models.moving.clone();
    let models = store.models();
    models.moved(Term(1), &type_name("Task")).await.unwrap();
    assert_eq!(
        moving().await,
        change.state.moving,
        "another term has begun"
    );
    models.moved(Term(2), &type_name("Task")).await.unwrap();
    assert_eq!(moving().await, [].into());
    let mut change = change
        .state
        .led_by(Generation(2), &model(TASKS_BY_LIST), None);
    change.state.unstamped = [type_name("Task"), type_name("Note")].into();
    assert!(models.take_lead(&change).await.unwrap());
    for (term, left) in [(Term(2), vec!["Note", "Task"]), (Term(3), vec!["Note"])] {
        models
            .stamped(term, &[type_name("Task")].into())
            .await
            .unwrap();
        let state = load(&*store, Reads::default()).await.models;
        let unstamped: Vec<&str> = state.unstamped.iter().map(TypeName::as_str).collect();
        assert_eq!(unstamped, left, "under term {}", term.0);
    }
    let loaded = load(&*store, Reads::default()).await;
    assert_eq!(loaded.models.numbers, change.state.numbers);
}
