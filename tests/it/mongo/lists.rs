//! Lists on MongoDB: every find walks its index in order. None scans a collection, and none sorts.

use std::sync::Arc;

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use tidegate::store::{Snapshot, Store, StoreError};
use tidegate_core::{
    id::Scope,
    model::Model,
    query::{
        Column, Condition, IndexDefinition, IndexRead, IntervalSet, KeyPart, ListBounds, ListPlan,
        ListQuery, ListReader, RANGES_MAX,
    },
    value::{Timestamp, Value},
};
use tidegate_testkit::Random;

use super::{Mongo, feeds::stages, open};
use crate::contract::{
    Backend,
    fixture::{entries, scope, write},
    lists,
};

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{audience}")
  @index(fields: ["n"]) @index(fields: ["x", "n"]) @index(fields: ["tags", "n"]) @index(fields: ["b", "x", "at"]) {
  id: ID! audience: String! n: Int x: String b: Boolean at: DateTime tags: [String!]
}
"#;

fn values(column: &str) -> Vec<KeyPart> {
    let text = |text: &str| Value::String(text.to_owned());
    let at = |ms| Value::DateTime(Timestamp::from_ms(ms).unwrap());
    let values = match column {
        "n" => vec![Value::Int(-3), Value::Int(0), Value::Int(1)],
        "x" => vec![text("a"), text("ab"), text("b")],
        "b" => vec![Value::Bool(false), Value::Bool(true)],
        "tags" => vec![text("p"), text("q")],
        "at" => vec![at(-1), at(1)],
        _ => vec![text("03"), text("17"), text("42")],
    };
    values.into_iter().map(KeyPart::from).collect()
}

/// The sets that conditions on a column come to.
fn sets(column: &str, random: &mut Random) -> IntervalSet {
    let values = values(column);
    let value = &values[random.below(values.len())];
    let several = values.iter().map(IntervalSet::point);
    let several = several.fold(IntervalSet::none(), |all, one| all.union(&one));
    match random.below(9) {
        0 => IntervalSet::point(value),
        1 => IntervalSet::point(value).complement(),
        2 => several,
        3 => several.union(&IntervalSet::null()),
        4 => several.complement(),
        5 => IntervalSet::null(),
        6 => IntervalSet::null().complement(),
        7 => IntervalSet::below(value, true),
        _ => IntervalSet::above(value, false),
    }
}

fn query(random: &mut Random) -> ListQuery {
    let columns = ["n", "x", "b", "at", "_id"];
    let conditions = (0..random.below(4)).map(|_| {
        let column = random.one_of(&columns);
        Condition::In(Column::new(column), sets(column, random))
    });
    let mut conditions: Vec<Condition> = conditions.collect();
    if random.once_in(4) {
        conditions.push(Condition::Contains(Column::new("tags"), KeyPart::text("p")));
    }
    let orders = [
        &[][..],
        &["n"],
        &["x"],
        &["x", "at"],
        &["at"],
        &["_id"],
        &["n", "_id"],
    ];
    let order = orders[random.below(orders.len())].iter();
    ListQuery {
        condition: match random.once_in(4) {
            true => Condition::Any(conditions),
            false => Condition::All(conditions),
        },
        order: order.map(|column| Column::new(column)).collect(),
        descending: random.once_in(2),
    }
}

/// Reads all pages of a query. Returns its reads.
async fn pages(
    snapshot: &mut dyn Snapshot,
    plan: &Arc<ListPlan>,
    scopes: &[Scope],
    first: usize,
) -> Vec<IndexRead> {
    let (mut reads, mut after) = (Vec::new(), None);
    loop {
        let bounds = ListBounds {
            first,
            bytes_max: 1 << 20,
            ids_only: false,
        };
        let mut reader = ListReader::new(plan, scopes.to_vec(), after, bounds);
        while let Some(next) = reader.next_read() {
            assert!(next.ranges() <= RANGES_MAX);
            let listed = snapshot.list(&next).await.unwrap();
            let placed = listed.records.iter();
            let placed = placed.map(|record| (reader.place_of(&record.view().unwrap()), ()));
            let placed = placed.collect();
            reader.take(placed, listed.bytes, !listed.is_cut);
            reads.push(next);
        }
        let page = reader.finish();
        after = page.items.last().map(|(place, ())| place.clone());
        if !page.has_more {
            return reads;
        }
    }
}

