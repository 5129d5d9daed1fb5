//! Lists: the documents of a type that a caller may see, by conditions and in an order, page by page.
//!
//! The core says which reads a page needs. Nothing here knows how a store keeps its indexes.

mod relatives;

use std::{collections::BTreeSet, sync::Arc};

use tidegate_core::{
    decide::DOCUMENT_BYTES_MAX,
    grant::Grants,
    id::{DocumentId, DocumentKey, Scope},
    model::DocumentType,
    query::{
        ALL_RANGES_MAX, KeyHash, KeyPart, ListBounds, ListCursor, ListPlace, ListPlan, ListQuery,
        ListReader, QueryError, QueryHash,
    },
    transaction::Misfit,
    view::RecordHead,
};

pub use self::relatives::Relatives;
use super::{Caller, SyncError, SyncService, in_time};
use crate::{
    quota::Lease,
    store::{Snapshot, StoreError, StoredRecord, StoredView},
    withheld,
};

/// The most documents that a page may be asked for.
const PAGE_MAX: usize = 1_000;

/// The most documents that are counted.
const COUNT_MAX: usize = 1_000;

/// A list that is asked for.
#[derive(Debug, Clone)]
pub struct ListRequest {
    document_type: Arc<DocumentType>,
    plan: Arc<ListPlan>,
    hash: QueryHash,
    scope: Option<Scope>,
    first: usize,
    after: Option<ListPlace>,
    wanted: ListWanted,
}

/// What is wanted of a list.
#[derive(Debug, Clone, Copy)]
pub struct ListWanted {
    /// Whether documents are.
    pub documents: bool,
    /// How far documents are counted, if they are.
    pub count_max: Option<usize>,
}

/// A document, and the lists of those that refer to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListParent {
    /// The document's id.
    pub id: DocumentId,
    /// Only documents in this scope are listed.
    pub scope: Option<Scope>,
}

/// What a client sent.
#[derive(Debug, Clone)]
pub struct SentList<'s> {
    /// Which documents, in which order.
    pub query: ListQuery,
    /// Only those of this scope.
    pub scope: Option<Scope>,
    /// The most documents.
    pub first: i64,
    /// Only documents after this cursor.
    pub after: Option<&'s str>,
}

impl ListRequest {
    /// Reads what a client sent about a type.
    ///
    /// # Errors
    /// [`SyncError::NotIndexed`], [`SyncError::ListTooLarge`], [`SyncError::Limit`] or [`SyncError::Cursor`].
    pub fn new(document_type: &Arc<DocumentType>, sent: SentList<'_>) -> Result<Self, SyncError> {
        let plan = ListPlan::of(document_type, &sent.query);
        let plan = Arc::new(plan.map_err(|error| refusal(document_type, &error))?);
        let scope = sent.scope;
        let hash = QueryHash::of(document_type, &sent.query, scope.as_ref(), &plan);
        let cursor = |text| ListCursor::decode(text, hash, plan.order.len());
        let after = sent.after.map(cursor).transpose();
        Ok(Self {
            first: SyncError::bound("first", sent.first, PAGE_MAX)?,
            after: after.map_err(|_| SyncError::Cursor)?.map(|it| it.place),
            document_type: Arc::clone(document_type),
            plan,
            hash,
            scope,
            wanted: ListWanted {
                documents: true,
                count_max: None,
            },
        })
    }

    /// The same, if only some of it is wanted.
    #[must_use]
    pub fn wanting(self, wanted: ListWanted) -> Self {
        Self { wanted, ..self }
    }

    /// Reads how far documents are to be counted.
    ///
    /// # Errors
    /// [`SyncError::Limit`].
    pub fn count_bound(max: i64) -> Result<usize, SyncError> {
        SyncError::bound("max", max, COUNT_MAX)
    }

    /// The scopes in which the caller sees documents of the type.
    fn scopes(&self, grants: &Grants) -> Vec<Scope> {
        if self.document_type.retired {
            return Vec::new();
        }
        let wanted = |scope: &&Scope| match &self.scope {
            Some(asked) => asked == *scope,
            None => self.document_type.scope.can_give(scope),
        };
        grants.scopes().filter(wanted).cloned().collect()
    }
}

/// Why a query is refused, with what to do.
fn refusal(document_type: &DocumentType, error: &QueryError) -> SyncError {
    match error {
        QueryError::NotServed { fields } => {
            let fields = fields.iter();
            let fields =
                fields.map(|column| format!("\"{}\"", document_type.field_name(column.as_str())));
            let fields: Vec<String> = fields.collect();
            let type_name = &document_type.name;
            SyncError::NotIndexed(match fields.is_empty() {
                true => format!(
                    "No index of {type_name} serves this list: conditions on `id` go with equalities alone."
                ),
                false => format!(
                    "No index of {type_name} serves this list; add `@index(fields: [{}])` to the type.",
                    fields.join(", ")
                ),
            })
        }
        QueryError::Unservable(reason) => {
            SyncError::NotIndexed(format!("No index can serve this list: {reason}."))
        }
        QueryError::TooMany { what, max } => {
            SyncError::ListTooLarge(format!("A list has at most {max} {what}."))
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone)]
pub struct ListPage {
    /// The documents, in order.
    pub items: Vec<ListItem>,
    /// Whether there are more after them.
    pub has_more: bool,
    /// The place where the page ends; `None` if it is empty.
    pub end: Option<String>,
    /// How many documents were counted, and whether these are all, if that was wanted.
    pub count: Option<(usize, bool)>,
    /// Counts what was read for it, until the last copy is dropped.
    lease: Option<Arc<Lease>>,
}

/// A document of a page.
#[derive(Debug, Clone)]
pub struct ListItem {
    record: StoredRecord,
    query: QueryHash,
    key: Vec<KeyPart>,
}

impl ListItem {
    /// Its parts; `None`, and a line in the log, if it cannot be read.
    pub fn view(&self) -> Option<StoredView<'_>> {
        self.record.view()
    }

    /// Logs why it is not shown.
    pub(crate) fn log_misfit(&self, misfit: &Misfit) {
        if let Some(view) = self.view() {
            withheld::log(view.type_name(), view.id(), view.version(), misfit);
        }
    }

    /// The same document in another list of the same order.
    fn of(&self, request: &ListRequest) -> Self {
        Self {
            query: request.hash,
            ..self.clone()
        }
    }

    /// Its place in the list.
    pub fn cursor(&self) -> String {
        let place = ListPlace::of(&self.key);
        ListCursor {
            query: self.query,
            place,
        }
        .encode()
    }
}

