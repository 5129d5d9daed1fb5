//! What a new model finds in a store: how many documents fit it, move, give other access, or stand where it does not look
//! for them.
//!
//! Each entry is judged by the rules by which it would be read. Nothing is written.

mod findings;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, hash_map},
    sync::Arc,
};

use sha2::{Digest, Sha256};
use tidegate_core::{
    entry::Entry,
    grant,
    id::{ApiHash, DocumentId, DocumentKey, TypeName},
    membership,
    model::{
        DocumentType, Model,
        plan::{Class, Difference, ModelPlan, Obstacle},
    },
    push,
    unique::UniqueKey,
    value::{
        Document, Timestamp, check,
        fit::{fit, unfit_as_null},
    },
};

pub use self::findings::Accepted;
use super::walks;
use crate::store::{Store, StoreError, collections::UnfitDocument, finding::Examples};

/// A model beside the one in force.
pub struct ModelSurvey<'m> {
    /// The model that is to lead.
    pub model: &'m Model,
    /// The model in force, if the store has one.
    pub in_force: Option<&'m Model>,
    /// The differences between them.
    pub plan: ModelPlan,
}

/// The result of a survey.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SurveyResult {
    /// By the stored names of the types.
    pub types: BTreeMap<TypeName, TypeSurvey>,
    /// Documents that fit the model in force, and not the new one, with the reason.
    pub misfits: Examples,
    /// Documents that fit neither of them.
    pub misfits_before: Examples,
    /// Documents with a field that is shown as null, because it does not fit.
    pub nulled: Examples,
    /// Documents with values that break a constraint of the new model.
    pub violations: Examples,
    /// Documents with a value that the new model does not show, by the field.
    pub hidden: BTreeMap<String, Examples>,
    /// Pairs of documents with a value that the new model says is unique.
    pub duplicates: Examples,
    /// Documents in a scope that no rule of the model grants.
    pub out_of_reach: Examples,
    /// Clients that may not know the new model, if something leaves it that was not retired.
    pub other_clients: Option<OtherClients>,
}

/// Clients that pushed lately and whose apps were not made for the new model's API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherClients {
    /// How many, at most [`OtherClients::MAX`].
    pub count: usize,
    /// Whether there may be more.
    pub has_more: bool,
}

impl SurveyResult {
    fn add_misfit(&mut self, type_name: &TypeName, example: impl FnOnce() -> String) {
        self.types.entry(type_name.clone()).or_default().misfits += 1;
        self.misfits.take(example);
    }

    /// The types with documents that do not fit the new model.
    pub fn withheld(&self) -> BTreeSet<TypeName> {
        let types = self.types.iter();
        let withheld = types.filter(|(_, of_type)| of_type.misfits > 0);
        withheld.map(|(name, _)| name.clone()).collect()
    }
}

impl OtherClients {
    /// Within so many days.
    pub const DAYS: i64 = 30;
    /// At most so many clients are looked at.
    pub const MAX: usize = 100_000;
}

/// What a survey counts of one type.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct TypeSurvey {
    /// The entries that have a document.
    pub documents: u64,
    /// Those that give access to a scope.
    pub memberships: u64,
    /// Those that go to another scope.
    pub moves: u64,
    /// Those that give other access.
    pub other_access: u64,
    /// Those that do not fit.
    pub misfits: u64,
    /// Those that are not found where the new model has them.
    pub missing: Examples,
}

impl<'m> ModelSurvey<'m> {
    /// Compares a model with the one in force.
    pub fn new(model: &'m Model, in_force: Option<&'m Model>) -> Self {
        let plan = in_force.map(|in_force| ModelPlan::between(in_force, model));
        Self {
            model,
            in_force,
            plan: plan.unwrap_or_default(),
        }
    }

