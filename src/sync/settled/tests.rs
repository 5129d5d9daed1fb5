use tempfile::TempDir;
use tidegate_core::{
    entry::Writer,
    generation::{Generation, Term},
    id::{ConflictId, Version},
    inbox::{ClientChange, InboxRecord, OpenConflict, PendingConflict},
    outcome::Status,
    push::{Outcome, PushOutcome},
    transaction::Fence,
    value::Timestamp,
};

use super::*;
use crate::{
    fixtures::{self, embedded, scope, texts},
    store::ScanRange,
};

const MODEL: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{list}") { id: ID! list: String! }
type Note @collection(name: "notes") @scope(by: "{list}") { id: ID! list: String! }
"#;

fn key(type_name: &str) -> DocumentKey {
    fixtures::key(type_name, "1")
}

/// A document of the list `new` in this scope.
fn entry(type_name: &str, stands_in: &str) -> Entry {
    let writer = Writer {
        user: None,
        client: None,
        edited_at: Timestamp::EPOCH,
        mutation: None,
    };
    Entry {
        field_versions: [("list".to_owned(), Version(1))].into(),
        writers: [(Version(1), writer)].into(),
        ..fixtures::entry(key(type_name), stands_in, texts(&[("list", "new")]))
    }
}

struct Bench {
    store: Arc<dyn Store>,
    models: Arc<dyn Models>,
    _directory: TempDir,
}

/// A gateway of the first generation, which leads. Tasks move.
async fn bench() -> Bench {
    bench_of(|_| ()).await
}

/// The same, with another state of the lead.
async fn bench_of(alter: impl Fn(&mut ModelState)) -> Bench {
    let directory = TempDir::new().unwrap();
    let store = embedded(directory.path());
    let model = Model::parse("model.graphql", MODEL).unwrap();
    let mut change = ModelState::default().led_by(Generation(1), &model, None);
    change.state.moving.insert(key("Task").type_name);
    alter(&mut change.state);
    let store = SettledStore::over(Arc::new(model), Arc::new(store));
    let models = store.models();
    assert!(models.take_lead(&change).await.unwrap());
    models.serve_as(Generation(1)).await.unwrap();
    Bench {
        store,
        models,
        _directory: directory,
    }
}

impl Bench {
    async fn write(&self, entry: Entry) -> Writes {
        let shown = Outcome {
            type_name: entry.key.type_name.clone(),
            id: "1".to_owned(),
            mutation: None,
            status: Status::Conflict,
            version: Some(entry.version),
            document: Some(Arc::new(entry.clone())),
            conflict: Some(Vec::new()),
            error: None,
            inbox: None,
        };
        let answer = PushOutcome {
            outcomes: vec![shown],
            duplicate: false,
            last_mutation_id: None,
        };
        let writes = Writes {
            entries: vec![Arc::new(entry)],
            answers: vec![Ok(answer)],
            ..Writes::default()
        };
        let decide = move |_: &Loaded| writes.clone();
        let committed = self.store.commit(Reads::default(), Arc::new(decide)).await;
        committed.unwrap().writes
    }

    /// Whether a page and a read by key show the document.
    async fn shows(&self, type_name: &str, stands_in: &str) -> (bool, bool) {
        let mut snapshot = self.store.snapshot().await.unwrap();
        let range = ScanRange {
            scope: scope(stands_in),
            types: Some([key(type_name).type_name].into()),
            removals: true,
            after: Seq::START,
            through: Seq(100),
            items_max: 100,
            bytes_max: usize::MAX,
        };
        let page = snapshot.scan(&range).await.unwrap();
        let on_page = page.decoded().unwrap().iter().any(is_shown);
        let keys = [key(type_name)].into();
        let by_key = snapshot.entries(&keys, 0).await.unwrap();
        (on_page, by_key.found.contains_key(&key(type_name)))
    }
}

fn is_shown(item: &FeedItem) -> bool {
    !item.record.is_collectable()
}

fn has_document(writes: &Writes) -> bool {
    let outcome = &writes.answers[0].as_ref().unwrap().outcomes[0];
    assert_eq!(outcome.document.is_some(), outcome.conflict.is_some());
    outcome.document.is_some()
}

#[tokio::test]
async fn a_document_in_another_scope_than_its_fields_make_is_shown_nowhere_while_its_type_moves() {
    let bench = bench().await;
    let shown_by = async |entry: Entry| {
        let (name, stands_in) = (entry.key.type_name.clone(), entry.scope.clone());
        let mut tail = bench.store.tail();
        let restart = tail.next().await;
        assert!(matches!(restart, Some(TailEvent::Restart)));
        let outcome = has_document(&bench.write(entry).await);
        let ring = loop {
            if let Some(TailEvent::Committed(writes)) = tail.next().await {
                break is_shown(&writes[0].item.decode().unwrap());
            }
        };
        let (page, by_key) = bench.shows(name.as_str(), stands_in.as_str()).await;
        [outcome, ring, page, by_key]
    };
    assert_eq!(
        shown_by(entry("Note", "old")).await,
        [true; 4],
        "it does not move"
    );
    assert_eq!(
        shown_by(entry("Task", "new")).await,
        [true; 4],
        "it has moved"
    );
    assert_eq!(shown_by(entry("Task", "old")).await, [false; 4]);

    bench.models.serve_as(Generation(2)).await.unwrap();
    let of_another_model = bench.shows("Task", "old").await;
    assert_eq!(
        of_another_model,
        (true, true),
        "only the lead knows where it belongs"
    );
    bench.models.serve_as(Generation(1)).await.unwrap();
    assert_eq!(bench.shows("Task", "old").await, (false, false));
    let task = key("Task").type_name;
    bench.models.moved(Term(1), &task).await.unwrap();
    assert_eq!(bench.shows("Task", "old").await, (true, true));
}

