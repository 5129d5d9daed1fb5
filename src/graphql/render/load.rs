//! Referenced documents: holes in a text, filled round by round. A round loads the documents of all holes at once. The
//! documents that these refer to are the next round.

use std::{collections::HashMap, sync::Arc};

use async_graphql::dataloader::{DataLoader, Loader};
use tidegate_core::{entry::Entry, id::DocumentKey, value::document_bytes};

use super::{PathStep, Text, document::PartsPlan};
use crate::{
    graphql::error::{ClientError, Code},
    lock::Mutex,
    quota::{Account, Lease},
    sync::{Caller, SyncService},
};

/// A position whose document is not loaded yet.
pub(super) struct Hole {
    /// Its offset in the text.
    at: usize,
    key: DocumentKey,
    plan: Arc<PartsPlan>,
    /// The steps from the position outwards, like those of an error.
    pub(super) steps: Vec<PathStep>,
    /// Its content, once that is written.
    filling: Option<Box<Text>>,
}

impl Text {
    /// Leaves a hole for a document.
    pub(super) fn hole(&mut self, key: DocumentKey, plan: &Arc<PartsPlan>) {
        self.holes.push(Hole {
            at: self.out.len(),
            key,
            plan: Arc::clone(plan),
            steps: Vec::new(),
            filling: None,
        });
    }

    pub(in crate::graphql) fn has_holes(&self) -> bool {
        !self.holes.is_empty()
    }

    /// Loads the content of the holes. Its errors follow those of the text, round by round.
    pub(in crate::graphql) async fn fill(&mut self, loader: &DataLoader<DocumentLoader>) {
        let mut depth = 0;
        loop {
            let mut holes = Vec::new();
            self.holes_at(depth, &mut holes);
            if holes.is_empty() {
                break;
            }
            let keys: Vec<DocumentKey> = holes.iter().map(|hole| hole.key.clone()).collect();
            let loaded = loader.load_many(keys).await;
            let mut errors = Vec::new();
            for hole in holes {
                let mut text = hole.filled(&loaded, loader.loader());
                errors.append(&mut text.errors);
                hole.filling = Some(Box::new(text));
            }
            self.errors.append(&mut errors);
            depth += 1;
        }
        if depth > 0 {
            self.splice();
        }
    }

    /// The holes of the texts at nesting depth `depth` in this one.
    fn holes_at<'t>(&'t mut self, depth: usize, holes: &mut Vec<&'t mut Hole>) {
        if depth == 0 {
            holes.extend(&mut self.holes);
            return;
        }
        let fillings = self.holes.iter_mut();
        for text in fillings.filter_map(|hole| hole.filling.as_deref_mut()) {
            text.holes_at(depth - 1, holes);
        }
    }

    /// Puts the content of the holes into the text.
    fn splice(&mut self) {
        let mut spliced = Vec::with_capacity(self.out.len() + self.missing_bytes());
        self.append_to(&mut spliced);
        self.out = spliced;
        self.holes.clear();
    }

    fn missing_bytes(&self) -> usize {
        let fillings = self.holes.iter().filter_map(|hole| hole.filling.as_ref());
        fillings
            .map(|text| text.out.len() + text.missing_bytes())
            .sum()
    }

    fn append_to(&self, spliced: &mut Vec<u8>) {
        let mut begin = 0;
        for hole in &self.holes {
            spliced.extend_from_slice(&self.out[begin..hole.at]);
            begin = hole.at;
            if let Some(text) = &hole.filling {
                text.append_to(spliced);
            }
        }
        spliced.extend_from_slice(&self.out[begin..]);
    }
}

/// The loaded documents, each with the lease that counts it.
type LoadedDocuments = HashMap<DocumentKey, Result<(Arc<Entry>, Option<Arc<Lease>>), ClientError>>;

impl Hole {
    /// The content of a hole: the document, or null if there is none to show or an error explains its absence.
    fn filled(
        &self,
        loaded: &Result<LoadedDocuments, ClientError>,
        loader: &DocumentLoader,
    ) -> Text {
        let mut text = Text::default();
        let begin = text.mark();
        let written = match loaded.as_ref().map(|loaded| loaded.get(&self.key)) {
            Ok(None) => text.nothing(),
            Ok(Some(Ok((entry, _)))) => match loader.budget.take(entry) {
                Ok(()) => text.optional_document_of_type(Some(entry), &self.plan),
                Err(failure) => Err(text.fail(failure)),
            },
            Ok(Some(Err(failure))) | Err(failure) => Err(text.fail(failure.clone())),
        };
        if written.is_err() {
            text.null();
        }
        for steps in text.steps_since(&begin) {
            steps.extend(self.steps.iter().cloned());
        }
        text
    }
}

/// Loads the documents that one answer refers to, checked against the caller's grants.
pub(in crate::graphql) struct DocumentLoader {
    pub(in crate::graphql) sync: Arc<SyncService>,
    pub(in crate::graphql) caller: Caller,
    pub(in crate::graphql) budget: AnswerBudget,
}

/// The bytes of referenced documents in an answer, bounded and counted as they come. A page of small documents may
/// refer to one large document, which the answer then repeats.
pub(in crate::graphql) struct AnswerBudget {
    bytes_max: usize,
    account: Option<Account>,
    taken: Mutex<BudgetUse>,
}

#[derive(Default)]
struct BudgetUse {
    bytes: usize,
    lease: Option<Lease>,
}

impl AnswerBudget {
    pub(in crate::graphql) fn new(bytes_max: usize, account: Option<&Account>) -> Self {
        Self {
            bytes_max,
            account: account.cloned(),
            taken: Mutex::default(),
        }
    }

    fn take(&self, entry: &Entry) -> Result<(), ClientError> {
        let mut taken = self.taken.lock();
        let bytes = taken.bytes + bytes(entry);
        if bytes > self.bytes_max {
            return Err(self.exceeded());
        }
        match (&mut taken.lease, &self.account) {
            (Some(lease), _) => lease.grow_to(bytes)?,
            (lease, Some(account)) => *lease = Some(account.lease(bytes)?),
            (None, None) => {}
        }
        taken.bytes = bytes;
        Ok(())
    }

    fn bytes_left(&self) -> usize {
        self.bytes_max.saturating_sub(self.taken.lock().bytes)
    }

    fn exceeded(&self) -> ClientError {
        let bytes_max = self.bytes_max;
        let message = format!(
            "The documents that others refer to have more than {bytes_max} bytes; ask for fewer at a time."
        );
        ClientError::new(Code::QueryTooLarge, message)
    }
}

fn bytes(entry: &Entry) -> usize {
    entry.body.as_ref().map_or(0, document_bytes)
}

impl Loader<DocumentKey> for DocumentLoader {
    /// An error for a document that is not read, since those before it do not fit into the answer.
    type Value = Result<(Arc<Entry>, Option<Arc<Lease>>), ClientError>;
    type Error = ClientError;

    async fn load(&self, keys: &[DocumentKey]) -> Result<LoadedDocuments, ClientError> {
        let keys = keys.iter().cloned().collect();
        let bytes_max = self.budget.bytes_left();
        let read = self.sync.documents(&self.caller, keys, bytes_max).await?;
        let lease = &read.lease;
        let found = read.found.into_iter();
        let found = found.map(|entry| (entry.key.clone(), Ok((entry, lease.clone()))));
        let unread = read.left_out.into_iter();
        let unread = unread.map(|key| (key, Err(self.budget.exceeded())));
        Ok(found.chain(unread).collect())
    }
}
