//! The file of an embedded store after something else has changed it. Its bytes are read and written as a gateway does.
//! Their truth cannot be checked, but every answer must be an answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::{Arc, OnceLock},
};

use tempfile::TempDir;
use tidegate::store::{
    InboxRange, ScanRange, Snapshot, Store, StoreError,
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use tidegate_core::{
    checkpoint::TokenKey,
    entry::{Entry, Marker, Membership, Writer},
    id::{
        ClientId, ClientKey, ConflictId, DocumentId, DocumentKey, Epoch, MutationId, Scope, Seq,
        TypeName, UserId, Version,
    },
    inbox::{ClientChange, InboxRecord, OpenConflict, PendingConflict, ResolvedConflict},
    membership::{Bounds, GiverAndUser, UserChange},
    model::Role,
    outcome::Status,
    push::{ClientState, PushHash, RememberedOutcome, ResolutionHash},
    transaction::{ExpiryQuery, Reads, Writes},
    value::{Timestamp, Value},
};

const FILE_NAME: &str = "tidegate.redb";
const PAGE_BYTES: usize = 4096;
const SCOPES: [&str; 3] = ["all", "team:1", "user:alice"];
const DOCUMENTS: i32 = 120;
const CONFLICTS: i32 = 60;

/// Opens the changed file and uses every function of a store on it.
pub(crate) fn run(bytes: &[u8]) {
    let mut file = whole().to_vec();
    bytes
        .chunks_exact(6)
        .for_each(|edit| change(&mut file, edit));
    let directory = TempDir::new().expect("a directory");
    fs::write(directory.path().join(FILE_NAME), &file).expect("room for a store");
    match open(directory.path()) {
        Ok(store) => runtime().block_on(work(store)),
        Err(StoreError::Corrupt(_) | StoreError::OtherFormat { .. }) => {}
        Err(error) => panic!("the file is to blame, not {error:?}"),
    }
}

/// One edit: what is done, with which byte, and where in the file.
fn change(file: &mut Vec<u8>, edit: &[u8]) {
    let &[what, with, ref place @ ..] = edit else {
        return;
    };
    let place = place.iter().fold(0, |sum, b| sum << 8 | usize::from(*b));
    let place = place % file.len().max(1);
    let page = place / PAGE_BYTES * PAGE_BYTES;
    let rest = file.len() - place.min(file.len());
    match what % 8 {
        0..=2 => file.iter_mut().skip(place).take(1).for_each(|b| *b ^= with),
        3 => file.iter_mut().skip(place).take(1).for_each(|b| *b = with),
        4 => file[place..][..rest.min(8)].fill(with),
        5 => {
            let from = usize::from(with) * PAGE_BYTES % file.len().max(1);
            let length = PAGE_BYTES.min(file.len() - from).min(file.len() - page);
            file.copy_within(from..from + length, page);
        }
        6 => file[page..]
            .iter_mut()
            .take(PAGE_BYTES)
            .for_each(|b| *b = with),
        _ => file.truncate(place),
    }
}

/// Reads all, commits, reads again and closes. A commit may report that its outcome is unknown. No other failure may be
/// blamed on the machine.
async fn work(store: EmbeddedStore) {
    expect_reported(read(&store).await);
    match commit(&store).await {
        Ok(_) | Err(StoreError::Unavailable(_)) => {}
        reported => expect_reported(reported.map(drop)),
    }
    let _: Result<(), StoreError> = read(&store).await;
}

fn expect_reported(result: Result<(), StoreError>) {
    match result {
        Ok(()) | Err(StoreError::Corrupt(_)) => {}
        Err(error) => panic!("the file is to blame, not {error:?}"),
    }
}

/// Asks every question, whatever the answers before. Returns the first failure.
async fn read(store: &EmbeddedStore) -> Result<(), StoreError> {
    let mut snapshot = store.snapshot().await?;
    let scopes = SCOPES.map(scope).into();
    let results = [
        snapshot.scopes(&scopes).await.map(drop),
        snapshot
            .memberships(&user(), &Bounds::default())
            .await
            .map(drop),
        snapshot
            .entries(&(0..DOCUMENTS).map(key).collect(), usize::MAX)
            .await
            .map(drop),
        snapshot.client(&client()).await.map(drop),
        snapshot.conflict(&conflict_id(1)).await.map(drop),
        snapshot.conflicts(&inbox()).await.map(drop),
        walk(snapshot.as_mut()).await,
        scan(snapshot.as_mut(), None).await,
        scan(snapshot.as_mut(), Some("Nothing")).await,
        store.confirmed_head(&scope(SCOPES[0])).await.map(drop),
    ];
    results.into_iter().collect()
}

fn inbox() -> InboxRange {
    InboxRange {
        scopes: SCOPES.map(scope).into(),
        after: None,
        items_max: 1_000,
        bytes_max: usize::MAX,
    }
}

async fn walk(snapshot: &mut dyn Snapshot) -> Result<(), StoreError> {
    let mut after: Option<DocumentKey> = None;
    loop {
        let entries = snapshot.walk(after.as_ref(), 50).await?;
        match entries.last() {
            None => return Ok(()),
            Some(last) if after.as_ref().is_none_or(|after| *after < last.key) => {
                after = Some(last.key.clone());
            }
            Some(_) => panic!("a walk goes forward"),
        }
    }
}

async fn scan(snapshot: &mut dyn Snapshot, of_type: Option<&str>) -> Result<(), StoreError> {
    for scope in SCOPES.map(scope) {
        let range = ScanRange {
            scope,
            removals: of_type.is_some(),
            types: of_type.map(|name| [TypeName::new(name).expect("a name")].into()),
            after: Seq::START,
            through: Seq(i64::MAX),
            items_max: 1_000,
            bytes_max: 1 << 20,
        };
        snapshot.scan(&range).await?;
    }
    Ok(())
}

/// Replaces, moves, deletes and collects.
async fn commit(store: &EmbeddedStore) -> Result<Writes, StoreError> {
    let expired = ExpiryQuery {
        before: Timestamp::EPOCH.plus_ms(1_000),
        limit: 100,
    };
    let reads = Reads {
        keys: (0..DOCUMENTS).map(key).collect(),
        clients: [client()].into(),
        members: BTreeSet::from([user()]),
        inbox: (0..CONFLICTS).map(conflict_id).collect(),
        users: [user()].into(),
        given: [GiverAndUser {
            giver: user(),
            user: user(),
        }]
        .into(),
        waiting: (0..DOCUMENTS).map(|number| (key(number), user())).collect(),
        expired: Some(expired),
        ..Reads::default()
    };
    let decide = |loaded: &_| {
        let tidegate_core::transaction::Loaded {
            expired,
            expired_resolutions: forgettable,
            ..
        } = loaded;
        Writes {
            collected: expired.clone(),
            resolutions_removed: forgettable.clone(),
            ..writes(2)
        }
    };
    let committed = store.commit(reads, Arc::new(decide)).await;
    committed.map(|committed| committed.writes)
}

/// The file of a store with rows in every table, and several pages in some.
fn whole() -> &'static [u8] {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(make)
}

