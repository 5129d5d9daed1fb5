//! The store on a disk that fails: its answers stay true, and it continues when the disk does.
//!
//! The contract suite tests what it promises on a healthy disk.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, ErrorKind},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use futures_util::FutureExt;
use redb::{Builder, Database, StorageBackend, backends::FileBackend};
use tempfile::TempDir;
use tidegate_core::{
    checkpoint::TokenKey, digest::ScopeSums, id::DocumentKey, transaction::Writes, value::Value,
};

use super::{file::OpenMode, tables::SCOPES, *};
use crate::{
    fixtures::{self, embedded, entry},
    store::finding::Topic,
};

const NEVER: u32 = u32::MAX;

/// The faults of a disk.
#[derive(Debug, Default)]
struct Faults {
    /// It cannot grow.
    full: AtomicBool,
    /// It cannot be read.
    unreadable: AtomicBool,
    /// The number of writes and flushes that succeed before one fails.
    writes_left: AtomicU32,
    /// After that one, all fail.
    lasting: AtomicBool,
    /// One has failed.
    has_failed: AtomicBool,
    /// The next write panics.
    panics: AtomicBool,
    /// The file may not be opened for writing.
    read_only: AtomicBool,
}

impl Faults {
    fn count_write(&self) -> io::Result<()> {
        match self.writes_left.load(Ordering::SeqCst) {
            NEVER => Ok(()),
            0 => {
                if !self.lasting.load(Ordering::SeqCst) {
                    self.writes_left.store(NEVER, Ordering::SeqCst);
                }
                self.has_failed.store(true, Ordering::SeqCst);
                Err(ErrorKind::StorageFull.into())
            }
            left => {
                self.writes_left.store(left - 1, Ordering::SeqCst);
                Ok(())
            }
        }
    }
}

#[derive(Debug)]
struct Disk {
    file: FileBackend,
    faults: Arc<Faults>,
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        if self.faults.unreadable.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk cannot be read"));
        }
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if self.faults.full.load(Ordering::SeqCst) && len > self.file.len()? {
            return Err(ErrorKind::StorageFull.into());
        }
        self.faults.count_write()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.count_write()?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        assert!(
            !self.faults.panics.swap(false, Ordering::SeqCst),
            "the disk panics"
        );
        self.faults.count_write()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A store without a cache, so that reads reach the disk, with the faults and the place of its disk.
fn bench() -> (EmbeddedStore, Arc<Faults>, TempDir) {
    let place = TempDir::new().unwrap();
    let options = EmbeddedOptions::new(Epoch::new("first").unwrap(), TokenKey([7; 32]));
    let path = opening::find_or_create(place.path(), &options).unwrap();
    let faults = Arc::new(Faults {
        writes_left: AtomicU32::new(NEVER),
        ..Faults::default()
    });
    let of_disk = Arc::clone(&faults);
    let open = move |access| {
        if of_disk.read_only.load(Ordering::SeqCst) {
            return open_read_only(&path, access);
        }
        let file = File::options().read(true).write(true).open(&path);
        let disk = Disk {
            file: FileBackend::new(file.unwrap()).unwrap(),
            faults: Arc::clone(&of_disk),
        };
        let opened = Builder::new().set_cache_size(0).create_with_backend(disk);
        opened.map_err(|error| StoreError::Unavailable(error.to_string()))
    };
    let file = StoreFile::over(open).unwrap();
    let store = EmbeddedStore::run(file, options.tail_events_max).unwrap();
    (store, faults, place)
}

fn open_read_only(path: &Path, access: OpenMode) -> Result<Database, StoreError> {
    if access == OpenMode::Write {
        return Err(StoreError::NotWritable("it is read-only".to_owned()));
    }
    let options = EmbeddedOptions {
        cache_bytes: 0,
        ..EmbeddedOptions::new(Epoch::new("first").unwrap(), TokenKey([7; 32]))
    };
    opening::open_database(path, &options, access)
}

fn key(number: u32) -> DocumentKey {
    fixtures::key("Task", &number.to_string())
}

async fn commit(store: &EmbeddedStore, number: u32, body_bytes: usize) -> Result<(), StoreError> {
    let body = Value::Bytes(vec![1; body_bytes]);
    let entry = entry(key(number), "a", [("bytes".to_owned(), body)].into());
    let writes = Writes {
        entries: vec![Arc::new(entry)],
        ..Writes::default()
    };
    let decide = move |_: &_| writes.clone();
    let committed = store.commit(Reads::default(), Arc::new(decide)).await;
    committed.map(|_| ())
}

async fn is_stored(store: &EmbeddedStore, number: u32) -> Result<bool, StoreError> {
    shows(&mut *store.snapshot().await?, number).await
}

