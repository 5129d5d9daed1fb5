//! A phone that pushes and users that pull, for the tests of pages.
//!
//! It follows no rule of clients. It only repeats its pulls until there is no more.

use serde_json::{Value as Json, json};
use tidegate_core::{
    checkpoint::RequestedTypes,
    entry::{FeedItem, Record},
};
use tidegate_testkit::client::Page;

use crate::{
    drafts::{Draft, update},
    senders::by,
    store::Store,
};

pub(crate) fn red() -> Json {
    json!({ "audience": "team:red" })
}

pub(crate) fn moved(id: &str, scope: &str) -> Draft {
    update(id, 0, json!({ "audience": scope }))
}

/// Alice's phone, and its last mutation id.
pub(crate) struct Phone {
    pub(crate) store: Store,
    pub(crate) next: i32,
}

impl Phone {
    /// Alice and Bob are in the team red, and Alice alone in blue.
    pub(crate) fn new() -> Self {
        let mut store = Store::new("SERVER_WINS");
        store.teams("alice", &["red", "blue"]);
        store.teams("bob", &["red"]);
        Self { store, next: 1 }
    }

    pub(crate) fn push(&mut self, changes: &[Draft]) {
        let answer = self
            .store
            .push(&by("alice", "phone").from(self.next), changes);
        let outcome = answer.expect("the push is answered");
        assert!(
            outcome
                .outcomes
                .iter()
                .all(|outcome| outcome.version.is_some()),
            "{outcome:#?}"
        );
        self.next += i32::try_from(changes.len()).expect("few changes");
    }

    /// Pages of one change until there is no more.
    pub(crate) fn pull(&self, user: &str, token: Option<&str>, types: &RequestedTypes) -> Pulled {
        let mut pulled = Pulled {
            names: Vec::new(),
            resets: 0,
            last: self.store.page_of(user, token, types.clone(), 1),
        };
        for _ in 0..100 {
            pulled.resets += usize::from(pulled.last.reset);
            pulled.names.extend(pulled.last.changes.iter().map(name));
            if !pulled.last.has_more {
                return pulled;
            }
            assert!(
                !pulled.last.changes.is_empty(),
                "a page is never empty while there is more"
            );
            pulled.last = self
                .store
                .page_of(user, Some(&pulled.last.token()), types.clone(), 1);
        }
        panic!("the pull does not end: {pulled:?}");
    }
}

#[derive(Debug)]
pub(crate) struct Pulled {
    pub(crate) names: Vec<String>,
    pub(crate) resets: usize,
    pub(crate) last: Page,
}

/// A change in words: `a 1`, with `-` before a deletion and `<` before a removal from a scope.
pub(crate) fn name(item: &FeedItem) -> String {
    let sign = match &item.record {
        Record::Entry(entry) if entry.is_deleted() => "-",
        Record::Entry(_) => "",
        Record::Marker(_) => "<",
    };
    format!("{sign}{} {}", item.record.key().id, item.record.version())
}
