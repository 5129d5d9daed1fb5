//! Compares fields, their types, and the embedded types and enums that they use.
//!
//! Two fields are the same one if documents have them under the same name. Names of embedded types and enums do not
//! matter, since documents do not hold them.

use std::collections::BTreeSet;

use super::{
    ModelPlan,
    difference::Difference,
    renames::{Owner, StoredRename},
};
use crate::{
    id::IdType,
    model::{DefaultValue, Field, FieldType, Model, Scalar, Shape},
};

/// A comparison of two models. Each pair of embedded types or enums is compared once.
pub(super) struct Comparison<'m> {
    pub(super) old: &'m Model,
    pub(super) new: &'m Model,
    embedded: BTreeSet<(&'m str, &'m str)>,
    enums: BTreeSet<(&'m str, &'m str)>,
    compared: BTreeSet<(&'m str, &'m str)>,
}

/// What a type holds beside another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Relation {
    Same,
    Wider,
    Other,
}

impl<'m> Comparison<'m> {
    pub(super) fn new(old: &'m Model, new: &'m Model) -> Self {
        Self {
            old,
            new,
            embedded: BTreeSet::new(),
            enums: BTreeSet::new(),
            compared: BTreeSet::new(),
        }
    }

    /// Compares the fields of two types that are one type. `name` is its name in the new model.
    pub(super) fn compare(
        &mut self,
        plan: &mut ModelPlan,
        owner: &Owner,
        name: &str,
        (old, new): (&'m [Field], &'m [Field]),
    ) {
        let mut matched = BTreeSet::new();
        for field in new {
            let Some(before) = earlier(old, new, field) else {
                let may_be_absent = may_be_absent(field);
                plan.note_field(name, field, Difference::FieldAdded { may_be_absent });
                continue;
            };
            matched.insert(&*before.stored_as);
            plan.renames.extend(unread_name(owner, name, before, field));
            for difference in self.differences(before, field) {
                plan.note_field(name, field, difference);
            }
        }
        for gone in old.iter().filter(|it| !matched.contains(&*it.stored_as)) {
            let was_retired = gone.retired;
            plan.note_field(name, gone, Difference::FieldRemoved { was_retired });
        }
    }

    /// Compares the embedded types and enums that the fields use, and those that they use.
    pub(super) fn compare_nested(&mut self, plan: &mut ModelPlan) {
        while let Some(pair) = self.embedded.pop_first() {
            if self.compared.insert(pair) {
                let (old, new) = pair;
                let fields = (self.old.embedded_fields(old), self.new.embedded_fields(new));
                self.compare(plan, &Owner::Embedded(new.to_owned()), new, fields);
            }
        }
        for (old, new) in std::mem::take(&mut self.enums) {
            self.compare_enums(plan, old, new);
        }
    }

    fn compare_enums(&self, plan: &mut ModelPlan, old: &str, new: &str) {
        let values =
            |model: &'m Model, name| model.enums.get(name).map_or(&[][..], |it| &it.values);
        let (before, after) = (values(self.old, old), values(self.new, new));
        for value in after {
            let was = before.iter().find(|it| it.name == value.name);
            let difference = match was.map(|was| was.retired) {
                None => Difference::ValueAdded,
                Some(false) if value.retired => Difference::Retired,
                Some(true) if !value.retired => Difference::Restored,
                Some(_) => continue,
            };
            plan.note(&format!("{new}.{}", value.name), None, difference);
        }
        let kept: BTreeSet<&str> = after.iter().map(|it| &*it.name).collect();
        for gone in before.iter().filter(|it| !kept.contains(&*it.name)) {
            let was_retired = gone.retired;
            let difference = Difference::ValueRemoved { was_retired };
            plan.note(&format!("{new}.{}", gone.name), None, difference);
        }
    }

