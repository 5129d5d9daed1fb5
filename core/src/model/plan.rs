//! The plan of a model change: what differs between the model in force and a new one, and what becomes of stored
//! documents.
//!
//! It compares two models and nothing else. Whether documents fit, and how many, is counted over a store.

mod difference;
mod fields;
mod renames;

use std::{collections::BTreeSet, fmt};

pub use self::{
    difference::{Class, Difference, Obstacle},
    renames::StoredRename,
};
use self::{fields::Comparison, renames::Owner};
use super::{DocumentType, Field, Model, Operation};
use crate::id::TypeName;

/// What differs between two models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelPlan {
    /// The differences, in the order of the new model. What it lacks comes last.
    pub changes: Vec<ModelChange>,
    /// Stored names that the new model does not read any more, though it has the field.
    pub renames: Vec<StoredRename>,
}

/// One difference between two models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelChange {
    /// What it is about, such as `Task`, `Task.title` or `Status.open`.
    pub subject: String,
    /// The stored name of the type, if the difference is about a synced type.
    pub type_name: Option<TypeName>,
    /// What differs.
    pub difference: Difference,
}

impl fmt::Display for ModelChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.difference)
    }
}

impl ModelPlan {
    /// Compares the model in force with a new one.
    pub fn between(old: &Model, new: &Model) -> Self {
        let mut plan = Self::default();
        if format!("{:?}", old.grants) != format!("{:?}", new.grants) {
            plan.note("@grant", None, Difference::Grants);
        }
        let mut fields = Comparison::new(old, new);
        for document_type in &new.types {
            let before = old.stored_type(&document_type.stored_as);
            match before {
                Some(before) => plan.compare_types(&mut fields, before, document_type),
                None => plan.note_type(document_type, Difference::TypeAdded),
            }
        }
        fields.compare_nested(&mut plan);
        let gone = old.types.iter();
        for gone in gone.filter(|gone| new.stored_type(&gone.stored_as).is_none()) {
            plan.note_type(gone, removal(new, gone));
        }
        plan
    }

    /// The types whose documents may be in other scopes, or give other access, than the new model says.
    pub fn moving(&self) -> BTreeSet<TypeName> {
        let moving = self.changes.iter().filter(|change| {
            matches!(
                change.difference,
                Difference::Scope | Difference::Memberships
            )
        });
        moving
            .filter_map(|change| change.type_name.clone())
            .collect()
    }

    fn compare_types<'m>(
        &mut self,
        fields: &mut Comparison<'m>,
        old: &'m DocumentType,
        new: &'m DocumentType,
    ) {
        for difference in type_differences((fields.old, old), (fields.new, new)) {
            self.note_type(new, difference);
        }
        let owner = Owner::Synced(new.stored_as.clone());
        fields.compare(self, &owner, new.name.as_str(), (&old.fields, &new.fields));
    }

    fn note_type(&mut self, of: &DocumentType, difference: Difference) {
        self.note(of.name.as_str(), Some(&of.stored_as), difference);
    }

    fn note(&mut self, subject: &str, type_name: Option<&TypeName>, difference: Difference) {
        self.changes.push(ModelChange {
            subject: subject.to_owned(),
            type_name: type_name.cloned(),
            difference,
        });
    }

    fn note_field(&mut self, owner: &str, field: &Field, difference: Difference) {
        self.note(&format!("{owner}.{}", field.name), None, difference);
    }
}

/// How a type leaves a model. Another type that takes its collection over is probably the same one under another name.
fn removal(new: &Model, gone: &DocumentType) -> Difference {
    let mut types = new.types.iter();
    match types.find(|it| it.collection == gone.collection) {
        Some(by) => Difference::TypeReplaced {
            by: by.name.to_string(),
            name: gone.name.to_string(),
            stored_as: gone.stored_as.to_string(),
        },
        None => Difference::TypeRemoved {
            was_retired: gone.retired,
            gives_access: gone.membership.is_some(),
        },
    }
}

/// What differs in a type beside its fields. Rules are compared over stored names, so a field may have another name.
fn type_differences(
    (old_model, old): (&Model, &DocumentType),
    (new_model, new): (&Model, &DocumentType),
) -> Vec<Difference> {
    let text = |of: &dyn fmt::Debug| format!("{of:?}");
    let checks = [
        (
            old.name != new.name,
            Difference::TypeRenamed {
                from: old.name.to_string(),
                is_alias: new.is_called(old.name.as_str()),
            },
        ),
        (
            old.collection != new.collection,
            Difference::Collection {
                from: old.collection.clone(),
                to: new.collection.clone(),
            },
        ),
        (
            old.id_type != new.id_type,
            Difference::IdType {
                from: old.id_type,
                to: new.id_type,
            },
        ),
        (
            old.nulls_misfits != new.nulls_misfits,
            Difference::Misfits {
                are_null: new.nulls_misfits,
            },
        ),
        (old.scope != new.scope, Difference::Scope),
        (
            text(&old.membership) != text(&new.membership),
            Difference::Memberships,
        ),
        (
            rights(old_model, old) != rights(new_model, new),
            Difference::Rights,
        ),
        (old.conflict != new.conflict, Difference::Conflict),
        (
            references(old_model, old) != references(new_model, new),
            Difference::References {
                is_gone: loses_reference(old, new),
            },
        ),
        (old.indexes != new.indexes, Difference::Indexes),
        (
            old.uniques != new.uniques,
            Difference::Uniques {
                is_stricter: new.uniques.iter().any(|rule| !old.uniques.contains(rule)),
            },
        ),
        (old.upkeep != new.upkeep, Difference::Upkeep),
        (
            !new.has_key(&old.singular) || old.plural != new.plural,
            Difference::RootFields,
        ),
        (!old.retired && new.retired, Difference::Retired),
        (old.retired && !new.retired, Difference::Restored),
    ];
    let differences = checks.into_iter().filter(|(differs, _)| *differs);
    differences.map(|(_, difference)| difference).collect()
}

/// Who may do what, by the names of the roles, and what names the owner.
fn rights<'m>(model: &'m Model, of: &'m DocumentType) -> ([Vec<&'m str>; 3], Option<&'m str>) {
    let roles = Operation::NAMES.map(|(_, operation)| {
        let roles = of.rights.roles(operation);
        model.roles.names(roles).collect()
    });
    (roles, of.rights.owner.as_deref())
}

fn loses_reference(old: &DocumentType, new: &DocumentType) -> bool {
    let names = |of: &DocumentType| -> BTreeSet<String> {
        let references = of.references.iter().map(|it| it.name.clone());
        references
            .chain(of.reverses.iter().map(|it| it.name.clone()))
            .collect()
    };
    !names(old).is_subset(&names(new))
}

/// Each relation: its name, the stored name of the type that it shows, and what holds the id.
fn references<'m>(
    model: &'m Model,
    of: &'m DocumentType,
) -> BTreeSet<(&'m str, Option<&'m TypeName>, &'m str)> {
    let shown = of.references.iter().map(|it| {
        let target = model.document_type(it.target.as_str());
        (&*it.name, target.map(|target| &target.stored_as), &*it.by)
    });
    let listed = of.reverses.iter().map(|it| {
        let target = model.document_type(it.target.as_str());
        (&*it.name, target.map(|target| &target.stored_as), &*it.by)
    });
    shown.chain(listed).collect()
}

#[cfg(test)]
mod tests;
