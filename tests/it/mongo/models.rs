//! What MongoDB alone promises of models: what several gateways do to them, and what a change of the lead does to an
//! importer.

use futures_util::future::join_all;
use mongodb::bson::{Document, doc};
use tidegate::store::{
    Store, StoreError,
    collections::{ImportProgress, ScanPhase, TypeImport, TypeScan, WalkPosition},
};
use tidegate_core::{
    generation::{Generation, ModelRecord, ModelState},
    id::TypeName,
    model::Model,
};

use super::{CONTRACT, Mongo, open};
use crate::contract::Backend;

fn model() -> Model {
    Model::parse("model.graphql", CONTRACT).unwrap()
}

fn task() -> TypeName {
    TypeName::new("Task").unwrap()
}

#[tokio::test]
async fn gateways_that_register_their_models_at_once_get_one_number_for_each() {
    const TEXTS: [&str; 2] = ["a", "b"];
    let mongo = Mongo::start().await;
    let registering = (0..6).map(|gateway| {
        let mongo = &mongo;
        async move {
            let store = mongo.store(CONTRACT).await;
            let text = TEXTS[gateway % TEXTS.len()];
            (text, store.models().register(text, "hash").await.unwrap())
        }
    });
    let numbers = join_all(registering).await;
    let known = mongo
        .store(CONTRACT)
        .await
        .models()
        .record()
        .await
        .unwrap()
        .known;
    assert_eq!(known.len(), TEXTS.len());
    for (text, number) in numbers {
        assert_eq!(known[&number].text, text);
    }
}

#[tokio::test]
async fn a_store_of_an_earlier_version_begins_with_the_model_that_it_was_served_with() {
    let mongo = Mongo::start().await;
    let store = mongo.store(CONTRACT).await;
    store.note_served_model(CONTRACT).await.unwrap();
    let models = store.models();
    let served = ModelRecord::of_served(CONTRACT);
    assert_eq!(models.record().await.unwrap(), served);
    assert_eq!(
        models.register("another", "hash").await.unwrap(),
        Generation(2)
    );
    store
        .note_served_model("written by a gateway of that version")
        .await
        .unwrap();
    let record = models.record().await.unwrap();
    assert_eq!(*record.state, ModelState::of(&model()));
    assert_eq!(
        models.register(CONTRACT, "hash").await.unwrap(),
        Generation(1)
    );
}

#[tokio::test]
async fn a_change_of_the_lead_deposes_the_importer_and_marks_scans_in_one_transaction() {
    let mongo = Mongo::start().await;
    let store = mongo.store(CONTRACT).await;
    let (models, collections) = (store.models(), store.collections().unwrap());
    let fence = collections.lease(None).await.unwrap().unwrap();
    let half_done = TypeImport {
        shape: "of the model before".to_owned(),
        scan: Some(TypeScan {
            phase: ScanPhase::Entries,
            after: Some(WalkPosition(b"half way".to_vec())),
            done: 7,
            total: 14,
        }),
        ..TypeImport::default()
    };
    let saved = |import: &TypeImport| ImportProgress {
        types: [(task(), import.clone())].into(),
        ..ImportProgress::default()
    };
    collections.save(fence, &saved(&half_done)).await.unwrap();

    let change = ModelState::default().led_by(Generation(1), &model(), None);
    assert!(models.take_lead(&change).await.unwrap());
    let marked = TypeImport {
        scan: Some(TypeScan::default()),
        ..half_done.clone()
    };
    let progress = collections.progress().await.unwrap();
    assert_eq!(progress.types[&task()], marked);
    let late = collections.save(fence, &saved(&half_done)).await;
    assert!(matches!(late, Err(StoreError::Deposed)), "{late:?}");

    let other = open(&mongo.options().await, CONTRACT).await;
    let others = other.collections().unwrap();
    let next = others.lease(None).await.unwrap().unwrap();
    assert!(next > fence);
    assert_eq!(collections.lease(Some(fence)).await.unwrap(), None);
    assert!(models.take_lead(&change).await.unwrap(), "it is in force");
    let held = others.lease(Some(next)).await.unwrap();
    assert_eq!(held, Some(next), "a repeated change deposes nobody");
}

/// A dump that was restored under a running gateway may have the same term and another lead.
#[tokio::test]
async fn a_gateway_takes_no_record_of_types_for_another() {
    let mongo = Mongo::start().await;
    let store = mongo.store(CONTRACT).await;
    let models = store.models();
    let change = ModelState::default().led_by(Generation(1), &model(), None);
    assert!(models.take_lead(&change).await.unwrap());
    assert_eq!(**store.snapshot().await.unwrap().models(), change.state);
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    for id in ["model", "modelTypes"] {
        state.delete_one(doc! { "_id": id }).await.unwrap();
    }
    let smaller = Model::parse(
        "model.graphql",
        r#"
extend schema @grant(scope: "public", access: WRITE)
type Note @collection(name: "notes") @scope(by: "{audience}") { id: ID! audience: String! }
"#,
    );
    let other = ModelState::default().led_by(Generation(1), &smaller.unwrap(), None);
    let second = mongo.store(CONTRACT).await;
    assert!(second.models().take_lead(&other).await.unwrap());
    assert_eq!(**store.snapshot().await.unwrap().models(), other.state);
}