    fn differences(&mut self, old: &'m Field, new: &'m Field) -> Vec<Difference> {
        let (from, to) = (spelled(&old.ty), spelled(&new.ty));
        let of_type = match self.relation(&old.ty, &new.ty) {
            Relation::Same => None,
            Relation::Wider => Some(Difference::Widened {
                is_text_now: are_numbers(&old.ty) && !are_numbers(&new.ty),
                from,
                to,
            }),
            Relation::Other => Some(Difference::Narrowed { from, to }),
        };
        let differences = [
            renamed(old, new),
            of_type,
            bson_type(old, new),
            requirement(old, new),
            differs(
                format!("{:?}", old.constraint) != format!("{:?}", new.constraint),
                Difference::Constraint,
            ),
            differs(
                rights(self.old, old) != rights(self.new, new),
                Difference::FieldRights,
            ),
            differs(old.merge != new.merge, Difference::Merge),
            differs(old.key != new.key, Difference::Key),
            settable(old, new),
            differs(!old.retired && new.retired, Difference::Retired),
            differs(old.retired && !new.retired, Difference::Restored),
        ];
        let stored = stored_name(old, new);
        stored
            .into_iter()
            .chain(differences.into_iter().flatten())
            .collect()
    }

    /// Compares types without the `!` of the field itself.
    fn relation(&mut self, old: &'m FieldType, new: &'m FieldType) -> Relation {
        match (&old.shape, &new.shape) {
            (Shape::Scalar(old), Shape::Scalar(new)) => scalars(*old, *new),
            (Shape::Enum(old), Shape::Enum(new)) => {
                self.enums.insert((old, new));
                Relation::Same
            }
            (Shape::Enum(_), Shape::Scalar(Scalar::String)) => Relation::Wider,
            (Shape::Embedded(old), Shape::Embedded(new)) => {
                self.embedded.insert((old, new));
                Relation::Same
            }
            (Shape::List(old), Shape::List(new)) => {
                let nulls = match (old.required, new.required) {
                    (true, false) => Relation::Wider,
                    (false, true) => Relation::Other,
                    _ => Relation::Same,
                };
                nulls.max(self.relation(old, new))
            }
            _ => Relation::Other,
        }
    }
}

fn scalars(old: Scalar, new: Scalar) -> Relation {
    match (old, new) {
        _ if old == new => Relation::Same,
        (Scalar::Int, Scalar::Long | Scalar::Float | Scalar::Id)
        | (Scalar::Long, Scalar::Id)
        | (Scalar::Id, Scalar::String)
        | (Scalar::String, Scalar::Id) => Relation::Wider,
        _ => Relation::Other,
    }
}

/// Whether JSON has the values as numbers, itself or in lists.
fn are_numbers(ty: &FieldType) -> bool {
    match &ty.shape {
        Shape::Scalar(scalar) => matches!(scalar, Scalar::Int | Scalar::Float),
        Shape::List(item) => are_numbers(item),
        Shape::Enum(_) | Shape::Embedded(_) => false,
    }
}

/// The field before. What documents hold under the same name is the same field, whatever the API calls it. A field that
/// only has the name in the API in common is the same one under another stored name, unless that one has gone to
/// another field.
fn earlier<'f>(old: &'f [Field], new: &[Field], field: &Field) -> Option<&'f Field> {
    let stored_as = |name: &str| old.iter().find(|it| it.stored_as == name);
    let is_taken = |it: &&Field| new.iter().any(|other| other.stored_as == it.stored_as);
    let called = |name: &str| old.iter().find(|it| it.name == name);
    let free = |it: Option<&'f Field>| it.filter(|it| !is_taken(it));
    stored_as(&field.stored_as)
        .or_else(|| free(field.stored_before.as_deref().and_then(stored_as)))
        .or_else(|| free(called(&field.name)))
        .or_else(|| free(field.renamed_from.as_deref().and_then(called)))
}

fn differs(differs: bool, difference: Difference) -> Option<Difference> {
    differs.then_some(difference)
}

