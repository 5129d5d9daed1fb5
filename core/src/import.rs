//! Writes of other services, taken over into the sync state as changes of an anonymous writer (rules.md 4.7).
//!
//! A store finds what differs. [`crate::push`] decides when to take it over, and what is written with it.

use std::{borrow::Cow, collections::BTreeMap, slice};

use crate::{
    decide::prune_writers,
    entry::{Entry, Membership, Writer},
    generation::Term,
    grant,
    id::{DocumentKey, MutationId, Scope, Version},
    membership,
    model::{DocumentType, FillError, Model},
    push::is_in_its_scope,
    transaction::{ForeignState, Misfit},
    value::{Document, Timestamp, Value, content, fit::fit},
};

/// The inputs of an import.
#[derive(Debug, Clone, Copy)]
pub struct ForeignWrite<'a> {
    /// The model.
    pub model: &'a Model,
    /// Server time.
    pub now: Timestamp,
    /// New documents begin above it (rules.md 3.1).
    pub version_floor: Version,
    /// The document.
    pub key: &'a DocumentKey,
    /// Its state so far.
    pub entry: Option<&'a Entry>,
}

/// The result of an import.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ImportResult {
    /// The new entry; none if nothing changes for any client.
    pub entry: Option<Entry>,
    /// Why the document is withheld, if it is.
    pub withheld: Option<Withheld>,
}

/// Why a document is withheld, and who may learn that (rules.md 8.8).
#[derive(Debug, Clone, PartialEq)]
pub struct Withheld {
    /// What does not fit.
    pub misfit: Misfit,
    /// The scope that the document's fields make, if they fit; otherwise that of its entry, if it has one.
    pub scope: Option<Scope>,
}

/// Takes over another service's write to a document. A document that does not fit the model is withheld: clients that
/// have it learn once, under a new version, that it may no longer be shown.
pub fn import(arrival: &ForeignWrite<'_>, foreign: &ForeignState) -> ImportResult {
    let Some(document_type) = arrival.model.stored_type(&arrival.key.type_name) else {
        return ImportResult::default();
    };
    match foreign {
        ForeignState::Gone => arrival.import_deletion(),
        ForeignState::Misfit { misfit, readable } => {
            arrival.withhold(document_type, misfit.clone(), readable)
        }
        ForeignState::Document(body) => {
            match place(arrival.model, document_type, arrival.key, body) {
                Ok(placed) => arrival.take(document_type, placed),
                Err(misfit) => arrival.withhold(document_type, misfit, body),
            }
        }
    }
}

/// A document as the model reads it, its scope, and what it grants.
struct Placed<'b> {
    body: Cow<'b, Document>,
    scope: Scope,
    membership: Option<Membership>,
}

fn place<'b>(
    model: &Model,
    document_type: &DocumentType,
    key: &DocumentKey,
    body: &'b Document,
) -> Result<Placed<'b>, Misfit> {
    let fitted = fit(model, &document_type.fields, body)?;
    let body = fitted.map_or(Cow::Borrowed(body), Cow::Owned);
    let scope = grant::scope_of(document_type, &key.id, &body)
        .map_err(|error| no_scope(document_type, &body, &error))?;
    Ok(Placed {
        scope,
        membership: grant::membership_of(document_type, &key.id, &body),
        body,
    })
}

fn no_scope(document_type: &DocumentType, body: &Document, error: &FillError) -> Misfit {
    let path = error.placeholder().unwrap_or_default();
    let field = document_type.field(path);
    let value = field.and_then(|field| body.get(&field.stored_as));
    Misfit {
        found: value.map_or("missing", Value::bson_type).to_owned(),
        path: path.to_owned(),
        problem: error.to_string(),
    }
}