async fn shows(snapshot: &mut dyn Snapshot, number: u32) -> Result<bool, StoreError> {
    let found = snapshot.entries(&[key(number)].into(), usize::MAX).await?;
    Ok(found.found.contains_key(&key(number)))
}

#[track_caller]
fn assert_unwritten(refused: Result<(), StoreError>) {
    assert!(
        matches!(refused, Err(StoreError::NotWritable(_))),
        "{refused:?}"
    );
}

#[track_caller]
fn assert_unavailable<T: std::fmt::Debug>(refused: Result<T, StoreError>) {
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_full_disk_refuses_writes_only_until_there_is_room() {
    let (store, faults, _place) = bench();
    commit(&store, 1, 10).await.unwrap();
    let mut tail = store.tail().skip(1);
    faults.full.store(true, Ordering::SeqCst);
    for number in [2, 3] {
        assert_unwritten(commit(&store, number, 1_000_000).await);
        assert!(is_stored(&store, 1).await.unwrap());
        assert!(!is_stored(&store, number).await.unwrap());
        assert!(matches!(tail.next().await, Some(TailEvent::Restart)));
    }
    assert!(
        tail.next().now_or_never().is_none(),
        "nothing was committed"
    );
    faults.full.store(false, Ordering::SeqCst);
    commit(&store, 4, 1_000_000).await.unwrap();
    assert!(is_stored(&store, 4).await.unwrap());
    let head = store.confirmed_head(&Scope::new("a").unwrap()).await;
    assert_eq!(head.unwrap(), Seq(2));
}

/// A failed commit ends the opening. The snapshot is read again, as long as its moment is still the last one.
#[tokio::test]
async fn a_snapshot_outlives_a_commit_that_failed() {
    let (store, faults, _place) = bench();
    commit(&store, 1, 100_000).await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    faults.full.store(true, Ordering::SeqCst);
    for number in [2, 3] {
        assert!(commit(&store, number, 1_000_000).await.is_err());
        assert!(shows(&mut *snapshot, 1).await.unwrap());
    }
}

#[tokio::test]
async fn a_file_that_may_only_be_read_is_read_until_it_may_be_written() {
    let (store, faults, _place) = bench();
    commit(&store, 1, 100_000).await.unwrap();
    faults.full.store(true, Ordering::SeqCst);
    faults.read_only.store(true, Ordering::SeqCst);
    for number in [2, 3] {
        assert_unwritten(commit(&store, number, 1_000_000).await);
        assert!(is_stored(&store, 1).await.unwrap());
        assert!(!is_stored(&store, number).await.unwrap());
    }
    faults.full.store(false, Ordering::SeqCst);
    faults.read_only.store(false, Ordering::SeqCst);
    commit(&store, 2, 1_000_000).await.unwrap();
    assert!(is_stored(&store, 2).await.unwrap());
}

/// The disk fails at the first write of a commit, at the second, and so on until the commit needs no more of them.
#[tokio::test]
async fn wherever_a_commit_fails_its_answer_is_true_and_the_next_commit_works() {
    for (lasting, read_only) in [(false, false), (true, false), (true, true)] {
        let (store, faults, _place) = bench();
        faults.lasting.store(lasting, Ordering::SeqCst);
        let mut failures = 0;
        for writes in 0.. {
            let number = 2 * writes;
            faults.writes_left.store(writes, Ordering::SeqCst);
            faults.read_only.store(read_only, Ordering::SeqCst);
            let answer = commit(&store, number, 10_000).await;
            let left = faults.writes_left.swap(NEVER, Ordering::SeqCst);
            let has_failed = faults.has_failed.swap(false, Ordering::SeqCst);
            let stored = is_stored(&store, number).await.unwrap();
            match &answer {
                Ok(()) if read_only && has_failed => panic!("acknowledged, but not flushed"),
                Ok(()) => assert!(stored, "acknowledged, but lost, after {writes} writes"),
                Err(StoreError::NotWritable(_)) => assert!(!stored, "refused, but written"),
                Err(StoreError::Unavailable(_)) if lasting => {}
                Err(error) => panic!("{error:?} after {writes} writes"),
            }
            faults.read_only.store(false, Ordering::SeqCst);
            commit(&store, number + 1, 10).await.unwrap();
            assert!(is_stored(&store, number + 1).await.unwrap());
            failures += u32::from(answer.is_err());
            if answer.is_ok() && left != NEVER && left > 0 {
                break;
            }
        }
        assert!(failures > 3, "only {failures} commits failed");
    }
}

#[tokio::test]
async fn a_disk_that_can_be_read_again_is_read_again() {
    let (store, faults, _place) = bench();
    commit(&store, 1, 100_000).await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    faults.unreadable.store(true, Ordering::SeqCst);
    assert_unavailable(shows(&mut *snapshot, 1).await);
    assert!(is_stored(&store, 1).await.is_err());
    faults.unreadable.store(false, Ordering::SeqCst);
    assert!(is_stored(&store, 1).await.unwrap());
    commit(&store, 2, 10).await.unwrap();

    assert_unavailable(shows(&mut *snapshot, 1).await);
    let mut later = store.snapshot().await.unwrap();
    assert!(is_stored(&store, 2).await.unwrap());
    let found = shows(&mut *later, 2).await;
    assert!(found.unwrap(), "an old snapshot's failure closed a new one");
}

#[tokio::test]
async fn the_writer_outlives_a_panic() {
    let (store, faults, _place) = bench();
    commit(&store, 1, 10).await.unwrap();
    faults.panics.store(true, Ordering::SeqCst);
    assert_unavailable(commit(&store, 2, 10).await);
    commit(&store, 3, 10).await.unwrap();
    let keys = BTreeSet::from([key(1), key(2), key(3)]);
    let found = store
        .snapshot()
        .await
        .unwrap()
        .entries(&keys, usize::MAX)
        .await;
    let found: BTreeSet<_> = found.unwrap().found.into_keys().collect();
    assert!(found.is_superset(&[key(1), key(3)].into()), "{found:?}");
}

#[tokio::test]
async fn an_examination_finds_heads_that_are_not_at_the_end_of_their_feed() {
    let directory = TempDir::new().unwrap();
    let open = || embedded(directory.path());
    let store = open();
    commit(&store, 1, 10).await.unwrap();
    commit(&store, 2, 10).await.unwrap();
    drop(store);
    for (state, broken) in [
        ((2, 0), 0),
        ((1, 0), 1),
        ((3, 0), 1),
        ((3, 3), 0),
        ((2, 3), 1),
    ] {
        let database = Database::open(directory.path().join("tidegate.redb")).unwrap();
        let writing = database.begin_write().unwrap();
        writing
            .open_table(SCOPES)
            .unwrap()
            .insert("a", state)
            .unwrap();
        writing.commit().unwrap();
        drop(database);
        let store = open();
        let findings = store.examine_all().await.unwrap();
        let heads = findings.iter().find(|it| it.topic == Topic::Heads).unwrap();
        assert_eq!(
            heads.count.unwrap_or_default(),
            broken,
            "{state:?}: {heads}"
        );
        drop(store);
    }
}

async fn living(store: &EmbeddedStore) -> Option<(ScopeSums, ScopeSums)> {
    let (a, mut snapshot) = (Scope::new("a").unwrap(), store.snapshot().await.unwrap());
    let kept = snapshot.sums(&BTreeSet::from([a.clone()])).await.unwrap();
    let counted = snapshot.count(&a).await.unwrap();
    kept.into_values().next().map(|kept| (kept, counted))
}

/// A version that knows no sums leaves the row of the head before. A gateway that was killed while it counted leaves sums
/// that are not complete.
#[tokio::test]
async fn sums_of_another_head_count_as_none_and_a_count_that_was_cut_short_is_finished() {
    let directory = TempDir::new().unwrap();
    let options = EmbeddedOptions::new(Epoch::new("e1").unwrap(), TokenKey([7; 32]));
    let earlier = EmbeddedOptions {
        keeps_sums: false,
        ..options.clone()
    };
    let open = |options| EmbeddedStore::open(directory.path(), options).unwrap();
    let store = open(&options);
    commit(&store, 1, 10).await.unwrap();
    let (kept, counted) = living(&store).await.unwrap();
    assert_eq!(kept, counted);
    drop(store);
    let store = open(&earlier);
    commit(&store, 2, 10).await.unwrap();
    drop(store);
    let store = open(&options);
    assert_eq!(living(&store).await, None);
    let a = Scope::new("a").unwrap();
    store.work_on_sums(&a, SumsWork::Begin).await.unwrap();
    commit(&store, 3, 10).await.unwrap();
    drop(store);
    let store = open(&options);
    assert_eq!(living(&store).await, None);
    store.keep_sums(&a, false).await.unwrap();
    let (kept, counted) = living(&store).await.unwrap();
    let count: i64 = counted.iter().map(|(_, sum)| sum.count).sum();
    assert_eq!((&kept, count), (&counted, 3));
    let wrong = SumsWork::Complete(Seq(9), ScopeSums::default());
    store.work_on_sums(&a, SumsWork::Restart).await.unwrap();
    store.work_on_sums(&a, wrong).await.unwrap();
    assert_eq!(living(&store).await, None);
    store.keep_sums(&a, false).await.unwrap();
    assert_eq!(living(&store).await, Some((kept, counted)));
}
