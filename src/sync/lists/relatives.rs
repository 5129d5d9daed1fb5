//! The lists of documents that refer to others, of many at a time.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use tidegate_core::{
    decide::DOCUMENT_BYTES_MAX,
    grant::Grants,
    id::Scope,
    model::{DocumentType, Shape},
    query::{ALL_RANGES_MAX, Column, Condition, IntervalSet, KeyPart, ListQuery, value_of},
    view::RecordHead,
};

use super::{ListItem, ListPage, ListParent, ListRequest, ListWanted, PAGE_MAX, SentList, read};
use crate::{
    store::Snapshot,
    sync::{Caller, SyncError, SyncService, in_time},
};

/// How many lists are read together.
const PARENTS_AT_A_TIME: usize = 50;

/// The most ranges of indexes that the lists of one round read.
const RANGES_OF_LISTS_MAX: usize = 50 * ALL_RANGES_MAX;

/// Lists of documents that refer to others by one field.
pub struct Relatives<'r> {
    /// The type of the documents.
    pub document_type: &'r Arc<DocumentType>,
    /// The field by which they refer.
    pub by: &'r Column,
    /// What a client sent about each list.
    pub sent: SentList<'r>,
    /// What is wanted of each.
    pub wanted: ListWanted,
    /// Once the documents read have more bytes, no other list is read.
    pub bytes_max: usize,
}

impl Relatives<'_> {
    /// The list of one document.
    fn of_one(&self, parent: &ListParent) -> Result<ListRequest, SyncError> {
        let id = KeyPart::text(parent.id.as_str());
        let fields = self.document_type.stored_field(self.by.as_str());
        let refers = match fields.is_some_and(|field| matches!(field.ty.shape, Shape::List(_))) {
            true => Condition::Contains(self.by.clone(), id),
            false => Condition::In(self.by.clone(), IntervalSet::point(&id)),
        };
        self.request(
            refers,
            self.sent.first,
            self.sent.after,
            parent.scope.as_ref(),
        )
    }

    /// The lists of several documents as one, if they can be read so.
    fn of_all(&self, parents: &[ListParent]) -> Option<ListRequest> {
        let ids = parents.iter();
        let ids = ids.map(|parent| KeyPart::text(parent.id.as_str()));
        let ids = IntervalSet::points_of(&ids.collect::<Vec<_>>());
        let first = usize::try_from(self.sent.first).ok()?.checked_add(1)?;
        let first = first.checked_mul(parents.len())?.min(PAGE_MAX);
        let refers = Condition::In(self.by.clone(), ids);
        let first = i64::try_from(first).ok()?;
        self.request(refers, first, None, None).ok()
    }

    fn request(
        &self,
        refers: Condition,
        first: i64,
        after: Option<&str>,
        scope: Option<&Scope>,
    ) -> Result<ListRequest, SyncError> {
        let query = ListQuery {
            condition: Condition::All(vec![refers, self.sent.query.condition.clone()]),
            ..self.sent.query.clone()
        };
        let sent = SentList {
            query,
            scope: scope.cloned(),
            first,
            after,
        };
        Ok(ListRequest::new(self.document_type, sent)?.wanting(self.wanted))
    }
}

impl SyncService {
    /// For each of these documents, a page of those that refer to it and that the caller may see. Short lists are read
    /// together. Long ones, and those behind a cursor, are read one by one. Lists beyond the bounds are left out.
    ///
    /// # Errors
    /// Those of [`SyncService::list`]. What is wrong with one list alone stands in its place.
    pub async fn lists_of(
        &self,
        caller: &Caller,
        relatives: &Relatives<'_>,
        parents: Vec<ListParent>,
    ) -> Result<HashMap<ListParent, Result<ListPage, SyncError>>, SyncError> {
        let page_bytes = self.limits.page_bytes;
        let _reserved = caller.reserve(page_bytes + DOCUMENT_BYTES_MAX).await?;
        let mut lease = caller.growing_lease(0)?;
        in_time(async {
            let (mut snapshot, grants) = self.read_snapshot(caller, &BTreeSet::new()).await?;
            let mut reading = Reading {
                relatives,
                snapshot: snapshot.as_mut(),
                grants: &grants,
                page_bytes,
                bytes: 0,
                ranges: 0,
            };
            let mut lists = HashMap::with_capacity(parents.len());
            for parents in parents.chunks(PARENTS_AT_A_TIME) {
                lists.extend(reading.together(parents).await?);
                for parent in parents {
                    if !lists.contains_key(parent) && reading.has_room() {
                        lists.insert(parent.clone(), reading.alone(parent).await);
                    }
                    if let Some(lease) = &mut lease {
                        lease.grow_to(reading.bytes)?;
                    }
                }
            }
            let lease = lease.map(Arc::new);
            for page in lists.values_mut().filter_map(|page| page.as_mut().ok()) {
                page.lease.clone_from(&lease);
            }
            Ok::<_, SyncError>(lists)
        })
        .await
    }
}