impl ListPage {
    /// The size of its documents in bytes, as stored.
    pub fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.record.bytes()).sum()
    }
}

impl SyncService {
    /// A page of the documents that the caller may see.
    ///
    /// # Errors
    /// [`SyncError::IndexBuilding`], [`SyncError::ListTooLarge`] if the caller has too many scopes for it, the error of a
    /// store's failure, [`SyncError::Busy`] or [`SyncError::Exhausted`].
    pub async fn list(
        &self,
        caller: &Caller,
        request: &ListRequest,
    ) -> Result<ListPage, SyncError> {
        let bytes_max = self.limits.page_bytes;
        let _reserved = caller.reserve(bytes_max + DOCUMENT_BYTES_MAX).await?;
        let page = in_time(async {
            let (mut snapshot, grants) = self.read_snapshot(caller, &BTreeSet::new()).await?;
            let scopes = request.scopes(&grants);
            read(snapshot.as_mut(), request, scopes, bytes_max).await
        });
        let page = page.await?;
        Ok(ListPage {
            lease: caller.lease(page.bytes())?,
            ..page
        })
    }
}

/// Reads a page, and counts.
async fn read(
    snapshot: &mut dyn Snapshot,
    request: &ListRequest,
    scopes: Vec<Scope>,
    bytes_max: usize,
) -> Result<ListPage, SyncError> {
    let ranges = request.plan.ranges(scopes.len());
    if ranges > ALL_RANGES_MAX {
        return Err(SyncError::ListTooLarge(format!(
            "This list would read {ranges} ranges of an index, one for each scope and value, and may read {ALL_RANGES_MAX}; name a `scope`, or fewer values."
        )));
    }
    let mut page = ListPage {
        items: Vec::new(),
        has_more: false,
        end: None,
        count: None,
        lease: None,
    };
    if let Some(max) = request.wanted.count_max {
        page.count = Some(count(snapshot, request, &scopes, max).await?);
    }
    if !request.wanted.documents {
        return Ok(page);
    }
    let bounds = ListBounds {
        first: request.first,
        bytes_max,
        ids_only: false,
    };
    let after = match &request.after {
        Some(place) => Some(key_of(snapshot, request, &scopes, place).await?),
        None => None,
    };
    let mut reader = ListReader::new(&request.plan, scopes, after, bounds);
    while let Some(next) = reader.next_read() {
        let listed = snapshot.list(&next).await?;
        let placed = listed.records.into_iter().filter_map(|record| {
            let place = reader.place_of(&record.view()?);
            Some((place, record))
        });
        let placed = placed.collect();
        reader.take(placed, listed.bytes, !listed.is_cut);
    }
    let listed = reader.finish();
    let query = request.hash;
    let item = |(key, record)| ListItem { record, query, key };
    let items: Vec<ListItem> = listed.items.into_iter().map(item).collect();
    page.has_more = listed.has_more;
    // A page may end with a document that is not shown now.
    page.end = items.last().map(ListItem::cursor);
    page.items = items
        .into_iter()
        .filter(|item| !item.record.is_hidden)
        .collect();
    Ok(page)
}

/// The values of a place. A document that a cursor names has to be where it was, in sight of the caller.
async fn key_of(
    snapshot: &mut dyn Snapshot,
    request: &ListRequest,
    scopes: &[Scope],
    place: &ListPlace,
) -> Result<Vec<KeyPart>, SyncError> {
    let (id, hash) = match place {
        ListPlace::Key(key) => return Ok(key.clone()),
        ListPlace::Document(id, hash) => (id.clone(), hash),
    };
    let type_name = request.document_type.stored_as.clone();
    let keys = BTreeSet::from([DocumentKey { type_name, id }]);
    let entries = snapshot.entries(&keys, DOCUMENT_BYTES_MAX).await?;
    let entry = entries.found.into_values().next();
    let entry = entry.filter(|entry| scopes.contains(&entry.scope));
    let key = entry.and_then(|entry| request.plan.key_of(&*entry));
    key.filter(|key| KeyHash::of(key) == *hash)
        .ok_or(SyncError::Cursor)
}

/// Counts documents, at most so many. Returns whether these are all.
async fn count(
    snapshot: &mut dyn Snapshot,
    request: &ListRequest,
    scopes: &[Scope],
    max: usize,
) -> Result<(usize, bool), StoreError> {
    let bounds = ListBounds {
        first: max,
        bytes_max: usize::MAX,
        ids_only: true,
    };
    let mut reader = ListReader::<()>::new(&request.plan, scopes.to_vec(), None, bounds);
    while let Some(next) = reader.next_read() {
        let listed = snapshot.list(&next).await?;
        let placed = |id: &DocumentId| (vec![KeyPart::text(id.as_str())], ());
        let placed = listed.ids.iter().map(placed).collect();
        reader.take(placed, 0, !listed.is_cut);
    }
    let counted = reader.finish();
    Ok((counted.items.len(), !counted.has_more))
}