#[tokio::test]
async fn no_list_scans_a_collection_or_sorts() {
    let mongo = Mongo::start().await;
    let store = open(&mongo.options().await, MODEL).await;
    let model = Model::parse("model.graphql", MODEL).unwrap();
    let task = &model.types[0];
    store
        .keep_indexes(&IndexDefinition::all_of(task))
        .await
        .unwrap();
    let mut random = Random::new(5);
    let written = (0..60).map(|id| lists::living(&mut random, id, 1));
    write(&store, entries(written)).await;
    let many = (0..300).map(|n| scope(&format!("s{n}")));
    let many: Vec<Scope> = ["a", "b", "c"].map(scope).into_iter().chain(many).collect();

    let database = mongo.database().await;
    let bytes = doc! { "create": "system.profile", "capped": true, "size": 256 << 20 };
    database.run_command(bytes).await.unwrap();
    database.run_command(doc! { "profile": 2 }).await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    let (mut served, mut ranges) = (0, Vec::new());
    while served < 250 {
        let Ok(plan) = ListPlan::of(task, &query(&mut random)) else {
            continue;
        };
        let scopes = random.one_of(&[1, 3, 3, 3, 250]);
        let first = random.one_of(&[1, 4, 50]);
        let first = if scopes > 3 { 50 } else { first };
        let reads = pages(&mut *snapshot, &Arc::new(plan), &many[..scopes], first).await;
        ranges.extend(reads.iter().map(IndexRead::ranges));
        served += 1;
    }
    database.run_command(doc! { "profile": 0 }).await.unwrap();

    let profile = database.collection::<Document>("system.profile");
    let of_lists = doc! { "command.find": "tidegate.feed", "command.hint": { "$exists": true } };
    let seen: Vec<Document> = profile
        .find(of_lists)
        .await
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(seen.len(), ranges.len(), "every read is explained");
    for (one, ranges) in seen.iter().zip(ranges) {
        let stages = stages(one.get_document("execStats").unwrap());
        assert!(
            !stages
                .iter()
                .any(|stage| stage == "COLLSCAN"
                    || stage.starts_with("SORT") && stage != "SORT_MERGE"),
            "{stages:?}: {one}"
        );
        let examined = one.get_i32("keysExamined").unwrap();
        let returned = one.get_i32("nreturned").unwrap();
        let bound = 2 * i32::try_from(ranges).unwrap() + returned + 6;
        assert!(examined <= bound, "{examined} of {bound} keys: {one}");
    }
}

#[tokio::test]
async fn a_list_waits_for_its_index_and_an_unused_one_goes() {
    let mongo = Mongo::start().await;
    let store = open(&mongo.options().await, MODEL).await;
    let model = Model::parse("model.graphql", MODEL).unwrap();
    let wanted = IndexDefinition::all_of(&model.types[0]);
    let query = ListQuery {
        condition: Condition::All(Vec::new()),
        order: vec![Column::new("n")],
        descending: false,
    };
    let plan = ListPlan::of(&model.types[0], &query).unwrap();
    let read = plan.legs(&plan.branches[0], &[scope("a")], None);
    let read = IndexRead {
        items_max: 10,
        ..read[0][0].clone()
    };
    let listed = async || store.snapshot().await.unwrap().list(&read).await;
    let missing = listed().await;
    assert!(
        matches!(missing, Err(StoreError::IndexBuilding)),
        "{missing:?}"
    );
    store.keep_indexes(&wanted).await.unwrap();
    assert!(listed().await.is_ok());
    let others: Vec<_> = wanted
        .iter()
        .filter(|it| it.fields.len() != 1)
        .cloned()
        .collect();
    store.keep_indexes(&others).await.unwrap();
    let dropped = listed().await;
    assert!(
        matches!(dropped, Err(StoreError::IndexBuilding)),
        "{dropped:?}"
    );
}
