//! Opening a store: by many gateways at once, again, and after another version.
//!
//! The tests of the commands say what a server has to be.

use futures_util::future::join_all;
use mongodb::{
    Collection,
    bson::{DateTime, Document, doc},
};
use tidegate::store::{Store, StoreError, mongo::MongoStore};
use tidegate_core::{id::Epoch, model::Model};

use super::{CONTRACT, Mongo};
use crate::contract::{
    Backend,
    fixture::{entries, entry, scope, task, write},
};

#[tokio::test]
async fn many_gateways_that_open_a_new_database_at_once_have_one_epoch() {
    let mongo = Mongo::start().await;
    let openings = (0..4).map(|gateway| {
        let mongo = &mongo;
        async move {
            let mut options = mongo.options().await;
            options.first_epoch = Epoch::new(&format!("of-gateway-{gateway}")).unwrap();
            let store = super::open(&options, CONTRACT).await;
            let snapshot = store.snapshot().await.unwrap();
            snapshot.state().epoch.clone()
        }
    });
    let epochs = join_all(openings).await;
    assert!(epochs.iter().all(|epoch| *epoch == epochs[0]), "{epochs:?}");
}

/// A store of an earlier version has neither numbers nor a secret.
#[tokio::test]
async fn an_opening_numbers_the_scopes_of_an_earlier_version() {
    const SCOPES: usize = 2_500;
    let mongo = Mongo::start().await;
    mongo.open().await;
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    let unnumbered = doc! { "$in": ["tokenKey", "scopeNumbers"] };
    state.delete_many(doc! { "_id": unnumbered }).await.unwrap();
    let scopes = (0..SCOPES)
        .map(|number| doc! { "_id": format!("scope\0s{number}"), "h": 1_i64, "f": 0_i64 });
    state.insert_many(scopes).await.unwrap();
    let (one, two) = tokio::join!(mongo.store(CONTRACT), mongo.store(CONTRACT));
    write(&one, entries([entry(&task("1"), &scope("new"), 1)])).await;
    write(&two, entries([entry(&task("2"), &scope("newer"), 1)])).await;
    let numbers = state.distinct("i", doc! {}).await.unwrap();
    assert_eq!(numbers.len(), SCOPES + 2);
    let (one, two) = (one.snapshot().await.unwrap(), two.snapshot().await.unwrap());
    assert_eq!(one.state().token_key, two.state().token_key);
}

/// As after a restore of an older dump under running gateways: they hold numbers that are given out once more.
#[tokio::test]
async fn a_number_that_is_given_out_twice_is_taken_once() {
    let mongo = Mongo::start().await;
    let store = mongo.open().await;
    write(&*store, entries([entry(&task("1"), &scope("a"), 1)])).await;
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    state
        .delete_one(doc! { "_id": "scopeNumbers" })
        .await
        .unwrap();
    let other = mongo.open().await;
    for number in 0..5 {
        let id = number.to_string();
        write(
            &*other,
            entries([entry(
                &task(&format!("x{id}")),
                &scope(&format!("x{id}")),
                1,
            )]),
        )
        .await;
        write(
            &*store,
            entries([entry(
                &task(&format!("y{id}")),
                &scope(&format!("y{id}")),
                1,
            )]),
        )
        .await;
    }
    let numbers = state.distinct("i", doc! {}).await.unwrap();
    assert_eq!(numbers.len(), 11);
}

#[tokio::test]
async fn a_store_of_another_format_is_refused_with_both_numbers() {
    let mongo = Mongo::start().await;
    mongo.open().await;
    let newer = doc! { "$set": { "v": 99 } };
    let state = mongo.database().await.collection("tidegate.state");
    expect_refused(&mongo, state, newer, 99).await;
}

/// The first format had its number elsewhere. Nothing of it may be taken for a store of this format.
#[tokio::test]
async fn a_store_of_the_first_format_is_refused_before_anything_is_made() {
    let mongo = Mongo::start().await;
    let database = mongo.database().await;
    let older = doc! { "$set": { "v": 1 } };
    expect_refused(&mongo, database.collection("tidegate.meta"), older, 1).await;
    let names = database.list_collection_names().await.unwrap();
    assert_eq!(names, ["tidegate.meta"]);
}

async fn expect_refused(mongo: &Mongo, at: Collection<Document>, format: Document, number: u32) {
    at.update_one(doc! { "_id": "format" }, format)
        .upsert(true)
        .await
        .unwrap();
    let model = Model::parse("model.graphql", CONTRACT).unwrap();
    let refused = MongoStore::open(&mongo.options().await, &model)
        .await
        .map(drop);
    let Err(error @ StoreError::OtherFormat { found, known, .. }) = &refused else {
        panic!("{refused:?}");
    };
    let advice = match found > known {
        true => "start that version, or restore a backup",
        false => "start the version that wrote it",
    };
    assert!(error.to_string().contains(advice), "{error}");
    assert_eq!((*found, *known), (number, 3));
}

#[tokio::test]
async fn the_group_numbers_of_gateways_long_gone_are_forgotten() {
    let mongo = Mongo::start().await;
    let store = mongo.open().await;
    write(&*store, entries([entry(&task("1"), &scope("a"), 1)])).await;
    let state = mongo
        .database()
        .await
        .collection::<Document>("tidegate.state");
    let two_days_ago = DateTime::from_millis(DateTime::now().timestamp_millis() - 172_800_000);
    let gone = "gateway\u{0}0000000000000001\u{0}0";
    let old = doc! { "_id": gone, "n": 5_i64, "at": two_days_ago };
    state.insert_one(old).await.unwrap();
    mongo.open().await;
    let groups = doc! { "_id": { "$regex": "^gateway" } };
    let left = state.distinct("_id", groups).await.unwrap();
    assert_eq!(left.len(), 1, "the one that wrote just now: {left:?}");
    assert_ne!(left[0].as_str(), Some(gone));
}
