//! The conversion of a store in MongoDB: its steps, each of which may be the last before a kill, and the gateways of the
//! version before that run beside it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mongodb::{
    ClientSession, Collection,
    bson::{Bson, Document, doc},
    event::{EventHandler, command::CommandEvent},
    options::{ClientOptions, ReadConcern},
};
use tidegate::store::{
    Store, StoreError,
    conversion::{Converted, Progress},
    mongo::{MongoOptions, MongoStore},
};
use tidegate_core::{
    generation::{Generation, ModelRecord},
    id::Epoch,
    model::Model,
};
use tokio::sync::Notify;

use super::{MODEL, OldStore};
use crate::harness::{
    Server,
    mongod::{Deployment, until},
};

/// The longest request of a gateway of the version before, so that a conversion does not wait for half a minute.
const REQUEST_MAX: Duration = Duration::from_millis(500);

async fn options(store: &OldStore) -> MongoOptions {
    let database = store.database.as_ref().unwrap().name().to_owned();
    let url = Deployment::shared().await.url(&database);
    let client = ClientOptions::parse(url).await.unwrap();
    let epoch = Epoch::new("of-a-new-store").unwrap();
    static GATEWAYS: AtomicUsize = AtomicUsize::new(7);
    let random = Arc::new(|| GATEWAYS.fetch_add(1, Ordering::Relaxed) as u64);
    MongoOptions {
        commit_max: REQUEST_MAX,
        ..MongoOptions::new(client, &database, epoch, random)
    }
}

async fn open(options: &MongoOptions) -> Result<MongoStore, StoreError> {
    let model = Model::parse("model.graphql", MODEL).unwrap();
    MongoStore::open(options, &model).await
}

fn collection(store: &OldStore, name: &str) -> Collection<Document> {
    store.database.as_ref().unwrap().collection(name)
}

async fn find(store: &OldStore, name: &str, id: &str) -> Option<Document> {
    let found = collection(store, name);
    found.find_one(doc! { "_id": id }).await.unwrap()
}

/// A store that is converted without a stop.
async fn converted() -> OldStore {
    let store = OldStore::mongodb().await;
    open(&options(&store).await).await.unwrap();
    store
}

#[tokio::test]
async fn records_are_keyed_by_stored_names_and_keep_their_places() {
    let before = OldStore::mongodb().await.dump().await;
    let store = converted().await;
    let feed = async |id: &str| find(&store, "tidegate.feed", id).await.unwrap();
    let pump = feed("Order\0pump").await;
    let site = doc! { "city": "Bergen", "line": "Quay 1", "p": { "x": 5.32, "y": 60.39 } };
    let body = doc! {
        "crew_id": "north",
        "location": site.clone(),
        "min": 50,
        "payload": { "$ref": 1_i64, "a.b": [{ "street": "kept" }], "title": "kept" },
        "remark": "Replace both pumps",
        "route": [site, { "city": "Voss" }],
        "title": "bring a ladder and a key",
    };
    assert_eq!(pump.get_document("b").unwrap(), &body);
    let versions = doc! { "crew_id": 1, "location": 1, "min": 4, "payload": 1, "remark": 2, "route": 1, "title": 3 };
    assert_eq!(pump.get_document("f").unwrap(), &versions);
    for (name, document) in &before {
        let id = document.get_str("_id").unwrap_or_default();
        if !name.starts_with("tidegate.") {
            let stands = find(&store, name, id).await;
            assert_eq!(
                stands.as_ref(),
                Some(document),
                "the application's documents stay"
            );
        } else if name == "tidegate.feed" {
            let (mut was, mut is) = (document.clone(), feed(id).await);
            for part in ["b", "f"] {
                assert_eq!(was.remove(part).is_some(), is.remove(part).is_some());
            }
            assert_eq!(is, was);
        }
    }
    let note = feed("Note\0n1").await;
    let of_note = |(name, found): &&(String, Document)| {
        name == "tidegate.feed" && found.get("_id") == note.get("_id")
    };
    assert_eq!(
        before.iter().find(of_note).map(|(_, found)| found),
        Some(&note)
    );
    let format = find(&store, "tidegate.state", "format").await.unwrap();
    let epoch = store.seen["viewers"]["bob"]["viewer"]["epoch"]
        .as_str()
        .unwrap();
    assert_eq!(format, doc! { "_id": "format", "v": 3, "epoch": epoch });
}

