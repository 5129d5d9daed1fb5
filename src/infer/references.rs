//! Fields that hold ids of other documents, recognised by their names and by values that are really found there.

use std::collections::{BTreeMap, BTreeSet};

use tidegate_core::id::IdType;

use super::{
    draft::{FieldDraft, Holds, ReferenceDraft, TypeDraft},
    names::{capitalized, folded, singular, subject},
    values::IdValue,
};

/// The ids that are looked for in one collection.
const WANTED_MAX: usize = 2_000;

/// Ids by the collection that they are looked for, or were found, in.
pub(crate) type IdsByCollection = BTreeMap<String, BTreeSet<IdValue>>;

/// A synced type as others may refer to it.
struct Target {
    type_name: String,
    collection: String,
    id_type: IdType,
}

impl Target {
    fn all(types: &[TypeDraft]) -> Vec<Self> {
        let synced = types
            .iter()
            .filter_map(|it| it.collection.as_ref().zip(Some(it)));
        let targets = synced.map(|(collection, it)| Self {
            type_name: it.name.clone(),
            collection: collection.name.clone(),
            id_type: collection.id_type,
        });
        targets.collect()
    }

    /// Whether the name of a field says that it is about the type.
    fn is_named_by(&self, field: &FieldDraft) -> bool {
        let (subject, own) = (folded(subject(&field.stored_as)), folded(&self.type_name));
        let singular = folded(&singular(&subject));
        [subject, singular]
            .iter()
            .any(|it| !it.is_empty() && (own.ends_with(it) || it.ends_with(&own)))
    }

    fn may_have(&self, id: &IdValue) -> bool {
        matches!(
            (self.id_type, id),
            (IdType::ObjectId, IdValue::ObjectId(_))
                | (IdType::Uuid, IdValue::Uuid(_))
                | (IdType::Int, IdValue::Int(_))
                | (IdType::String, IdValue::Text(_))
        )
    }

    /// Numbers and texts are ids of many things. ObjectIds and UUIDs name one document, whatever the field is called.
    fn is_found_by_value(&self) -> bool {
        matches!(self.id_type, IdType::ObjectId | IdType::Uuid)
    }
}

/// The ids to look for, in each collection. Those of fields that name the collection come first.
pub(super) fn wanted(types: &[TypeDraft]) -> IdsByCollection {
    let mut wanted = IdsByCollection::new();
    for target in Target::all(types) {
        let mut ids = BTreeSet::new();
        for by_name in [true, false] {
            let fields = types.iter().flat_map(|it| &it.fields);
            let fields = fields.filter(|field| target.is_named_by(field) == by_name);
            let of_fields = fields.flat_map(|field| &field.ids);
            let of_fields = of_fields.filter(|id| target.may_have(id));
            if by_name || target.is_found_by_value() {
                let room = WANTED_MAX - ids.len();
                ids.extend(of_fields.take(room).cloned());
            }
        }
        if !ids.is_empty() {
            wanted.insert(target.collection, ids);
        }
    }
    wanted
}

/// Adds references to fields whose ids were found. Inside embedded types and in lists the model has none: a note says what
/// they are.
pub(super) fn relate(types: &mut [TypeDraft], found: &IdsByCollection) {
    let targets = Target::all(types);
    for document_type in types {
        let is_synced = document_type.collection.is_some();
        let mut names: BTreeSet<String> = BTreeSet::from(["id".to_owned()]);
        names.extend(document_type.fields.iter().map(|field| field.name.clone()));
        for field in &mut document_type.fields {
            let Some(target) = referred(field, &targets, found) else {
                continue;
            };
            match field.holds {
                Holds::Id(_) | Holds::Scalar("String" | "Int" | "Long") if is_synced => {
                    refer(field, target, &mut names);
                }
                Holds::List(_) => field.notes.push(format!("ids of {}", target.type_name)),
                _ => field.notes.push(format!("an id of {}", target.type_name)),
            }
        }
    }
}

/// The type of which at least half of the ids that were looked for are there.
fn referred<'t>(
    field: &FieldDraft,
    targets: &'t [Target],
    found: &IdsByCollection,
) -> Option<&'t Target> {
    if field.stored_as == "_id" {
        return None;
    }
    let hits = |target: &Target| {
        let there = found.get(&target.collection);
        let is_there = |id: &&IdValue| there.is_some_and(|there| there.contains(id));
        field.ids.iter().filter(is_there).count()
    };
    let candidates = targets.iter().map(|target| (hits(target), target));
    let candidates: Vec<_> = candidates
        .filter(|(hits, _)| *hits > 0 && hits * 2 >= field.ids.len())
        .collect();
    let named = candidates
        .iter()
        .filter(|(_, target)| target.is_named_by(field));
    let is_exact = |target: &Target| folded(subject(&field.stored_as)) == folded(&target.type_name);
    let named = named.max_by_key(|(hits, target)| (is_exact(target), *hits));
    let by_value = match &candidates[..] {
        [only] if only.1.is_found_by_value() => Some(only),
        _ => None,
    };
    named.or(by_value).map(|(_, target)| *target)
}

/// `userId` gets a reference `user` beside it. A field that is itself called `user` becomes `userId`.
fn refer(field: &mut FieldDraft, target: &Target, names: &mut BTreeSet<String>) {
    let about = subject(&field.name).to_owned();
    let about = about.trim_end_matches('_').to_owned();
    let wanted = match about == field.name {
        true => {
            names.remove(&field.name);
            let id = format!("{}Id", field.name);
            let reference = std::mem::replace(&mut field.name, free(&id, names));
            names.insert(field.name.clone());
            reference
        }
        false => about,
    };
    let is_reserved = wanted.starts_with("sync") || wanted.starts_with('_');
    let wanted = match is_reserved {
        true => format!("own{}", capitalized(&wanted)),
        false => wanted,
    };
    let name = free(&wanted, names);
    names.insert(name.clone());
    field.holds = Holds::Scalar("ID");
    field.reference = Some(ReferenceDraft {
        name,
        target: target.type_name.clone(),
    });
}

fn free(wanted: &str, names: &BTreeSet<String>) -> String {
    let others = (2..).map(|number: u64| format!("{wanted}{number}"));
    let mut all = std::iter::once(wanted.to_owned()).chain(others);
    let free = all.find(|name| !names.contains(name));
    free.expect("numbers do not end")
}