/// When clients may set the field, and the names of the roles that may.
fn rights<'m>(model: &'m Model, field: &Field) -> (bool, Option<Vec<&'m str>>) {
    let names = |writers| model.roles.names(writers).collect();
    (field.immutable, field.writers.map(names))
}

/// Whether clients can no longer set the field, or can again, or the gateway keeps something else in it.
fn settable(old: &Field, new: &Field) -> Option<Difference> {
    if old.server != new.server {
        return Some(Difference::Server {
            from: old.server,
            to: new.server,
            is_closed: new.read_only && !old.read_only,
        });
    }
    let difference = Difference::ReadOnly {
        is_new: new.read_only,
    };
    differs(old.read_only != new.read_only, difference)
}

fn renamed(old: &Field, new: &Field) -> Option<Difference> {
    let difference = Difference::FieldRenamed {
        from: old.name.clone(),
        is_alias: new.renamed_from.as_ref() == Some(&old.name),
    };
    differs(old.name != new.name, difference)
}

fn stored_name(old: &Field, new: &Field) -> Option<Difference> {
    let from = old.stored_as.clone();
    if old.stored_as != new.stored_as {
        return Some(Difference::StoredName {
            is_read: new.stored_before.as_ref() == Some(&from),
            to: new.stored_as.clone(),
            from,
        });
    }
    let from = old.stored_before.clone()?;
    differs(
        new.stored_before.as_ref() != Some(&from),
        Difference::StoredNameForgotten { from },
    )
}

/// A name that documents may have the field under, and that the new model does not read. The model in force reads at most
/// two.
fn unread_name(owner: &Owner, name: &str, old: &Field, new: &Field) -> Vec<StoredRename> {
    let read = [Some(&new.stored_as), new.stored_before.as_ref()];
    let before = [Some(&old.stored_as), old.stored_before.as_ref()];
    let unread = before
        .into_iter()
        .flatten()
        .filter(|it| !read.contains(&Some(it)));
    let rename = |from: &String| StoredRename {
        owner: owner.clone(),
        subject: format!("{name}.{}", new.name),
        from: from.clone(),
        read: read.into_iter().flatten().cloned().collect(),
    };
    unread.map(rename).collect()
}

/// The BSON type of texts and days, if another one holds them now. A day is read from text and from a date alike.
fn bson_type(old: &Field, new: &Field) -> Option<Difference> {
    let (old, new) = (stored_form(old)?, stored_form(new)?);
    differs(old != new, Difference::BsonType { from: old, to: new })
}

/// The BSON type of a text or a day; none inside if it is a string, none at all if it is neither.
fn stored_form(field: &Field) -> Option<Option<&'static str>> {
    match (field.ty.leaf(), field.bson) {
        (Shape::Scalar(Scalar::Date), _) => Some(Some("DATE")),
        (Shape::Scalar(Scalar::Id | Scalar::String), bson) => Some(bson.map(IdType::name)),
        _ => None,
    }
}

/// The `!` and the default, which together say whether a document may lack the field.
fn requirement(old: &Field, new: &Field) -> Option<Difference> {
    match (old.ty.required, new.ty.required) {
        (false, true) => Some(Difference::Required {
            may_be_absent: may_be_absent(new),
        }),
        (true, false) => Some(Difference::Optional),
        _ if may_be_absent(old) && !may_be_absent(new) => Some(Difference::DefaultRemoved),
        _ => differs(old.default != new.default, Difference::Default),
    }
}

/// Whether a document without the field can be read.
fn may_be_absent(field: &Field) -> bool {
    !field.ty.required || matches!(field.default, Some(DefaultValue::Literal(_)))
}

/// A type as SDL spells it.
fn spelled(ty: &FieldType) -> String {
    let shape = match &ty.shape {
        Shape::Scalar(scalar) => scalar.name().to_owned(),
        Shape::Enum(name) | Shape::Embedded(name) => name.clone(),
        Shape::List(item) => format!("[{}]", spelled(item)),
    };
    match ty.required {
        true => shape + "!",
        false => shape,
    }
}
