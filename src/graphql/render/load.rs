//! Referenced documents, and lists of referring ones: holes in a text, filled round by round. A round loads what is in all
//! holes at once. What the loaded documents refer to is the next round.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{Hash, Hasher},
    sync::Arc,
};

use async_graphql::dataloader::{DataLoader, Loader};
use futures_util::future::join;
use tidegate_core::{
    entry::Entry,
    id::{DocumentId, DocumentKey, Scope},
    model::DocumentType,
    query::Column,
    value::document_bytes,
};

use super::{PathStep, RenderResult, Text, document::PartsPlan};
use crate::{
    graphql::{
        error::{ClientError, Code},
        request::{ArgumentSlot, OperationArguments},
        roots::arguments,
        table::ObjectPlan,
        types::list::{ListAnswer, ListConnection, ListSelection},
    },
    lock::Mutex,
    quota::{Account, Lease},
    sync::{Caller, ListPage, ListParent, ListWanted, Relatives, SyncService},
};

/// The most holes of one round. A document may refer to thousands.
const HOLES_MAX: usize = 20_000;

/// A list of documents that refer to one, as an operation selects it. Each place of a selection has one of its own.
pub(in crate::graphql) struct Relation {
    /// The type of the documents.
    pub(in crate::graphql) document_type: Arc<DocumentType>,
    /// Their field with the id.
    pub(in crate::graphql) by: Column,
    /// The arguments of the list.
    pub(in crate::graphql) slot: ArgumentSlot,
    pub(in crate::graphql) wants: ListSelection,
}

/// A list of one document.
#[derive(Clone)]
pub(in crate::graphql) struct ListKey {
    relation: Arc<Relation>,
    parent: ListParent,
}

impl ListKey {
    /// The documents that refer to `id`, perhaps only those of a scope.
    pub(super) fn new(relation: &Arc<Relation>, id: DocumentId, scope: Option<Scope>) -> Self {
        Self {
            relation: Arc::clone(relation),
            parent: ListParent { id, scope },
        }
    }
}

impl PartialEq for ListKey {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.relation, &other.relation) && self.parent == other.parent
    }
}

impl Eq for ListKey {}

impl Hash for ListKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.relation).hash(state);
        self.parent.hash(state);
    }
}

/// What a position shows.
enum Content {
    Document(DocumentKey, Arc<PartsPlan>),
    List(ListKey, Arc<ObjectPlan<ListConnection>>),
}

/// A position whose content is not loaded yet.
pub(super) struct Hole {
    /// Its offset in the text.
    at: usize,
    content: Content,
    /// The steps from the position outwards, like those of an error.
    pub(super) steps: Vec<PathStep>,
    /// Its content, once that is written.
    filling: Option<Box<Text>>,
}

impl Text {
    /// Leaves a hole for a document.
    pub(super) fn hole(&mut self, key: DocumentKey, plan: &Arc<PartsPlan>) {
        self.leave(Content::Document(key, Arc::clone(plan)));
    }

    /// Leaves a hole for a list.
    pub(super) fn list_hole(&mut self, key: ListKey, plan: &Arc<ObjectPlan<ListConnection>>) {
        self.leave(Content::List(key, Arc::clone(plan)));
    }