    /// Judges every entry. Calls `progress` with the size of each batch.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count(
        &self,
        store: &dyn Store,
        mut progress: impl FnMut(usize),
    ) -> Result<SurveyResult, StoreError> {
        let mut result = SurveyResult::default();
        let mut holders = Holders::default();
        let mut walk = walks::Entries::of(store);
        while let Some(entries) = walk.next().await? {
            let mut judged = BTreeSet::new();
            for entry in &entries {
                self.compare(entry, &mut holders, &mut result);
                if self.judge(entry, &mut result) {
                    judged.insert(&entry.key);
                }
            }
            let unread = self.unreadable(store, judged).await?;
            for document in unread {
                result.add_misfit(&document.type_name, || self.unfit(&document));
            }
            for key in self.missing(store, &entries).await? {
                let of_type = result.types.entry(key.type_name.clone()).or_default();
                of_type.missing.take(|| self.named(&key));
            }
            progress(entries.len());
        }
        Ok(result)
    }

    /// The same, unless the plan says all without it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_if_needed(
        &self,
        store: &dyn Store,
        progress: impl FnMut(usize),
    ) -> Result<SurveyResult, StoreError> {
        match self.is_needed() {
            true => self.count(store, progress).await,
            false => Ok(SurveyResult::default()),
        }
    }

    /// Whether only the stored documents show what the new model does. Of a store without a model in force, nothing is
    /// known before.
    fn is_needed(&self) -> bool {
        let needs = |difference: &Difference| match difference.class() {
            Class::RefusedOn(_) | Class::StampedFirst => true,
            Class::InStep => matches!(difference, Difference::Scope),
            Class::Served => matches!(difference, Difference::Constraint | Difference::Key),
        };
        let mut changes = self.plan.changes.iter();
        self.in_force.is_none() || changes.any(|change| needs(&change.difference))
    }

    /// Counts the clients that what leaves the model may break. There is nothing to count if all of it was retired.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn other_clients(
        &self,
        store: &dyn Store,
        own: ApiHash,
        now: Timestamp,
    ) -> Result<Option<OtherClients>, StoreError> {
        let mut changes = self.plan.changes.iter();
        if changes.all(|change| change.difference.warning().is_none()) {
            return Ok(None);
        }
        let since = now.plus_ms(-OtherClients::DAYS * 24 * 60 * 60 * 1_000);
        let mut snapshot = store.snapshot().await?;
        let found = snapshot.clients_by_api(since, OtherClients::MAX).await?;
        let others = found.by_api.iter().filter(|(api, _)| **api != Some(own));
        Ok(Some(OtherClients {
            count: others.map(|(_, count)| count).sum(),
            has_more: found.has_more,
        }))
    }

    /// A document by its type's name in the model.
    fn named(&self, DocumentKey { type_name, id }: &DocumentKey) -> String {
        format!("{}/{id}", self.model.type_name(type_name.as_str()))
    }

    /// Counts an entry that has what an earlier one has, though it has to be unique under the new model. A value of another
    /// kind than the field's is in no index.
    fn compare(&self, entry: &Entry, holders: &mut Holders, result: &mut SurveyResult) {
        let document_type = of(self.model, &entry.key.type_name);
        let document_type = document_type.filter(|it| !it.uniques.is_empty());
        let Some((document_type, body)) = document_type.zip(entry.body.as_ref()) else {
            return;
        };
        let Ok(fitted) = fit(self.model, &document_type.fields, body) else {
            return;
        };
        let read = fitted.as_ref().unwrap_or(body);
        let scope = grant::place_of(document_type, &entry.key.id, read);
        for rule in &document_type.uniques {
            let key = |body| UniqueKey::of(&document_type.stored_as, rule, &scope, body);
            let Some(read) = key(read) else { continue };
            let names: Vec<&str> = rule
                .fields
                .iter()
                .map(|it| document_type.field_name(it))
                .collect();
            let names = names.join(", ");
            if key(body).as_ref() != Some(&read) {
                let named = self.named(&entry.key);
                let example = || format!("{named}: {names} is stored as another kind of value");
                result.duplicates.take(example);
                continue;
            }
            if let Some(first) = holders.meet(&read, &entry.key.id) {
                let named = self.named(&entry.key);
                let example = || format!("{named} and {first}: the same {names}");
                result.duplicates.take(example);
            }
        }
    }

    /// Counts an entry. Returns whether its document fits, as far as the entry shows it.
    fn judge(&self, entry: &Entry, result: &mut SurveyResult) -> bool {
        let Some(body) = &entry.body else {
            if entry.withheld {
                let type_name = entry.key.type_name.clone();
                result.types.entry(type_name).or_default().documents += 1;
            }
            return false;
        };
        if grant::is_out_of_reach(self.model, entry) {
            result
                .out_of_reach
                .take(|| format!("{:?}", self.named(&entry.key)));
        }
        for rename in &self.plan.renames {
            if rename.hides(self.model, &entry.key.type_name, body) {
                let hidden = result.hidden.entry(rename.subject.clone()).or_default();
                hidden.take(|| self.named(&entry.key));
            }
        }
        let of_type = result.types.entry(entry.key.type_name.clone()).or_default();
        of_type.documents += 1;
        of_type.memberships += u64::from(entry.membership.is_some());
        let Some(document_type) = of(self.model, &entry.key.type_name) else {
            return false;
        };
        match fit(self.model, &document_type.fields, body) {
            Err(misfit) => {
                let example = || format!("{}: {misfit}", self.named(&entry.key));
                match self.is_misfit_already(entry) {
                    true => result.misfits_before.take(example),
                    false => result.add_misfit(&entry.key.type_name, example),
                }
                false
            }
            Ok(fitted) => {
                let read = body;
                let body = fitted.as_ref().unwrap_or(body);
                let moves = !push::is_in_its_scope(document_type, entry, body);
                of_type.moves += u64::from(moves);
                of_type.other_access += u64::from(gives_other_access(document_type, entry, body));
                if let Some(problem) = violation(self.model, document_type, body) {
                    result
                        .violations
                        .take(|| format!("{}: {problem}", self.named(&entry.key)));
                }
                let nulled = document_type.fields.iter();
                let mut nulled = nulled.filter_map(|it| unfit_as_null(self.model, it, read));
                if let Some(misfit) = nulled.next() {
                    let example = || format!("{}: {misfit}", self.named(&entry.key));
                    result.nulled.take(example);
                }
                true
            }
        }
    }

    /// Those of these documents that the new model cannot read in their collections, where it expects other BSON types than
    /// the model in force.
    async fn unreadable(
        &self,
        store: &dyn Store,
        keys: BTreeSet<&DocumentKey>,
    ) -> Result<Vec<UnfitDocument>, StoreError> {
        let mut changes = self.plan.changes.iter();
        let is_needed = changes.any(|change| change.difference.is_of_stored_types());
        let Some(collections) = store
            .collections()
            .filter(|_| is_needed && !keys.is_empty())
        else {
            return Ok(Vec::new());
        };
        let keys: Vec<DocumentKey> = keys.into_iter().cloned().collect();
        let mut unfit = collections.unfit(&keys).await?;
        unfit.retain(|document| document.is_withheld);
        Ok(unfit)
    }

    fn unfit(&self, document: &UnfitDocument) -> String {
        let type_name = self.model.type_name(document.type_name.as_str());
        format!("{type_name}/{}: {}", document.id, document.misfit)
    }

    /// Whether readers of the model in force are not shown the document either.
    fn is_misfit_already(&self, entry: &Entry) -> bool {
        let in_force = self.in_force;
        in_force.is_some_and(|model| {
            of(model, &entry.key.type_name).is_some() && !is_readable(model, entry)
        })
    }

    /// The documents of types with another collection or idType that are not there.
    async fn missing(
        &self,
        store: &dyn Store,
        entries: &[Arc<Entry>],
    ) -> Result<Vec<DocumentKey>, StoreError> {
        let changes = self.plan.changes.iter();
        let elsewhere = changes.filter(|change| {
            change.difference.class() == Class::RefusedOn(Obstacle::MissingDocuments)
        });
        let elsewhere: Vec<&TypeName> = elsewhere
            .filter_map(|change| change.type_name.as_ref())
            .collect();
        let expected = entries.iter().filter(|entry| {
            let expects = entry.body.is_some() || entry.withheld;
            expects && elsewhere.contains(&&entry.key.type_name)
        });
        let expected: Vec<DocumentKey> = expected.map(|entry| entry.key.clone()).collect();
        let Some(collections) = store.collections() else {
            let cannot_be_spelled = |key: &DocumentKey| {
                let document_type = of(self.model, &key.type_name);
                document_type.is_some_and(|it| it.id_type.parse(key.id.as_str()).is_err())
            };
            return Ok(expected.into_iter().filter(cannot_be_spelled).collect());
        };
        match expected.is_empty() {
            true => Ok(expected),
            false => collections.missing(&expected).await,
        }
    }
}