/// An entry as the model reads it; `None` if that is how it is stored. A field that does not fit stays as it is.
pub(crate) fn fitted(model: &Model, entry: &Entry) -> Option<Entry> {
    let document_type = model.stored_type(&entry.key.type_name)?;
    let (fields, body) = (&document_type.fields, entry.body.as_ref()?);
    let body = fit(model, fields, body).unwrap_or_else(|_| {
        let each = |body: Document, field| match fit(model, slice::from_ref(field), &body) {
            Ok(Some(fitted)) => fitted,
            _ => body,
        };
        Some(fields.iter().fold(body.clone(), each))
    })?;
    let mut fitted = Entry {
        body: Some(body),
        ..entry.clone()
    };
    for field in &document_type.fields {
        let before = field.earlier_name(&document_type.fields);
        let version = before.and_then(|name| fitted.field_versions.remove(name));
        if let Some(version) = version {
            let versions = &mut fitted.field_versions;
            versions.entry(field.stored_as.clone()).or_insert(version);
        }
    }
    Some(fitted)
}

/// Marks a version that shows readers of the model nothing: nobody's, with the term in place of a mutation id.
pub(crate) fn mark_withheld_in(term: Term, entry: &mut Entry) {
    if let Some(writer) = entry.writers.get_mut(&entry.version) {
        writer.mutation = Some(mark_of(term));
    }
}

/// Whether clients have had such a version in this term.
pub(crate) fn is_withheld_in(term: Term, entry: &Entry) -> bool {
    let last = entry.writers.get(&entry.version);
    last.is_some_and(|last| last.user.is_none() && last.mutation == Some(mark_of(term)))
}

fn mark_of(Term(term): Term) -> MutationId {
    MutationId(i32::try_from(term).unwrap_or(i32::MAX))
}

/// The fields that fit the model, each by itself.
fn fitting_fields(model: &Model, document_type: &DocumentType, body: &Document) -> Document {
    let mut fitting = Document::new();
    for field in &document_type.fields {
        if let Ok(fitted) = fit(model, slice::from_ref(field), body) {
            let value = fitted.as_ref().unwrap_or(body).get(&field.stored_as);
            fitting.extend(value.map(|value| (field.stored_as.clone(), value.clone())));
        }
    }
    fitting
}