/// The lists of one round while they are read.
struct Reading<'r> {
    relatives: &'r Relatives<'r>,
    snapshot: &'r mut dyn Snapshot,
    grants: &'r Grants,
    page_bytes: usize,
    /// The bytes of the documents of the lists so far, and the ranges of indexes that were read.
    bytes: usize,
    ranges: usize,
}

impl Reading<'_> {
    /// Whether another list may be read.
    fn has_room(&self) -> bool {
        self.bytes <= self.relatives.bytes_max && self.ranges <= RANGES_OF_LISTS_MAX
    }

    async fn page(
        &mut self,
        request: &ListRequest,
        scopes: Vec<Scope>,
    ) -> Result<ListPage, SyncError> {
        self.ranges += request.plan.ranges(scopes.len());
        read(self.snapshot, request, scopes, self.page_bytes).await
    }

    async fn alone(&mut self, parent: &ListParent) -> Result<ListPage, SyncError> {
        let request = self.relatives.of_one(parent)?;
        let scopes = request.scopes(self.grants);
        let page = self.page(&request, scopes).await?;
        self.bytes += page.bytes();
        Ok(page)
    }

    /// The lists that are complete when all are read as one.
    async fn together(
        &mut self,
        parents: &[ListParent],
    ) -> Result<HashMap<ListParent, Result<ListPage, SyncError>>, SyncError> {
        let mut lists = HashMap::new();
        let Relatives { sent, wanted, .. } = self.relatives;
        let is_plain = sent.after.is_none() && wanted.count_max.is_none();
        if parents.len() < 2 || !is_plain || sent.first < 1 || !self.has_room() {
            return Ok(lists);
        }
        let Some(all) = self.relatives.of_all(parents) else {
            return Ok(lists);
        };
        let own: BTreeSet<&Scope> = parents.iter().filter_map(|it| it.scope.as_ref()).collect();
        let mut scopes = all.scopes(self.grants);
        scopes.retain(|scope| own.is_empty() || own.contains(scope));
        if all.plan.ranges(scopes.len()) > ALL_RANGES_MAX {
            return Ok(lists);
        }
        let page = self.page(&all, scopes).await?;
        let first = usize::try_from(sent.first).unwrap_or(usize::MAX);
        for parent in parents {
            let Ok(request) = self.relatives.of_one(parent) else {
                continue;
            };
            if request.plan.order != all.plan.order {
                continue;
            }
            let id = KeyPart::text(parent.id.as_str());
            let is_own = |item: &&ListItem| {
                item.view().is_some_and(|view| {
                    let in_scope = parent
                        .scope
                        .as_ref()
                        .is_none_or(|it| it.as_str() == view.scope());
                    in_scope && value_of(&view, self.relatives.by) == id
                })
            };
            let items = page
                .items
                .iter()
                .filter(is_own)
                .map(|item| item.of(&request));
            let mut items: Vec<ListItem> = items.collect();
            let has_more = items.len() > first;
            if has_more || !page.has_more {
                items.truncate(first);
                let list = ListPage {
                    end: items.last().map(ListItem::cursor),
                    items,
                    has_more,
                    count: None,
                    lease: None,
                };
                self.bytes += list.bytes();
                lists.insert(parent.clone(), Ok(list));
            }
        }
        Ok(lists)
    }
}