    fn leave(&mut self, content: Content) {
        self.holes.push(Hole {
            at: self.out.len(),
            content,
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
            let loaded = Loaded::of(&holes, loader).await;
            let mut errors = Vec::new();
            for (place, hole) in holes.into_iter().enumerate() {
                let mut text = match place < HOLES_MAX {
                    true => hole.filled(&loaded, loader.loader()),
                    false => hole.failed(loader.loader().budget.exceeded()),
                };
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

/// The loaded lists.
type LoadedLists = HashMap<ListKey, Result<Arc<ListAnswer>, ClientError>>;

/// What a round has loaded.
struct Loaded {
    documents: Result<LoadedDocuments, ClientError>,
    lists: Result<LoadedLists, ClientError>,
}

impl Loaded {
    async fn of(holes: &[&mut Hole], loader: &DataLoader<DocumentLoader>) -> Self {
        let (mut documents, mut lists) = (Vec::new(), Vec::new());
        for hole in holes.iter().take(HOLES_MAX) {
            match &hole.content {
                Content::Document(key, _) => documents.push(key.clone()),
                Content::List(key, _) => lists.push(key.clone()),
            }
        }
        let documents = async {
            match documents.is_empty() {
                true => Ok(HashMap::new()),
                false => loader.load_many(documents).await,
            }
        };
        let lists = async {
            match lists.is_empty() {
                true => Ok(HashMap::new()),
                false => loader.load_many(lists).await,
            }
        };
        let (documents, lists) = join(documents, lists).await;
        Self { documents, lists }
    }
}

impl Hole {
    /// Null, and the error that explains it.
    fn failed(&self, failure: ClientError) -> Text {
        self.explained(|text| Err(text.fail(failure)))
    }

    /// The content of a hole, or null if there is nothing to show or an error explains its absence.
    fn filled(&self, loaded: &Loaded, loader: &DocumentLoader) -> Text {
        self.explained(|text| match &self.content {
            Content::Document(key, plan) => document(key, plan, loaded, loader, text),
            Content::List(key, plan) => list(key, plan, loaded, loader, text),
        })
    }

    fn explained(&self, write: impl FnOnce(&mut Text) -> RenderResult) -> Text {
        let mut text = Text::default();
        let begin = text.mark();
        let written = write(&mut text);
        if written.is_err() {
            text.null();
        }
        for steps in text.steps_since(&begin) {
            steps.extend(self.steps.iter().cloned());
        }
        text
    }
}

fn document(
    key: &DocumentKey,
    plan: &PartsPlan,
    loaded: &Loaded,
    loader: &DocumentLoader,
    text: &mut Text,
) -> RenderResult {
    match loaded.documents.as_ref().map(|loaded| loaded.get(key)) {
        Ok(None) => text.nothing(),
        Ok(Some(Ok((entry, _)))) => match loader.budget.take(bytes(entry)) {
            Ok(()) => text.optional_document_of_type(Some(entry), plan),
            Err(failure) => Err(text.fail(failure)),
        },
        Ok(Some(Err(failure))) | Err(failure) => Err(text.fail(failure.clone())),
    }
}

fn list(
    key: &ListKey,
    plan: &ObjectPlan<ListConnection>,
    loaded: &Loaded,
    loader: &DocumentLoader,
    text: &mut Text,
) -> RenderResult {
    match loaded.lists.as_ref().map(|loaded| loaded.get(key)) {
        Ok(None) => Err(text.fail(ClientError::new(
            Code::QueryTooLarge,
            "The other lists of this answer read as much as one answer may; ask for fewer at a time.",
        ))),
        Ok(Some(Ok(answer))) => match loader.budget.take(answer.page.bytes()) {
            Ok(()) => plan.write(answer, text),
            Err(failure) => Err(text.fail(failure)),
        },
        Ok(Some(Err(failure))) | Err(failure) => Err(text.fail(failure.clone())),
    }
}

/// Loads the documents that one answer refers to, checked against the caller's grants.
pub(in crate::graphql) struct DocumentLoader {
    pub(in crate::graphql) sync: Arc<SyncService>,
    pub(in crate::graphql) caller: Caller,
    pub(in crate::graphql) arguments: Arc<OperationArguments>,
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

    fn take(&self, bytes: usize) -> Result<(), ClientError> {
        let mut taken = self.taken.lock();
        let bytes = taken.bytes + bytes;
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

impl Loader<ListKey> for DocumentLoader {
    type Value = Result<Arc<ListAnswer>, ClientError>;
    type Error = ClientError;

    /// The lists of one relation are read together.
    #[expect(
        clippy::mutable_key_type,
        reason = "a key compares its relation by the address"
    )]
    async fn load(&self, keys: &[ListKey]) -> Result<LoadedLists, ClientError> {
        let mut by_relation: BTreeMap<usize, Vec<&ListKey>> = BTreeMap::new();
        for key in keys {
            let place = Arc::as_ptr(&key.relation).addr();
            by_relation.entry(place).or_default().push(key);
        }
        let mut loaded = LoadedLists::new();
        let mut bytes_left = self.budget.bytes_left();
        for keys in by_relation.into_values() {
            let relation = &keys[0].relation;
            let parents = keys.iter().map(|key| key.parent.clone()).collect();
            let pages = self.pages(relation, parents, bytes_left).await;
            let read = pages.iter().flat_map(HashMap::values).flatten();
            let read = read.map(|answer| answer.page.bytes());
            bytes_left = bytes_left.saturating_sub(read.sum());
            for key in keys {
                let page = match &pages {
                    Ok(pages) => pages.get(&key.parent).cloned(),
                    Err(failure) => Some(Err(failure.clone())),
                };
                loaded.extend(page.map(|page| (key.clone(), page)));
            }
        }
        Ok(loaded)
    }
}

impl DocumentLoader {
    /// The pages of a relation, by the documents that they refer to.
    async fn pages(
        &self,
        relation: &Relation,
        parents: Vec<ListParent>,
        bytes_max: usize,
    ) -> Result<HashMap<ListParent, Result<Arc<ListAnswer>, ClientError>>, ClientError> {
        let (model, document_type) = (self.sync.model(), &relation.document_type);
        let sent = arguments::sent_list(model, document_type, self.arguments.of(relation.slot))?;
        let wants = &relation.wants;
        let relatives = Relatives {
            document_type,
            by: &relation.by,
            sent,
            wanted: ListWanted {
                documents: wants.documents,
                count_max: wants.count_max(&self.arguments)?,
            },
            bytes_max,
        };
        let lists = self.sync.lists_of(&self.caller, &relatives, parents);
        let pages = lists.await?.into_iter();
        let answer = |page: ListPage| {
            Arc::new(ListAnswer {
                page,
                arguments: Arc::clone(&self.arguments),
            })
        };
        let pages =
            pages.map(|(parent, page)| (parent, page.map(answer).map_err(ClientError::from)));
        Ok(pages.collect())
    }
}