impl ForeignWrite<'_> {
    fn import_deletion(&self) -> ImportResult {
        let Some(entry) = self
            .entry
            .filter(|entry| entry.body.is_some() || entry.withheld)
        else {
            return ImportResult::default();
        };
        self.ended(entry, false)
    }

    /// Withholds the document.
    pub(crate) fn withhold(
        &self,
        document_type: &DocumentType,
        misfit: Misfit,
        readable: &Document,
    ) -> ImportResult {
        let delivered = self.entry.filter(|entry| entry.body.is_some());
        let ended = delivered.map(|entry| self.ended(entry, true));
        let fitting = fitting_fields(self.model, document_type, readable);
        let scope = grant::scope_of(document_type, &self.key.id, &fitting).ok();
        let scope = scope.or_else(|| self.entry.map(|entry| entry.scope.clone()));
        ImportResult {
            withheld: Some(Withheld { misfit, scope }),
            ..ended.unwrap_or_default()
        }
    }

    /// The next version of an entry, without a body.
    fn ended(&self, entry: &Entry, withheld: bool) -> ImportResult {
        let next = Entry {
            field_versions: BTreeMap::new(),
            body: None,
            withheld,
            membership: None,
            ..entry.clone()
        };
        self.next_entry(next)
    }

    fn take(&self, document_type: &DocumentType, placed: Placed<'_>) -> ImportResult {
        let mut body = placed.body.into_owned();
        if let Some(before) = self.entry.and_then(|entry| entry.body.as_ref()) {
            content::keep_others(self.model, &document_type.fields, before, &mut body);
        }
        let next = match self.entry {
            Some(entry) if entry.body.is_some() || entry.withheld => entry.clone(),
            Some(tombstone) => Entry {
                began: Version::NONE,
                ..tombstone.clone()
            },
            None => self.nothing_yet(&placed.scope),
        };
        self.next_entry(Entry {
            scope: placed.scope,
            membership: placed.membership,
            body: Some(body),
            withheld: false,
            ..next
        })
    }

    /// The entry where the rules of the model put it, if it is elsewhere. A document that makes no scope goes where
    /// nobody sees it.
    pub(crate) fn moved(&self) -> ImportResult {
        let document_type = self.model.stored_type(&self.key.type_name);
        let (Some(document_type), Some(entry)) = (document_type, self.entry) else {
            return ImportResult::default();
        };
        let Some(body) = entry.body.as_ref() else {
            return ImportResult::default();
        };
        let fits = || fit(self.model, &document_type.fields, body).is_ok();
        let membership = grant::membership_of(document_type, &self.key.id, body);
        let membership = membership.filter(|_| fits());
        let is_in_place = is_in_its_scope(document_type, entry, body)
            && membership::open_the_same(membership.as_ref(), entry.membership.as_ref());
        if is_in_place {
            return ImportResult::default();
        }
        self.next_entry(Entry {
            scope: grant::place_of(document_type, &self.key.id, body),
            membership,
            ..entry.clone()
        })
    }

    fn nothing_yet(&self, scope: &Scope) -> Entry {
        Entry {
            key: self.key.clone(),
            scope: scope.clone(),
            version: self.version_floor,
            began: Version::NONE,
            run: Version::NONE,
            field_versions: BTreeMap::new(),
            writers: BTreeMap::new(),
            body: None,
            withheld: false,
            at: self.now,
            membership: None,
        }
    }

    /// Gives the next version to `next`, which still has the one before. No client's run continues over it, and the
    /// fields that differ belong to no writer. An entry that has reached its last version is withheld instead.
    pub(crate) fn next_entry(&self, mut next: Entry) -> ImportResult {
        let Some(version) = next.version.next() else {
            return ImportResult {
                entry: None,
                withheld: Some(Withheld {
                    misfit: Misfit {
                        path: "id".to_owned(),
                        found: "string".to_owned(),
                        problem: "has had as many versions as can be counted".to_owned(),
                    },
                    scope: Some(next.scope),
                }),
            };
        };
        for name in self.changed_fields(&next) {
            next.field_versions.insert(name, version);
        }
        let previous = next.writers.values().map(|writer| writer.edited_at).max();
        next.version = version;
        next.run = version;
        next.at = self.now;
        if next.began == Version::NONE {
            next.began = version;
        }
        let edited_at = previous.map_or(self.now, |previous| self.now.max(previous.plus_ms(1)));
        let writer = Writer {
            user: None,
            client: None,
            edited_at,
            mutation: None,
        };
        next.writers.insert(version, writer);
        prune_writers(&mut next);
        ImportResult {
            entry: Some(next),
            withheld: None,
        }
    }

    /// The fields of `next` that changed or are gone.
    fn changed_fields(&self, next: &Entry) -> Vec<String> {
        let nothing = Document::new();
        let before = self.entry.and_then(|entry| entry.body.as_ref());
        let before = before.unwrap_or(&nothing);
        let Some(after) = &next.body else {
            return Vec::new();
        };
        let names = before.keys().chain(after.keys());
        names
            .filter(|name| before.get(*name) != after.get(*name))
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{ClientId, DocumentId, TypeName, UserId};

    const MODEL: &str = r#"
extend schema @grant(scope: "team:{team}", access: WRITE)
type Task @collection(name: "tasks") @scope(by: "team:{team}") { id: ID! team: String! title: String! notes: String }
"#;

    fn document(team: &str, title: &str) -> Document {
        let text = |text: &str| Value::String(text.to_owned());
        [
            ("team".to_owned(), text(team)),
            ("title".to_owned(), text(title)),
        ]
        .into()
    }

    fn alices(body: Option<Document>) -> Entry {
        let writer = Writer {
            user: Some(UserId::new("alice").unwrap()),
            client: Some(ClientId::new("phone").unwrap()),
            edited_at: Timestamp::EPOCH.plus_ms(50),
            mutation: None,
        };
        Entry {
            key: key(),
            scope: Scope::new("team:red").unwrap(),
            version: Version(4),
            began: Version(2),
            run: Version(3),
            field_versions: [
                ("title".to_owned(), Version(4)),
                ("team".to_owned(), Version(2)),
            ]
            .into(),
            writers: [(Version(2), writer.clone()), (Version(4), writer)].into(),
            body,
            withheld: false,
            at: Timestamp::EPOCH,
            membership: None,
        }
    }

    fn key() -> DocumentKey {
        DocumentKey {
            type_name: TypeName::new("Task").unwrap(),
            id: DocumentId::new("1").unwrap(),
        }
    }

    fn import_document(entry: Option<&Entry>, foreign: &ForeignState) -> ImportResult {
        let arrival = ForeignWrite {
            model: &Model::parse("model.graphql", MODEL).unwrap(),
            now: Timestamp::EPOCH.plus_ms(10),
            version_floor: Version(7),
            key: &key(),
            entry,
        };
        import(&arrival, foreign)
    }

    #[test]
    fn a_foreign_edit_is_a_version_of_nobodys_for_the_fields_it_changed() {
        let before = alices(Some(document("red", "Tea")));
        let foreign = ForeignState::Document(document("red", "Coffee"));
        let entry = import_document(Some(&before), &foreign).entry.unwrap();
        assert_eq!(
            (entry.version, entry.run, entry.began),
            (Version(5), Version(5), Version(2))
        );
        assert_eq!(entry.field_versions["title"], Version(5));
        assert_eq!(entry.field_versions["team"], Version(2));
        let writer = &entry.writers[&Version(5)];
        assert_eq!((&writer.user, &writer.client), (&None, &None));
        assert_eq!(
            writer.edited_at,
            Timestamp::EPOCH.plus_ms(51),
            "after what it replaces"
        );
    }

    #[test]
    fn a_foreign_move_changes_the_scope_and_a_foreign_document_begins_above_the_version_floor() {
        let before = alices(Some(document("red", "Tea")));
        let foreign = ForeignState::Document(document("blue", "Tea"));
        let moved = import_document(Some(&before), &foreign).entry.unwrap();
        assert_eq!(moved.scope.as_str(), "team:blue");
        let created = import_document(None, &foreign).entry.unwrap();
        assert_eq!((created.version, created.began), (Version(8), Version(8)));
        let again = import_document(Some(&alices(None)), &foreign)
            .entry
            .unwrap();
        assert_eq!((again.version, again.began), (Version(5), Version(5)));
    }

    #[test]
    fn a_foreign_delete_leaves_a_tombstone_once() {
        let before = alices(Some(document("red", "Tea")));
        let tombstone = import_document(Some(&before), &ForeignState::Gone)
            .entry
            .unwrap();
        assert!(tombstone.is_deleted() && !tombstone.withheld);
        assert_eq!(tombstone.version, Version(5));
        assert_eq!(
            import_document(Some(&tombstone), &ForeignState::Gone),
            ImportResult::default()
        );
        assert_eq!(
            import_document(None, &ForeignState::Gone),
            ImportResult::default()
        );
    }

    #[test]
    fn what_does_not_fit_is_withheld_and_revoked_once_until_it_fits_again() {
        let before = alices(Some(document("red", "Tea")));
        let untitled =
            ForeignState::Document([("team".to_owned(), Value::String("red".to_owned()))].into());
        for misfit in [
            ForeignState::Misfit {
                misfit: Misfit {
                    path: "title".to_owned(),
                    found: "objectId".to_owned(),
                    problem: "is not a string".to_owned(),
                },
                readable: [("team".to_owned(), Value::String("red".to_owned()))].into(),
            },
            untitled,
        ] {
            assert_eq!(
                import_document(None, &misfit).entry,
                None,
                "nobody ever had it"
            );
            let withheld = import_document(Some(&before), &misfit);
            assert_eq!(
                withheld.withheld.unwrap().scope.unwrap().as_str(),
                "team:red"
            );
            let entry = withheld.entry.unwrap();
            assert!(entry.withheld && entry.version == Version(5));
            let again = import_document(Some(&entry), &misfit);
            assert!(again.entry.is_none() && again.withheld.is_some());
            let mended = ForeignState::Document(document("red", "Tea"));
            let shown = import_document(Some(&entry), &mended).entry.unwrap();
            assert_eq!((shown.version, shown.began), (Version(6), Version(2)));
            assert_eq!(shown.field_versions["title"], Version(6));
            assert!(!shown.withheld);
        }
    }

    #[test]
    fn versions_are_never_wrapped() {
        let last = Entry {
            version: Version(i32::MAX),
            ..alices(Some(document("red", "Tea")))
        };
        let import = import_document(Some(&last), &ForeignState::Gone);
        assert!(import.entry.is_none() && import.withheld.is_some());
    }
}