#[tokio::test]
async fn conflicts_that_wait_keep_what_they_hold_and_are_counted_by_their_new_bytes() {
    let store = converted().await;
    let of_bob = doc! { "u": "bob", "s": { "$exists": true } };
    let mut found = collection(&store, "tidegate.conflicts")
        .find(of_bob)
        .await
        .unwrap();
    let mut kinds = Vec::new();
    while found.advance().await.unwrap() {
        let conflict = found.deserialize_current().unwrap();
        let names = |side: &str| {
            let side = conflict.get_document(side).ok();
            side.map(|side| side.keys().cloned().collect::<Vec<_>>())
        };
        let theirs = names("theirs").unwrap();
        assert_eq!(
            theirs,
            [
                "crew_id", "location", "min", "payload", "remark", "route", "title"
            ]
        );
        let fields = conflict.get_array("f").unwrap().iter();
        let fields: Vec<&str> = fields.map(|field| field.as_str().unwrap()).collect();
        kinds.push((fields.join(" "), names("mine"), names("base")));
        let snapshot = open(&options(&store).await).await.unwrap();
        let id = tidegate_core::id::ConflictId::new(conflict.get_str("_id").unwrap()).unwrap();
        let record = snapshot
            .snapshot()
            .await
            .unwrap()
            .conflict(&id)
            .await
            .unwrap();
        let Some(tidegate_core::inbox::InboxRecord::Open(open)) = record else {
            panic!("{record:?}");
        };
        assert_eq!(
            conflict.get_i64("b").unwrap(),
            i64::try_from(open.bytes()).unwrap()
        );
    }
    kinds.sort();
    let named = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let expected = [
        (String::new(), None, None),
        (
            "location remark".to_owned(),
            named(&["location", "remark"]),
            named(&["location", "remark"]),
        ),
        ("remark".to_owned(), named(&["remark"]), None),
    ];
    assert_eq!(kinds, expected);
}