fn make() -> Vec<u8> {
    let directory = TempDir::new().expect("a directory");
    let store = open(directory.path()).expect("a new store");
    let filled = store.commit(Reads::default(), Arc::new(|_: &_| writes(1)));
    runtime().block_on(filled).expect("a healthy store commits");
    drop(store);
    fs::read(directory.path().join(FILE_NAME)).expect("the store's file")
}

fn writes(version: i32) -> Writes {
    let state = ClientState {
        last: MutationId(version),
        first: MutationId(version),
        hash: PushHash([7; 32]),
        outcomes: Vec::new(),
        at: Some(Timestamp::EPOCH),
        api: None,
    };
    Writes {
        entries: (0..DOCUMENTS)
            .map(|number| Arc::new(entry(number, version)))
            .collect(),
        markers: (0..10).map(|number| marker(number, version)).collect(),
        markers_removed: vec![(scope(SCOPES[2]), key(0))],
        clients: vec![(client(), state)],
        inbox: (0..CONFLICTS).map(|n| record(n, version)).collect(),
        floors: BTreeMap::from([(scope(SCOPES[0]), Seq(1))]),
        version_floor: Some(Version(version)),
        users: [(
            user(),
            UserChange {
                declined: Some([user()].into()),
            },
        )]
        .into(),
        ..Writes::default()
    }
}

