//! What the model language can say of what was found. The rest is left out of the model, with a comment.

use std::collections::BTreeSet;

use tidegate_core::model::Model;

use super::draft::{FieldDraft, Holds, ListDraft, TypeDraft};

/// The parts of the language that a drawn model uses besides those of every version.
#[derive(Debug, Clone, Copy)]
pub(super) struct Language {
    /// `@bson`, and `_id` in embedded types.
    pub(super) bson: bool,
    /// `@key`.
    pub(super) keys: bool,
    /// `versionField` and `updatedAtField`.
    pub(super) upkeep: bool,
}

impl Language {
    /// What the parser of models accepts.
    pub(super) fn known() -> Self {
        let accepts = |part: &str, fields: &str| {
            let model = format!(
                "extend schema @grant(scope: \"s\", access: READ) type A @collection(name: \"as\"{part}) @scope(by: \"s\") {{ id: ID! b: Int {fields} }} type C {{ d: ID! e: Int! }}"
            );
            Model::parse("language", &model).is_ok()
        };
        Self {
            bson: accepts("", "c: ID @bson(type: OBJECT_ID)"),
            keys: accepts("", "c: [C!]! @key(field: \"d\")"),
            upkeep: accepts(", versionField: \"v\", updatedAtField: \"u\"", "c: [C!]!"),
        }
    }

    /// Leaves out of the types what the language cannot say.
    pub(super) fn restrict(self, types: &mut Vec<TypeDraft>) {
        if !self.upkeep {
            for document_type in types.iter_mut() {
                if let Some(collection) = &mut document_type.collection {
                    collection.version_field = None;
                    collection.updated_at_field = None;
                }
                let fields = document_type.fields.iter_mut();
                fields.for_each(|field| field.read_only = false);
            }
        }
        if !self.bson {
            leave_out(types, |field| {
                let is_id =
                    field.stored_as == "_id" || matches!(innermost(&field.holds), Holds::Id(_));
                is_id.then_some("an id in a BSON type of its own, which no field holds")
            });
            leave_out_empty(types);
        }
        if !(self.keys && self.bson) {
            self.drop_keys(types);
        }
    }

    /// A key that is left out is none.
    fn drop_keys(self, types: &mut [TypeDraft]) {
        let named = types.iter().flat_map(|it| {
            let fields = it.fields.iter();
            fields.map(|field| (it.name.clone(), field.name.clone()))
        });
        let named: BTreeSet<(String, String)> = named.collect();
        let fields = types.iter_mut().flat_map(|it| &mut it.fields);
        for list in fields.filter_map(|field| innermost_list(&mut field.holds)) {
            let Holds::Named(items) = &list.item else {
                continue;
            };
            let is_there = |key: &String| named.contains(&(items.clone(), key.clone()));
            list.key = list.key.take().filter(|key| self.keys && is_there(key));
        }
    }
}

/// Moves fields to the comment on what is left out.
fn leave_out(types: &mut [TypeDraft], reason: impl Fn(&FieldDraft) -> Option<&'static str>) {
    for document_type in types {
        let fields = std::mem::take(&mut document_type.fields);
        for field in fields {
            match reason(&field) {
                None => document_type.fields.push(field),
                Some(reason) => {
                    let name = super::shown(&field.stored_as);
                    document_type.left_out.push(format!("{name}: {reason}"));
                }
            }
        }
    }
}

/// A type without fields is none, and a field of such a type neither.
fn leave_out_empty(types: &mut Vec<TypeDraft>) {
    loop {
        let empty = types.iter().filter(|it| it.fields.is_empty());
        let empty: BTreeSet<String> = empty.map(|it| it.name.clone()).collect();
        if empty.is_empty() {
            return;
        }
        types.retain(|it| !empty.contains(&it.name));
        for field in types.iter_mut().flat_map(|it| &mut it.fields) {
            let reference = field.reference.take();
            field.reference = reference.filter(|it| !empty.contains(&it.target));
        }
        leave_out(types, |field| match innermost(&field.holds) {
            Holds::Named(name) if empty.contains(name) => {
                Some("it has no field that a model can name")
            }
            _ => None,
        });
    }
}

/// What a field holds, in lists too.
pub(super) fn innermost(holds: &Holds) -> &Holds {
    match holds {
        Holds::List(list) => innermost(&list.item),
        other => other,
    }
}

fn innermost_list(holds: &mut Holds) -> Option<&mut ListDraft> {
    let Holds::List(list) = holds else {
        return None;
    };
    match list.item {
        Holds::List(_) => innermost_list(&mut list.item),
        _ => Some(list),
    }
}