/// Which document has each value, by a hash of the value.
#[derive(Default)]
struct Holders(HashMap<[u8; 16], Box<str>>);

impl Holders {
    /// Another document that has the value already.
    fn meet(&mut self, key: &UniqueKey, id: &DocumentId) -> Option<Box<str>> {
        let hash: [u8; 32] = Sha256::digest(key.bytes()).into();
        let mut short = [0; 16];
        short.copy_from_slice(&hash[..16]);
        match self.0.entry(short) {
            hash_map::Entry::Occupied(held) => Some(held.get().clone()),
            hash_map::Entry::Vacant(free) => {
                free.insert(id.as_str().into());
                None
            }
        }
    }
}

/// Whether readers of the model are shown the document of an entry.
fn is_readable(model: &Model, entry: &Entry) -> bool {
    let document_type = of(model, &entry.key.type_name);
    let read = document_type.zip(entry.body.as_ref());
    read.is_some_and(|(document_type, body)| fit(model, &document_type.fields, body).is_ok())
}

/// Whether nobody may be served the entry as it is: it gives other access than the model says, or does not fit.
pub fn is_urgent(model: &Model, entry: &Entry) -> bool {
    let document_type = of(model, &entry.key.type_name);
    let read = document_type.zip(entry.body.as_ref());
    read.is_some_and(|(document_type, body)| {
        let fitted = fit(model, &document_type.fields, body);
        fitted.map_or(true, |fitted| {
            gives_other_access(document_type, entry, fitted.as_ref().unwrap_or(body))
        })
    })
}

fn gives_other_access(document_type: &DocumentType, entry: &Entry, body: &Document) -> bool {
    let given = grant::membership_of(document_type, &entry.key.id, body);
    !membership::open_the_same(given.as_ref(), entry.membership.as_ref())
}

fn of<'m>(model: &'m Model, stored: &TypeName) -> Option<&'m DocumentType> {
    model.stored_type(stored).map(AsRef::as_ref)
}

/// The first value that breaks a constraint.
fn violation(model: &Model, document_type: &DocumentType, body: &Document) -> Option<String> {
    document_type.fields.iter().find_map(|field| {
        let value = body.get(&field.stored_as)?;
        let checked = check::check_value(model, field, value, &field.name);
        checked.err().map(|error| error.to_string())
    })
}