fn entry(number: i32, version: i32) -> Entry {
    let member = Membership {
        user: user(),
        scope: scope(SCOPES[1]),
        role: Role::Write,
        giver: Some(user()),
        since: Timestamp::EPOCH,
    };
    let writer = Writer {
        user: Some(user()),
        client: None,
        edited_at: Timestamp::EPOCH,
        mutation: Some(MutationId(1)),
    };
    let text = Value::String("some words ".repeat(number as usize % 30));
    let body = [
        ("title".to_owned(), text),
        ("n".to_owned(), Value::Int(number)),
    ]
    .into();
    Entry {
        key: key(number),
        scope: scope(SCOPES[(number + version) as usize % SCOPES.len()]),
        version: Version(version),
        began: Version(1),
        run: Version(version),
        field_versions: [("title".to_owned(), Version(version))].into(),
        writers: [(Version(version), writer)].into(),
        body: (number % 5 > 0).then_some(body),
        withheld: false,
        at: Timestamp::EPOCH,
        membership: (number % 5 == 1).then_some(member),
    }
}

/// Every third was settled.
fn record(number: i32, version: i32) -> InboxRecord {
    let held = PendingConflict {
        fields: vec!["title".to_owned()],
        base: None,
        mine: ClientChange::Deleted,
        enters: None,
    };
    if number % 3 == 0 {
        let outcome = RememberedOutcome {
            status: Status::Applied,
            version: None,
            error: None,
            inbox: None,
        };
        return InboxRecord::Resolved(Arc::new(ResolvedConflict {
            id: conflict_id(number),
            key: key(number),
            user: user(),
            hash: ResolutionHash([7; 32]),
            outcome,
            at: Timestamp::EPOCH,
        }));
    }
    let entry = entry(number, version);
    InboxRecord::Open(Arc::new(OpenConflict {
        id: conflict_id(number),
        key: key(number),
        scope: entry.scope,
        shown_in: BTreeSet::new(),
        opened_at: Timestamp::EPOCH.plus_ms(i64::from(number)),
        opened_by: user(),
        client: None,
        mutation: None,
        version: entry.version,
        pending: held,
        theirs: entry.body,
    }))
}

fn conflict_id(number: i32) -> ConflictId {
    ConflictId::new(&format!("conflict-{number}")).expect("a name")
}

fn marker(number: i32, version: i32) -> Marker {
    Marker {
        key: key(number),
        scope: scope(SCOPES[2]),
        version: Version(version),
        at: Timestamp::EPOCH,
    }
}

fn open(directory: &Path) -> Result<EmbeddedStore, StoreError> {
    let options = EmbeddedOptions {
        cache_bytes: 1 << 20,
        ..EmbeddedOptions::new(Epoch::new("first").expect("a name"), TokenKey([7; 32]))
    };
    EmbeddedStore::open(directory, &options)
}

fn runtime() -> tokio::runtime::Runtime {
    let built = tokio::runtime::Builder::new_current_thread().build();
    built.expect("a runtime")
}

fn key(number: i32) -> DocumentKey {
    DocumentKey {
        type_name: TypeName::new("Task").expect("a name"),
        id: DocumentId::new(&format!("task-{number}")).expect("a name"),
    }
}

fn client() -> ClientKey {
    ClientKey {
        user: user(),
        client: ClientId::new("phone").expect("a name"),
    }
}

fn user() -> UserId {
    UserId::new("alice").expect("a name")
}

fn scope(name: &str) -> Scope {
    Scope::new(name).expect("a name")
}