/// The options of a gateway that is stopped when it begins to commit, or has committed. The number says when.
fn stopped_at(options: MongoOptions, number: usize) -> (MongoOptions, Arc<Notify>) {
    let (stop, count) = (Arc::<Notify>::default(), AtomicUsize::default());
    let (mut stopped, notify) = (options, Arc::clone(&stop));
    stopped.client.command_event_handler = Some(EventHandler::callback(move |event| {
        let name = match &event {
            CommandEvent::Started(started) => &started.command_name,
            CommandEvent::Succeeded(succeeded) => &succeeded.command_name,
            _ => return,
        };
        let is_commit = name == "commitTransaction";
        if is_commit && count.fetch_add(1, Ordering::SeqCst) == number {
            notify.notify_one();
        }
    }));
    (stopped, stop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversion_that_stops_before_or_after_any_step_goes_on_where_it_was() {
    let whole = converted().await.dump().await;
    for number in 0.. {
        let store = OldStore::mongodb().await;
        let (stopped, stop) = stopped_at(options(&store).await, number);
        let is_whole = tokio::select! {
            biased;
            () = stop.notified() => false,
            opened = open(&stopped) => opened.map(drop).is_ok(),
        };
        open(&options(&store).await).await.unwrap();
        assert_eq!(store.dump().await, whole, "{number}");
        if is_whole {
            break;
        }
    }
}

#[tokio::test]
async fn two_gateways_that_start_at_once_convert_everything_once() {
    let whole = converted().await.dump().await;
    let store = OldStore::mongodb().await;
    let (one, other) = (options(&store).await, options(&store).await);
    let (one, other) = tokio::join!(open(&one), open(&other));
    one.unwrap();
    other.unwrap();
    assert_eq!(store.dump().await, whole);
}

#[tokio::test]
async fn a_conversion_says_how_far_it_is_and_goes_on_counting_after_a_stop() {
    let store = OldStore::mongodb().await;
    let (reported, last) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let mut watched = options(&store).await;
    let (reports, rewritten) = (Arc::clone(&reported), Arc::clone(&last));
    watched.conversion = Progress::new(
        move |Converted {
                  passed,
                  rewritten: now,
              }| {
            reports.fetch_max(usize::try_from(passed).unwrap(), Ordering::SeqCst);
            rewritten.fetch_max(usize::try_from(now).unwrap(), Ordering::SeqCst);
        },
    );
    open(&watched).await.unwrap();
    let of_types = doc! { "t": { "$in": ["Member", "Order"] } };
    let (feed, conflicts) = (
        collection(&store, "tidegate.feed"),
        collection(&store, "tidegate.conflicts"),
    );
    let records = feed.count_documents(of_types).await.unwrap();
    let records = records + conflicts.count_documents(doc! {}).await.unwrap();
    assert_eq!(reported.load(Ordering::SeqCst) as u64, records);
    // Neither tombstones and markers nor settled conflicts hold a field.
    assert_eq!(last.load(Ordering::SeqCst), 4 + 3 + 3);
}

/// A transaction as a gateway of format 2 begins it: it reads the epoch first.
async fn begun_by_format_2(store: &OldStore) -> (ClientSession, Result<(), String>) {
    let client = store.database.as_ref().unwrap().client();
    let mut session = client.start_session().await.unwrap();
    let begin = session
        .start_transaction()
        .read_concern(ReadConcern::snapshot());
    begin.await.unwrap();
    let state = collection(store, "tidegate.state");
    let epoch = state.find_one(doc! { "_id": "epoch" });
    let epoch = epoch.session(&mut session).await.unwrap();
    let has_value = epoch.and_then(|epoch| epoch.get_str("epoch").map(str::to_owned).ok());
    (
        session,
        has_value.map(drop).ok_or_else(|| "no epoch".to_owned()),
    )
}

/// Writes an order as a gateway of format 2 does, and commits.
async fn commit_order(
    store: &OldStore,
    session: &mut ClientSession,
    id: &str,
) -> mongodb::error::Result<()> {
    let pump = find(store, "tidegate.feed", "Order\0pump").await.unwrap();
    let mut record = pump;
    record.insert("_id", format!("Order\0{id}"));
    record.insert("i", id);
    record.insert("q", 50_i64);
    record.insert(
        "b",
        doc! { "crew": "north", "title": "Begun before", "stops": [] },
    );
    record.insert("f", doc! { "crew": 1, "title": 1, "stops": 1 });
    let feed = collection(store, "tidegate.feed");
    feed.insert_one(record).session(&mut *session).await?;
    session.commit_transaction().await
}

fn session_id(session: &ClientSession) -> Bson {
    session.id().get("id").cloned().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_of_the_version_before_has_begun_is_converted_too_or_never_written() {
    let store = OldStore::mongodb().await;
    let (mut quick, has_epoch) = begun_by_format_2(&store).await;
    has_epoch.unwrap();
    let (mut hung, has_epoch) = begun_by_format_2(&store).await;
    has_epoch.unwrap();
    // As a gateway of that version lists its sessions.
    let live = doc! { "_id": "live\0beside", "sessions": [session_id(&quick), session_id(&hung)] };
    collection(&store, "tidegate.state")
        .insert_one(live)
        .await
        .unwrap();
    let options = options(&store).await;
    let beside = async {
        until("first step", async || {
            let format = find(&store, "tidegate.state", "format").await.unwrap();
            format.get_document("step").is_ok().then_some(())
        })
        .await;
        commit_order(&store, &mut quick, "quick").await.unwrap();
        let (_, has_epoch) = begun_by_format_2(&store).await;
        has_epoch.unwrap_err();
    };
    let (opened, ()) = tokio::join!(open(&options), beside);
    opened.unwrap();
    let order = find(&store, "tidegate.feed", "Order\0quick").await.unwrap();
    let body = doc! { "crew_id": "north", "remark": "Begun before", "route": [] };
    assert_eq!(order.get_document("b").unwrap(), &body);
    commit_order(&store, &mut hung, "hung").await.unwrap_err();
    assert_eq!(find(&store, "tidegate.feed", "Order\0hung").await, None);
}

/// A gateway of format 2 makes what it misses when it starts, and looks at the format after that.
#[tokio::test]
async fn what_a_gateway_of_the_version_before_makes_at_its_start_changes_nothing() {
    let store = converted().await;
    let state = collection(&store, "tidegate.state");
    for (id, first) in [
        ("format", doc! { "v": 2 }),
        ("epoch", doc! { "epoch": "of-its-own" }),
        (
            "lease",
            doc! { "fence": 0_i64, "until": Bson::DateTime(mongodb::bson::DateTime::MIN) },
        ),
    ] {
        let upsert = state.update_one(doc! { "_id": id }, doc! { "$setOnInsert": first });
        upsert.upsert(true).await.unwrap();
    }
    let epoch = find(&store, "tidegate.state", "epoch").await.unwrap();
    assert_eq!(
        epoch,
        doc! { "_id": "epoch" },
        "those that run still find none"
    );
    let server = Server::serve(&store.directory);
    store.expect_unchanged(&server).await;
}

/// A gateway of format 2 that imports writes its lease and its progress past commits.
#[tokio::test]
async fn the_progress_of_the_import_goes_on_where_older_gateways_do_not_write() {
    let before = find(
        &OldStore::mongodb().await,
        "tidegate.state",
        "import\0\u{31}",
    )
    .await;
    let mut expected = before.unwrap();
    expected.insert("_id", "progress\0\u{31}");
    let store = converted().await;
    let progress = find(&store, "tidegate.state", "progress\0\u{31}").await;
    assert_eq!(progress, Some(expected));
    for gone in ["import\0\u{31}", "lease"] {
        assert_eq!(find(&store, "tidegate.state", gone).await, None);
    }
}

#[tokio::test]
async fn without_the_notes_of_the_version_before_a_store_is_not_converted() {
    for (name, note, said) in [
        (
            "servedModel",
            None,
            "does not say which model it was served by",
        ),
        ("servedModel", Some("type Order {"), "cannot be read"),
        ("restamped", None, "may not be escaped"),
    ] {
        let store = OldStore::mongodb().await;
        let state = collection(&store, "tidegate.state");
        let of_note = doc! { "_id": name };
        match note {
            None => drop(state.delete_one(of_note).await.unwrap()),
            Some(text) => {
                let text = doc! { "$set": { "text": text } };
                state.update_one(of_note, text).await.unwrap();
            }
        }
        let before = store.dump().await;
        let refused = open(&options(&store).await)
            .await
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(said), "{refused}");
        assert!(
            refused.contains("start the version of Tidegate before once more"),
            "{refused}"
        );
        assert_eq!(store.dump().await, before);
    }
}

#[tokio::test]
async fn a_converted_store_begins_with_the_model_that_it_was_served_with() {
    let old = OldStore::mongodb().await;
    let store = open(&options(&old).await).await.unwrap();
    let models = store.models();
    let served = ModelRecord::of_served(super::MODEL);
    assert_eq!(models.record().await.unwrap(), served);
    let register = async |text: &str| models.register(text, "hash").await.unwrap();
    assert_eq!(register("another").await, Generation(2));
    assert_eq!(register(super::MODEL).await, Generation(1));
}
