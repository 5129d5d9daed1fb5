//! An embedded store beneath a history: the gateways read and write through its file, which must hold the moments in
//! the end.
//!
//! Waiting for it blocks the history's one thread, whose clock stands still meanwhile, so that each run is the same.

use std::{collections::BTreeSet, fs, path::Path, sync::Arc};

use futures_executor::block_on;
use tempfile::TempDir;
use tidegate::store::{
    DecideFn, ScanRange, Snapshot, Store,
    embedded::{EmbeddedOptions, EmbeddedStore},
};
use tidegate_core::{
    checkpoint::TokenKey,
    collect,
    entry::ScopeState,
    id::{Epoch, Scope, Seq},
    model::Model,
    query::IndexDefinition,
    transaction::{Loaded, Reads, Writes},
};
use tidegate_testkit::store::State;

use super::epoch;
use crate::oracle::{Judged, Property, expect};

pub(super) struct File {
    directory: TempDir,
    backup: TempDir,
    /// Those by which values are unique.
    indexes: Vec<Arc<IndexDefinition>>,
    /// `None` only while it is closed to be copied.
    open: Option<EmbeddedStore>,
}

impl File {
    pub(super) fn new(model: &Model) -> Self {
        let directory = TempDir::new().expect("there is room for a small directory");
        let backup = TempDir::new().expect("there is room for a small directory");
        let types = model.types.iter();
        let indexes = types.flat_map(|it| IndexDefinition::kept_for(it));
        let indexes: Vec<_> = indexes.filter(|it| it.unique.is_some()).collect();
        let open = Some(open(directory.path(), &indexes));
        Self {
            directory,
            backup,
            indexes,
            open,
        }
    }

    pub(super) fn commit(&self, reads: &Reads, decide: Arc<DecideFn>) -> Writes {
        let committed = block_on(self.store().commit(reads.clone(), decide));
        committed.expect("the file can be written").writes
    }

    pub(super) fn snapshot(&self) -> Box<dyn Snapshot> {
        block_on(self.store().snapshot()).expect("the file can be read")
    }

    pub(super) fn confirmed_head(&self, scope: &Scope) -> Seq {
        block_on(self.store().confirmed_head(scope)).expect("the file can be read")
    }

    /// Closes the file, copies it and opens it again.
    pub(super) fn back_up(&mut self) {
        self.open = None;
        copy(self.directory.path(), self.backup.path());
        self.open = Some(open(self.directory.path(), &self.indexes));
    }

    /// Puts the copy back, under another epoch.
    pub(super) fn restore(&mut self, name: Epoch) {
        self.open = None;
        copy(self.backup.path(), self.directory.path());
        self.open = Some(open(self.directory.path(), &self.indexes));
        let rotate = move |_: &Loaded| collect::rotate(name.clone());
        self.commit(&Reads::default(), Arc::new(rotate));
    }

    /// The file holds this, and nothing else.
    pub(super) fn compare(&self, state: &State) -> Judged {
        let mut snapshot = self.snapshot();
        expect(
            snapshot.state().epoch == state.epoch,
            Property::Stored,
            || format!("epoch {:?}, not {:?}", snapshot.state().epoch, state.epoch),
        )?;
        let entries = block_on(snapshot.walk(None, usize::MAX)).expect("the file can be read");
        let reported: Vec<_> = state.entries().cloned().collect();
        expect(entries == reported, Property::Stored, || {
            format!("the file has {entries:#?} and not {reported:#?}")
        })?;
        let scopes: BTreeSet<Scope> = state.scopes.keys().cloned().collect();
        let states = block_on(snapshot.scopes(&scopes)).expect("the file can be read");
        let sums = block_on(snapshot.sums(&scopes)).expect("the file can be read");
        expect(sums == state.sums, Property::Stored, || {
            format!("the file has the sums {sums:?} and not {:?}", state.sums)
        })?;
        for scope in scopes {
            let place = |state: ScopeState| (state.head, state.floor);
            let (found, reported) = (states.get(&scope).copied(), state.scope(&scope));
            let is_same = found.map(place) == Some(place(reported));
            expect(is_same, Property::Stored, || {
                format!("the file has {found:?} of {scope}, not {reported:?}")
            })?;
            compare_feed(&mut *snapshot, scope, state)?;
        }
        Ok(())
    }

    fn store(&self) -> &EmbeddedStore {
        self.open.as_ref().expect("it is closed only to be copied")
    }
}

fn compare_feed(snapshot: &mut dyn Snapshot, scope: Scope, state: &State) -> Judged {
    let mut reported: Vec<_> = state
        .feed()
        .filter(|item| *item.record.scope() == scope)
        .collect();
    reported.sort_by_key(|item| item.seq);
    let range = ScanRange {
        through: state.scope(&scope).head,
        scope,
        types: None,
        removals: true,
        after: Seq::START,
        items_max: usize::MAX,
        bytes_max: usize::MAX,
    };
    let found = block_on(snapshot.scan(&range)).expect("the file can be read");
    let found = found.decoded().expect("the file is whole");
    expect(found == reported, Property::Stored, || {
        format!("the file has {found:#?} and not {reported:#?}")
    })
}

fn open(directory: &Path, indexes: &[Arc<IndexDefinition>]) -> EmbeddedStore {
    let options = EmbeddedOptions {
        cache_bytes: 1 << 20,
        ..EmbeddedOptions::new(epoch(1), TokenKey([7; 32]))
    };
    let store = EmbeddedStore::open(directory, &options).expect("nobody else has the file");
    block_on(store.build_uniques(indexes)).expect("the file can be written");
    store
}

fn copy(from: &Path, to: &Path) {
    let files = fs::read_dir(from).expect("the directory is there");
    for file in files.flatten() {
        fs::copy(file.path(), to.join(file.file_name())).expect("there is room for a small file");
    }
}