/// The same model, with the list of a task under another name. A write moves it there.
const RENAMED: &str = r#"
extend schema @grant(scope: "public", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "{list}") { id: ID! list: String! @stored(as: "l") @renamed(stored: "list") }
type Note @collection(name: "notes") @scope(by: "{list}") { id: ID! list: String! }
"#;

#[tokio::test]
async fn a_value_under_a_name_of_the_lead_hides_its_document_at_a_gateway_that_does_not_read_it() {
    let bench = bench().await;
    let [own, next] = [MODEL, RENAMED].map(|text| Model::parse("model.graphql", text).unwrap());
    let record = bench.models.record().await.unwrap();
    let change = record.state.led_by(Generation(2), &next, Some(&own));
    assert!(bench.models.take_lead(&change).await.unwrap());

    let mut moved = entry("Task", "new");
    let body = moved.body.as_mut().unwrap();
    let value = body.remove("list").unwrap();
    body.insert("l".to_owned(), value);
    bench.write(moved).await;
    assert_eq!(bench.shows("Task", "new").await, (false, false));
    // What the lead has not written yet is where it was.
    bench.write(entry("Task", "new")).await;
    bench.write(entry("Note", "new")).await;
    assert_eq!(bench.shows("Task", "new").await, (true, true));
    assert_eq!(bench.shows("Note", "new").await, (true, true));
}

#[tokio::test]
async fn rings_begin_again_when_documents_begin_to_move() {
    let bench = bench().await;
    let mut tail = bench.store.tail();
    assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
    drop(bench.store.snapshot().await.unwrap());
    assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
}

#[tokio::test]
async fn nothing_is_served_until_memberships_are_stamped_that_the_lead_changes() {
    let bench = bench_of(|state| {
        state.unstamped.insert(key("Task").type_name);
    })
    .await;
    let written = Writes {
        entries: vec![Arc::new(entry("Note", "new"))],
        ..Writes::default()
    };
    let commit = async |lease: Option<Fence>| {
        let (written, reads) = (
            written.clone(),
            Reads {
                lease,
                ..Reads::default()
            },
        );
        let decide = Arc::new(move |_: &Loaded| written.clone());
        bench.store.commit(reads, decide).await
    };
    let is_refused = |error: Option<StoreError>| matches!(error, Some(StoreError::Unavailable(_)));
    assert!(is_refused(bench.store.snapshot().await.err()));
    assert!(is_refused(commit(None).await.err()));
    bench.models.serve_as(Generation(2)).await.unwrap();
    assert_eq!(
        bench.shows("Note", "new").await,
        (false, false),
        "nothing was written"
    );
    bench.models.serve_as(Generation(1)).await.unwrap();
    commit(Some(Fence(1))).await.expect("a stamp");
    let task = [key("Task").type_name].into();
    bench.models.stamped(Term(1), &task).await.unwrap();
    assert_eq!(bench.shows("Note", "new").await, (true, true));
}

/// A conflict of the document that is in another scope than its fields make.
#[tokio::test]
async fn the_inbox_shows_no_conflict_of_a_document_that_still_moves() {
    let bench = bench().await;
    let conflict = |type_name: &str| OpenConflict {
        id: ConflictId::new(type_name).unwrap(),
        key: key(type_name),
        scope: scope("old"),
        shown_in: [scope("old")].into(),
        opened_at: Timestamp::EPOCH,
        opened_by: UserId::new("bob").unwrap(),
        client: None,
        mutation: None,
        version: Version(1),
        pending: PendingConflict {
            fields: Vec::new(),
            base: None,
            mine: ClientChange::Deleted,
            enters: None,
        },
        theirs: entry(type_name, "old").body,
    };
    for type_name in ["Note", "Task"] {
        bench.write(entry(type_name, "old")).await;
        let record = InboxRecord::Open(Arc::new(conflict(type_name)));
        let writes = Writes {
            inbox: vec![record],
            ..Writes::default()
        };
        let decide = Arc::new(move |_: &Loaded| writes.clone());
        bench.store.commit(Reads::default(), decide).await.unwrap();
    }
    let shown = async || {
        let mut snapshot = bench.store.snapshot().await.unwrap();
        let range = InboxRange {
            scopes: [scope("old")].into(),
            after: None,
            items_max: 10,
            bytes_max: 0,
        };
        let (mut ids, mut range) = (Vec::new(), range);
        loop {
            let scan = snapshot.conflicts(&range).await.unwrap();
            ids.extend(scan.conflicts.iter().map(|open| open.id.to_string()));
            range.after = scan.end;
            if !scan.has_more {
                return ids;
            }
        }
    };
    assert_eq!(shown().await, ["Note"]);
    let task = key("Task").type_name;
    bench.models.moved(Term(1), &task).await.unwrap();
    assert_eq!(shown().await, ["Note", "Task"]);
}
